// The pool's queue and threads.
#include "common/net/disk_pool.h"

#include <algorithm>
#include <pthread.h>

namespace cairn {

DiskPool::DiskPool(const std::string& name, std::size_t threads)
    : since_(threads == 0 ? 1 : threads) {
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
  for (auto& thread : threads_) thread.join();
  threads_.clear();
}

std::size_t DiskPool::queued() const {
  const std::lock_guard lock(mutex_);
  return jobs_.size();
}

std::chrono::milliseconds DiskPool::longest_running() const {
  const auto now = std::chrono::steady_clock::now();
  auto longest = std::chrono::steady_clock::duration::zero();
  const std::lock_guard lock(mutex_);
  for (const auto& since : since_)
    if (since != std::chrono::steady_clock::time_point()) longest = std::max(longest, now - since);
  return std::chrono::duration_cast<std::chrono::milliseconds>(longest);
}

void DiskPool::enqueue(std::unique_ptr<Job> job) {
  bool wake = false;
  {
    const std::lock_guard lock(mutex_);
    jobs_.push_back(std::move(job));
    wake = idle_ > 0;
    if (wake) {
      --idle_;
      ++called_;
    }
  }
  if (wake) wake_.notify_one();
}

void DiskPool::loop(std::size_t index) {
  std::unique_lock lock(mutex_);
  for (;;) {
    while (jobs_.empty() && !stopping_) {
      ++idle_;
      wake_.wait(lock, [this] { return called_ > 0 || stopping_; });
      if (called_ > 0) --called_;
    }
    if (jobs_.empty()) return;
    auto job = std::move(jobs_.front());
    jobs_.pop_front();
    since_[index] = std::chrono::steady_clock::now();
    lock.unlock();
    job->run();
    job.reset();
    lock.lock();
    since_[index] = {};
  }
}

} // namespace cairn
