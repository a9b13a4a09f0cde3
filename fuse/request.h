// One question of the kernel, answered exactly once: also when its caller was killed meanwhile, and
// when our own code forgets it.
#pragma once

#include "client/namespace_session.h"

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <utility>

struct fuse_req;

namespace cairn::fuse {

class Request {
public:
  using Clock = std::chrono::steady_clock;

  // `operation` is a literal: what the kernel asks for, as libfuse calls it.
  Request(fuse_req* request, const char* operation, NsIdentity who)
      : request_(request), operation_(operation), who_(std::move(who)) {}
  ~Request();
  Request(const Request&) = delete;
  Request& operator=(const Request&) = delete;

  const char* operation() const { return operation_; }
  Clock::time_point asked() const { return asked_; }
  // From question to answer, or until now.
  Clock::duration took() const { return (answered() ? answered_ : Clock::now()) - asked_; }
  // The errno that was answered; 0 also before.
  int failure() const { return failure_; }
  // For the log of slow ones: what an answer depends on just now, as a literal.
  const char* waits_for() const { return waits_for_; }
  void wait_for(const char* what) { waits_for_ = what; }
  // True the first time: a slow one is told of once while it hangs.
  bool tell_slow() { return !std::exchange(told_slow_, true); }

  // Who asks, for the tracker.
  const NsIdentity& who() const { return who_; }
  // The caller has an open handle: the file's own permissions are not asked again.
  NsIdentity opened() const;

  bool answered() const { return request_ == nullptr; }
  // To measure entries by; nullptr once answered.
  fuse_req* peek() const { return request_; }
  // To answer by: libfuse's handle, or nullptr when it has been answered already.
  fuse_req* take();
  // Answers an errno; 0 is success without more.
  void error(int number);

  // The caller has got a signal. `handler` is called on the loop, at most once.
  void on_interrupt(std::function<void()> handler) { on_interrupt_ = std::move(handler); }
  void interrupt();

private:
  fuse_req* request_;
  const char* operation_;
  const Clock::time_point asked_ = Clock::now();
  Clock::time_point answered_;
  const char* waits_for_ = "the tracker";
  int failure_ = 0;
  bool told_slow_ = false;
  NsIdentity who_;
  std::function<void()> on_interrupt_;
};

using Ask = std::shared_ptr<Request>;

// What Request::wait_for() takes.
inline constexpr const char* kWaitsForStorage = "a storage node";
inline constexpr const char* kWaitsForStoring = "the storing of what was written";
inline constexpr const char* kWaitsForLock = "a lock";
inline constexpr const char* kWaitsForTracker = "the tracker";

// The errno a caller is told for a failure of ours. What a tracker answered is an errno already;
// silence and broken connections are EIO.
int errno_of(const Error& error);

} // namespace cairn::fuse
