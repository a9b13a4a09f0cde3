// Reading, running and writing side by side.
#include "tracker/handlers/namespace_link.h"

#include "common/config/host_list.h"
#include "common/daemon/log.h"

#include <boost/asio/this_coro.hpp>

#include <cerrno>
#include <ctime>
#include <utility>

namespace cairn::tracker {

namespace {

using wire::NsOp;
using wire::NsSessionKind;

// Answers that wait are written together, up to so many bytes.
constexpr std::size_t kWriteMax = 256 * 1024;
constexpr std::chrono::milliseconds kIoTimeout{60'000};

// The reply's node, of all operations that answer with one.
bool answers_node(NsOp op) {
  switch (op) {
    case NsOp::lookup:
    case NsOp::getattr:
    case NsOp::open:
    case NsOp::create:
    case NsOp::mkdir:
    case NsOp::mknod:
    case NsOp::symlink:
    case NsOp::link:
    case NsOp::setattr:
    case NsOp::fallocate:
    case NsOp::setxattr:
    case NsOp::removexattr:
      return true;
    default:
      return false;
  }
}

// The clients of an export are compared when one attaches, on the tracker's one thread, which waits
// for no name server: a host name would never match. What is no request is refused where it is
// evaluated. Errors: EINVAL.
Status check_export_clients(wire::View message) {
  const auto decoded = wire::decode_lenient<wire::NsExportChange>(message);
  if (!decoded) return {};
  for (const wire::NsText& entry : decoded->values.clients) {
    config::HostList list;
    if (const Status added = list.add(entry.text); !added)
      return errno_of(EINVAL, "clients: " + added.error().detail);
    if (list.has_names())
      return errno_of(EINVAL, "clients: '" + entry.text +
                                  "' is a host name; write addresses, networks or ranges");
  }
  return {};
}

// The client is told; an operator must be too, though not for every request.
void note_failure(const Outcome& outcome) {
  static std::chrono::steady_clock::time_point next;
  const auto now = std::chrono::steady_clock::now();
  if (now < next) return;
  next = now + std::chrono::seconds(10);
  logger("tracker.namespace")
      .error("metadata cannot be read error={}", wire::as_text(outcome.body));
}

} // namespace

void NamespaceLink::send(wire::Bytes frame, bool hurry) {
  if (cut_) return;
  outbox_bytes_ += frame.size();
  outbox_.push_back(std::move(frame));
  if (outbox_bytes_ > kOutboxMax) return cut();
  if (!hurry) return;
  to_write_ = true;
  wake_.cancel();
}

void NamespaceLink::cut() {
  cut_ = true;
  connection_.close();
  wake_.cancel();
  room_.cancel();
}

void NamespaceLink::set_key(std::shared_ptr<const auth::AccessKey> key, const auth::KeyRing& keys) {
  key_ = std::move(key);
  keys_ = &keys;
}

bool NamespaceLink::key_holds() const {
  if (key_ == nullptr) return true;
  const auto now = keys_->find(key_->id);
  return now && !now->has_expired(static_cast<std::uint64_t>(std::time(nullptr))) &&
         now->rights == key_->rights && now->prefixes == key_->prefixes;
}

Task<void> NamespaceLink::serve() {
  const auto executor = co_await asio::this_coro::executor;
  connection_.clear_deadline();
  writing_ = true;
  auto self = shared_from_this();
  spawn(
      executor,
      [](std::shared_ptr<NamespaceLink> link) -> Task<void> { co_await link->write(); }(self),
      "namespace answers");
  const Status ended = co_await read();
  cut();
  service_.detached(*this);
  if (ended.code() != Errc::closed)
    logger("tracker.namespace")
        .debug("connection ended peer={} error={}", connection_.peer(), ended.error().text());
  // Requests in work refer to this link; the connection must outlive what writes to it.
  while (working_ > 0 || writing_) {
    room_.expires_after(std::chrono::seconds(1));
    co_await room_.async_wait(as_result);
  }
}

Task<void> NamespaceLink::write() {
  while (!cut_) {
    if (!to_write_) {
      wake_.expires_at(asio::steady_timer::time_point::max());
      co_await wake_.async_wait(as_result);
      continue;
    }
    wire::Bytes together = std::move(outbox_.front());
    outbox_.pop_front();
    while (!outbox_.empty() && together.size() + outbox_.front().size() <= kWriteMax) {
      together.insert(together.end(), outbox_.front().begin(), outbox_.front().end());
      outbox_.pop_front();
    }
    outbox_bytes_ -= together.size();
    to_write_ = !outbox_.empty();
    const Status written = co_await connection_.write(together);
    if (!written) cut();
  }
  writing_ = false;
  room_.cancel();
}

Task<Status> NamespaceLink::read() {
  const auto executor = co_await asio::this_coro::executor;
  while (!cut_) {
    // Idle for a lease and more: its session is over anyway.
    connection_.set_deadline(2 * (NamespaceService::kLease + NamespaceService::kLeaseSlack));
    CAIRN_CO_TRY(header, co_await connection_.read_header());
    if (header.body_size > wire::kNsBodyMax)
      co_return Error{Errc::invalid_argument, "a request that is too long"};
    wire::Bytes body(header.body_size);
    connection_.set_deadline(kIoTimeout);
    CAIRN_CO_RETURN_IF_ERROR(co_await connection_.read_exact(body));
    NamespaceSession* session = service_.find(session_);
    // Also when another connection has taken the session over: what is unread here was sent again
    // there.
    if (cut_ || session == nullptr || session->link != this)
      co_return Error{Errc::closed, "the session is over"};
    if (!key_holds())
      co_return Error{Errc::denied, "access key " + key_->id + " does not hold any more"};
    session->seen = std::chrono::steady_clock::now();
    CAIRN_CO_TRY(parts, wire::split_ns_body<wire::NsHead>(body));
    Request request;
    request.op = static_cast<NsOp>(header.command);
    request.head = std::move(parts.head);
    request.message.assign(parts.message.begin(), parts.message.end());
    ++working_;
    spawn(executor, handle(std::move(request)), "namespace request");
    while (working_ >= kRequestsMax && !cut_) {
      room_.expires_at(asio::steady_timer::time_point::max());
      co_await room_.async_wait(as_result);
    }
  }
  co_return Error{Errc::closed, "cut"};
}

Task<void> NamespaceLink::handle(Request request) {
  auto self = shared_from_this();
  const auto index = static_cast<std::uint8_t>(request.op);
  Outcome outcome = co_await run(request);
  ++service_.counters().requests[index];
  if (outcome.status != 0) ++service_.counters().errors[index];
  if (outcome.status == EIO) note_failure(outcome);
  if (request.op != NsOp::unwatch) {
    if ((request.head.flags & wire::kNsWatch) != 0) watch(request, outcome);
    wire::NsReplyHead head;
    head.request = request.head.request;
    head.position = outcome.position;
    send(wire::make_ns_frame(static_cast<std::uint8_t>(wire::Command::reply), outcome.status, head,
                             outcome.body),
         (request.head.flags & wire::kNsNoHurry) == 0);
  }
  --working_;
  room_.cancel();
}

Outcome NamespaceLink::succeed(wire::Bytes body, std::uint64_t position) {
  Outcome outcome;
  outcome.body = std::move(body);
  outcome.position = position;
  return outcome;
}

Task<Outcome> NamespaceLink::run(const Request& request) {
  NamespaceWriter& writer = service_.writer();
  NamespaceSession* session = service_.find(session_);
  if (session == nullptr) {
    const Error over = errno_of(ESTALE, "the session is over");
    co_return Outcome::failed(over);
  }
  auto as = service_.caller(*session, request.head);
  if (!as) co_return Outcome::failed(as.error());
  Caller caller = *std::move(as);
  const Error malformed = errno_of(EINVAL, "malformed request");

  if (wire::is_change(request.op)) {
    if (session->kind == NsSessionKind::reader || request.head.sequence == 0) {
      const Error refused = errno_of(EINVAL, "a change needs a session and a sequence number");
      co_return Outcome::failed(refused);
    }
    if (request.op == NsOp::export_add || request.op == NsOp::export_set) {
      const Status clients = check_export_clients(request.message);
      if (!clients) co_return Outcome::failed(clients.error());
    }
    Change change;
    change.op = request.op;
    change.caller = std::move(caller);
    change.sequence = request.head.sequence;
    change.request = request.message;
    co_return co_await writer.change(std::move(change));
  }
  switch (request.op) {
    case NsOp::renew:
      co_return succeed({}, writer.position());
    case NsOp::detach: {
      const std::uint64_t number = session_;
      session_ = 0; // so that end() does not cut the connection before the answer
      session->link = nullptr;
      const Status ended = co_await service_.end(number);
      if (!ended) co_return Outcome::failed(ended.error());
      co_return succeed({}, writer.position());
    }
    case NsOp::unwatch: {
      const auto decoded = wire::decode_lenient<wire::NsUnwatch>(request.message);
      if (decoded) service_.unwatch(*session, *decoded);
      co_return Outcome();
    }
    case NsOp::cancel: {
      const auto decoded = wire::decode_lenient<wire::NsCancel>(request.message);
      if (!decoded) co_return Outcome::failed(malformed);
      service_.cancel(*session, decoded->request);
      co_return succeed({}, writer.position());
    }
    case NsOp::open: {
      const auto decoded = wire::decode_lenient<wire::NsOpen>(request.message);
      if (!decoded) co_return Outcome::failed(malformed);
      co_return co_await service_.open(*session, std::move(caller), *decoded);
    }
    case NsOp::close: {
      const auto decoded = wire::decode_lenient<wire::NsClose>(request.message);
      if (!decoded) co_return Outcome::failed(malformed);
      co_return service_.close(*session, *decoded);
    }
    case NsOp::lock: {
      const auto decoded = wire::decode_lenient<wire::NsLock>(request.message);
      if (!decoded) co_return Outcome::failed(malformed);
      co_return co_await service_.lock(*session, std::move(caller), *decoded, request.head.request);
    }
    case NsOp::getlock: {
      const auto decoded = wire::decode_lenient<wire::NsLock>(request.message);
      if (!decoded) co_return Outcome::failed(malformed);
      co_return co_await service_.getlock(*session, std::move(caller), *decoded);
    }
    case NsOp::reclaim: {
      auto decoded = wire::decode_lenient<wire::NsReclaim>(request.message);
      if (!decoded) co_return Outcome::failed(malformed);
      co_return co_await service_.reclaim(*session, std::move(caller), *std::move(decoded));
    }
    case NsOp::sessions:
    case NsOp::evict: {
      if (!caller.admin) {
        const Error refused = errno_of(EPERM, "only for administrators");
        co_return Outcome::failed(refused);
      }
      if (request.op == NsOp::sessions)
        co_return succeed(wire::encode(service_.describe_sessions()), writer.position());
      const auto decoded = wire::decode_lenient<wire::NsEvict>(request.message);
      if (!decoded) co_return Outcome::failed(malformed);
      const Status ended = co_await service_.end(decoded->session);
      if (!ended) co_return Outcome::failed(ended.error());
      co_return succeed({}, writer.position());
    }
    default:
      break;
  }
  wire::Bytes message = request.message;
  Outcome outcome = co_await writer.ask(request.op, std::move(caller), std::move(message));
  if (request.op == NsOp::statfs && outcome.status == 0) {
    auto reply = wire::decode_lenient<wire::NsStatfsReply>(outcome.body);
    service_.fill_statfs(*reply);
    outcome.body = wire::encode(*reply);
  }
  co_return outcome;
}

void NamespaceLink::watch(const Request& request, const Outcome& outcome) {
  NamespaceSession* session = service_.find(session_);
  if (session == nullptr) return;
  const auto add = [&](std::uint64_t ino) {
    if (ino != 0) service_.watch(*session, ino, outcome.position);
  };
  if (request.op == NsOp::lookup) {
    // Also of a name that is not there: its making is an event of the directory.
    const auto decoded = wire::decode_lenient<wire::NsLookup>(request.message);
    if (decoded && (outcome.status == 0 || outcome.status == ENOENT)) add(decoded->parent);
  }
  if (outcome.status != 0) return;
  if (answers_node(request.op)) {
    const auto reply = wire::decode_lenient<wire::NsNodeReply>(outcome.body);
    if (!reply) return;
    add(reply->attributes.inode);
    const bool named = request.op == NsOp::create || request.op == NsOp::mkdir ||
                       request.op == NsOp::mknod || request.op == NsOp::symlink;
    if (named) add(reply->attributes.parent);
    for (const wire::NsAttributes& directory : reply->directories) add(directory.inode);
  } else if (request.op == NsOp::unlink || request.op == NsOp::rmdir) {
    const auto reply = wire::decode_lenient<wire::NsRemoveReply>(outcome.body);
    if (!reply) return;
    for (const wire::NsAttributes& directory : reply->directories) add(directory.inode);
  } else if (request.op == NsOp::rename) {
    const auto reply = wire::decode_lenient<wire::NsRenameReply>(outcome.body);
    if (!reply) return;
    add(reply->node.attributes.inode);
    for (const wire::NsAttributes& directory : reply->directories) add(directory.inode);
  } else if (request.op == NsOp::resolve) {
    const auto reply = wire::decode_lenient<wire::NsResolveReply>(outcome.body);
    if (!reply) return;
    add(reply->parent);
    add(reply->node.attributes.inode);
  } else if (request.op == NsOp::readdir) {
    const auto decoded = wire::decode_lenient<wire::NsReaddir>(request.message);
    const auto reply = wire::decode_lenient<wire::NsReaddirReply>(outcome.body);
    if (!reply || !decoded) return;
    add(decoded->inode);
    if (!decoded->attributes) return;
    for (const wire::NsEntry& entry : reply->entries) add(entry.inode);
  }
}

} // namespace cairn::tracker
