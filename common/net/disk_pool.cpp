// The pool's queue and threads.
#include "common/net/disk_pool.h"

#include <algorithm>
#include <pthread.h>

namespace cairn {

namespace {

// A job that takes longer waits for a disk, or is so large that others should not wait for it.
constexpr std::chrono::milliseconds kStuck{1};
// Jobs that are finished at once.
constexpr std::size_t kTogether = 16;

} // namespace

DiskPool::DiskPool(const std::string& name, std::size_t threads, std::size_t eager)
    : since_(threads == 0 ? 1 : threads), eager_(std::clamp<std::size_t>(eager, 1, since_.size())) {
  for (std::size_t i = 0; i < since_.size(); ++i) {
    threads_.emplace_back([this, i] { loop(i); });
    pthread_setname_np(threads_.back().native_handle(), name.substr(0, 15).c_str());
  }
}

DiskPool::~DiskPool() {
  drain();
}

void DiskPool::drain() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  watch_.notify_all();
  for (auto& thread : threads_) thread.join();
  threads_.clear();
}

std::size_t DiskPool::queued() const {
  const std::lock_guard lock(mutex_);
  return jobs_.size();
}

std::chrono::milliseconds DiskPool::longest_running() const {
  const auto now = Clock::now();
  auto longest = Clock::duration::zero();
  const std::lock_guard lock(mutex_);
  for (const auto& since : since_)
    if (since != Clock::time_point()) longest = std::max(longest, now - since);
  return std::chrono::duration_cast<std::chrono::milliseconds>(longest);
}

// Threads that run a job and are not stuck.
std::size_t DiskPool::quick_ones(Clock::time_point now) const {
  return static_cast<std::size_t>(
      std::count_if(since_.begin(), since_.end(), [now](Clock::time_point since) {
        return since != Clock::time_point() && now - since < kStuck;
      }));
}

// Whether another thread is to be woken for a job that waits: to run it, or, beyond the eager ones,
// to watch and run it if they are stuck.
bool DiskPool::must_call() {
  const auto running = static_cast<std::size_t>(
      std::count_if(since_.begin(), since_.end(),
                    [](Clock::time_point since) { return since != Clock::time_point(); }));
  const bool nobody_watches = !watched_ && called_ == 0;
  if (idle_ == 0 || (running + called_ >= eager_ && !nobody_watches)) return false;
  --idle_;
  ++called_;
  return true;
}

void DiskPool::enqueue(std::unique_ptr<Job> job) {
  bool wake = false;
  {
    const std::lock_guard lock(mutex_);
    jobs_.push_back(std::move(job));
    wake = must_call();
  }
  if (wake) wake_.notify_one();
}

// Finishes what is done, without the lock.
void DiskPool::finish_done(Lock& lock) {
  std::vector<std::unique_ptr<Job>> done;
  done.swap(done_);
  lock.unlock();
  {
    const ResumeTogether together;
    for (auto& job : done) job->finish();
    done.clear();
  }
  lock.lock();
}

void DiskPool::run_one(Lock& lock, std::size_t index) {
  auto job = std::move(jobs_.front());
  jobs_.pop_front();
  since_[index] = Clock::now();
  const bool wake = !jobs_.empty() && must_call();
  lock.unlock();
  if (wake) wake_.notify_one();
  job->run();
  lock.lock();
  since_[index] = {};
  done_.push_back(std::move(job));
  // Without a watcher nobody would see to them if the next job hangs.
  if (jobs_.empty() || !watched_ || done_.size() >= kTogether) finish_done(lock);
}

// Until nothing runs or waits any more, or a job is to be run by this thread.
void DiskPool::watch(Lock& lock) {
  watched_ = true;
  while (!stopping_) {
    const std::size_t quick = quick_ones(Clock::now());
    if (jobs_.empty() ? quick == 0 : quick < eager_) break;
    watch_.wait_for(lock, kStuck);
  }
  watched_ = false;
  if (!done_.empty()) finish_done(lock);
}

void DiskPool::loop(std::size_t index) {
  Lock lock(mutex_);
  for (;;) {
    if (!jobs_.empty() && (stopping_ || quick_ones(Clock::now()) < eager_)) {
      run_one(lock, index);
    } else if (jobs_.empty() && stopping_) {
      return;
    } else if (!jobs_.empty() && !watched_) {
      watch(lock);
    } else {
      ++idle_;
      wake_.wait(lock, [this] { return called_ > 0 || stopping_; });
      if (called_ > 0)
        --called_;
      else
        --idle_;
    }
  }
}

} // namespace cairn
