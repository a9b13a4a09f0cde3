// Content of open files: reads, writes that wait to be stored, and their commits in order.
#include "fuse/mount.h"

#include <fuse_lowlevel.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <cerrno>
#include <ctime>
#include <utility>

namespace cairn::fuse {

using wire::NsOp;

namespace {

// Written data is stored in pieces of about this size, several at a time.
constexpr std::uint64_t kBatchBytes = 8ULL << 20;
constexpr std::size_t kBatchRuns = 1024; // well below kNsExtentsMax
constexpr std::size_t kBatchesMax = 4;   // of one file on their way; then writers wait
// Bytes of all files that are written and not committed; then writers wait.
constexpr std::uint64_t kUnstoredMax = 192ULL << 20;
// What nobody syncs or closes is stored after so long.
constexpr std::chrono::seconds kWriteBackAfter{5};
// One try of a storage node, and the pause after it on a hard mount.
constexpr std::chrono::seconds kTryTimeout{30};
constexpr std::chrono::milliseconds kRetryPause{300};
constexpr std::size_t kPagesMax = 65'536;
constexpr int kReadTries = 3; // of content that was replaced meanwhile
// How long a file is held for an open that is about to come.
constexpr std::chrono::milliseconds kHoldFor{1000};

// Failures that time may heal.
bool is_passing(Errc code) {
  return code == Errc::unavailable || code == Errc::timeout || code == Errc::closed ||
         code == Errc::no_net;
}

wire::NsTime now() {
  timespec time{};
  ::clock_gettime(CLOCK_REALTIME, &time);
  return wire::NsTime{time.tv_sec, static_cast<std::uint32_t>(time.tv_nsec)};
}

std::uint8_t mask_of(int flags) {
  switch (flags & O_ACCMODE) {
    case O_WRONLY:
      return 2;
    case O_RDWR:
      return 6;
    default:
      return 4;
  }
}

} // namespace

// --- handles -------------------------------------------------------------------------------------

Mount::NodeRef Mount::find(std::uint64_t inode) const {
  const auto found = nodes_.find(inode);
  return found == nodes_.end() ? NodeRef() : found->second;
}

Mount::NodeRef Mount::hold(std::uint64_t inode) {
  NodeRef& node = nodes_[inode];
  if (!node) node = std::make_shared<Node>(io_.get_executor(), inode);
  ++node->opens;
  return node;
}

void Mount::let_go(const NodeRef& node) {
  --node->opens;
  forget_closed(node);
}

void Mount::forget_closed(const NodeRef& node) {
  if (node->opens != 0 || !node->is_clean()) return;
  files_.file(node->place, node->inode, 0, false);
  files_.locks(node->place, {});
  // By now another may be there for the same inode.
  if (find(node->inode) == node) nodes_.erase(node->inode);
}

void Mount::note(Node& node) {
  files_.file(node.place, node.inode, node.handles, !node.is_clean() || node.error != 0);
}

void Mount::hand_out(const Ask& ask, const NodeRef& node,
                     const std::function<int(fuse_req*)>& reply) {
  if (fuse_req* request = ask->take()) {
    ++node->handles;
    note(*node);
    if (reply(request) == 0) return;
    --node->handles;
    note(*node);
  }
  close_handle(node);
}

void Mount::take_content(Node& node, const wire::NsNodeReply& reply) {
  // An answer can be overtaken by a newer one, or by an event about something newer.
  if (reply.attributes.data_version < node.data_version) return;
  const bool all = (reply.attributes.flags & wire::kNsExtentsMore) == 0;
  if (node.known && reply.attributes.data_version == node.data_version) return;
  node.data_version = reply.attributes.data_version;
  node.committed_size = reply.attributes.size;
  node.known = all;
  node.extents = all ? reply.extents : std::vector<wire::NsExtent>();
}

bool Mount::keeps_pages(std::uint64_t inode, std::uint64_t data_version) {
  if (pages_.size() >= kPagesMax) pages_.clear();
  const auto [at, fresh] = pages_.try_emplace(inode, data_version);
  if (!fresh && at->second == data_version) return true;
  at->second = data_version;
  return false;
}

void Mount::changed_here(Node& node, const wire::NsAttributes& attributes) {
  // The next version: nobody else changed it in between, and the kernel has what we did.
  const auto pages = pages_.find(node.inode);
  const bool ours = pages != pages_.end() && pages->second == node.data_version &&
                    attributes.data_version <= node.data_version + 1;
  if (ours) {
    pages->second = attributes.data_version;
  } else {
    if (pages != pages_.end()) pages_.erase(pages);
    notifier_.inode(node_of(node.inode), true);
  }
  node.forget_content();
  node.data_version = std::max(node.data_version, attributes.data_version);
  node.committed_size = attributes.size;
}

Task<void> Mount::create(Ask ask, wire::NsCreate request, int flags) {
  request.mask = mask_of(flags);
  known_.may_have(request.parent, request.name);
  wire::Bytes message = wire::encode(request);
  const auto said =
      co_await this->ask<wire::NsNodeReply>(NsOp::create, ask->who(), std::move(message));
  if (!said || said.reply.created) note_directories(said, {request.parent});
  if (!said) {
    ask->error(said.error);
    co_return;
  }
  const wire::NsAttributes& attributes = said.reply.attributes;
  hints_.note(request.parent, request.name, attributes.inode);
  const NodeRef node = hold(attributes.inode);
  if (!said.reply.created && request.existing == wire::NsExisting::truncate) node->forget_content();
  take_content(*node, said.reply);
  const fuse_entry_param entry = entry_of(said.reply, said.position, request.parent);
  fuse_file_info info{};
  info.flags = flags;
  info.fh = static_cast<std::uint64_t>(flags & O_ACCMODE);
  info.keep_cache = keeps_pages(attributes.inode, attributes.data_version) ? 1 : 0;
  const auto reply = [&](fuse_req* to) { return fuse_reply_create(to, &entry, &info); };
  hand_out(ask, node, reply);
}

Task<void> Mount::open_file(Ask ask, std::uint64_t inode, int flags) {
  const NodeRef node = hold(inode);
  int error = 0;
  if ((flags & O_TRUNC) != 0) {
    co_await settle(node);
    wire::NsSetattr cut;
    cut.inode = inode;
    cut.set = wire::kNsSetSize;
    wire::Bytes message = wire::encode(cut);
    const auto said =
        co_await this->ask<wire::NsNodeReply>(NsOp::setattr, ask->who(), std::move(message));
    error = said.error;
    if (said) changed_here(*node, said.reply.attributes);
  }
  Said<wire::NsNodeReply> said;
  const bool reads_only = (flags & O_ACCMODE) == O_RDONLY;
  if (error == 0) {
    if (reads_only) fetch_before_open(node);
    wire::NsOpen open;
    open.inode = inode;
    open.mask = mask_of(flags);
    wire::Bytes message = wire::encode(open);
    said = co_await this->ask<wire::NsNodeReply>(NsOp::open, ask->who(), std::move(message));
    error = said.error;
  }
  if (error != 0) {
    let_go(node);
    // The kernel looks the name up once more, and by then it may lead to yet another file.
    if (error == ESTALE) replaced_until_ = std::chrono::steady_clock::now() + kHoldFor;
    ask->error(error);
    co_return;
  }
  take_content(*node, said.reply);
  fuse_file_info info{};
  info.flags = flags;
  info.fh = static_cast<std::uint64_t>(flags & O_ACCMODE);
  info.keep_cache = keeps_pages(inode, said.reply.attributes.data_version) ? 1 : 0;
  if (reads_only) fetch_after_open(node, said.reply, info.keep_cache != 0);
  ++statistics_.opens;
  if (info.keep_cache) ++statistics_.opens_kept_pages;
  const auto reply = [&](fuse_req* request) { return fuse_reply_open(request, &info); };
  hand_out(ask, node, reply);
}

Task<void> Mount::release(Ask ask, std::uint64_t inode, bool flock, std::uint64_t owner) {
  const NodeRef node = find(inode);
  if (node && node->handles > 0) {
    --node->handles;
    note(*node);
  }
  ask->error(0);
  if (!node) co_return;
  // Pages of a mapping may have come after the last close: they are committed before the tracker
  // may forget a file without a name.
  co_await settle(node);
  if (flock) {
    wire::NsLock unlock;
    unlock.inode = inode;
    unlock.kind = wire::NsLockKind::flock;
    unlock.type = wire::NsLockType::unlock;
    unlock.owner = owner;
    unlock.end = UINT64_MAX;
    static_cast<void>(co_await set_lock(Ask(), NsIdentity(), node, unlock));
  }
  if (node->opens == 1 && node->error != 0) {
    spdlog::error("writes are lost that nobody was there to be told of inode={} error={}", inode,
                  node->error);
    node->error = 0;
    note(*node);
  }
  close_handle(node);
}

void Mount::close_handle(const NodeRef& node) {
  let_go(node);
  wire::NsClose close;
  close.inode = node->inode;
  session_->tell(NsOp::close, NsIdentity(), wire::encode(close));
}

Task<bool> Mount::hold_a_moment(std::uint64_t inode, NsIdentity who) {
  const NodeRef node = hold(inode);
  wire::NsOpen open;
  open.inode = inode;
  wire::Bytes message = wire::encode(open);
  const auto said = co_await ask<wire::NsNodeReply>(NsOp::open, std::move(who), std::move(message));
  if (!said) {
    let_go(node);
    co_return false;
  }
  spawn(
      io_.get_executor(),
      [](Mount* self, NodeRef held) -> Task<void> {
        asio::steady_timer timer(self->io_.get_executor(), kHoldFor);
        co_await timer.async_wait(as_result);
        self->close_handle(held);
      }(this, node),
      "hold");
  co_return true;
}

// --- reading -------------------------------------------------------------------------------------

Task<int> Mount::load_content(NodeRef node, NsIdentity who) {
  who.flags |= wire::kNsOpened;
  while (!node->known) {
    const std::uint64_t generation = node->generation;
    std::vector<wire::NsExtent> all;
    wire::NsAttributes attributes;
    bool torn = false;
    for (bool end = false; !end && !torn;) {
      wire::NsGetExtents question;
      question.inode = node->inode;
      question.offset = all.empty() ? 0 : all.back().offset + all.back().length;
      wire::Bytes message = wire::encode(question);
      auto said = co_await ask<wire::NsExtentsReply>(NsOp::extents, who, std::move(message));
      if (!said) co_return said.error;
      // Pages of two versions make no list.
      torn = !all.empty() && said.reply.attributes.data_version != attributes.data_version;
      attributes = said.reply.attributes;
      end = said.reply.end || said.reply.extents.empty();
      std::ranges::move(said.reply.extents, std::back_inserter(all));
    }
    if (torn || node->generation != generation) continue;
    node->extents = std::move(all);
    node->committed_size = attributes.size;
    node->data_version = std::max(node->data_version, attributes.data_version);
    node->known = true;
  }
  co_return 0;
}

Task<void> Mount::read(Ask ask, std::uint64_t inode, std::uint64_t offset, std::size_t size) {
  const NodeRef node = find(inode);
  if (!node) {
    ask->error(EBADF);
    co_return;
  }
  asio::steady_timer timer(io_.get_executor());
  for (int tries = 0; !ask->answered();) {
    const int failed = co_await load_content(node, ask->who());
    if (failed != 0) {
      ask->error(failed);
      co_return;
    }
    // From here to the first wait everything belongs together: where the bytes are, and what was
    // written over them.
    const std::uint64_t total = node->size();
    const auto length = static_cast<std::size_t>(
        offset >= total ? 0 : std::min<std::uint64_t>(size, total - offset));
    const std::uint64_t end = offset + length;
    std::vector<std::shared_ptr<Batch>> written(node->flushing.begin(), node->flushing.end());
    wire::Bytes latest(length);
    DirtyRanges dirty = node->dirty.clip(offset, length);
    bool covered = length == 0 || dirty.covers(offset, length);
    for (const auto& batch : written) covered = covered || batch->ranges.covers(offset, length);
    Status fetched;
    if (!covered) {
      std::vector<wire::NsExtent> parts;
      for (const wire::NsExtent& extent : node->extents) {
        if (extent.offset < std::min(end, node->committed_size) &&
            extent.offset + extent.length > offset)
          parts.push_back(extent);
      }
      const std::chrono::milliseconds limit = options_.soft ? options_.timeout : kTryTimeout;
      ask->wait_for(kWaitsForStorage);
      std::shared_ptr<Ahead> ahead = node->ahead;
      if (ahead && ahead->data_version != node->data_version) ahead.reset();
      bool done = parts.empty();
      if (!done && ahead) done = co_await read_ahead(node, std::move(ahead), offset, latest);
      if (!done) fetched = co_await data_.read(std::move(parts), offset, latest, limit);
    }
    if (!fetched) {
      const Error& error = fetched.error();
      if (is_passing(error.code) && !options_.soft) {
        timer.expires_after(kRetryPause);
        co_await timer.async_wait(as_result);
        node->forget_content(); // it may lie elsewhere by now
        continue;
      }
      // A list of extents outlives what it names only by the grace time.
      if (error.code == Errc::not_found && ++tries < kReadTries) {
        node->forget_content();
        continue;
      }
      spdlog::error("cannot read inode={} offset={} error={}", inode, offset, error.text());
      ask->error(EIO);
      co_return;
    }
    for (const auto& batch : written) batch->ranges.overlay(offset, latest);
    dirty.overlay(offset, latest);
    statistics_.read_bytes += latest.size();
    if (fuse_req* reply = ask->take())
      fuse_reply_buf(reply, reinterpret_cast<const char*>(latest.data()), latest.size());
  }
}

// --- writing -------------------------------------------------------------------------------------

Task<void> Mount::write(Ask ask, std::uint64_t inode, std::uint64_t offset, wire::Bytes bytes,
                        bool append) {
  const NodeRef node = find(inode);
  if (!node) {
    ask->error(EBADF);
    co_return;
  }
  if (offset + bytes.size() > wire::kNsFileSizeMax) {
    ask->error(EFBIG);
    co_return;
  }
  // Where the end is, others may have moved. (The kernel lets nobody else write meanwhile.)
  if (append && !node->known) {
    const int failed = co_await load_content(node, ask->who());
    if (failed != 0) {
      ask->error(failed);
      co_return;
    }
  }
  // Where the end is counts when it is committed; other writes have their place.
  if (!node->dirty.empty() && node->dirty_append != append) seal(node);
  if (append) {
    const std::uint64_t at = node->size();
    if (at != offset) {
      // The kernel took the file for shorter or longer than it is, and keeps a page accordingly.
      pages_.erase(inode);
      notifier_.inode(node_of(inode), true);
    }
    offset = at;
  }
  if (node->dirty.empty()) node->dirty_since = std::chrono::steady_clock::now();
  const bool was_clean = node->is_clean();
  const std::uint64_t before = node->dirty.bytes();
  node->dirty.put(offset, bytes);
  if (was_clean) note(*node);
  unstored_ += node->dirty.bytes() - before;
  node->dirty_append = append;
  node->written = now();
  node->writer = ask->opened();
  if (node->dirty.bytes() >= kBatchBytes || node->dirty.runs() >= kBatchRuns) seal(node);
  const std::size_t size = bytes.size();
  statistics_.written_bytes += size;
  bytes = wire::Bytes();
  ask->wait_for(kWaitsForStoring);
  // The bytes are taken; but who writes faster than the cluster stores must wait for it.
  while (!ask->answered() && !node->flushing.empty() &&
         (node->flushing.size() > kBatchesMax || unstored_ > kUnstoredMax))
    co_await node->changed.async_wait(as_result);
  if (fuse_req* reply = ask->take()) fuse_reply_write(reply, size);
}

void Mount::seal(const NodeRef& node) {
  auto batch = std::make_shared<Batch>();
  batch->ranges = std::exchange(node->dirty, DirtyRanges());
  batch->append = node->dirty_append;
  batch->written = node->written;
  batch->writer = node->writer;
  node->flushing.push_back(batch);
  spawn(io_.get_executor(), store(node, batch), "store");
  if (!node->committing) {
    node->committing = true;
    spawn(io_.get_executor(), commit_all(node), "commit");
  }
}

Task<void> Mount::store(NodeRef node, std::shared_ptr<Batch> batch) {
  const wire::Bytes bytes = batch->ranges.joined();
  asio::steady_timer timer(io_.get_executor());
  while (!batch->lost) {
    NsData::StoreOptions how;
    how.copies = session_->attached().copies;
    if (session_->attached().extent_bytes != 0) how.piece_bytes = session_->attached().extent_bytes;
    how.timeout = options_.soft ? Timeout(options_.timeout) : Timeout(kTryTimeout);
    how.origin = NsData::origin_of(session_->attached(), options_.export_name);
    how.origin.inode = node->inode;
    how.origin.file_size = node->size();
    how.origin.ranges = batch->ranges.places();
    name_origin(how.origin);
    auto stored = co_await data_.store(wire::View(bytes), std::move(how));
    if (stored) {
      batch->extents = std::move(stored->extents);
      break;
    }
    if (!is_passing(stored.code()) || options_.soft) {
      spdlog::error("cannot store what was written inode={} error={}", node->inode,
                    stored.error().text());
      batch->error = errno_of(stored.error());
      break;
    }
    spdlog::warn("storing goes on when the cluster answers inode={} error={}", node->inode,
                 stored.error().text());
    timer.expires_after(kRetryPause);
    co_await timer.async_wait(as_result);
  }
  batch->stored = true;
  node->changed.cancel();
  if (batch->lost && !batch->extents.empty()) co_await data_.discard(batch->extents);
}

Task<void> Mount::commit_all(NodeRef node) {
  while (!node->flushing.empty()) {
    const std::shared_ptr<Batch> batch = node->flushing.front();
    while (!batch->stored && !batch->lost) co_await node->changed.async_wait(as_result);
    if (batch->lost) continue; // fail_writes() has taken it out
    int error = batch->error;
    if (error == 0) error = co_await commit(node, batch);
    if (batch->lost) continue;
    if (error != 0) {
      // What follows would stand beside a gap: all of it is told as lost.
      fail_writes(node, error);
      continue;
    }
    unstored_ -= batch->ranges.bytes();
    statistics_.stored_bytes += batch->ranges.bytes();
    ++statistics_.commits;
    node->flushing.pop_front();
    note(*node);
    node->changed.cancel();
  }
  node->committing = false;
  note(*node);
  node->changed.cancel();
  forget_closed(node);
}

Task<int> Mount::commit(NodeRef node, std::shared_ptr<Batch> batch) {
  wire::NsCommit change;
  change.inode = node->inode;
  change.append = batch->append;
  const std::uint64_t base = batch->append ? batch->ranges.begin() : 0;
  change.extents = batch->ranges.extents(batch->extents, base);
  change.set = wire::kNsSetMtime;
  change.mtime = batch->written;
  wire::Bytes message = wire::encode(change);
  const auto said =
      co_await ask<wire::NsCommitReply>(NsOp::commit, batch->writer, std::move(message));
  if (!said) {
    spdlog::error("cannot commit what was written inode={} error={}", node->inode, said.error);
    co_return said.error;
  }
  if (batch->lost) co_return EIO;
  if (batch->append && said.reply.offset != base) {
    // Others appended before us: the kernel has our bytes at the wrong place.
    pages_.erase(node->inode);
  }
  // Nobody else changed it in between: where its bytes are now need not be asked.
  const bool ours = node->known && said.reply.attributes.data_version == node->data_version + 1;
  std::vector<wire::NsExtent> content;
  if (ours) {
    if (batch->append) {
      for (wire::NsExtent& extent : change.extents) extent.offset += said.reply.offset;
    }
    content = overlaid(node->extents, change.extents);
  }
  changed_here(*node, said.reply.attributes);
  if (ours) {
    node->extents = std::move(content);
    node->known = true;
  }
  co_return 0;
}

void Mount::fail_writes(const NodeRef& node, int error) {
  ++statistics_.writes_failed;
  node->error = error;
  for (const auto& batch : node->flushing) {
    batch->lost = true;
    unstored_ -= batch->ranges.bytes();
  }
  node->flushing.clear();
  unstored_ -= node->dirty.bytes();
  node->dirty = DirtyRanges();
  node->forget_content();
  pages_.erase(node->inode);
  notifier_.inode(node_of(node->inode), true);
  note(*node);
  node->changed.cancel();
}

Task<void> Mount::settle(NodeRef node) {
  if (!node->dirty.empty()) seal(node);
  while (!node->flushing.empty()) co_await node->changed.async_wait(as_result);
}

Task<void> Mount::flush(Ask ask, std::uint64_t inode, bool writable, std::uint64_t owner) {
  const NodeRef node = find(inode);
  if (!node) {
    ask->error(0);
    co_return;
  }
  const bool locked = owner != 0 && std::ranges::any_of(node->locks, [&](const wire::NsLock& lock) {
                        return lock.owner == owner && lock.kind == wire::NsLockKind::posix;
                      });
  if (writable || locked) {
    ask->wait_for(kWaitsForStoring);
    co_await settle(node);
    ask->wait_for(kWaitsForTracker);
  }
  if (locked) {
    // close(2) frees all locks of a process.
    wire::NsLock unlock;
    unlock.inode = inode;
    unlock.type = wire::NsLockType::unlock;
    unlock.owner = owner;
    unlock.end = UINT64_MAX;
    static_cast<void>(co_await set_lock(Ask(), ask->who(), node, unlock));
  }
  // Told once; not to somebody who is no longer there.
  if (ask->answered()) co_return;
  const int error = writable ? std::exchange(node->error, 0) : 0;
  if (error != 0) note(*node);
  ask->error(error);
}

Task<void> Mount::write_back_old() {
  while (!closing_) {
    write_back_timer_.expires_after(std::chrono::seconds(1));
    co_await write_back_timer_.async_wait(as_result);
    tell_slow_ones();
    const auto old = std::chrono::steady_clock::now() - kWriteBackAfter;
    std::vector<NodeRef> due;
    for (const auto& [inode, node] : nodes_) {
      const bool crowded = unstored_ > kUnstoredMax / 2;
      if (!node->dirty.empty() && (crowded || node->dirty_since < old)) due.push_back(node);
    }
    drop_unread(old);
    for (const NodeRef& node : due) seal(node);
  }
}

// --- ranges --------------------------------------------------------------------------------------

Task<void> Mount::fallocate(Ask ask, wire::NsFallocate request) {
  const NodeRef node = find(request.inode);
  if (node) co_await settle(node);
  wire::Bytes message = wire::encode(request);
  const auto said =
      co_await this->ask<wire::NsNodeReply>(NsOp::fallocate, ask->opened(), std::move(message));
  if (said && node) changed_here(*node, said.reply.attributes);
  ask->error(said.error);
}

Task<void> Mount::copy_range(Ask ask, wire::NsCopyRange request) {
  const NodeRef from = find(request.from);
  const NodeRef to = find(request.to);
  if (from) co_await settle(from);
  if (to) co_await settle(to);
  wire::Bytes message = wire::encode(request);
  const auto said = co_await this->ask<wire::NsCopyRangeReply>(NsOp::copy_range, ask->opened(),
                                                               std::move(message));
  if (!said) {
    ask->error(said.error);
    co_return;
  }
  if (to) changed_here(*to, said.reply.attributes);
  if (fuse_req* reply = ask->take()) fuse_reply_write(reply, said.reply.copied);
}

Task<void> Mount::seek(Ask ask, wire::NsSeek request) {
  const NodeRef node = find(request.inode);
  if (node) co_await settle(node);
  wire::Bytes message = wire::encode(request);
  const auto said =
      co_await this->ask<wire::NsSeekReply>(NsOp::seek, ask->opened(), std::move(message));
  if (!said)
    ask->error(said.error);
  else if (fuse_req* reply = ask->take())
    fuse_reply_lseek(reply, static_cast<off_t>(said.reply.offset));
}

} // namespace cairn::fuse
