// Keeps a mount alive over the death of the process that serves it. The supervisor is the process
// that cairn-mount was started as; it holds the kernel's descriptor and the record, does nothing
// that can crash, and forks a worker, and another one when that is killed. What a worker does is in
// main.cpp.
#pragma once

#include "common/base/result.h"
#include "fuse/options.h"
#include "fuse/record.h"

#include <chrono>
#include <csignal>
#include <functional>
#include <memory>
#include <sys/types.h>
#include <utility>

struct fuse_lowlevel_ops;
struct fuse_session;

namespace cairn::fuse {

// A socket, closed in the end.
class Descriptor {
public:
  explicit Descriptor(int fd = -1) : fd_(fd) {}
  ~Descriptor();
  Descriptor(Descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Descriptor& operator=(Descriptor&& other) noexcept;
  int get() const { return fd_; }
  int release() { return std::exchange(fd_, -1); }

private:
  int fd_;
};

// The worker's end.
class SupervisorLink {
public:
  SupervisorLink(Record& record, int socket, int kernel, pid_t supervisor)
      : record_(record), socket_(socket), kernel_(kernel), supervisor_(supervisor) {}

  Record& record() { return record_; }
  // The first worker has nothing mounted yet.
  bool first() const { return record_.worker == 1; }
  // The kernel's descriptor, the caller's from now on. The first worker's call mounts. Errors:
  // unavailable (it cannot be mounted; libfuse has said why).
  Result<int> mount();
  // The kernel's first question is answered.
  void ready();
  // The end that comes now is meant: unmounted, or told to.
  void ending();
  // Who stops the process that was started (SIGSTOP) means the mount: when that is stopped this
  // stops the worker too, and returns when both go on. To be called now and then.
  void stop_with_supervisor() const;

private:
  void say(char what);

  Record& record_;
  Descriptor socket_;
  Descriptor kernel_;
  pid_t supervisor_;
};

class Supervisor {
public:
  // Runs in the worker; answers its exit status.
  using Work = std::function<int(SupervisorLink&)>;

  // `on_ready` is called once, when the mount answers.
  Supervisor(const MountOptions& options, Work work, std::function<void()> on_ready);
  ~Supervisor();

  // Starts the first worker and watches over it until the mount is over, or SIGTERM, SIGINT or
  // SIGHUP tells it to end. Answers the exit status: that of the worker that ended as it should. In
  // a worker it does not return.
  int run();

private:
  using Clock = std::chrono::steady_clock;

  bool start();
  void take_signals();
  void take_messages();
  void mount();
  void worker_died(int status);
  bool is_unmounted() const;

  const MountOptions& options_;
  Work work_;
  std::function<void()> on_ready_;
  SharedRecord record_;
  ::fuse_session* session_ = nullptr; // only to mount and to unmount
  sigset_t before_{};
  Descriptor signals_;
  Descriptor socket_; // to the worker
  pid_t worker_ = -1;
  bool mounted_ = false;
  bool ready_ = false;  // of the worker that runs
  bool ending_ = false; // it is meant to end
  int status_ = -1;     // of the end; -1: not yet
  Clock::time_point started_;
  std::chrono::milliseconds pause_{0}; // before the next worker
  Clock::time_point restart_;
  Clock::time_point thaw_until_; // a worker that has stopped with us is told to go on
};

// libfuse's session for what was asked of mount(8), not mounted; `userdata` is for `operations`.
// nullptr: libfuse has said why.
::fuse_session* make_fuse_session(const MountOptions& options,
                                  const ::fuse_lowlevel_ops& operations, void* userdata);

} // namespace cairn::fuse
