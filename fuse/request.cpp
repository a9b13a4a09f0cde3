// Answers.
#include "fuse/request.h"

#include <fuse_lowlevel.h>

#include <cerrno>
#include <utility>

namespace cairn::fuse {

Request::~Request() {
  if (request_ != nullptr) error(EIO);
}

NsIdentity Request::opened() const {
  NsIdentity who = who_;
  who.flags |= wire::kNsOpened;
  return who;
}

fuse_req* Request::take() {
  on_interrupt_ = {};
  if (request_ != nullptr) answered_ = Clock::now();
  return std::exchange(request_, nullptr);
}

void Request::error(int number) {
  if (fuse_req* request = take()) {
    failure_ = number;
    fuse_reply_err(request, number);
  }
}

void Request::interrupt() {
  if (on_interrupt_) std::exchange(on_interrupt_, {})();
}

int errno_of(const Error& error) {
  switch (error.code) {
    case Errc::unavailable:
    case Errc::corrupt:
    case Errc::no_net:
    case Errc::closed:
    case Errc::timeout:
    case Errc::already:
      return EIO;
    default:
      return static_cast<int>(error.code);
  }
}

} // namespace cairn::fuse
