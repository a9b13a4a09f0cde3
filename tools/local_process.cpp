// Processes and small files.
#include "tools/local_process.h"

#include "common/base/text.h"
#include "common/base/write_all.h"

#include <arpa/inet.h>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>
#include <vector>

namespace cairn::tools {

namespace {

constexpr std::size_t kSmallFileMax = 1024 * 1024;
constexpr std::size_t kTailBytes = 16 * 1024;
constexpr std::chrono::milliseconds kPoll{20};

class Descriptor {
public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() { reset(); }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return fd_; }
  void reset() {
    if (fd_ >= 0) ::close(fd_);
    fd_ = -1;
  }

private:
  int fd_;
};

std::optional<ProcessStat> stat_of(pid_t pid) {
  const auto text = read_small_file("/proc/" + std::to_string(pid) + "/stat");
  if (!text) return std::nullopt;
  return parse_process_stat(*text);
}

// In the child, after fork: only async-signal-safe calls. Does not return.
[[noreturn]] void become_daemon(const char* program, char* const* argv, int null_fd, int log_fd,
                                int failure_fd) {
  ::setsid();
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  ::signal(SIGPIPE, SIG_DFL);
  if (::dup2(null_fd, STDIN_FILENO) >= 0 && ::dup2(log_fd, STDOUT_FILENO) >= 0 &&
      ::dup2(log_fd, STDERR_FILENO) >= 0 && ::dup2(failure_fd, STDERR_FILENO + 1) >= 0 &&
      ::chdir("/") == 0) {
    ::fcntl(STDERR_FILENO + 1, F_SETFD, FD_CLOEXEC);
    ::close_range(STDERR_FILENO + 2, ~0U, 0);
    ::execv(program, argv);
  }
  const int error = errno;
  [[maybe_unused]] const ssize_t told = ::write(STDERR_FILENO + 1, &error, sizeof error);
  ::_exit(127);
}

} // namespace

std::string pid_text(const ProcessRef& process) {
  return std::to_string(process.pid) + " " + std::to_string(process.start_ticks) + "\n";
}

std::optional<ProcessRef> parse_pid_text(std::string_view text) {
  const auto parts = split(trim(text), ' ');
  if (parts.size() != 2) return std::nullopt;
  const auto pid = parse_u64(parts[0]);
  const auto ticks = parse_u64(parts[1]);
  if (!pid || !ticks || *pid < 2 || *pid > 0x7FFF'FFFF) return std::nullopt;
  return ProcessRef{static_cast<pid_t>(*pid), *ticks};
}

std::optional<ProcessStat> parse_process_stat(std::string_view text) {
  const std::size_t end = text.rfind(')');
  if (end == std::string_view::npos || end + 2 >= text.size()) return std::nullopt;
  const auto fields = split(trim(text.substr(end + 2)), ' ');
  constexpr std::size_t kStart = 22 - 3; // numbered from 1; the state is the third
  if (fields.size() <= kStart || fields[0].size() != 1) return std::nullopt;
  const auto ticks = parse_u64(fields[kStart]);
  if (!ticks) return std::nullopt;
  return ProcessStat{fields[0][0], *ticks};
}

bool is_running(const ProcessRef& process) {
  const auto stat = stat_of(process.pid);
  return stat && stat->start_ticks == process.start_ticks && stat->state != 'Z' &&
         stat->state != 'X';
}

std::optional<ProcessRef> running_process(const std::filesystem::path& pid_file) {
  const auto text = read_small_file(pid_file);
  if (!text) return std::nullopt;
  const auto process = parse_pid_text(*text);
  if (!process || !is_running(*process)) return std::nullopt;
  return process;
}

Result<ProcessRef> start_daemon(const std::filesystem::path& program, const std::string& argument,
                                const std::filesystem::path& log_file) {
  // Above the numbers the child rearranges.
  const auto high = [](int fd) {
    if (fd < 0) return fd;
    const int moved = ::fcntl(fd, F_DUPFD_CLOEXEC, 10);
    ::close(fd);
    return moved;
  };
  const Descriptor null(high(::open("/dev/null", O_RDONLY | O_CLOEXEC)));
  const Descriptor log(
      high(::open(log_file.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644)));
  if (null.get() < 0 || log.get() < 0) return errno_error("open " + log_file.string(), errno);
  std::array<int, 2> pipe_fds{};
  if (::pipe2(pipe_fds.data(), O_CLOEXEC) != 0) return errno_error("pipe", errno);
  Descriptor told(high(pipe_fds[0]));
  Descriptor tells(high(pipe_fds[1]));

  const std::string program_text = program.string();
  std::string name = program_text;
  std::string value = argument;
  std::array<char*, 3> argv{name.data(), value.data(), nullptr};
  const pid_t pid = ::fork();
  if (pid < 0) return errno_error("start " + program_text, errno);
  if (pid == 0)
    become_daemon(program_text.c_str(), argv.data(), null.get(), log.get(), tells.get());

  tells.reset();
  int error = 0;
  ssize_t count = 0;
  do {
    count = ::read(told.get(), &error, sizeof error);
  } while (count < 0 && errno == EINTR);
  if (count == static_cast<ssize_t>(sizeof error)) {
    ::waitpid(pid, nullptr, 0);
    return errno_error("start " + program_text, error);
  }
  const auto stat = stat_of(pid);
  if (!stat) {
    ::waitpid(pid, nullptr, WNOHANG);
    return Error{Errc::unavailable, program_text + " ended at once"};
  }
  return ProcessRef{pid, stat->start_ticks};
}

void signal_process(const ProcessRef& process, int signal) {
  if (is_running(process)) ::kill(process.pid, signal);
}

bool wait_gone(const ProcessRef& process, std::chrono::milliseconds time) {
  const auto end = std::chrono::steady_clock::now() + time;
  for (;;) {
    ::waitpid(process.pid, nullptr, WNOHANG); // fails when it is not our child
    if (!is_running(process)) return true;
    if (std::chrono::steady_clock::now() >= end) return false;
    std::this_thread::sleep_for(kPoll);
  }
}

bool stop_process(const ProcessRef& process, std::chrono::milliseconds patience) {
  signal_process(process, SIGTERM);
  if (wait_gone(process, patience)) return true;
  signal_process(process, SIGKILL);
  // A process in the kernel (a hung disk) goes when that lets it; there is nothing more to do.
  wait_gone(process, patience);
  return false;
}

Result<std::filesystem::path> find_program(const std::string& name) {
  std::error_code failed;
  const auto self = std::filesystem::read_symlink("/proc/self/exe", failed);
  std::vector<std::filesystem::path> places;
  if (!failed) places.push_back(self.parent_path() / name);
  if (const char* path = std::getenv("PATH")) {
    for (const std::string_view piece : split(path, ':')) {
      if (!piece.empty()) places.push_back(std::filesystem::path(piece) / name);
    }
  }
  for (const auto& place : places) {
    if (::access(place.c_str(), X_OK) == 0 && !std::filesystem::is_directory(place, failed))
      return std::filesystem::absolute(place);
  }
  return Error{Errc::not_found, name + " is neither beside this program nor in $PATH"};
}

std::string last_lines(const std::filesystem::path& file, std::size_t count) {
  const Descriptor fd(::open(file.c_str(), O_RDONLY | O_CLOEXEC));
  if (fd.get() < 0) return {};
  const off_t size = ::lseek(fd.get(), 0, SEEK_END);
  const off_t start = std::max<off_t>(0, size - static_cast<off_t>(kTailBytes));
  std::string text(kTailBytes, '\0');
  const ssize_t got = ::pread(fd.get(), text.data(), text.size(), start);
  text.resize(got > 0 ? static_cast<std::size_t>(got) : 0);
  while (!text.empty() && text.back() == '\n') text.pop_back();
  if (text.empty()) return {};
  auto lines = split(text, '\n');
  const std::size_t skip = lines.size() > count ? lines.size() - count : 0;
  std::string out;
  for (std::size_t i = skip; i < lines.size(); ++i) out += "    " + std::string(lines[i]) + "\n";
  return out;
}

Result<std::string> read_small_file(const std::filesystem::path& file) {
  const Descriptor fd(::open(file.c_str(), O_RDONLY | O_CLOEXEC));
  if (fd.get() < 0) return errno_error("open " + file.string(), errno);
  std::string text;
  std::array<char, 4096> piece{};
  for (;;) {
    const ssize_t count = ::read(fd.get(), piece.data(), piece.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return errno_error("read " + file.string(), errno);
    if (count == 0) return text;
    text.append(piece.data(), static_cast<std::size_t>(count));
    if (text.size() > kSmallFileMax)
      return Error{Errc::invalid_argument, file.string() + " is too long"};
  }
}

Status write_small_file(const std::filesystem::path& file, std::string_view text, mode_t mode) {
  std::filesystem::path temporary = file;
  temporary += ".new";
  ::unlink(temporary.c_str());
  const Descriptor fd(::open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode));
  if (fd.get() < 0) return errno_error("create " + temporary.string(), errno);
  CAIRN_RETURN_IF_ERROR(
      write_all(fd.get(), std::as_bytes(std::span(text)), "write " + temporary.string()));
  if (::rename(temporary.c_str(), file.c_str()) != 0)
    return errno_error("rename to " + file.string(), errno);
  return {};
}

bool can_listen(const std::string& address, std::uint16_t port) {
  const Descriptor fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const int on = 1;
  ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  sockaddr_in where{};
  where.sin_family = AF_INET;
  where.sin_port = htons(port);
  if (::inet_pton(AF_INET, address.c_str(), &where.sin_addr) != 1) return false;
  if (::bind(fd.get(), reinterpret_cast<const sockaddr*>(&where), sizeof where) != 0) return false;
  return ::listen(fd.get(), 1) == 0;
}

bool can_listen_soon(const std::string& address, std::uint16_t port) {
  constexpr int kTries = 40;
  for (int i = 0; i < kTries; ++i) {
    if (can_listen(address, port)) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
  return false;
}

} // namespace cairn::tools
