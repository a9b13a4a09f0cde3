// One question of the kernel, answered exactly once: also when its caller was killed meanwhile, and
// when our own code forgets it.
#pragma once

#include "client/namespace_session.h"

#include <cstdint>
#include <functional>
#include <memory>

struct fuse_req;

namespace cairn::fuse {

class Request {
public:
  Request(fuse_req* request, NsIdentity who) : request_(request), who_(std::move(who)) {}
  ~Request();
  Request(const Request&) = delete;
  Request& operator=(const Request&) = delete;

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
  NsIdentity who_;
  std::function<void()> on_interrupt_;
};

using Ask = std::shared_ptr<Request>;

// The errno a caller is told for a failure of ours. What a tracker answered is an errno already;
// silence and broken connections are EIO.
int errno_of(const Error& error);

} // namespace cairn::fuse
