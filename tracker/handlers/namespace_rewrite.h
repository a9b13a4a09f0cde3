// Rewrites fragmented files in the background: what was written in many small pieces is stored anew
// in few large ones, so that neither extents nor stored files of a file grow without bound.
//
//   1. a write that leaves a file with too many extents, or its stored files mostly overwritten,
//      notes it in table F
//   2. when the file has not been written for a while (or is getting far too bad), what is to be
//      rewritten is planned, window by window (tracker/namespace/rewrite_plan.h)
//   3. a storage node makes the new stored file out of the old ones (common/wire/rewrite.h), on as
//      many nodes as the export wants
//   4. the extents are swapped if they still are what was read, else the new file is deleted
//
// One rewrite at a time, no faster than the policy's rate. Everything runs on the tracker's I/O
// thread; the store is read on the pool.
#pragma once

#include "common/wire/rewrite.h"
#include "tracker/handlers/namespace_service.h"
#include "tracker/namespace/rewrite_plan.h"

#include <chrono>
#include <string>
#include <utility>
#include <vector>

namespace cairn::tracker {

class NamespaceRewriter {
public:
  // All references outlive the rewriter.
  NamespaceRewriter(NamespaceService& service, const StoreViews& store, DiskPool& pool,
                    NamespacePolicy policy)
      : service_(service), store_(store), pool_(pool), policy_(policy) {}

  // Runs until the service is stopped.
  Task<void> run();

private:
  // A file whose turn it is, and what to do.
  struct Work {
    std::uint64_t ino = 0;
    std::uint64_t written_ms = 0;
    Inode inode;
    wire::NsExport of;
    std::string path; // in the export, as far as it is known
    std::uint64_t session_floor = 0;
    std::vector<RewriteJob> jobs;
    bool all = true; // there is nothing to do beside `jobs`
  };
  // What a look at table F found.
  struct Found {
    std::vector<Work> work; // one, or none
    // Inodes that need no row any more, with the times in their rows.
    std::vector<std::pair<std::uint64_t, std::uint64_t>> settled;
    std::uint64_t rows = 0; // looked at
    std::string next;       // key to go on with
    bool end = false;       // of the table
  };
  enum class Done : std::uint8_t { good, conflict, no_quota, failed };

  Task<void> look();
  Task<void> rewrite_file(Work work);
  Task<Done> rewrite_part(const Work& work, const RewriteJob& job);
  Task<void> settle(std::uint64_t ino, std::uint64_t written_ms);
  Result<Found> find(std::uint64_t now_ms) const;
  // Nodes that may store it, the best first.
  std::vector<Endpoint> nodes_for(const Work& work, const RewriteJob& job);
  wire::Rewrite request_for(const Work& work, const RewriteJob& job) const;
  Task<void> pause(std::chrono::milliseconds time);

  NamespaceService& service_;
  const StoreViews& store_;
  DiskPool& pool_;
  const NamespacePolicy policy_;
  std::string cursor_;          // key of table F
  std::uint64_t rows_seen_ = 0; // since the table's beginning
  std::uint64_t turn_ = 0;      // which node of a group
};

} // namespace cairn::tracker
