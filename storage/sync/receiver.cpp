// Applying batches.
#include "storage/sync/receiver.h"

#include "common/base/crc32.h"
#include "common/net/disk_pool.h"
#include "common/wire/origin_mark.h"
#include "storage/sync/rules.h"
#include "storage/sync/small_file.h"

#include <boost/asio/async_result.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/this_coro.hpp>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <chrono>

namespace cairn::storage {

namespace {

constexpr std::string_view kPositionsFile = "applied";

std::uint32_t unix_seconds() {
  return static_cast<std::uint32_t>(std::chrono::duration_cast<std::chrono::seconds>(
                                        std::chrono::system_clock::now().time_since_epoch())
                                        .count());
}

// Work for one pool.
struct Job {
  DiskPool* pool = nullptr;
  std::function<void()> work;
};

// Runs all jobs on their pools. On the thread of the last one `committed` is called with what shall
// be called (with a Status, on any thread) when what they did is durable; the caller is resumed
// once, on its executor, with that.
using Committed = std::function<void(std::function<void(Status)> done)>;
Task<Status> run_all(std::vector<Job> jobs, Committed committed) {
  if (jobs.empty()) co_return Status();
  auto initiate = [&jobs, &committed](auto handler) {
    using Handler = decltype(handler);
    struct Shared {
      Shared(Handler h, Committed c, std::size_t count)
          : handler(std::move(h)), committed(std::move(c)), left(count) {}
      Handler handler;
      Committed committed;
      std::atomic<std::size_t> left;
    };
    auto shared = std::make_shared<Shared>(std::move(handler), std::move(committed), jobs.size());
    for (Job& job : jobs) {
      job.pool->post([shared, work = std::move(job.work)] {
        work();
        if (shared->left.fetch_sub(1) != 1) return;
        shared->committed(
            [shared](Status status) { resume(std::move(shared->handler), std::move(status)); });
      });
    }
  };
  co_return co_await asio::async_initiate<const asio::use_awaitable_t<>, void(Status)>(
      std::move(initiate), asio::use_awaitable);
}

Task<void> run_all(std::vector<Job> jobs) {
  Committed at_once = [](const std::function<void(Status)>& done) { done(Status()); };
  static_cast<void>(co_await run_all(std::move(jobs), std::move(at_once)));
}

Origin origin_of(const wire::SyncOp& op) {
  Origin origin;
  origin.id = op.origin_id;
  origin.seq = op.seq;
  origin.stamp = op.stamp;
  origin.mtime = op.mtime;
  origin.restored = op.kind == wire::SyncKind::put && op.extra == kRestoredMark;
  origin.to_trash = op.kind == wire::SyncKind::remove && op.extra == kTrashMark;
  // What was in the trash has no origin mark.
  if (op.kind == wire::SyncKind::put && !origin.restored && op.extra.size() <= wire::kOriginMarkMax)
    origin.mark = op.extra;
  return origin;
}

// What was done already, or is overruled by a delete, counts as done: batches come again after
// every reconnect.
Result<std::uint64_t> position_of(Result<Change> change, bool exists_is_done) {
  if (change) return change->seq;
  if (exists_is_done && change.code() == Errc::exists) return std::uint64_t{0};
  return std::move(change).error();
}

} // namespace

Result<std::unique_ptr<SyncReceiver>> SyncReceiver::open(const std::filesystem::path& directory,
                                                         Store& store, Binlog& binlog,
                                                         ReceiverOptions options) {
  std::error_code error;
  std::filesystem::create_directories(directory, error);
  if (error) return Error{Errc::io_error, "create " + directory.string() + ": " + error.message()};
  std::unique_ptr<SyncReceiver> receiver(
      new SyncReceiver(directory, store, binlog, std::move(options)));
  CAIRN_TRY(pending, PendingMetadata::open(directory / "pending"));
  receiver->pending_ = std::move(pending);

  auto bytes = read_small_file(directory / kPositionsFile);
  if (bytes) {
    if (auto positions = wire::decode_lenient<AppliedPositions>(*bytes))
      receiver->state_.restore(*positions);
  } else if (bytes.code() != Errc::not_found) {
    spdlog::warn("sync positions are lost: all members bring this node up again error={}",
                 bytes.error().text());
  }
  receiver->saved_changes_ = receiver->state_.changes();
  return receiver;
}

Task<Result<wire::SyncHelloReply>> SyncReceiver::hello(wire::SyncHello hello) {
  if (hello.group != options_.group || hello.source_uuid == options_.own_uuid ||
      hello.source_id == 0 || hello.stream == 0)
    co_return Error{Errc::invalid_argument, "not a member of this group"};
  const std::lock_guard lock(mutex_);
  drop_staged_before(hello.source_id, hello.stream);
  co_return state_.hello(hello);
}

Task<Result<wire::SyncAck>> SyncReceiver::apply(std::uint32_t source_id, wire::SyncBatch batch) {
  {
    const std::lock_guard lock(mutex_);
    if (auto begun = state_.begin(source_id, batch.stream, batch.number); !begun)
      co_return std::move(begun).error();
  }

  // Operations on one name stay in order; so do those that tie two names together.
  std::map<std::string, std::size_t> group_of;
  std::vector<Group> groups;
  for (std::size_t i = 0; i < batch.ops.size(); ++i) {
    const wire::SyncOp& op = batch.ops[i];
    const auto [own, is_new] = group_of.try_emplace(op.name, groups.size());
    if (is_new) groups.emplace_back();
    // Else it is a mark, not another file.
    const bool names_two = op.kind == wire::SyncKind::link || op.kind == wire::SyncKind::rename;
    if (names_two && !op.extra.empty()) {
      const auto [other, other_is_new] = group_of.try_emplace(op.extra, own->second);
      if (!other_is_new && other->second != own->second) {
        const std::size_t from = other->second;
        const std::size_t to = own->second;
        groups[to].insert(groups[to].end(), groups[from].begin(), groups[from].end());
        std::sort(groups[to].begin(), groups[to].end());
        groups[from].clear();
        for (auto& [name, group] : group_of)
          if (group == from) group = to;
      }
    }
    groups[group_of[op.name]].push_back(i);
  }

  // Dealt out over a few jobs per store path, so that small files do not pay a hop each.
  std::vector<Result<std::uint64_t>> results(batch.ops.size(), std::uint64_t{0});
  std::map<std::uint8_t, std::vector<std::vector<std::size_t>>> shares; // by store path
  std::map<std::uint8_t, std::size_t> turn;
  for (const Group& group : groups) {
    if (group.empty()) continue;
    const auto name = parse_remote_name(batch.ops[group.front()].name);
    if (!name || name->store_path() >= store_.path_count()) {
      for (const std::size_t i : group)
        results[i] = Error{Errc::invalid_argument, "no name of a file here"};
      continue;
    }
    auto& of_path = shares[name->store_path()];
    const std::size_t at = turn[name->store_path()]++ % options_.threads_per_path;
    if (at >= of_path.size()) of_path.emplace_back();
    of_path[at].insert(of_path[at].end(), group.begin(), group.end());
  }
  std::vector<Job> jobs;
  for (const auto& [path, of_path] : shares) {
    for (const std::vector<std::size_t>& share : of_path) {
      jobs.push_back(Job{&store_.pool(path), [this, source_id, &batch, &results, &share] {
                           for (const std::size_t i : share)
                             results[i] = apply_one(source_id, batch.stream, batch.ops[i]);
                         }});
    }
  }
  Committed commit = [this, &results](std::function<void(Status)> done) {
    std::uint64_t last = 0;
    for (const auto& result : results)
      if (result) last = std::max(last, *result);
    binlog_.commit_then(last, std::move(done));
  };
  const Status durable = co_await run_all(std::move(jobs), std::move(commit));

  wire::SyncAck ack;
  std::uint64_t bytes = 0;
  for (std::size_t i = 0; i < results.size(); ++i) {
    bytes += batch.ops[i].content.size();
    if (results[i]) continue;
    wire::SyncFailure failure;
    failure.index = static_cast<std::uint32_t>(i);
    failure.code = results[i].code();
    failure.detail = results[i].error().detail;
    ack.failures.push_back(std::move(failure));
  }
  operations_ += results.size();
  failures_ += ack.failures.size();
  bytes_ += bytes;

  const std::lock_guard lock(mutex_);
  if (!durable) {
    state_.failed(source_id);
    co_return durable.error();
  }
  ack.applied_seq = state_.applied(source_id, batch);
  co_return ack;
}

// Applies one operation; answers the binlog position to commit (0: none). Blocks.
Result<std::uint64_t> SyncReceiver::apply_one(std::uint32_t source_id, std::uint64_t stream,
                                              const wire::SyncOp& op) {
  CAIRN_TRY(name, parse_remote_name(op.name));
  if (op.origin_id == 0 && op.kind != wire::SyncKind::skip)
    return Error{Errc::invalid_argument, "a change from nowhere"};
  if (crc32(0, op.content) != op.content_crc32)
    return Error{Errc::corrupt, op.name + ": content was damaged on its way"};
  store_.clock().observe(op.stamp);
  const Origin origin = origin_of(op);

  switch (op.kind) {
    case wire::SyncKind::put:
      return apply_put(source_id, stream, name, op);
    case wire::SyncKind::range: {
      auto result = position_of(
          store_.apply_range(name, op.offset, op.content, op.total_size, origin), false);
      if (result.code() != Errc::not_found) return result;
      CAIRN_TRY(deleted, is_deleted(name, op.stamp));
      if (deleted) return std::uint64_t{0};
      return result;
    }
    case wire::SyncKind::remove: {
      if (!pending_->is_empty() && !may_return(name))
        CAIRN_RETURN_IF_ERROR(pending_->erase(name.canonical()));
      return position_of(store_.remove(name, origin, true), true);
    }
    case wire::SyncKind::set_meta:
      return apply_metadata(name, op);
    case wire::SyncKind::link: {
      CAIRN_TRY(source, parse_remote_name(op.extra));
      CAIRN_TRY(deleted, is_deleted(name, op.stamp));
      if (deleted) return std::uint64_t{0};
      CAIRN_TRY(seq, position_of(store_.link(source, std::string(), &name, origin), true));
      CAIRN_TRY(more, apply_pending(name));
      return std::max(seq, more);
    }
    case wire::SyncKind::rename: {
      CAIRN_TRY(from, parse_remote_name(op.extra));
      CAIRN_TRY(deleted, is_deleted(name, op.stamp));
      // The delete of the new name was faster than the rename: the former one goes all the same.
      if (deleted) return position_of(store_.remove(from, origin, true), true);
      auto result = position_of(store_.apply_rename(from, name, origin), true);
      if (!result) return result;
      CAIRN_TRY(more, apply_pending(name));
      return std::max(*result, more);
    }
    case wire::SyncKind::skip:
      drop_staged(source_id, op.name);
      return std::uint64_t{0};
  }
  return Error{Errc::unsupported, "unknown kind of change"};
}

Result<bool> SyncReceiver::is_deleted(const RemoteName& name, std::uint64_t put_stamp,
                                      bool restored) const {
  CAIRN_TRY(tombstone, store_.tombstones().find(name.canonical()));
  return tombstone && tombstone_wins(name.kind(), tombstone->stamp, put_stamp, restored);
}

Result<std::uint64_t> SyncReceiver::apply_put(std::uint32_t source_id, std::uint64_t stream,
                                              const RemoteName& name, const wire::SyncOp& op) {
  const bool in_pieces = op.offset != 0 || !op.last;
  StagedFile staged;
  if (in_pieces) {
    CAIRN_TRY(file, stage_piece(source_id, stream, name, op));
    if (!op.last) return std::uint64_t{0};
    staged = std::move(file);
  }
  const std::uint64_t size = in_pieces ? staged.size() : op.content.size();
  const std::uint32_t content_crc = in_pieces ? staged.crc32() : op.content_crc32;
  if (size != op.total_size || content_crc != op.file_crc32)
    return Error{Errc::corrupt, op.name + ": the pieces do not make the file"};
  if (name.kind() == FileKind::normal && name.fields() && name.fields()->size() != size)
    return Error{Errc::corrupt, op.name + ": not the size in its name"};
  const Origin origin = origin_of(op);
  CAIRN_TRY(deleted, is_deleted(name, op.stamp, origin.restored));
  if (deleted) return std::uint64_t{0};

  const auto present = store_.open_file(name);
  bool replace = false;
  if (present) {
    const std::uint32_t owner = options_.owner_of ? options_.owner_of(name) : 0;
    if (!may_replace(name.kind(), source_id, owner)) {
      std::uint64_t marked = 0;
      if (origin.restored) {
        CAIRN_TRY(seq, position_of(store_.mark_reused(name, origin), true));
        marked = seq;
      } else if (!origin.mark.empty()) {
        CAIRN_TRY(seq, position_of(store_.apply_mark(name, origin), true));
        marked = seq;
      }
      CAIRN_TRY(more, apply_pending(name));
      return std::max(marked, more);
    }
    replace = true;
  } else if (present.code() == Errc::corrupt) {
    replace = true; // a damaged copy gives way to a good one
  }
  CAIRN_TRY(seq, position_of(in_pieces ? store_.put(name, std::move(staged), origin, replace)
                                       : store_.put(name, wire::View(op.content), origin, replace),
                             true));
  CAIRN_TRY(more, apply_pending(name));
  return std::max(seq, more);
}

// Takes one piece of a file; answers the whole file with the last one, else an empty StagedFile.
// Pieces of one file come in order, so only the map needs the lock.
Result<StagedFile> SyncReceiver::stage_piece(std::uint32_t source_id, std::uint64_t stream,
                                             const RemoteName& name, const wire::SyncOp& op) {
  const auto key = std::make_pair(source_id, op.name);
  Staged staged;
  if (op.offset == 0) {
    CAIRN_TRY(file, store_.stage(name.store_path()));
    staged.file = std::move(file);
    staged.stream = stream;
    const std::lock_guard lock(mutex_);
    staged_.erase(key);
  } else {
    const std::lock_guard lock(mutex_);
    const auto found = staged_.find(key);
    if (found == staged_.end() || found->second.stream != stream)
      return Error{Errc::invalid_argument, op.name + ": a piece without those before it"};
    staged = std::move(found->second);
    staged_.erase(found);
  }
  if (staged.file.size() != op.offset)
    return Error{Errc::invalid_argument, op.name + ": a piece is missing"};
  CAIRN_RETURN_IF_ERROR(staged.file.write(op.content));
  if (op.last) return std::move(staged.file);

  const std::lock_guard lock(mutex_);
  const auto mine = std::count_if(staged_.begin(), staged_.end(), [&](const auto& entry) {
    return entry.first.first == source_id;
  });
  if (static_cast<std::size_t>(mine) >= options_.staged_per_source)
    return Error{Errc::busy, "too many files in pieces"};
  staged_[key] = std::move(staged);
  return StagedFile();
}

void SyncReceiver::drop_staged(std::uint32_t source_id, const std::string& name) {
  const std::lock_guard lock(mutex_);
  staged_.erase(std::make_pair(source_id, name));
}

// With mutex_ held.
void SyncReceiver::drop_staged_before(std::uint32_t source_id, std::uint64_t stream) {
  std::erase_if(staged_, [&](const auto& entry) {
    return entry.first.first == source_id && entry.second.stream != stream;
  });
}

// A file out of the trash has the latest metadata that were set at any node, also before the
// delete: nodes where the restored file came first have kept them.
bool SyncReceiver::may_return(const RemoteName& name) const {
  return options_.has_trash && name.kind() != FileKind::slave;
}

Result<std::uint64_t> SyncReceiver::apply_metadata(const RemoteName& name, const wire::SyncOp& op) {
  auto result =
      position_of(store_.set_metadata(name, wire::as_text(op.content), false, origin_of(op)), true);
  if (result.code() != Errc::not_found) return result;
  CAIRN_TRY(tombstone, store_.tombstones().find(name.canonical()));
  if (tombstone && !may_return(name) &&
      tombstone_wins(name.kind(), tombstone->stamp, op.stamp, false))
    return std::uint64_t{0};
  PendingMetadata::Entry entry;
  entry.stamp = op.stamp;
  entry.origin_id = op.origin_id;
  entry.time = unix_seconds();
  entry.text = std::string(wire::as_text(op.content));
  CAIRN_RETURN_IF_ERROR(pending_->put(name.canonical(), entry));
  // The file may have come by another stream between the two looks.
  if (store_.exists(name)) return apply_pending(name);
  return std::uint64_t{0};
}

// Applies metadata that waited for this file.
Result<std::uint64_t> SyncReceiver::apply_pending(const RemoteName& name) {
  if (pending_->is_empty()) return std::uint64_t{0};
  const std::string key = name.canonical();
  CAIRN_TRY(entry, pending_->find(key));
  if (!entry) return std::uint64_t{0};
  Origin origin;
  origin.id = entry->origin_id;
  origin.stamp = entry->stamp;
  auto result = position_of(store_.set_metadata(name, entry->text, false, origin), true);
  if (result.code() == Errc::not_found) return std::uint64_t{0}; // gone again: it goes on waiting
  if (!result) return result;
  // The record must be durable before what waited is forgotten.
  if (*result != 0) CAIRN_RETURN_IF_ERROR(binlog_.commit_blocking(*result));
  CAIRN_RETURN_IF_ERROR(pending_->erase(key));
  return result;
}

// '1', '0' or 'm' for one file of a bring-up. Blocks.
char SyncReceiver::wants(std::uint32_t source_id, const wire::FileSummary& file) const {
  const auto name = parse_remote_name(file.name);
  if (!name || name->store_path() >= store_.path_count()) return '0';
  // If it was restored after the delete we know of, the file itself will say so.
  const auto deleted = is_deleted(*name, file.stamp, /*restored=*/true);
  if (deleted && *deleted) return '0';
  const auto present = store_.open_file(*name);
  if (!present) return '1';
  const std::uint32_t owner = options_.owner_of ? options_.owner_of(*name) : 0;
  if (may_replace(name->kind(), source_id, owner)) {
    if (present->size != file.size) return '1';
    const auto crc = store_.content_crc32(*name, true);
    if (!crc || *crc != file.crc32) return '1';
  }
  // The same content, but the delete before it came out of the trash may still be on its way here.
  // (Slave files are not asked for: those taken over from FastDFS have no stamp of their own.)
  const bool restored = file.reused && name->kind() != FileKind::slave;
  if (restored && file.stamp > Store::reused_stamp(present->file.get())) return '1';
  const std::uint64_t stamp = store_.metadata_stamp(*name);
  if (file.meta_stamp != stamp) return file.meta_stamp > stamp ? 'm' : '0';
  if (stamp == 0) return '0';
  // Set at two nodes in the same millisecond: the text settles it (Store::set_metadata()).
  const auto text = store_.get_metadata(*name);
  return (text ? crc32(0, wire::as_view(*text)) : 0) != file.meta_crc32 ? 'm' : '0';
}

Task<Result<wire::SyncHaveReply>> SyncReceiver::have(std::uint32_t source_id, wire::SyncHave have) {
  {
    const std::lock_guard lock(mutex_);
    if (auto checked = state_.check(source_id, have.stream); !checked)
      co_return std::move(checked).error();
  }
  wire::SyncHaveReply reply;
  reply.wanted.assign(have.files.size(), '0');
  std::map<std::uint8_t, std::vector<std::size_t>> by_path;
  for (std::size_t i = 0; i < have.files.size(); ++i) {
    const auto name = parse_remote_name(have.files[i].name);
    if (name && name->store_path() < store_.path_count()) by_path[name->store_path()].push_back(i);
  }
  std::vector<Job> jobs;
  for (const auto& [path, indexes] : by_path) {
    jobs.push_back(Job{&store_.pool(path), [this, source_id, &have, &reply, &list = indexes] {
                         for (const std::size_t i : list)
                           reply.wanted[i] = wants(source_id, have.files[i]);
                       }});
  }
  co_await run_all(std::move(jobs));
  co_return reply;
}

Task<Status> SyncReceiver::done(std::uint32_t source_id, wire::SyncDone done) {
  {
    const std::lock_guard lock(mutex_);
    if (auto accepted = state_.done(source_id, done); !accepted)
      co_return std::move(accepted).error();
  }
  Status saved;
  std::vector<Job> jobs;
  jobs.push_back(Job{&store_.pool(0), [this, &saved] { saved = save(); }});
  co_await run_all(std::move(jobs));
  co_return saved;
}

Status SyncReceiver::forget_positions() {
  {
    const std::lock_guard lock(mutex_);
    state_.forget();
  }
  return save();
}

Status SyncReceiver::save() {
  const std::lock_guard save_lock(save_mutex_);
  AppliedPositions positions;
  std::uint64_t changes = 0;
  {
    const std::lock_guard lock(mutex_);
    changes = state_.changes();
    if (changes == saved_changes_) return {};
    positions = state_.positions();
  }
  // Without durable commits the files must reach the disk before a position that covers them.
  if (options_.sync_files) CAIRN_RETURN_IF_ERROR(options_.sync_files());
  CAIRN_RETURN_IF_ERROR(write_small_file(directory_ / kPositionsFile, wire::encode(positions)));
  saved_changes_ = changes;
  return {};
}

std::vector<wire::SourceSync> SyncReceiver::sources() const {
  std::vector<wire::SourceSync> sources;
  const std::lock_guard lock(mutex_);
  for (const AppliedPosition& position : state_.positions().sources)
    sources.push_back({position.source_id, position.complete_until});
  return sources;
}

} // namespace cairn::storage
