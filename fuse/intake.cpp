// Wait, read until there is nothing more, wait.
#include "fuse/intake.h"

#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <fuse_lowlevel.h>
#include <spdlog/spdlog.h>

#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>

namespace cairn::fuse {

namespace {

// Questions that are taken before answers have their turn.
constexpr int kTogether = 32;
// Until one of those that are open has been answered.
constexpr std::chrono::milliseconds kFullPause{1};

// libfuse's buffer for one question; it allocates it itself.
struct Buffer {
  Buffer() = default;
  ~Buffer() { std::free(part.mem); }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  fuse_buf part{};
};

} // namespace

Intake::Intake(asio::io_context& io, fuse_session* session, const Channel& channel)
    : io_(io),
      session_(session),
      channel_(channel),
      kernel_(io),
      signals_(io, SIGTERM, SIGINT, SIGHUP) {}

Task<int> Intake::run() {
  const int fd = fuse_session_fd(session_);
  const int flags = ::fcntl(fd, F_GETFL);
  // A question can be taken back by the kernel between the waiting and the reading.
  if (flags < 0 || ::fcntl(fd, F_SETFL, flags | O_NONBLOCK) != 0) co_return -errno;
  const int copy = ::fcntl(fd, F_DUPFD_CLOEXEC, 0);
  if (copy < 0) co_return -errno;
  kernel_.assign(copy);
  spawn(io_.get_executor(), watch_signals(), "signals");
  const int ended = co_await take();
  boost::system::error_code ignored;
  kernel_.close(ignored);
  signals_.cancel(ignored);
  co_return signal_ != 0 ? signal_ : ended;
}

Task<void> Intake::watch_signals() {
  // A second one must not end the program before it has stored what was written: they are caught
  // for as long as this lives, and count once.
  auto [error, number] = co_await signals_.async_wait(as_result);
  if (error) co_return;
  signal_ = number;
  fuse_session_exit(session_);
  boost::system::error_code ignored;
  kernel_.cancel(ignored);
}

Task<int> Intake::take() {
  const auto executor = io_.get_executor();
  asio::steady_timer timer(executor);
  Buffer buffer;
  int together = 0;
  while (fuse_session_exited(session_) == 0) {
    const int got = fuse_session_receive_buf(session_, &buffer.part);
    if (got > 0) {
      fuse_session_process_buf(session_, &buffer.part);
      if (++together < kTogether) continue;
      together = 0;
      co_await asio::post(executor, asio::use_awaitable);
    } else if (got == -EAGAIN && channel_.is_full()) {
      timer.expires_after(kFullPause);
      co_await timer.async_wait(as_result);
    } else if (got == -EAGAIN) {
      together = 0;
      static_cast<void>(co_await kernel_.async_wait(kernel_.wait_read, as_result));
    } else if (got < 0 && got != -EINTR) {
      spdlog::error("the kernel's descriptor fails error={}", std::strerror(-got));
      co_return got;
    }
  }
  co_return 0;
}

} // namespace cairn::fuse
