// Threads for what blocks: disk, LevelDB, hashing, name look-ups. A storage node has one pool per
// store path, so that one sick disk does not stop the others.
#pragma once

#include "common/net/resume.h"
#include "common/net/task.h"

#include <boost/asio/async_result.hpp>

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <type_traits>
#include <vector>

namespace cairn {

// At most `eager` threads run while jobs are quick: more would only wait for each other's locks in
// the file system. One that has been at its job for kStuck does not count as one of them, so a slow
// disk gets all of them.
class DiskPool {
public:
  // Starts `threads` threads. `name` shows in `top -H` (15 characters).
  DiskPool(const std::string& name, std::size_t threads, std::size_t eager);
  DiskPool(const std::string& name, std::size_t threads) : DiskPool(name, threads, threads) {}
  ~DiskPool(); // drains

  DiskPool(const DiskPool&) = delete;
  DiskPool& operator=(const DiskPool&) = delete;

  // Runs `work` (no arguments, returns a value) on a pool thread and resumes the caller on its own
  // executor with what it returned. Name the lambda on the line before and move it in: GCC 12
  // destroys a capturing lambda built inside a co_await expression twice.
  template <class F>
  Task<std::invoke_result_t<F&>> run(F work) {
    using T = std::invoke_result_t<F&>;
    static_assert(!std::is_void_v<T>, "return a Status");
    auto initiate = [this, &work](auto handler) {
      post([work = std::move(work), handler = std::move(handler)]() mutable {
        return [handler = std::move(handler), value = work()]() mutable {
          resume(std::move(handler), std::move(value));
        };
      });
    };
    co_return co_await asio::async_initiate<const asio::use_awaitable_t<>, void(T)>(
        std::move(initiate), asio::use_awaitable);
  }

  // Runs `work` (no arguments, may be move-only) on a pool thread; nobody waits for it. It may
  // answer what is to be called then (no arguments): for several at once while more jobs wait, a
  // millisecond later at most, since waking a thread costs as much as a small write. That part may
  // wait for a flush of the log (Binlog::commit_then), and jobs that are queued with it.
  template <class F>
  void post(F work) {
    enqueue(std::make_unique<Work<F>>(std::move(work)));
  }

  // Finishes what is queued and ends the threads; nothing may be posted after it. Idempotent.
  void drain();

  // Jobs waiting for a thread, for metrics and overload decisions. Any thread.
  std::size_t queued() const;
  // How long the job that has run longest is running now; 0 when none is. Any thread.
  std::chrono::milliseconds longest_running() const;

private:
  struct Job {
    virtual ~Job() = default;
    virtual void run() = 0;
    virtual void finish() = 0;
  };

  template <class F>
  struct Work final : Job {
    explicit Work(F f) : work(std::move(f)) {}
    void run() override { after.emplace(work()); }
    void finish() override { (*after)(); }
    F work;
    std::optional<std::invoke_result_t<F&>> after;
  };

  template <class F>
  requires std::is_void_v<std::invoke_result_t<F&>>
  struct Work<F> final : Job {
    explicit Work(F f) : work(std::move(f)) {}
    void run() override { work(); }
    void finish() override {}
    F work;
  };

  using Lock = std::unique_lock<std::mutex>;
  using Clock = std::chrono::steady_clock;
  void enqueue(std::unique_ptr<Job> job);
  bool must_call();
  void loop(std::size_t index);
  void run_one(Lock& lock, std::size_t index);
  void finish_done(Lock& lock);
  void watch(Lock& lock);
  std::size_t quick_ones(Clock::time_point now) const;

  mutable std::mutex mutex_; // guards what follows, but for threads_
  std::condition_variable wake_;
  std::condition_variable watch_; // of the one thread that watches
  std::deque<std::unique_ptr<Job>> jobs_;
  std::vector<std::unique_ptr<Job>> done_; // to be finished
  std::size_t idle_ = 0;                   // threads asleep that nobody has woken yet
  std::size_t called_ = 0;                 // threads woken that do not run yet
  bool watched_ = false; // a thread sees to it that nothing waits for one that is stuck
  bool stopping_ = false;
  std::vector<Clock::time_point> since_; // of each thread's job; 0: idle
  const std::size_t eager_;
  std::vector<std::thread> threads_;
};

} // namespace cairn
