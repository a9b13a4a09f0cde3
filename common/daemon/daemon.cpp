// Command line, process set-up, logging, signals, data lock, node UUID.
#include "common/daemon/daemon.h"

#include "common/base/durable_file.h"
#include "common/base/text.h"
#include "common/daemon/log_line.h"

#include <CLI/CLI.hpp>
#include <spdlog/formatter.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <exception>
#include <fcntl.h>
#include <iostream>
#include <signal.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>
#include <utility>

namespace cairn {

namespace {

class LineFormatter final : public spdlog::formatter {
public:
  explicit LineFormatter(config::LogFormat format) : format_(format) {}

  void format(const spdlog::details::log_msg& message, spdlog::memory_buf_t& out) override {
    LogEvent event;
    event.time = message.time;
    const auto level = spdlog::level::to_string_view(message.level);
    event.level = {level.data(), level.size()};
    event.logger = {message.logger_name.data(), message.logger_name.size()};
    event.message = {message.payload.data(), message.payload.size()};
    std::string line;
    if (format_ == config::LogFormat::json)
      append_json(event, line);
    else
      append_logfmt(event, line);
    out.append(line.data(), line.data() + line.size());
  }

  std::unique_ptr<spdlog::formatter> clone() const override {
    return std::make_unique<LineFormatter>(format_);
  }

private:
  config::LogFormat format_;
};

sigset_t stop_signals() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGTERM);
  sigaddset(&set, SIGINT);
  sigaddset(&set, SIGHUP);
  return set;
}

void raise_open_files() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

// The memory of a daemon holds the cluster's secret, access keys and the key of its certificate: it
// is never written to a core file, nor shown to other processes of its user. CAIRN_CORE_DUMPS=on
// in the environment is for who must look for a crash.
void keep_memory_private() {
  const char* const wanted = std::getenv("CAIRN_CORE_DUMPS");
  if (wanted != nullptr && std::string_view(wanted) == "on") return;
  ::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
}

void setup_process() {
  keep_memory_private();
  // Files are 0644 and directories 0755 whatever the caller's shell says: nginx reads them.
  ::umask(022);
  std::signal(SIGPIPE, SIG_IGN);
  // Blocked before the first thread starts, so that every thread inherits it and only
  // wait_for_stop() sees them.
  const sigset_t set = stop_signals();
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
  raise_open_files();
}

int complain(const std::string& program, const std::string& line) {
  std::cerr << program << ": " << line << std::endl;
  return 1;
}

int check(const DaemonProgram& program, const std::string& conf) {
  auto notes = program.check(conf);
  if (!notes) return complain(program.name, notes.error().detail);
  for (const auto& note : *notes) std::cout << note << "\n";
  std::cout << conf << ": ok" << std::endl;
  return 0;
}

} // namespace

int daemon_main(int argc, char** argv, const DaemonProgram& program) {
  CLI::App app(program.description, program.name);
  std::string conf;
  std::string check_conf;
  bool sample = false;
  app.set_version_flag("--version", program.name + " " CAIRN_VERSION);
  app.add_option("CONF", conf, "Configuration file: serve in the foreground");
  app.add_option("--check", check_conf, "Validate a configuration file and exit")
      ->type_name("CONF");
  app.add_flag("--sample", sample, "Print a commented sample configuration and exit");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 1;
  }

  if (sample) {
    std::cout << program.sample() << std::flush;
    return 0;
  }
  if (!check_conf.empty()) return check(program, check_conf);
  if (conf.empty())
    return complain(program.name, "a configuration file is needed; see " + program.name +
                                      " --help, and --sample for a file to start from");

  try {
    setup_process();
    const Status ended = program.run(conf);
    if (!ended) return complain(program.name, ended.error().detail);
  } catch (const std::exception& error) {
    return complain(program.name, error.what());
  }
  return 0;
}

void setup_logging(config::LogLevel level, config::LogFormat format) {
  auto chosen = spdlog::level::info;
  switch (level) {
    case config::LogLevel::error:
      chosen = spdlog::level::err;
      break;
    case config::LogLevel::warn:
      chosen = spdlog::level::warn;
      break;
    case config::LogLevel::info:
      chosen = spdlog::level::info;
      break;
    case config::LogLevel::debug:
      chosen = spdlog::level::debug;
      break;
  }
  static const auto sink = std::make_shared<spdlog::sinks::stderr_sink_mt>();
  static const bool first = [] {
    spdlog::set_default_logger(std::make_shared<spdlog::logger>("", sink));
    return true;
  }();
  static_cast<void>(first);
  sink->set_formatter(std::make_unique<LineFormatter>(format));
  spdlog::set_level(chosen);
}

void wait_for_stop(const std::function<void()>& reload) {
  const sigset_t set = stop_signals();
  for (;;) {
    int signal = 0;
    if (sigwait(&set, &signal) != 0) continue;
    if (signal != SIGHUP) break;
    if (reload) reload();
  }
  sigset_t interrupt;
  sigemptyset(&interrupt);
  sigaddset(&interrupt, SIGINT);
  std::signal(SIGINT, SIG_DFL);
  pthread_sigmask(SIG_UNBLOCK, &interrupt, nullptr);
}

void request_stop() {
  ::kill(::getpid(), SIGTERM);
}

std::size_t open_files_limit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return 1024;
  return static_cast<std::size_t>(limit.rlim_cur);
}

ConnectionLimits connection_limits(const config::ServerConfig& config) {
  constexpr std::size_t kOtherFiles = 256;
  const std::size_t files = open_files_limit();
  const std::size_t usable = files > 2 * kOtherFiles ? files - kOtherFiles : files / 2;
  ConnectionLimits limits;
  limits.total = std::min<std::size_t>(config.max_connections, usable / 4 * 3);
  limits.per_address = config.max_connections_per_address;
  if (limits.total < config.max_connections)
    spdlog::warn(
        "fewer connections than configured, for the limit of open files open_files={} "
        "max_connections={} allowed={}",
        files, config.max_connections, limits.total);
  return limits;
}

Result<DataLock> DataLock::take(const std::filesystem::path& base_path) {
  const auto data = base_path / "data";
  std::error_code failure;
  std::filesystem::create_directories(data, failure);
  if (failure) return errno_error("cannot make " + data.string(), failure.value());
  const auto path = data / ".lock";
  const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  if (fd < 0) return errno_error("cannot open " + path.string(), errno);
  DataLock lock(fd);
  if (::flock(fd, LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK) return errno_error("cannot lock " + path.string(), errno);
    std::array<char, 32> text{};
    const ssize_t count = ::pread(fd, text.data(), text.size() - 1, 0);
    const std::string_view pid =
        trim(std::string_view(text.data(), count > 0 ? static_cast<std::size_t>(count) : 0));
    return Error{Errc::busy, data.string() + " is in use by another process" +
                                 (pid.empty() ? "" : " (pid " + std::string(pid) + ")")};
  }
  // For the line above only: nobody relies on it.
  const std::string pid = std::to_string(::getpid()) + "\n";
  if (::ftruncate(fd, 0) != 0 ||
      ::pwrite(fd, pid.data(), pid.size(), 0) != static_cast<ssize_t>(pid.size()))
    return errno_error("cannot write " + path.string(), errno);
  return lock;
}

DataLock::DataLock(DataLock&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}

DataLock& DataLock::operator=(DataLock&& other) noexcept {
  std::swap(fd_, other.fd_);
  return *this;
}

DataLock::~DataLock() {
  if (fd_ >= 0) ::close(fd_);
}

Result<std::string> node_uuid(const std::filesystem::path& base_path) {
  const auto path = base_path / "data" / "node.uuid";
  auto content = read_small_file(path);
  if (content) {
    std::string uuid(trim(*content));
    const bool plausible =
        uuid.size() == 36 && uuid.find_first_not_of("0123456789abcdef-") == std::string::npos;
    if (!plausible) return Error{Errc::corrupt, path.string() + " does not hold a UUID"};
    return uuid;
  }
  if (content.code() != Errc::not_found) return std::move(content).error();
  const std::string uuid = uuid_v4();
  CAIRN_RETURN_IF_ERROR(durable_write_file(path, uuid + "\n"));
  return uuid;
}

} // namespace cairn
