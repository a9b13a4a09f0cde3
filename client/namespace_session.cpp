// Attach, send, receive, and everything again after a break.
#include "client/namespace_session.h"

#include "common/base/text.h"

#include <boost/asio/this_coro.hpp>

#include <algorithm>
#include <cerrno>
#include <sys/socket.h>
#include <utility>

namespace cairn {

namespace {

using wire::NsOp;
using Clock = std::chrono::steady_clock;

constexpr std::chrono::milliseconds kRetryFirst{20};
constexpr std::chrono::milliseconds kRetryMost{500};
constexpr std::chrono::milliseconds kNoLeaderPause{50};
constexpr std::size_t kWriteMax = 256 * 1024;
// How long a request that nobody waits for is kept back.
constexpr std::chrono::milliseconds kNoHurry{10};

Error out_of_time(const Error& why) {
  return Error{Errc::timeout,
               why.detail.empty() ? std::string("the tracker does not answer") : why.detail};
}

} // namespace

NsSession::NsSession(asio::io_context& io, ClientOptions client, Options options)
    : executor_(io.get_executor()),
      client_(std::move(client)),
      identity_(read_identity(client_)),
      options_(std::move(options)),
      wake_(executor_),
      renewal_(executor_) {}

NsSession::~NsSession() = default;

void NsSession::resume(wire::NsAttachReply attached, std::uint64_t sequence, std::uint64_t seen) {
  attached_ = std::move(attached);
  next_sequence_ = sequence + 1;
  seen_ = seen;
}

Task<Status> NsSession::open(Timeout timeout) {
  const Deadline deadline(timeout.value, client_.network_timeout);
  if (!running_) {
    running_ = true;
    heard_ = Clock::now();
    auto self = shared_from_this();
    spawn(
        executor_,
        [](std::shared_ptr<NsSession> session) -> Task<void> { co_await session->run(); }(self),
        "namespace session");
    spawn(
        executor_,
        [](std::shared_ptr<NsSession> session) -> Task<void> { co_await session->renew(); }(self),
        "namespace lease");
  }
  while (!ready_) {
    if (refused_) co_return last_failure_;
    if (deadline.passed()) co_return out_of_time(last_failure_);
    co_await wait_change(Clock::now() + deadline.step());
  }
  co_return Status();
}

Task<void> NsSession::close() {
  if (ready_) {
    const std::chrono::seconds goodbye(1);
    static_cast<void>(co_await call(NsOp::detach, NsIdentity(), wire::Bytes(), goodbye));
  }
  closing_ = true;
  renewal_.cancel();
  disconnect();
  connection_.reset();
  lose_changes();
  tell_waiters();
}

Task<void> NsSession::wait_change(Clock::time_point until) {
  asio::steady_timer timer(executor_, until);
  waiters_.insert(&timer);
  co_await timer.async_wait(as_result);
  waiters_.erase(&timer);
}

void NsSession::tell_waiters() {
  for (asio::steady_timer* timer : waiters_) timer->cancel();
}

void NsSession::disconnect() {
  ready_ = false;
  ++generation_;
  if (connection_) connection_->connection().close();
  wake_.cancel();
}

// --- attach --------------------------------------------------------------------------------------

Task<void> NsSession::run() {
  auto pause = kRetryFirst;
  asio::steady_timer timer(executor_);
  while (!closing_) {
    const Status attached = co_await attach_somewhere();
    if (closing_) break;
    if (!attached) {
      last_failure_ = attached.error();
      // A lease that has passed is over, whether anybody could tell us or not.
      if (attached_.session != 0 &&
          Clock::now() - heard_ > std::chrono::milliseconds(attached_.lease_ms)) {
        attached_.session = 0;
        lose_changes();
        wire::NsAttachReply nobody;
        if (on_attached_) on_attached_(nobody, true);
      }
      tell_waiters();
      timer.expires_after(pause);
      co_await timer.async_wait(as_result);
      pause = std::min(pause * 2, kRetryMost);
      continue;
    }
    pause = kRetryFirst;
    const std::shared_ptr<FrameClient> connection = connection_;
    const Status ended = co_await receive(*connection);
    last_failure_ = ended.error();
    disconnect();
  }
  running_ = false;
}

Task<Status> NsSession::attach_somewhere() {
  std::vector<Endpoint> trackers;
  if (!leader_.empty()) {
    const auto leader = parse_host_port(std::exchange(leader_, {}));
    if (leader) trackers.push_back(Endpoint{leader->host, leader->port});
  }
  for (std::size_t i = 0; i < client_.trackers.size(); ++i) {
    const Address& next = client_.trackers[(next_tracker_ + i) % client_.trackers.size()];
    trackers.push_back(Endpoint{next.host, next.port});
  }
  Error failure(Errc::unavailable, "no tracker is named");
  refused_ = false;
  for (std::size_t i = 0; i < trackers.size() && i < 16; ++i) {
    const Endpoint at = trackers[i];
    const Status attached = co_await attach(at);
    if (attached) co_return Status();
    failure = attached.error();
    failure.detail = at.text() + ": " + failure.detail;
    if (!leader_.empty()) {
      const auto leader = parse_host_port(std::exchange(leader_, {}));
      const Endpoint next = leader ? Endpoint{leader->host, leader->port} : Endpoint();
      if (leader && std::ranges::find(trackers, next) == trackers.end()) trackers.push_back(next);
    }
    refused_ = failure.code == Errc::denied || failure.code == Errc::not_found ||
               failure.code == Errc::unsupported || failure.code == Errc::invalid_argument;
  }
  ++next_tracker_;
  co_return failure;
}

Task<Status> NsSession::attach(Endpoint tracker) {
  if (identity_.failure) co_return *identity_.failure;
  CAIRN_CO_TRY(client, co_await FrameClient::connect(tracker, client_.connect_timeout,
                                                     identity_.client_credentials.tls));
  // An administrator proves the cluster's secret, or a key that may administer; others their access
  // key, or nothing where the tracker serves their address.
  const bool admin = options_.kind == wire::NsSessionKind::admin;
  const auto& hello = admin ? identity_.admin_hello : identity_.client_hello;
  if (hello) {
    wire::Hello said = *hello;
    CAIRN_CO_TRY(greeted, co_await client->hello(
                              std::move(said),
                              admin ? identity_.admin_credentials : identity_.client_credentials,
                              client_.connect_timeout));
    static_cast<void>(greeted);
  }
  wire::NsAttach attach;
  attach.kind = options_.kind;
  attach.session = attached_.session;
  attach.token = attached_.token;
  attach.export_name = options_.export_name;
  attach.label = options_.label;
  attach.trusted_kernel = options_.trusted_kernel;
  attach.read_only = options_.read_only;
  attach.seen = seen_;
  const wire::Bytes body = wire::encode(attach);
  CAIRN_CO_TRY(answer, co_await client->call(wire::kNsAttach, body, client_.network_timeout));
  CAIRN_CO_TRY(reply, wire::decode_lenient<wire::NsAttachReply>(answer));
  if (!reply.leader.empty()) {
    leader_ = reply.leader;
    co_return Error{Errc::unavailable, "the namespace is at " + reply.leader};
  }
  const bool lost = attached_.session != 0 && reply.session != attached_.session;
  const bool fresh = reply.session != attached_.session;
  attached_ = std::move(reply);
  heard_ = Clock::now();
  // Else the events since then come now.
  if (attached_.drop_caches) seen_ = std::max(seen_, attached_.position);
  connection_ = std::move(client);
  connection_->connection().clear_deadline();
  ++generation_;
  if (lost) lose_changes();
  if (fresh) {
    // A new session counts from 1; only questions are left to be sent.
    next_sequence_ = 1;
    unanswered_.clear();
  }
  outbox_.clear();
  later_.clear();
  ready_ = true;
  if (on_attached_) on_attached_(attached_, lost);
  // In the order they were made: the tracker carries them out in the order they come.
  for (const auto& [request, pending] : pending_) send(*pending);
  auto self = shared_from_this();
  spawn(
      executor_,
      [](std::shared_ptr<NsSession> session) -> Task<void> { co_await session->write(); }(self),
      "namespace requests");
  tell_waiters();
  co_return Status();
}

void NsSession::lose_changes() {
  std::vector<std::uint64_t> changes;
  for (const auto& [request, pending] : pending_) {
    if (wire::is_change(pending->op) || pending->op == NsOp::lock || pending->told || closing_)
      changes.push_back(request);
  }
  for (const std::uint64_t request : changes) {
    Error error(Errc::closed, "the session with the tracker was lost");
    error.outcome_unknown = true;
    finish(request, error);
  }
}

// --- the connection ------------------------------------------------------------------------------

void NsSession::send(const Pending& pending) {
  outbox_.push_back(
      wire::make_ns_frame(static_cast<std::uint8_t>(pending.op), 0, pending.head, pending.message));
  wake_.cancel();
}

Task<void> NsSession::write() {
  const std::uint64_t mine = generation_;
  const std::shared_ptr<FrameClient> client = connection_; // a new one may take its place
  while (ready_ && generation_ == mine) {
    if (outbox_.empty() && (later_.empty() || Clock::now() < later_due_)) {
      wake_.expires_at(later_.empty() ? Clock::time_point::max() : later_due_);
      co_await wake_.async_wait(as_result);
      continue;
    }
    // In the order they were made, as far as anybody can tell.
    outbox_.insert(outbox_.begin(), std::make_move_iterator(later_.begin()),
                   std::make_move_iterator(later_.end()));
    later_.clear();
    wire::Bytes together;
    std::size_t count = 0;
    while (count < outbox_.size() && (together.empty() || together.size() < kWriteMax)) {
      together.insert(together.end(), outbox_[count].begin(), outbox_[count].end());
      ++count;
    }
    outbox_.erase(outbox_.begin(), outbox_.begin() + static_cast<std::ptrdiff_t>(count));
    const Status written = co_await client->connection().write(together);
    if (!written) co_return; // the reader sees it too
  }
}

Task<Status> NsSession::receive(FrameClient& client) {
  Connection& connection = client.connection();
  for (;;) {
    // Renewals are answered, so silence means that the tracker or the way to it is gone.
    connection.set_deadline(std::chrono::milliseconds(attached_.lease_ms));
    CAIRN_CO_TRY(header, co_await connection.read_header());
    if (header.body_size > wire::kNsReplyMax)
      co_return Error{Errc::invalid_argument, "an answer that is too long"};
    wire::Bytes body(header.body_size);
    CAIRN_CO_RETURN_IF_ERROR(co_await connection.read_exact(body));
    heard_ = Clock::now();
    CAIRN_CO_TRY(parts, wire::split_ns_body<wire::NsReplyHead>(body));
    if (header.command == static_cast<std::uint8_t>(NsOp::event)) {
      auto events = wire::decode_lenient<wire::NsEvents>(parts.message);
      if (!events) co_return std::move(events).error();
      seen_ = std::max(seen_, parts.head.position);
      if (on_events_) on_events_(parts.head.position, std::move(events->events));
      continue;
    }
    Answer answer;
    answer.status = header.status;
    answer.position = parts.head.position;
    answer.body.assign(parts.message.begin(), parts.message.end());
    take_answer(parts.head.request, std::move(answer));
  }
}

void NsSession::take_answer(std::uint64_t request, Answer answer) {
  const auto found = pending_.find(request);
  if (found == pending_.end()) return; // given up
  Pending& pending = *found->second;
  // A lock that is held elsewhere answers EAGAIN too, and means it.
  if (answer.status == EAGAIN && pending.op != NsOp::lock) {
    spawn(
        executor_,
        [](std::shared_ptr<NsSession> session, std::uint64_t which) -> Task<void> {
          co_await session->retry_later(which);
        }(shared_from_this(), request),
        "namespace retry");
    return;
  }
  finish(request, std::move(answer));
}

Task<void> NsSession::retry_later(std::uint64_t request) {
  const std::uint64_t mine = generation_;
  asio::steady_timer timer(executor_);
  timer.expires_after(kNoLeaderPause);
  co_await timer.async_wait(as_result);
  const auto found = pending_.find(request);
  // A new connection has sent it already.
  if (found == pending_.end() || !ready_ || generation_ != mine) co_return;
  send(*found->second);
}

Task<void> NsSession::renew() {
  while (!closing_) {
    renewal_.expires_after(std::chrono::milliseconds(
        attached_.lease_ms == 0 ? 1000 : std::max(attached_.lease_ms / 5, 200U)));
    co_await renewal_.async_wait(as_result);
    if (closing_ || !ready_) continue;
    const std::chrono::milliseconds most(attached_.lease_ms);
    static_cast<void>(co_await call(NsOp::renew, NsIdentity(), wire::Bytes(), most));
  }
}

// --- calls ---------------------------------------------------------------------------------------

void NsSession::finish(std::uint64_t request, Result<Answer> answer) {
  const auto found = pending_.find(request);
  if (found == pending_.end()) return;
  const std::shared_ptr<Pending> pending = found->second;
  pending_.erase(found);
  if (pending->head.sequence != 0) {
    unanswered_.erase(pending->head.sequence);
    tell_waiters();
  }
  pending->answer = std::move(answer);
  pending->finished = true;
  pending->done.cancel();
}

bool NsSession::has_unread() const {
  if (connection_ == nullptr || !connection_->connection().is_open()) return false;
  char first = 0;
  return ::recv(connection_->connection().socket().native_handle(), &first, 1,
                MSG_PEEK | MSG_DONTWAIT) > 0;
}

std::shared_ptr<NsSession::Pending> NsSession::make_pending(NsOp op, NsIdentity who,
                                                            wire::Bytes message) {
  auto pending = std::make_shared<Pending>(executor_);
  pending->op = op;
  pending->head.request = next_request_++;
  pending->head.uid = who.uid;
  pending->head.gid = who.gid;
  pending->head.groups = std::move(who.groups);
  pending->head.flags = who.flags;
  pending->message = std::move(message);
  return pending;
}

void NsSession::tell(NsOp op, NsIdentity who, wire::Bytes message) {
  if (closing_) return;
  const auto pending = make_pending(op, std::move(who), std::move(message));
  pending->head.flags |= wire::kNsNoHurry;
  pending->told = true;
  pending_.emplace(pending->head.request, pending);
  if (!ready_) return;
  if (later_.empty()) {
    later_due_ = Clock::now() + kNoHurry;
    wake_.cancel();
  }
  later_.push_back(
      wire::make_ns_frame(static_cast<std::uint8_t>(op), 0, pending->head, pending->message));
}

Task<Result<NsSession::Answer>> NsSession::call(NsOp op, NsIdentity who, wire::Bytes message,
                                                Timeout timeout,
                                                std::shared_ptr<std::uint64_t> number) {
  auto self = shared_from_this();
  const bool change = wire::is_change(op);
  const auto most = timeout.value.count() > 0 ? timeout.value : client_.operation_timeout;
  const auto end = most.count() > 0 ? Clock::now() + most : Clock::time_point::max();
  // Before the first attach there is no session to count in, and no more changes than the tracker
  // keeps answers for may be on their way.
  while (!closing_ &&
         (attached_.session == 0 || (change && !unanswered_.empty() &&
                                     next_sequence_ >= *unanswered_.begin() + wire::kNsWindow))) {
    if (Clock::now() >= end) co_return out_of_time(last_failure_);
    co_await wait_change(end);
  }
  if (closing_) co_return Error{Errc::closed, "the session was closed"};
  const auto pending = make_pending(op, std::move(who), std::move(message));
  if (change) {
    pending->head.sequence = next_sequence_++;
    if (on_change_) on_change_(pending->head.sequence);
    unanswered_.insert(pending->head.sequence);
  }
  const std::uint64_t request = pending->head.request;
  pending_.emplace(request, pending);
  if (number) *number = request;
  if (ready_) send(*pending);
  while (!pending->finished) {
    pending->done.expires_at(end);
    co_await pending->done.async_wait(as_result);
    if (pending->finished || Clock::now() < end) continue;
    Error error = out_of_time(last_failure_);
    error.outcome_unknown = change;
    finish(request, error);
  }
  co_return std::move(pending->answer);
}

void NsSession::cancel(std::uint64_t number) {
  spawn(
      executor_,
      [](std::shared_ptr<NsSession> session, std::uint64_t which) -> Task<void> {
        wire::NsCancel cancel;
        cancel.request = which;
        wire::Bytes message = wire::encode(cancel);
        const std::chrono::seconds soon(10);
        static_cast<void>(
            co_await session->call(NsOp::cancel, NsIdentity(), std::move(message), soon));
      }(shared_from_this(), number),
      "namespace cancel");
}

} // namespace cairn
