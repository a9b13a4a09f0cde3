// fork(2), waitpid(2), and one descriptor that must not be closed.
#include "fuse/supervisor.h"

#include <fuse_lowlevel.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <fstream>
#include <poll.h>
#include <string>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include <vector>

namespace cairn::fuse {

namespace {

// What a worker says. The answer to kMount is a byte with the descriptor, or without: it failed.
constexpr char kMount = 'm';
constexpr char kReady = 'r';
constexpr char kEnding = 'e';

// One that lives shorter is followed by a pause, which grows.
constexpr std::chrono::seconds kShortLife{1};
constexpr std::chrono::milliseconds kPauseFirst{50};
constexpr std::chrono::milliseconds kPauseMost{5000};
// How long after SIGCONT the worker is told too, and how often (ms).
constexpr std::chrono::seconds kThaw{3};
constexpr int kThawEvery = 200;
// Workers that may die before the mount has answered for the first time.
constexpr std::uint32_t kStartTries = 3;
constexpr int kFailed = 6; // as all programs of Cairn: unavailable

void send_descriptor(int socket, int fd) {
  char byte = 'k';
  iovec part{&byte, 1};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control{};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  if (fd >= 0) {
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    cmsghdr* const header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof fd);
    std::memcpy(CMSG_DATA(header), &fd, sizeof fd);
  }
  static_cast<void>(::sendmsg(socket, &message, MSG_NOSIGNAL));
}

int receive_descriptor(int socket) {
  char byte = 0;
  iovec part{&byte, 1};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control{};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  ssize_t count = 0;
  do {
    count = ::recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
  } while (count < 0 && errno == EINTR);
  const cmsghdr* const header = count > 0 ? CMSG_FIRSTHDR(&message) : nullptr;
  int fd = -1;
  if (header != nullptr && header->cmsg_type == SCM_RIGHTS)
    std::memcpy(&fd, CMSG_DATA(header), sizeof fd);
  return fd;
}

} // namespace

Descriptor::~Descriptor() {
  if (fd_ >= 0) ::close(fd_);
}

Descriptor& Descriptor::operator=(Descriptor&& other) noexcept {
  if (this != &other) {
    if (fd_ >= 0) ::close(fd_);
    fd_ = other.release();
  }
  return *this;
}

::fuse_session* make_fuse_session(const MountOptions& options,
                                  const ::fuse_lowlevel_ops& operations, void* userdata) {
  std::vector<std::string> words{"cairn-mount"};
  for (const std::string& option : options.kernel) {
    words.emplace_back("-o");
    words.push_back(option);
  }
  std::vector<char*> pointers;
  for (std::string& word : words) pointers.push_back(word.data());
  fuse_args arguments{};
  arguments.argc = static_cast<int>(pointers.size());
  arguments.argv = pointers.data();
  ::fuse_session* const session =
      fuse_session_new(&arguments, &operations, sizeof operations, userdata);
  fuse_opt_free_args(&arguments);
  return session;
}

// --- the worker's end ----------------------------------------------------------------------------

void SupervisorLink::say(char what) {
  // Without a supervisor nobody listens, and the worker goes on.
  static_cast<void>(::send(socket_.get(), &what, 1, MSG_NOSIGNAL));
}

Result<int> SupervisorLink::mount() {
  if (kernel_.get() >= 0) return kernel_.release();
  say(kMount);
  const int fd = receive_descriptor(socket_.get());
  if (fd < 0) return Error{Errc::unavailable, "it cannot be mounted"};
  return fd;
}

void SupervisorLink::ready() {
  say(kReady);
}

void SupervisorLink::ending() {
  say(kEnding);
}

void SupervisorLink::stop_with_supervisor() const {
  if (::getppid() != supervisor_) return;
  std::ifstream file("/proc/" + std::to_string(supervisor_) + "/stat");
  std::string line;
  std::getline(file, line);
  // "PID (NAME) STATE …"
  const std::size_t at = line.rfind(')');
  if (at != std::string::npos && at + 2 < line.size() && line[at + 2] == 'T')
    ::kill(::getpid(), SIGSTOP);
}

// --- the supervisor ------------------------------------------------------------------------------

Supervisor::Supervisor(const MountOptions& options, Work work, std::function<void()> on_ready)
    : options_(options), work_(std::move(work)), on_ready_(std::move(on_ready)) {}

Supervisor::~Supervisor() {
  if (session_ == nullptr) return;
  fuse_session_unmount(session_);
  fuse_session_destroy(session_);
}

int Supervisor::run() {
  auto record = make_record();
  const fuse_lowlevel_ops nothing{};
  session_ = make_fuse_session(options_, nothing, nullptr);
  if (!record || session_ == nullptr) return kFailed;
  record_ = *std::move(record);
  sigset_t ours;
  ::sigemptyset(&ours);
  for (const int number : {SIGCHLD, SIGCONT, SIGTERM, SIGINT, SIGHUP}) ::sigaddset(&ours, number);
  ::sigprocmask(SIG_BLOCK, &ours, &before_);
  signals_ = Descriptor(::signalfd(-1, &ours, SFD_CLOEXEC | SFD_NONBLOCK));

  while (status_ < 0) {
    if (worker_ < 0 && Clock::now() >= restart_ && !start()) {
      pause_ = kPauseMost;
      restart_ = Clock::now() + pause_;
    }
    int wait = -1;
    if (worker_ > 0 && Clock::now() < thaw_until_) {
      ::kill(worker_, SIGCONT);
      wait = kThawEvery;
    }
    if (worker_ < 0) {
      const auto left =
          std::chrono::duration_cast<std::chrono::milliseconds>(restart_ - Clock::now());
      wait = static_cast<int>(std::max<std::int64_t>(left.count(), 0)) + 1;
    }
    std::array<pollfd, 2> watched{pollfd{signals_.get(), POLLIN, 0},
                                  pollfd{worker_ < 0 ? -1 : socket_.get(), POLLIN, 0}};
    static_cast<void>(::poll(watched.data(), watched.size(), wait));
    if ((watched[1].revents & POLLIN) != 0) take_messages();
    take_signals();
  }
  return status_;
}

bool Supervisor::start() {
  std::array<int, 2> ends{-1, -1};
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends.data()) != 0) return false;
  Descriptor ours(ends[0]);
  Descriptor theirs(ends[1]);
  ++record_->worker;
  const pid_t self = ::getpid();
  const pid_t child = ::fork();
  if (child < 0) return false;
  if (child == 0) {
    int status = kFailed;
    {
      ours = Descriptor();
      socket_ = Descriptor();
      signals_ = Descriptor();
      ::sigprocmask(SIG_SETMASK, &before_, nullptr);
      const int kernel = mounted_ ? ::fcntl(fuse_session_fd(session_), F_DUPFD_CLOEXEC, 0) : -1;
      SupervisorLink link(*record_, theirs.release(), kernel, self);
      try {
        status = work_(link);
      } catch (const std::exception& error) {
        std::fprintf(stderr, "cairn-mount: %s\n", error.what());
      }
    }
    std::exit(status);
  }
  worker_ = child;
  socket_ = std::move(ours);
  started_ = Clock::now();
  ready_ = false;
  return true;
}

void Supervisor::take_messages() {
  char what = 0;
  while (::recv(socket_.get(), &what, 1, MSG_DONTWAIT) == 1) {
    if (what == kMount) {
      mount();
    } else if (what == kEnding) {
      ending_ = true;
    } else if (what == kReady) {
      ready_ = true;
      if (on_ready_) std::exchange(on_ready_, nullptr)();
    }
  }
}

void Supervisor::mount() {
  if (!mounted_) mounted_ = fuse_session_mount(session_, options_.directory.c_str()) == 0;
  send_descriptor(socket_.get(), mounted_ ? fuse_session_fd(session_) : -1);
}

void Supervisor::take_signals() {
  signalfd_siginfo signal{};
  while (::read(signals_.get(), &signal, sizeof signal) == static_cast<ssize_t>(sizeof signal)) {
    if (signal.ssi_signo == SIGCONT) {
      // It may be about to stop: once is not enough.
      thaw_until_ = Clock::now() + kThaw;
    } else if (signal.ssi_signo != SIGCHLD) {
      ending_ = true;
      if (worker_ > 0)
        ::kill(worker_, static_cast<int>(signal.ssi_signo));
      else
        status_ = kFailed;
    }
  }
  int status = 0;
  if (worker_ > 0 && ::waitpid(worker_, &status, WNOHANG) == worker_) worker_died(status);
}

bool Supervisor::is_unmounted() const {
  // The kernel says so of a descriptor whose mount is gone.
  pollfd kernel{fuse_session_fd(session_), 0, 0};
  return ::poll(&kernel, 1, 0) == 1 && (kernel.revents & POLLERR) != 0;
}

void Supervisor::worker_died(int status) {
  take_messages(); // its last words
  worker_ = -1;
  // Whoever started us is not kept waiting for ever.
  const bool hopeless = on_ready_ && record_->worker >= kStartTries;
  const bool by_signal = WIFSIGNALED(status);
  if (ending_ || !mounted_ || hopeless || is_unmounted()) {
    status_ = by_signal ? kFailed : WEXITSTATUS(status);
    if (by_signal)
      spdlog::error("the worker was killed, nobody takes over signal={}", WTERMSIG(status));
    return;
  }
  const bool short_life = Clock::now() - started_ < kShortLife;
  pause_ =
      short_life ? std::clamp(pause_ * 2, kPauseFirst, kPauseMost) : std::chrono::milliseconds(0);
  restart_ = Clock::now() + pause_;
  spdlog::error("the worker died, another one takes over {}={} pause_ms={}",
                by_signal ? "signal" : "status", by_signal ? WTERMSIG(status) : WEXITSTATUS(status),
                pause_.count());
}

} // namespace cairn::fuse
