// Sessions, opens, locks, events.
#include "tracker/handlers/namespace_service.h"

#include "common/base/cache_tag.h"
#include "common/base/text.h"
#include "common/daemon/log.h"
#include "common/net/cache_purger.h"
#include "tracker/handlers/namespace_link.h"

#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>

#include <algorithm>
#include <cerrno>
#include <utility>

namespace cairn::tracker {

namespace {

using wire::NsOp;
using wire::NsSessionKind;

constexpr std::size_t kSessionsMax = 16'384;
constexpr std::uint64_t kExtentBytes = 64ULL << 20;
// Sessions of readers are not logged and have numbers of their own.
constexpr std::uint64_t kReaderSessions = std::uint64_t{1} << 63;
constexpr std::uint32_t kNobody = 65534;

spdlog::logger& log() {
  static spdlog::logger& one = logger("tracker.namespace");
  return one;
}

NsTime clock_now() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  const auto seconds = std::chrono::floor<std::chrono::seconds>(now);
  NsTime time;
  time.seconds = seconds.count();
  time.nanoseconds = static_cast<std::uint32_t>(
      std::chrono::duration_cast<std::chrono::nanoseconds>(now - seconds).count());
  return time;
}

wire::Hello own_hello() {
  wire::Hello hello;
  hello.role = wire::Role::tracker;
  return hello;
}

template <class Reply>
Outcome succeed(const Reply& reply, std::uint64_t position) {
  Outcome outcome;
  outcome.body = wire::encode(reply);
  outcome.position = position;
  return outcome;
}

} // namespace

NamespaceService::NamespaceService(asio::any_io_executor executor, ReplicatedLog& log_engine,
                                   const StoreViews& store, DiskPool& pool,
                                   const ClusterState& cluster, Credentials credentials,
                                   NamespacePolicy policy)
    : executor_(std::move(executor)),
      log_(log_engine),
      store_(store),
      pool_(pool),
      cluster_(cluster),
      writer_(log_, store_, &pool_, opens_, policy, clock_now,
              [this](const std::vector<Published>& events,
                     const std::vector<std::uint64_t>& orphans) { committed(events, orphans); }),
      next_reader_(kReaderSessions),
      storages_(own_hello(), std::move(credentials), std::chrono::milliseconds(3000)),
      orphan_age_s_(policy.orphan_age_s) {
  // Until every session had time to tell what it has open, everything counts as open.
  opens_.set_grace(true);
}

NamespaceService::~NamespaceService() = default;

Task<Status> NamespaceService::start() {
  grace_until_ = std::chrono::steady_clock::now() + kLease + kLeaseSlack;
  struct Found {
    std::vector<std::pair<std::uint64_t, SessionRow>> sessions;
    std::vector<std::uint64_t> orphans;
    std::vector<std::string> condemned;
  };
  auto work = [this]() -> Result<Found> {
    Found found;
    Status damaged;
    const auto view = store_.view();
    const auto on_session = [&](std::string_view key, std::string_view value) {
      auto row = decode_row<SessionRow>(value);
      if (!row) {
        damaged = std::move(row).error();
        return false;
      }
      found.sessions.emplace_back(key::number_at(key, 1), *std::move(row));
      return true;
    };
    const auto on_orphan = [&](std::string_view key, std::string_view) {
      found.orphans.push_back(key::number_at(key, 1));
      return true;
    };
    CAIRN_RETURN_IF_ERROR(view->scan("S", {}, on_session));
    CAIRN_RETURN_IF_ERROR(std::move(damaged));
    CAIRN_RETURN_IF_ERROR(view->scan("O", {}, on_orphan));
    const auto on_condemned = [&](std::string_view key, std::string_view) {
      found.condemned.emplace_back(key.substr(1));
      return true;
    };
    CAIRN_RETURN_IF_ERROR(view->scan("H", {}, on_condemned));
    return found;
  };
  CAIRN_CO_TRY(found, co_await pool_.run(std::move(work)));
  // Makes the root of a new namespace, so that questions find it.
  std::function<Result<std::uint64_t>(Evaluation&)> nothing =
      [](Evaluation&) -> Result<std::uint64_t> { return std::uint64_t{0}; };
  CAIRN_CO_TRY(formatted, co_await writer_.internal(std::move(nothing)));
  static_cast<void>(formatted);
  // A sweep that was cut short begins anew.
  CAIRN_CO_RETURN_IF_ERROR(co_await mark_stored(std::move(found.condemned), false));
  next_sweep_ = std::chrono::steady_clock::now() + kLease + kLeaseSlack;
  co_await refresh_exports();
  for (auto& [number, row] : found.sessions) {
    auto session = std::make_unique<NamespaceSession>();
    session->number = number;
    session->token = row.token;
    session->kind = row.kind;
    session->export_name = row.export_name;
    session->label = row.label;
    session->address = row.address;
    session->reclaim = true;
    session->seen = std::chrono::steady_clock::now();
    const auto of = std::ranges::find(exports_, row.export_name, &wire::NsExport::name);
    if (of != exports_.end()) session->root = of->root;
    sessions_.emplace(number, std::move(session));
  }
  orphans_.insert(found.orphans.begin(), found.orphans.end());
  // Nobody is left who could tell of anything.
  if (sessions_.empty()) grace_until_ = std::chrono::steady_clock::now();
  if (!sessions_.empty())
    log().info("waiting for former sessions sessions={} orphans={}", sessions_.size(),
               orphans_.size());
  co_return Status();
}

void NamespaceService::stop() {
  stopping_ = true;
  storages_.clear();
  for (Connection* connection : long_calls_) connection->close();
  for (auto& [ticket, waiting] : waiting_) {
    waiting->finished = true;
    waiting->done.cancel();
  }
}

// --- sessions ------------------------------------------------------------------------------------

Task<Result<wire::NsExport>> NamespaceService::find_export(std::string name) {
  wire::NsExports wanted;
  wanted.name = std::move(name);
  wire::Bytes body = wire::encode(wanted);
  const Outcome outcome = co_await writer_.ask(NsOp::exports, Caller(), std::move(body));
  if (outcome.status != 0)
    co_return Error{static_cast<Errc>(outcome.status), std::string(wire::as_text(outcome.body))};
  CAIRN_CO_TRY(reply, wire::decode_lenient<wire::NsExportsReply>(outcome.body));
  co_return std::move(reply.exports.at(0));
}

Task<Result<wire::NsAttachReply>> NamespaceService::attach(wire::NsAttach request,
                                                           NamespaceLink& link, Proved proved) {
  if (request.version < 1) co_return Error{Errc::unsupported, "namespace protocol version"};
  if (request.kind > NsSessionKind::admin) co_return Error{Errc::invalid_argument, "session kind"};
  const bool admin = proved.admin;
  if (request.kind == NsSessionKind::admin && !admin)
    co_return Error{Errc::denied, "it takes the cluster's secret, or a key that may administer"};
  wire::NsAttachReply reply;
  reply.lease_ms = static_cast<std::uint32_t>(kLease.count());
  reply.cluster_uuid = cluster_.facts().cluster_uuid();
  reply.extent_bytes = kExtentBytes;
  reply.copies = 1;
  wire::NsExport of;
  if (!request.export_name.empty()) {
    CAIRN_CO_TRY(found, co_await find_export(request.export_name));
    of = std::move(found);
    if (!of.clients.empty() && !admin) {
      config::HostList clients;
      for (const wire::NsText& network : of.clients)
        CAIRN_CO_RETURN_IF_ERROR(clients.add(network.text));
      if (!clients.contains(link.address()))
        co_return Error{Errc::denied, link.address() + " is no client of " + of.name};
    }
    reply.root = of.root;
    reply.copies = of.copies;
  }

  NamespaceSession* session = find(request.session);
  if (session != nullptr &&
      (session->token != request.token || session->export_name != request.export_name ||
       session->kind != request.kind || request.session == 0))
    session = nullptr;
  const bool goes_on = session != nullptr;
  if (session == nullptr) {
    if (sessions_.size() >= kSessionsMax) co_return Error{Errc::unavailable, "too many sessions"};
    auto made = std::make_unique<NamespaceSession>();
    made->kind = request.kind;
    made->token = random_u64();
    made->export_name = request.export_name;
    made->root = of.root;
    made->label = request.label.substr(0, 256);
    made->address = link.address();
    made->seen = std::chrono::steady_clock::now();
    if (request.kind == NsSessionKind::reader) {
      made->number = ++next_reader_;
    } else {
      SessionRow row;
      row.token = made->token;
      row.kind = made->kind;
      row.export_name = made->export_name;
      row.label = made->label;
      row.address = made->address;
      row.opened = static_cast<std::uint64_t>(clock_now().seconds);
      std::function<Result<std::uint64_t>(Evaluation&)> work = [row](Evaluation& evaluation) {
        return evaluation.begin_session(row);
      };
      CAIRN_CO_TRY(number, co_await writer_.internal(std::move(work)));
      made->number = number;
    }
    session = made.get();
    sessions_.emplace(made->number, std::move(made));
  }
  // Whatever still comes on the former connection is not read: a request in it that was sent again
  // here must not be carried out after its answer.
  if (session->link != nullptr) session->link->cut();
  session->link = &link;
  session->trusted_kernel = request.trusted_kernel;
  session->read_only = request.read_only || proved.read_only || of.read_only;
  session->seen = std::chrono::steady_clock::now();
  reply.session = session->number;
  reply.token = session->token;
  reply.position = writer_.position();
  reply.reclaim = session->reclaim;
  reply.read_only = session->read_only;
  Watches::Told told;
  reply.drop_caches =
      !goes_on || request.seen == 0 || !watches_.missed(session->number, request.seen, told);
  if (reply.drop_caches) watches_.ended(session->number);
  link.set_session(session->number);
  if (!told.events.empty()) tell(told);
  co_return reply;
}

NamespaceSession* NamespaceService::find(std::uint64_t number) {
  const auto found = sessions_.find(number);
  return found == sessions_.end() ? nullptr : found->second.get();
}

void NamespaceService::detached(NamespaceLink& link) {
  NamespaceSession* session = find(link.session());
  if (session == nullptr || session->link != &link) return;
  session->link = nullptr;
  session->seen = std::chrono::steady_clock::now();
  // A reader has nothing that could be resumed but its watches.
  if (session->kind != NsSessionKind::reader) return;
  watches_.ended(session->number);
  sessions_.erase(session->number);
}

Task<Status> NamespaceService::end(std::uint64_t number) {
  NamespaceSession* session = find(number);
  if (session == nullptr) co_return Status();
  if (session->kind != NsSessionKind::reader) {
    std::function<Result<std::uint64_t>(Evaluation&)> work =
        [number](Evaluation& evaluation) -> Result<std::uint64_t> {
      CAIRN_RETURN_IF_ERROR(evaluation.end_session(number));
      return std::uint64_t{0};
    };
    CAIRN_CO_TRY(done, co_await writer_.internal(std::move(work)));
    static_cast<void>(done);
  }
  // Only now: what it had locked must not be given away while it could still commit.
  session = find(number);
  if (session == nullptr) co_return Status();
  if (session->link != nullptr) session->link->cut();
  sessions_.erase(number);
  watches_.ended(number);
  locks_.ended(number);
  std::erase_if(waiting_, [&](auto& waiting) {
    if (waiting.second->session != number) return false;
    waiting.second->finished = true;
    waiting.second->done.cancel();
    return true;
  });
  wake_locks();
  for (const std::uint64_t ino : opens_.ended(number)) reap_later(ino);
  co_return Status();
}

Result<Caller> NamespaceService::caller(const NamespaceSession& session,
                                        const wire::NsHead& head) const {
  if (head.groups.size() > wire::kNsGroupsMax) return errno_of(EINVAL, "too many groups");
  Caller caller;
  caller.session = session.number;
  caller.uid = head.uid;
  caller.gid = head.gid;
  caller.groups = head.groups;
  caller.opened = (head.flags & wire::kNsOpened) != 0;
  caller.admin = session.kind == NsSessionKind::admin;
  caller.read_only = session.read_only;
  caller.root = session.root;
  wire::NsSquash squash = wire::NsSquash::none;
  std::uint32_t uid = kNobody;
  std::uint32_t gid = kNobody;
  if (session.root != 0) {
    const auto of = std::ranges::find(exports_, session.root, &wire::NsExport::root);
    if (of != exports_.end()) {
      squash = of->squash;
      uid = of->squash_uid;
      gid = of->squash_gid;
    }
  } else if (!caller.admin) {
    // All exports at once: each may squash differently, so nobody is root.
    squash = wire::NsSquash::root;
  }
  if (caller.admin) squash = wire::NsSquash::none;
  if (squash == wire::NsSquash::all || (squash == wire::NsSquash::root && caller.uid == 0)) {
    caller.uid = uid;
    caller.gid = gid;
    caller.groups.clear();
  }
  caller.checked = session.trusted_kernel && squash == wire::NsSquash::none &&
                   (head.flags & wire::kNsChecked) != 0;
  return caller;
}

wire::NsSessionsReply NamespaceService::describe_sessions() const {
  wire::NsSessionsReply reply;
  const auto now = std::chrono::steady_clock::now();
  for (const auto& [number, session] : sessions_) {
    wire::NsSessionItem item;
    item.session = number;
    item.kind = session->kind;
    item.address = session->address;
    item.label = session->label;
    item.export_name = session->export_name;
    item.connected = session->link != nullptr;
    item.idle_ms = static_cast<std::uint64_t>(
        std::chrono::duration_cast<std::chrono::milliseconds>(now - session->seen).count());
    item.opens = opens_.count(number);
    item.locks = locks_.count(number);
    item.watches = watches_.count(number);
    reply.sessions.push_back(std::move(item));
  }
  return reply;
}

// --- events --------------------------------------------------------------------------------------

void NamespaceService::committed(const std::vector<Published>& events,
                                 const std::vector<std::uint64_t>& orphans) {
  for (const Watches::Told& told : watches_.publish(events)) tell(told);
  if (purger_ != nullptr) {
    for (const Published& one : events)
      if (one.event.kind != wire::NsEventKind::entry)
        purger_->changed(cache_tag_of_inode(one.event.inode));
  }
  for (const std::uint64_t ino : orphans) {
    orphans_.insert(ino);
    // Closed between the evaluation and now.
    if (!opens_.is_open(ino)) reap_later(ino);
  }
}

void NamespaceService::tell(const Watches::Told& told) {
  NamespaceSession* session = find(told.session);
  if (session == nullptr || session->link == nullptr) return;
  wire::NsEvents events;
  events.events = told.events;
  counters_.events += told.events.size();
  wire::NsReplyHead head;
  head.position = told.position;
  const wire::Bytes body = wire::encode(events);
  session->link->send(wire::make_ns_frame(static_cast<std::uint8_t>(NsOp::event), 0, head, body));
}

void NamespaceService::watch(NamespaceSession& session, std::uint64_t ino, std::uint64_t position) {
  const Watches::Told told = watches_.watch(session.number, ino, position);
  if (!told.events.empty()) tell(told);
}

void NamespaceService::unwatch(NamespaceSession& session, const wire::NsUnwatch& request) {
  for (const std::uint64_t ino : request.inodes) watches_.unwatch(session.number, ino);
}

// --- opens and locks -----------------------------------------------------------------------------

Task<Outcome> NamespaceService::open(NamespaceSession& session, Caller caller,
                                     wire::NsOpen request) {
  const std::uint64_t number = session.number;
  if (session.kind == NsSessionKind::reader) {
    const Error refused = errno_of(EINVAL, "a reader's session has no opens");
    co_return Outcome::failed(refused);
  }
  // Counted before it is looked at: from here on an unlink keeps it.
  if (!opens_.open(number, request.inode)) {
    const Error gone = errno_of(ESTALE);
    co_return Outcome::failed(gone, writer_.position());
  }
  wire::NsAccess access;
  access.inode = request.inode;
  access.mask = request.mask;
  wire::Bytes body = wire::encode(access);
  Outcome outcome = co_await writer_.ask(NsOp::access, std::move(caller), std::move(body));
  if (outcome.status != 0 || find(number) == nullptr) {
    if (opens_.close(number, request.inode)) reap_later(request.inode);
  }
  co_return outcome;
}

Outcome NamespaceService::close(NamespaceSession& session, wire::NsClose request) {
  if (request.lock_owner != 0) {
    locks_.closed(session.number, request.inode, request.lock_owner);
    wake_locks();
  }
  if (opens_.close(session.number, request.inode)) reap_later(request.inode);
  Outcome outcome;
  outcome.position = writer_.position();
  return outcome;
}

Task<Outcome> NamespaceService::lock(NamespaceSession& session, Caller caller, wire::NsLock request,
                                     std::uint64_t request_number) {
  const std::uint64_t number = session.number;
  const bool valid = request.start <= request.end && session.kind != NsSessionKind::reader &&
                     request.kind <= wire::NsLockKind::flock &&
                     request.type <= wire::NsLockType::unlock;
  if (!valid) {
    const Error refused = errno_of(EINVAL);
    co_return Outcome::failed(refused);
  }
  const std::uint64_t ticket = next_ticket_++;
  const auto verdict = locks_.set(number, request, ticket);
  wake_locks();
  switch (verdict) {
    case LockTable::Verdict::granted:
      break;
    case LockTable::Verdict::refused:
      co_return Outcome::failed(errno_of(EAGAIN), writer_.position());
    case LockTable::Verdict::deadlock:
      co_return Outcome::failed(errno_of(EDEADLK), writer_.position());
    case LockTable::Verdict::too_many:
      co_return Outcome::failed(errno_of(ENOLCK), writer_.position());
    case LockTable::Verdict::waits: {
      auto waiting = std::make_shared<WaitingLock>(executor_);
      waiting->session = number;
      waiting->request = request_number;
      waiting->done.expires_at(asio::steady_timer::time_point::max());
      waiting_.emplace(ticket, waiting);
      while (!waiting->finished) co_await waiting->done.async_wait(as_result);
      if (!waiting->granted) co_return Outcome::failed(errno_of(EINTR), writer_.position());
    }
  }
  // The answer lets the client see whether its pages are still good.
  wire::NsInode which;
  which.inode = request.inode;
  wire::Bytes body = wire::encode(which);
  Outcome outcome = co_await writer_.ask(NsOp::getattr, std::move(caller), std::move(body));
  if (outcome.status != 0) {
    if (request.type != wire::NsLockType::unlock) {
      request.type = wire::NsLockType::unlock;
      locks_.set(number, request, 0);
      wake_locks();
    }
    co_return outcome;
  }
  auto node = wire::decode_lenient<wire::NsNodeReply>(outcome.body);
  wire::NsLockReply reply;
  reply.attributes = node->attributes;
  co_return succeed(reply, outcome.position);
}

Task<Outcome> NamespaceService::getlock(NamespaceSession& session, Caller caller,
                                        wire::NsLock request) {
  const std::uint64_t number = session.number;
  wire::NsInode which;
  which.inode = request.inode;
  wire::Bytes body = wire::encode(which);
  Outcome outcome = co_await writer_.ask(NsOp::getattr, std::move(caller), std::move(body));
  if (outcome.status != 0) co_return outcome;
  auto node = wire::decode_lenient<wire::NsNodeReply>(outcome.body);
  wire::NsLockReply reply;
  reply.attributes = node->attributes;
  if (const auto held = locks_.conflict(number, request)) {
    reply.type = held->type;
    reply.start = held->start;
    reply.end = held->end;
    reply.pid = held->owner.session == number ? held->pid : 0;
  }
  co_return succeed(reply, outcome.position);
}

void NamespaceService::cancel(const NamespaceSession& session, std::uint64_t request_number) {
  for (auto at = waiting_.begin(); at != waiting_.end(); ++at) {
    WaitingLock& waiting = *at->second;
    if (waiting.session != session.number || waiting.request != request_number) continue;
    if (!locks_.cancel(at->first)) return; // granted a moment ago
    waiting.finished = true;
    waiting.done.cancel();
    waiting_.erase(at);
    return;
  }
}

void NamespaceService::wake_locks() {
  for (const std::uint64_t ticket : locks_.take_granted()) {
    const auto found = waiting_.find(ticket);
    if (found == waiting_.end()) continue;
    found->second->granted = true;
    found->second->finished = true;
    found->second->done.cancel();
    waiting_.erase(found);
  }
}

Task<Outcome> NamespaceService::reclaim(NamespaceSession& session, Caller caller,
                                        wire::NsReclaim request) {
  const std::uint64_t number = session.number;
  wire::NsReclaimReply reply;
  // What was told before is not told twice.
  if (session.reclaim) {
    for (const wire::NsLock& wanted : request.locks) {
      wire::NsLock lock = wanted;
      lock.wait = false;
      if (lock.start > lock.end || lock.type > wire::NsLockType::write ||
          locks_.set(number, lock, 0) != LockTable::Verdict::granted)
        reply.lost_locks.push_back(wanted);
    }
    for (const std::uint64_t ino : request.opens) {
      wire::NsOpen open_again;
      open_again.inode = ino;
      Caller as = caller;
      NamespaceSession* still = find(number);
      if (still == nullptr) break;
      const Outcome opened = co_await open(*still, std::move(as), open_again);
      if (opened.status != 0) reply.lost_opens.push_back(ino);
    }
    if (NamespaceSession* still = find(number)) still->reclaim = false;
  }
  co_return succeed(reply, writer_.position());
}

void NamespaceService::fill_statfs(wire::NsStatfsReply& reply) const {
  // A group is as large as its smallest member.
  std::uint64_t total = 0;
  std::uint64_t free = 0;
  std::uint64_t inodes = 0;
  std::uint64_t inodes_free = 0;
  for (const auto& [name, fact] : cluster_.facts().groups()) {
    bool any = false;
    std::array<std::uint64_t, 4> least{};
    for (const Node* node : cluster_.members(name)) {
      if (!node->is_up() || !node->reported) continue;
      std::array<std::uint64_t, 4> own{node->total_bytes(), node->free_bytes(), 0, 0};
      for (const auto& path : node->report.paths) {
        own[2] += path.total_inodes;
        own[3] += path.free_inodes;
      }
      for (std::size_t i = 0; i < own.size(); ++i)
        least[i] = any ? std::min(least[i], own[i]) : own[i];
      any = true;
    }
    total += least[0];
    free += least[1];
    inodes += least[2];
    inodes_free += least[3];
  }
  if (reply.bytes_total == 0) {
    reply.bytes_total = total;
    reply.bytes_free = free;
  } else {
    reply.bytes_free = std::min(reply.bytes_free, free);
  }
  if (reply.inodes_total == 0) {
    reply.inodes_total = inodes + reply.inodes_used;
    reply.inodes_free = inodes_free;
  }
}

} // namespace cairn::tracker
