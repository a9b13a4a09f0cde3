// URL rules and aliases in the tracker's store: tables 'W' (rules by version) and 'Y' (aliases).
//
//   W version8          RulesReply: the files of that version; the last ten are kept
//   Y host NUL path     AliasRow without host and path
//
// Rules are refused here as a whole when they do not load, whoever sends them.
#pragma once

#include "common/net/disk_pool.h"
#include "common/wire/mutation.h"
#include "common/wire/rules.h"
#include "tracker/log/meta_store.h"
#include "tracker/log/replicated_log.h"

#include <cstdint>
#include <string>
#include <vector>

namespace cairn::tracker {

// At the tracker that holds the metadata, on its I/O thread; what blocks runs on `disk`.
class RulesTable {
public:
  // All outlive the table.
  RulesTable(ReplicatedLog& log, const MetaStore& store, DiskPool& disk)
      : log_(log), store_(store), disk_(disk) {}

  // Finds the version in force. Blocks: before the loop starts. Errors: io_error, corrupt.
  Status open();

  std::uint64_t version() const { return version_; }
  // The rules of a version (0: the one in force); without files when `known` is that version.
  // Errors: not_found (no such version any more), io_error.
  Task<Result<wire::RulesReply>> rules(wire::RulesGet request);
  // Replaces the rules; `now` is unix seconds. What is wrong with them is in the reply, which then
  // has version 0. Errors: exists (another version is in force than expected), busy (another load
  // is under way), invalid_argument (too large), unavailable (the log).
  Task<Result<wire::RulesPutReply>> put(wire::RulesPut request, std::uint64_t now);

  // Errors: invalid_argument (too many), io_error.
  Task<Result<wire::AliasRows>> aliases(wire::AliasGet request);
  Task<Result<wire::AliasRows>> list(wire::AliasList request);
  // All or nothing. Errors: invalid_argument (a path without '/', a target of no kind, too many),
  // unavailable (the log).
  Task<Result<wire::AliasPutReply>> change(wire::AliasPut request);

private:
  Task<Status> append(wire::MutationBatch batch);

  ReplicatedLog& log_;
  const MetaStore& store_;
  DiskPool& disk_;
  std::uint64_t version_ = 0;
  bool loading_ = false;
};

} // namespace cairn::tracker
