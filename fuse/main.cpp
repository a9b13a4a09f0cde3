// cairn-mount: reads the command line, goes to the background and has a supervisor start a worker,
// which connects, mounts and serves until it is unmounted.
#include "fuse/intake.h"
#include "fuse/mount.h"
#include "fuse/supervisor.h"

#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <fuse_lowlevel.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/sinks/syslog_sink.h>
#include <spdlog/spdlog.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <fcntl.h>
#include <filesystem>
#include <future>
#include <memory>
#include <optional>
#include <string>
#include <sys/stat.h>
#include <thread>
#include <unistd.h>
#include <vector>

namespace {

using cairn::fuse::Mount;
using cairn::fuse::MountOptions;
using cairn::fuse::Supervisor;
using cairn::fuse::SupervisorLink;

// As all programs of Cairn.
constexpr int kGood = 0;
constexpr int kUsage = 1;
constexpr int kNotFound = 3;
constexpr int kDenied = 4;
constexpr int kUnavailable = 6;
// Time to store what was written when the program is told to end.
constexpr std::chrono::seconds kGoodbye{60};
// How often the worker looks whether its supervisor is stopped.
constexpr std::chrono::milliseconds kLookEvery{500};
// And for what is on its way after that: connections, timers.
constexpr std::chrono::seconds kLastOnes{3};

int exit_code(cairn::Errc code) {
  switch (code) {
    case cairn::Errc::not_found:
      return kNotFound;
    case cairn::Errc::denied:
    case cairn::Errc::not_permitted:
      return kDenied;
    case cairn::Errc::invalid_argument:
      return kUsage;
    default:
      return kUnavailable;
  }
}

int fail(const std::string& message, int code) {
  std::fprintf(stderr, "cairn-mount: %s\n", message.c_str());
  return code;
}

// In the background nothing of the caller's terminal is kept.
void leave_terminal() {
  static_cast<void>(::chdir("/"));
  const int null = ::open("/dev/null", O_RDWR | O_CLOEXEC);
  for (int fd = 0; null >= 0 && fd < 3; ++fd) ::dup2(null, fd);
  if (null > 2) ::close(null);
}

// The parent waits for one byte: the exit status, once the mount answers or cannot be made.
class Background {
public:
  // Forks unless `foreground`. Answers true in the process that goes on; the other has `status`.
  bool begin(bool foreground, int& status) {
    if (foreground) return true;
    int ends[2] = {-1, -1};
    if (::pipe2(ends, O_CLOEXEC) != 0) {
      status = fail("cannot make a pipe", kUnavailable);
      return false;
    }
    const pid_t child = ::fork();
    if (child < 0) {
      status = fail("cannot fork", kUnavailable);
      return false;
    }
    if (child == 0) {
      ::close(ends[0]);
      pipe_ = ends[1];
      ::setsid();
      return true;
    }
    ::close(ends[1]);
    unsigned char code = kUnavailable;
    if (::read(ends[0], &code, 1) != 1) code = kUnavailable;
    status = code;
    return false;
  }

  // Tells the parent.
  void done(int code) {
    if (pipe_ < 0) return;
    if (code == kGood) leave_terminal();
    const auto byte = static_cast<unsigned char>(code);
    static_cast<void>(!::write(pipe_, &byte, 1));
    leave();
  }
  // In a child: the rest is not its own.
  void leave() {
    if (pipe_ >= 0) ::close(pipe_);
    pipe_ = -1;
  }

private:
  int pipe_ = -1;
};

// Runs a coroutine on the loop and waits for it, at most `most` if that is said.
template <class T>
std::optional<T> run_on(boost::asio::io_context& io, cairn::Task<T> task,
                        std::optional<std::chrono::milliseconds> most) {
  auto result = std::make_shared<std::promise<T>>();
  auto future = result->get_future();
  cairn::spawn(
      io.get_executor(),
      [](std::shared_ptr<std::promise<T>> out, cairn::Task<T> work) -> cairn::Task<void> {
        out->set_value(co_await std::move(work));
      }(result, std::move(task)),
      "main");
  if (most && future.wait_for(*most) != std::future_status::ready) return std::nullopt;
  return future.get();
}

cairn::Task<bool> say_goodbye(Mount& mount) {
  co_await mount.close();
  co_return true;
}

cairn::Task<bool> take_over(Mount& mount, int kernel) {
  mount.take_over(kernel);
  co_return true;
}

cairn::Task<void> stop_with_supervisor(const SupervisorLink& supervisor,
                                       std::shared_ptr<std::atomic<bool>> over) {
  boost::asio::steady_timer timer(co_await boost::asio::this_coro::executor);
  while (!*over) {
    timer.expires_after(kLookEvery);
    co_await timer.async_wait(cairn::as_result);
    supervisor.stop_with_supervisor();
  }
}

// What a worker does: the first one connects and mounts, others take over; all serve. Answers the
// exit status.
int serve(const MountOptions& options, cairn::ClientOptions client, SupervisorLink& supervisor) {
  boost::asio::io_context io(1);
  Mount mount(io, std::move(client), options, supervisor.record());
  auto work = boost::asio::make_work_guard(io);
  // Signals are for the main thread, which has nothing else to do.
  sigset_t all;
  sigset_t before;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);
  std::promise<void> ran_out;
  std::thread loop([&io, &ran_out] {
    io.run();
    ran_out.set_value();
  });
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  // What still runs on the loop uses the mount, so it must have come to its end before that goes.
  const auto over = std::make_shared<std::atomic<bool>>(false);
  const auto end_loop = [&](int status) {
    *over = true;
    work.reset();
    if (ran_out.get_future().wait_for(kLastOnes) != std::future_status::ready) {
      spdlog::shutdown();
      std::_Exit(status);
    }
    loop.join();
  };
  const auto give_up = [&](const std::string& message, int status) {
    fail(message, status);
    run_on(io, say_goodbye(mount), kLastOnes);
    end_loop(status);
    return status;
  };
  cairn::spawn(io.get_executor(), stop_with_supervisor(supervisor, over), "supervisor");
  if (supervisor.first()) {
    const auto opened =
        run_on(io, mount.open(), options.timeout + std::chrono::seconds(5))
            .value_or(cairn::Status(cairn::Error(cairn::Errc::timeout, "the cluster is silent")));
    if (!opened)
      return give_up(options.source + ": " + opened.error().text(), exit_code(opened.error().code));
  }

  mount.on_ready([&] {
    // On the loop, which takes no signals; nor does the thread that begins here.
    mount.notifier().start();
    if (!options.foreground) leave_terminal();
    supervisor.ready();
  });
  const fuse_custom_io channel = Mount::io();
  fuse_session* session = make_fuse_session(options, Mount::operations(), &mount);
  if (session == nullptr) return give_up("cannot begin a session of FUSE", kUnavailable);
  const auto kernel = supervisor.mount();
  if (!kernel || fuse_session_custom_io(session, &channel, *kernel) != 0) {
    fuse_session_destroy(session);
    return give_up("cannot mount " + options.directory, kUnavailable);
  }
  mount.notifier().use(session);
  if (!supervisor.first()) run_on(io, take_over(mount, *kernel), kLastOnes);
  cairn::fuse::Intake intake(io, session, mount.channel());
  const int ended = *run_on(io, intake.run(), std::nullopt);
  if (ended >= 0) supervisor.ending();
  spdlog::info("ends source={} directory={} signal={}", options.source, options.directory,
               ended > 0 ? ended : 0);
  // Unmounted, or told to end: what was written and not yet stored is.
  const bool stored = run_on(io, say_goodbye(mount), kGoodbye).has_value();
  if (!stored) spdlog::error("not everything that was written could be stored in time");
  mount.notifier().stop();
  const int status = stored && ended >= 0 ? kGood : kUnavailable;
  end_loop(status);
  fuse_session_destroy(session);
  return status;
}

int run(int argc, char** argv) {
  std::vector<std::string> arguments(argv, argv + argc);
  auto parsed = cairn::fuse::parse_mount_options(
      arguments, [](const char* name) -> const char* { return std::getenv(name); },
      ::geteuid() == 0);
  if (!parsed) return fail(parsed.error().detail, kUsage);
  MountOptions options = *std::move(parsed);
  if (options.help) {
    std::fputs(std::string(cairn::fuse::mount_help()).c_str(), stdout);
    return kGood;
  }
  if (options.version) {
    std::puts("cairn-mount " CAIRN_VERSION);
    return kGood;
  }
  if (options.fake) return kGood;

  cairn::ClientOptions client;
  if (!options.conf.empty()) {
    auto loaded = cairn::load_client_options(options.conf);
    if (!loaded) return fail(loaded.error().text(), exit_code(loaded.error().code));
    client = *std::move(loaded);
  }
  if (!options.trackers.empty()) client.trackers = options.trackers;
  if (client.trackers.empty())
    return fail(options.conf.string() + " names no tracker_server", kUsage);

  std::error_code failed;
  const auto where = std::filesystem::canonical(options.directory, failed);
  if (failed) return fail(options.directory + ": " + failed.message(), kNotFound);
  if (!std::filesystem::is_directory(where, failed))
    return fail(options.directory + " is no directory", kUsage);
  options.directory = where.string();

  Background background;
  int status = kUnavailable;
  if (!background.begin(options.foreground, status)) return status;
  // In the background nobody reads standard error.
  spdlog::set_default_logger(options.foreground
                                 ? spdlog::stderr_logger_mt("cairn-mount")
                                 : spdlog::syslog_logger_mt("syslog", "cairn-mount", LOG_PID));
  {
    const auto work = [&](SupervisorLink& supervisor) {
      background.leave();
      return serve(options, client, supervisor);
    };
    Supervisor supervisor(options, work, [&background] { background.done(kGood); });
    status = supervisor.run();
  }
  background.done(status);
  return status;
}

} // namespace

int main(int argc, char** argv) {
  std::signal(SIGPIPE, SIG_IGN);
  try {
    return run(argc, argv);
  } catch (const std::exception& error) {
    return fail(error.what(), kUnavailable);
  }
}
