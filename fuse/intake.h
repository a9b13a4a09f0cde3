// Takes the kernel's questions on the loop that answers them, so that no thread has to wake another
// one for each: on a mount that is mostly idle such a waking costs more than the question.
#pragma once

#include "common/net/task.h"
#include "fuse/channel.h"

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/signal_set.hpp>

struct fuse_session;

namespace cairn::fuse {

class Intake {
public:
  // `session` is mounted, reads by `channel`, and calls operations that wait for nothing. All of
  // them outlive run().
  Intake(asio::io_context& io, fuse_session* session, const Channel& channel);

  // Hands questions to libfuse until the mount is gone (answers 0), SIGTERM, SIGINT or SIGHUP has
  // come (its number), or the kernel's descriptor fails (an errno, negative). Once, on the loop.
  Task<int> run();

private:
  Task<int> take();
  Task<void> watch_signals();

  asio::io_context& io_;
  fuse_session* session_;
  const Channel& channel_;
  asio::posix::stream_descriptor kernel_; // a copy, to wait by
  asio::signal_set signals_;
  int signal_ = 0; // that has come
};

} // namespace cairn::fuse
