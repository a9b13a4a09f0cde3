// The backup that is being read, if there is one: a checkpoint of the store in a directory of its
// own, removed when it has been read or nobody reads it any more.
#pragma once

#include "common/net/disk_pool.h"
#include "common/wire/namespace_backup.h"
#include "tracker/log/meta_store.h"

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <string>

namespace cairn::tracker {

class NamespaceBackup {
public:
  // `directory` is emptied: what is in there was left by a crash. All of them outlive it.
  NamespaceBackup(MetaStore& store, DiskPool& pool, std::filesystem::path directory);

  // On the tracker's I/O thread. Errors: see the messages.
  Task<Result<wire::BackupReply>> begin(std::string cluster_uuid);
  Task<Result<wire::Bytes>> read(wire::BackupRead request);
  Task<Status> end(std::uint64_t backup);
  // Gives up one that nobody has read for a while. Called from time to time.
  Task<void> expire();

private:
  Task<void> remove();

  MetaStore& store_;
  DiskPool& pool_;
  const std::filesystem::path directory_;
  std::uint64_t number_ = 0; // of the last one
  bool open_ = false;
  bool making_ = false;
  wire::BackupReply content_;
  std::chrono::steady_clock::time_point read_;
};

} // namespace cairn::tracker
