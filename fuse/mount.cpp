// The session with the tracker, and what the kernel may believe for how long.
#include "fuse/mount.h"

#include <boost/asio/post.hpp>
#include <fuse_lowlevel.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <sys/sysmacros.h>
#include <unistd.h>
#include <utility>

namespace cairn::fuse {

namespace {

using wire::NsEventKind;
using wire::NsOp;

// Events that are remembered to recognise older answers; far more than are ever on their way.
constexpr std::size_t kEventsKept = 4096;
// A signal ends what has not been answered after so long.
constexpr std::chrono::milliseconds kInterruptAfter{1000};
// What has taken longer is logged, while it does.
constexpr std::chrono::seconds kSlow{3};

NsSession::Options session_options(const MountOptions& options) {
  NsSession::Options out;
  out.export_name = options.export_name;
  std::array<char, 256> host{};
  static_cast<void>(::gethostname(host.data(), host.size() - 1));
  out.label = std::string(host.data()) + " " + options.directory;
  out.trusted_kernel = true;
  out.read_only = options.read_only;
  return out;
}

} // namespace

Mount::Mount(asio::io_context& io, ClientOptions client, MountOptions options, Record& record)
    : io_(io),
      options_(std::move(options)),
      core_(std::make_shared<ClientCore>(io, client)),
      session_(std::make_shared<NsSession>(io, std::move(client), session_options(options_))),
      data_(core_),
      record_(record),
      channel_(record),
      files_(record),
      write_back_timer_(io),
      // Not those of a former worker, which the kernel may still name.
      next_directory_((std::uint64_t{record.worker} << 32U) + 1) {
  core_->remember_placement();
}

Timeout Mount::time_limit() const {
  return options_.soft ? Timeout(options_.timeout) : Timeout();
}

void Mount::listen_to_session() {
  session_->on_events([this](std::uint64_t position, std::vector<wire::NsEvent> events) {
    on_events(position, events);
  });
  session_->on_attached(
      [this](const wire::NsAttachReply& reply, bool lost) { attached(reply, lost); });
  session_->on_change([this](std::uint64_t sequence) { record_.session.sequence = sequence; });
}

Task<Status> Mount::open() {
  listen_to_session();
  CAIRN_CO_RETURN_IF_ERROR(co_await session_->open(Timeout(options_.timeout)));
  root_ = session_->attached().root;
  if (!options_.path.empty()) {
    wire::NsResolve request;
    request.path = options_.path;
    CAIRN_CO_TRY(found, co_await session_->ask<wire::NsResolveReply>(
                            NsOp::resolve, NsIdentity(), std::move(request), options_.timeout));
    if (found.node.attributes.type != wire::NsType::directory)
      co_return Error{Errc::invalid_argument, options_.path + " is no directory"};
    root_ = found.node.attributes.inode;
  }
  record_.session.root = root_;
  spawn(io_.get_executor(), write_back_old(), "write back");
  co_return Status();
}

void Mount::take_over(int kernel) {
  listen_to_session();
  const SessionSlot& left = record_.session;
  root_ = left.root;
  session_number_ = left.number;
  wire::NsAttachReply attached;
  attached.session = left.number;
  attached.token = left.token;
  attached.extent_bytes = left.extent_bytes;
  attached.lease_ms = left.lease_ms;
  attached.copies = left.copies;
  attached.cluster_uuid = left.cluster_uuid.data();
  session_->resume(std::move(attached), left.sequence, left.seen);
  std::size_t lost = 0;
  for (FileRecords::Left& file : files_.left()) {
    auto node = std::make_shared<Node>(io_.get_executor(), file.inode);
    node->opens = node->handles = file.handles;
    node->place = std::move(file.place);
    node->locks = std::move(file.locks);
    if (file.unstored) {
      ++lost;
      node->error = EIO;
      notifier_.inode(node_of(file.inode), true);
    }
    if (file.handles != 0) {
      nodes_.emplace(file.inode, std::move(node));
      continue;
    }
    if (file.unstored)
      spdlog::error("writes are lost that nobody is there to be told of inode={}", file.inode);
    files_.file(node->place, file.inode, 0, false);
    files_.locks(node->place, {});
  }
  const std::vector<Channel::Doubt> doubts = channel_.take_over(kernel);
  for (const Channel::Doubt& doubt : doubts) {
    if (doubt.name.empty())
      notifier_.inode(doubt.node, false);
    else
      notifier_.entry(doubt.node, doubt.name);
  }
  spdlog::warn("took the mount over worker={} session={} open_files={} with_lost_writes={}",
               record_.worker, left.number.load(), nodes_.size(), lost);
  statistics_.workers = record_.worker;
  spawn(
      io_.get_executor(),
      [](std::shared_ptr<NsSession> session) -> Task<void> {
        const std::chrono::milliseconds begin(1);
        static_cast<void>(co_await session->open(Timeout(begin)));
      }(session_),
      "take over");
  spawn(io_.get_executor(), write_back_old(), "write back");
}

Task<void> Mount::close() {
  closing_ = true;
  write_back_timer_.cancel();
  std::vector<NodeRef> all;
  for (const auto& [inode, node] : nodes_) all.push_back(node);
  for (const NodeRef& node : all) co_await settle(node);
  for (const NodeRef& node : all) {
    if (node->error != 0)
      spdlog::error("writes are lost inode={} error={}", node->inode, node->error);
  }
  co_await session_->close();
  core_->close();
  // Libfuse's session goes next, and with it what a question is answered by.
  std::vector<std::weak_ptr<Request>> left;
  for (const auto& [number, request] : requests_) left.push_back(request);
  for (const auto& request : left) {
    if (const Ask ask = request.lock()) ask->error(EIO);
  }
}

// --- requests ------------------------------------------------------------------------------------

Task<void> Mount::interrupted(std::uint64_t number) {
  // A signal can come before its request does.
  const auto tell = [this, number]() -> Ask {
    const auto found = requests_.find(number);
    Ask ask = found == requests_.end() ? Ask() : found->second.lock();
    if (ask) ask->interrupt();
    return ask;
  };
  tell();
  // Most are answered in a moment, and then as if nothing had been. What hangs is given up.
  asio::steady_timer timer(io_.get_executor(), kInterruptAfter);
  co_await timer.async_wait(as_result);
  if (const Ask ask = tell()) ask->error(EINTR);
}

Task<void> Mount::finish(std::uint64_t number, Ask ask, Task<void> work) {
  co_await std::move(work);
  requests_.erase(number);
  const auto took = std::chrono::duration_cast<std::chrono::microseconds>(ask->took());
  statistics_.answered(ask->operation(), took, ask->failure());
  // Those that were told of while they hung.
  if (took > kSlow && !ask->tell_slow())
    spdlog::warn("a slow operation ended op={} seconds={:.1f} waited_for=\"{}\" error={}",
                 ask->operation(), std::chrono::duration<double>(took).count(), ask->waits_for(),
                 ask->failure());
}

void Mount::tell_slow_ones() {
  const auto since = Request::Clock::now() - kSlow;
  for (const auto& [number, request] : requests_) {
    const Ask ask = request.lock();
    // Who waits for a lock may do so for hours.
    if (!ask || ask->answered() || ask->asked() > since || ask->waits_for() == kWaitsForLock ||
        !ask->tell_slow())
      continue;
    ++statistics_.slow;
    spdlog::warn("a slow operation op={} waits_for=\"{}\"", ask->operation(), ask->waits_for());
  }
}

// --- the session ---------------------------------------------------------------------------------

void Mount::attached(const wire::NsAttachReply& reply, bool lost) {
  // What was missed comes only after this.
  known_.clear();
  if (lost) lose_session();
  if (reply.session == 0) return;
  ++statistics_.attaches;
  const bool other = session_number_ != 0 && session_number_ != reply.session;
  if (session_number_ != 0) {
    spdlog::info("attached session={} same={} drop_caches={} reclaim={}", reply.session, !other,
                 reply.drop_caches, reply.reclaim);
    if (reply.drop_caches || other) drop_caches(reply.position);
  }
  session_number_ = reply.session;
  SessionSlot& slot = record_.session;
  slot.token = reply.token;
  slot.extent_bytes = reply.extent_bytes;
  slot.lease_ms = reply.lease_ms;
  slot.copies = reply.copies;
  slot.cluster_uuid.fill('\0');
  reply.cluster_uuid.copy(slot.cluster_uuid.data(), slot.cluster_uuid.size() - 1);
  if (other || slot.number == 0) slot.sequence = 0;
  slot.number = reply.session;
  if (reply.drop_caches) record_seen(reply.position);
  if ((other || reply.reclaim) && !nodes_.empty()) {
    const bool reclaim = reply.reclaim && !other;
    // Not from here: the session is about to send what was not answered.
    asio::post(
        io_, [this, reclaim] { spawn(io_.get_executor(), tell_opens_again(reclaim), "reclaim"); });
  }
}

Task<void> Mount::tell_opens_again(bool reclaim) {
  wire::NsReclaim again;
  for (const auto& [inode, node] : nodes_) {
    for (std::size_t i = 0; i < node->opens; ++i) again.opens.push_back(inode);
    again.locks.insert(again.locks.end(), node->locks.begin(), node->locks.end());
  }
  NsIdentity nobody;
  nobody.flags = wire::kNsChecked | wire::kNsOpened;
  if (reclaim) {
    wire::Bytes message = wire::encode(again);
    const auto told = co_await ask<wire::NsReclaimReply>(NsOp::reclaim, nobody, std::move(message));
    for (const wire::NsLock& gone : told.reply.lost_locks)
      spdlog::error("a lock was lost inode={}", gone.inode);
    co_return;
  }
  for (const std::uint64_t inode : again.opens) {
    wire::NsOpen open_again;
    open_again.inode = inode;
    wire::Bytes message = wire::encode(open_again);
    const auto told = co_await ask<wire::NsNodeReply>(NsOp::open, nobody, std::move(message));
    if (!told) spdlog::warn("an open file is gone inode={} error={}", inode, told.error);
  }
}

void Mount::lose_session() {
  ++statistics_.sessions_lost;
  spdlog::error(
      "the session with the tracker was lost: locks are gone, and what was not committed");
  for (const auto& [inode, node] : nodes_) {
    node->locks.clear();
    files_.locks(node->place, {});
    if (!node->is_clean()) fail_writes(node, EIO);
  }
  drop_caches(0);
}

void Mount::drop_caches(std::uint64_t position) {
  events_before_ = std::max(events_before_, position);
  known_.clear();
  pages_.clear();
  for (const auto& [inode, node] : nodes_) {
    node->forget_content();
    notifier_.inode(node_of(inode), true);
  }
  // Names and attributes of the rest run out by themselves, within the lease.
}

void Mount::on_events(std::uint64_t position, const std::vector<wire::NsEvent>& events) {
  statistics_.events += events.size();
  for (const wire::NsEvent& event : events) {
    if (event.kind == NsEventKind::drop_all) {
      drop_caches(position);
      continue;
    }
    remember_event(event.inode, position);
    const std::uint64_t node = node_of(event.inode);
    if (event.kind == NsEventKind::entry) {
      known_.may_have(event.inode, event.name);
      notifier_.entry(node, event.name);
      continue;
    }
    const bool data = event.kind != NsEventKind::attributes;
    if (event.kind == NsEventKind::attributes)
      known_.forget_attributes(event.inode, position);
    else
      known_.forget(event.inode);
    if (data) {
      pages_.erase(event.inode);
      if (const NodeRef open = find(event.inode)) open->forget_content();
    }
    notifier_.inode(node, data);
  }
  record_seen(position);
}

void Mount::record_seen(std::uint64_t position) {
  notifier_.after([this, position] { record_.session.seen = position; });
}

void Mount::remember_event(std::uint64_t inode, std::uint64_t position) {
  std::uint64_t& latest = events_[inode];
  latest = std::max(latest, position);
  event_order_.emplace_back(inode, position);
  while (event_order_.size() > kEventsKept) {
    const auto [old, at] = event_order_.front();
    event_order_.pop_front();
    events_before_ = std::max(events_before_, at);
    const auto found = events_.find(old);
    if (found != events_.end() && found->second <= at) events_.erase(found);
  }
}

double Mount::lifetime(std::uint64_t position, std::uint64_t inode, std::uint64_t parent) const {
  if (!session_->connected() || position < events_before_) return 0;
  for (const std::uint64_t about : {inode, parent}) {
    const auto found = events_.find(about);
    if (found != events_.end() && position < found->second) return 0;
  }
  return std::chrono::duration<double>(options_.cache).count();
}

double Mount::kept_lifetime() const {
  if (!session_->connected()) return 0;
  const auto silent = std::chrono::steady_clock::now() - session_->heard();
  return std::chrono::duration<double>(options_.cache - silent).count();
}

void Mount::note_directory(const wire::NsAttributes& now, std::uint64_t position) {
  if (lifetime(position, now.inode, now.inode) > 0)
    known_.changed(now, position, std::chrono::steady_clock::now());
  else
    known_.forget_attributes(now.inode, position);
}

struct stat Mount::stat_of(const wire::NsAttributes& attributes) const {
  struct stat out {};
  out.st_ino = attributes.inode;
  const unsigned mode = attributes.mode & ~options_.umask.value_or(0);
  out.st_mode = (static_cast<unsigned>(attributes.type) << 12U) | mode;
  out.st_nlink = attributes.nlink;
  out.st_uid = options_.uid.value_or(attributes.uid);
  out.st_gid = options_.gid.value_or(attributes.gid);
  out.st_rdev = makedev(static_cast<unsigned>(attributes.rdev >> 32U),
                        static_cast<unsigned>(attributes.rdev & UINT32_MAX));
  std::uint64_t size = attributes.size;
  std::uint64_t bytes = attributes.bytes;
  wire::NsTime mtime = attributes.mtime;
  // What was written here is part of the file, whoever asks on this machine.
  const NodeRef open = find(attributes.inode);
  if (open && !open->is_clean()) {
    size = std::max(size, open->size());
    for (const auto& batch : open->flushing) bytes += batch->ranges.bytes();
    bytes = std::min(bytes + open->dirty.bytes(), size);
    mtime = std::max(mtime, open->written);
  }
  out.st_size = static_cast<off_t>(size);
  out.st_blocks = static_cast<blkcnt_t>((bytes + 511) / 512);
  out.st_blksize = 128 * 1024;
  const auto time = [](const wire::NsTime& from) {
    timespec to{};
    to.tv_sec = from.seconds;
    to.tv_nsec = from.nanoseconds;
    return to;
  };
  out.st_atim = time(attributes.atime);
  out.st_mtim = time(mtime);
  out.st_ctim = time(attributes.ctime);
  return out;
}

fuse_entry_param Mount::entry_of(const wire::NsNodeReply& node, std::uint64_t position,
                                 std::uint64_t parent) const {
  fuse_entry_param out{};
  const std::uint64_t inode = node.attributes.inode;
  out.ino = node_of(inode);
  out.attr = stat_of(node.attributes);
  const NodeRef open = find(inode);
  out.attr_timeout = open && !open->is_clean() ? 0 : lifetime(position, inode, inode);
  out.entry_timeout = lifetime(position, inode, parent);
  return out;
}

void Mount::answer_entry(const Ask& ask, const Said<wire::NsNodeReply>& said,
                         std::uint64_t parent) {
  if (!said) {
    ask->error(said.error);
    return;
  }
  const fuse_entry_param entry = entry_of(said.reply, said.position, parent);
  if (fuse_req* request = ask->take()) fuse_reply_entry(request, &entry);
}

} // namespace cairn::fuse
