// A session of the namespace protocol (common/wire/namespace.h): one connection to the tracker that
// leads, many requests at once, made again when it breaks. A request whose answer was lost is sent
// again with its sequence number, so that a change is made exactly once. Lives on one io_context;
// every function is called on its thread.
#pragma once

#include "cairn/types.h"
#include "client/identity.h"
#include "client/retry.h"
#include "common/net/frame_client.h"
#include "common/wire/namespace_admin.h"

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

namespace cairn {

// Who asks.
struct NsIdentity {
  std::uint32_t uid = 0;
  std::uint32_t gid = 0;
  std::vector<std::uint32_t> groups;
  std::uint32_t flags = 0; // wire::kNsChecked, kNsWatch, kNsOpened

  NsIdentity() {}
};

class NsSession : public std::enable_shared_from_this<NsSession> {
public:
  struct Options {
    wire::NsSessionKind kind = wire::NsSessionKind::client;
    std::string export_name; // "": all exports
    std::string label;
    bool trusted_kernel = false;
    bool read_only = false;

    Options() {}
  };
  // What the tracker answered, errno or not.
  struct Answer {
    std::uint8_t status = 0;
    wire::Bytes body;
    std::uint64_t position = 0;
  };
  using OnEvents = std::function<void(std::uint64_t position, std::vector<wire::NsEvent>)>;
  using OnAttached = std::function<void(const wire::NsAttachReply&, bool lost)>;

  NsSession(asio::io_context& io, ClientOptions client, Options options);
  ~NsSession();

  // Goes on with the session of another process that has ended: what its last attach answered, the
  // number of its last change, and the log position up to which the events it was sent were seen
  // to. Called before open(); requests may be made at once, and wait for the attach.
  void resume(wire::NsAttachReply attached, std::uint64_t sequence, std::uint64_t seen);
  // Told the number of each change before it is sent: for whoever will resume.
  void on_change(std::function<void(std::uint64_t sequence)> handler) {
    on_change_ = std::move(handler);
  }

  // Connects for the first time. Errors: unavailable, timeout, denied, not_found (no such export).
  Task<Status> open(Timeout timeout);
  // Says goodbye: locks and opens go at once. Nothing may be called after it.
  Task<void> close();

  // Events pushed by the tracker, in order. Called on the loop; must not block.
  void on_events(OnEvents handler) { on_events_ = std::move(handler); }
  // After each attach. `lost`: the former session is over, with its opens and locks, and every
  // change that was unanswered has failed. Opens and locks are to be told again when the reply
  // says `reclaim`.
  void on_attached(OnAttached handler) { on_attached_ = std::move(handler); }

  // One request. Errors: timeout and unavailable (nobody answered in time; outcome_unknown for a
  // change), closed (the session was lost: the change may have happened). `number`, if there is
  // one, gets the number to cancel() a waiting lock by.
  Task<Result<Answer>> call(wire::NsOp op, NsIdentity who, wire::Bytes message, Timeout timeout,
                            std::shared_ptr<std::uint64_t> number = {});
  // A request that nobody waits for, and that may wait for another one to be sent with, but not for
  // long. It is sent until it is answered, or the session is lost.
  void tell(wire::NsOp op, NsIdentity who, wire::Bytes message);
  // Gives up a lock that waits: its call answers EINTR, unless it was granted a moment ago.
  void cancel(std::uint64_t number);

  // The same, decoded. An errno becomes the Error's code, with the tracker's words.
  template <class Reply, class Request>
  Task<Result<Reply>> ask(wire::NsOp op, NsIdentity who, Request request, Timeout timeout) {
    wire::Bytes message = wire::encode(request);
    auto answer = co_await call(op, std::move(who), std::move(message), timeout);
    if (!answer) co_return std::move(answer).error();
    if (answer->status != 0)
      co_return Error{static_cast<Errc>(answer->status), std::string(wire::as_text(answer->body))};
    co_return wire::decode_lenient<Reply>(answer->body);
  }

  // What the last attach answered.
  const wire::NsAttachReply& attached() const { return attached_; }
  bool connected() const { return ready_; }
  // Whether something has come from the tracker that nobody has looked at yet.
  bool has_unread() const;
  // When the tracker was heard of last: every event it had sent before that has been told.
  std::chrono::steady_clock::time_point heard() const { return heard_; }
  std::uint64_t number() const { return attached_.session; }

private:
  struct Pending {
    explicit Pending(const asio::any_io_executor& executor) : done(executor) {}
    wire::NsOp op = wire::NsOp::renew;
    wire::NsHead head;
    wire::Bytes message;
    Result<Answer> answer = Errc::unavailable;
    bool finished = false;
    bool again = false; // the tracker had no leader: send it once more
    bool told = false;  // by tell()
    asio::steady_timer done;
  };

  Task<void> run();
  Task<Status> attach_somewhere();
  Task<Status> attach(Endpoint tracker);
  Task<Status> receive(FrameClient& client);
  Task<void> write();
  Task<void> renew();
  Task<void> retry_later(std::uint64_t request);
  void take_answer(std::uint64_t request, Answer answer);
  void send(const Pending& pending);
  std::shared_ptr<Pending> make_pending(wire::NsOp op, NsIdentity who, wire::Bytes message);
  void finish(std::uint64_t request, Result<Answer> answer);
  void lose_changes();
  void disconnect();
  // Waits until the session is attached, a sequence number is free again, it was closed, or
  // `until`.
  Task<void> wait_change(std::chrono::steady_clock::time_point until);
  void tell_waiters();

  asio::any_io_executor executor_;
  ClientOptions client_;
  Identity identity_;
  Options options_;
  OnEvents on_events_;
  OnAttached on_attached_;
  std::function<void(std::uint64_t)> on_change_;

  std::shared_ptr<FrameClient> connection_;
  std::uint64_t generation_ = 0; // of connections
  wire::NsAttachReply attached_;
  bool ready_ = false;
  bool closing_ = false;
  bool running_ = false;
  bool writing_ = false;
  Error last_failure_{Errc::unavailable};
  bool refused_ = false; // the last attach was answered with a refusal that waiting does not mend
  std::uint64_t seen_ = 0;
  std::chrono::steady_clock::time_point heard_;
  std::size_t next_tracker_ = 0;
  std::string leader_;

  std::uint64_t next_request_ = 1;
  std::uint64_t next_sequence_ = 1;
  std::map<std::uint64_t, std::shared_ptr<Pending>> pending_; // by request
  std::set<std::uint64_t> unanswered_;                        // sequence numbers
  std::vector<wire::Bytes> outbox_;
  std::vector<wire::Bytes> later_; // go with those, or alone when it is time
  std::chrono::steady_clock::time_point later_due_;
  asio::steady_timer wake_;    // something to write, or the connection has changed
  asio::steady_timer renewal_; // until the next sign of life
  // Each has its own timer: one that several arm would wake the others each time.
  std::set<asio::steady_timer*> waiters_;
};

} // namespace cairn
