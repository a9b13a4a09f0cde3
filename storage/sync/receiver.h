// The receiving side of sync: applies the batches of other members to this node's store. The
// handlers of the native commands 180 to 183 call it, one function each; any I/O thread.
#pragma once

#include "common/base/file_id.h"
#include "common/net/task.h"
#include "common/wire/native.h"
#include "storage/binlog/binlog.h"
#include "storage/store/store.h"
#include "storage/sync/pending_metadata.h"
#include "storage/sync/receiver_state.h"

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

namespace cairn::storage {

struct ReceiverOptions {
  std::string group;
  std::string own_uuid;
  std::size_t threads_per_path = 4;  // jobs of one batch in a store path's pool at a time
  std::size_t staged_per_source = 4; // files in several pieces that may be open at once
  // The owner of a file (PeerMap::owner_of), 0: unknown.
  std::function<std::uint32_t(const RemoteName&)> owner_of;
  // Deleted files may come back: metadata later than a delete waits for that.
  bool has_trash = false;
  // Makes files durable before a position is saved; empty when every batch is.
  std::function<Status()> sync_files;
};

// What has come in, for metrics.
struct ReceiverCounters {
  std::uint64_t operations = 0;
  std::uint64_t failures = 0;
  std::uint64_t bytes = 0; // of content
};

class SyncReceiver {
public:
  // Reads the positions and the waiting metadata below `directory` (base_path/data/sync; created).
  // A damaged positions file counts as none: every source brings this node up again. `store` and
  // `binlog` outlive it. Errors: io_error.
  static Result<std::unique_ptr<SyncReceiver>> open(const std::filesystem::path& directory,
                                                    Store& store, Binlog& binlog,
                                                    ReceiverOptions options);

  // sync_hello. Errors: see SyncHello.
  Task<Result<wire::SyncHelloReply>> hello(wire::SyncHello hello);
  // sync_batch: applies the operations, in order per file, and answers when all are durable. What
  // could not be applied is named in the answer. Errors: see SyncBatch; io_error (the log could not
  // be made durable: nothing is acknowledged and the stream ends).
  Task<Result<wire::SyncAck>> apply(std::uint32_t source_id, wire::SyncBatch batch);
  // sync_have: which of these files are wanted. Errors: see SyncHave.
  Task<Result<wire::SyncHaveReply>> have(std::uint32_t source_id, wire::SyncHave have);
  // sync_done: durable when it is answered. Errors: see SyncDone; io_error.
  Task<Status> done(std::uint32_t source_id, wire::SyncDone done);

  // Forgets how far every source has come, so that each brings this node up anew: for a store path
  // that came back empty. Blocks. Errors: io_error.
  Status forget_positions();

  // Writes the positions if they have changed. Called every second, and at the end. Blocks.
  Status save();
  // Removes metadata that waited longer than tombstones are kept. Blocks.
  Status prune(std::uint32_t before) { return pending_->prune(before); }

  // Up to which time everything of each source is here. Any thread.
  std::vector<wire::SourceSync> sources() const;
  ReceiverCounters counters() const {
    return {operations_.load(), failures_.load(), bytes_.load()};
  }

private:
  struct Staged {
    StagedFile file;
    std::uint64_t stream = 0;
  };
  // Operations of one batch on one file.
  using Group = std::vector<std::size_t>;

  SyncReceiver(std::filesystem::path directory, Store& store, Binlog& binlog,
               ReceiverOptions options)
      : directory_(std::move(directory)),
        store_(store),
        binlog_(binlog),
        options_(std::move(options)) {}

  Result<std::uint64_t> apply_one(std::uint32_t source_id, std::uint64_t stream,
                                  const wire::SyncOp& op);
  Result<std::uint64_t> apply_put(std::uint32_t source_id, std::uint64_t stream,
                                  const RemoteName& name, const wire::SyncOp& op);
  Result<std::uint64_t> apply_metadata(const RemoteName& name, const wire::SyncOp& op);
  Result<std::uint64_t> apply_pending(const RemoteName& name);
  bool may_return(const RemoteName& name) const;
  Result<bool> is_deleted(const RemoteName& name, std::uint64_t put_stamp,
                          bool restored = false) const;
  char wants(std::uint32_t source_id, const wire::FileSummary& file) const;
  Result<StagedFile> stage_piece(std::uint32_t source_id, std::uint64_t stream,
                                 const RemoteName& name, const wire::SyncOp& op);
  void drop_staged(std::uint32_t source_id, const std::string& name);
  void drop_staged_before(std::uint32_t source_id, std::uint64_t stream);

  const std::filesystem::path directory_;
  Store& store_;
  Binlog& binlog_;
  const ReceiverOptions options_;
  std::unique_ptr<PendingMetadata> pending_;

  mutable std::mutex mutex_; // guards state_ and staged_; never held while blocking
  ReceiverState state_;
  std::map<std::pair<std::uint32_t, std::string>, Staged> staged_; // by source and name
  std::mutex save_mutex_; // one save() at a time; guards saved_changes_
  std::uint64_t saved_changes_ = 0;
  std::atomic<std::uint64_t> operations_{0};
  std::atomic<std::uint64_t> failures_{0};
  std::atomic<std::uint64_t> bytes_{0};
};

} // namespace cairn::storage
