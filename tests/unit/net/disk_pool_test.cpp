// A pool runs every job once, and none waits for one that hangs: not to run, and not for its result
// to be handed over.
#include "common/net/disk_pool.h"

#include <gtest/gtest.h>

#include <atomic>
#include <future>
#include <memory>
#include <thread>
#include <vector>

namespace cairn {
namespace {

constexpr std::chrono::seconds kPatience{30};

// A job that hangs until this goes, or is opened.
class Gate {
public:
  Gate() : opened_(open_.get_future()) {}
  ~Gate() { open(); }
  void open() {
    if (!is_open_.exchange(true)) open_.set_value();
  }
  auto job() {
    return [opened = opened_] { opened.wait(); };
  }

private:
  std::atomic<bool> is_open_{false};
  std::promise<void> open_;
  std::shared_future<void> opened_;
};

bool comes(std::future<void>& future) {
  return future.wait_for(kPatience) == std::future_status::ready;
}

TEST(DiskPool, RunsEveryJobAndFinishesItAfterwards) {
  constexpr int kSenders = 4;
  constexpr int kJobs = 5'000;
  std::atomic<int> ran{0};
  std::atomic<int> finished{0};
  std::atomic<int> early{0};
  {
    DiskPool pool("test", 3, 1);
    std::vector<std::thread> senders;
    for (int s = 0; s < kSenders; ++s)
      senders.emplace_back([&] {
        for (int i = 0; i < kJobs; ++i) {
          pool.post([&, own = std::make_unique<bool>(false)]() mutable {
            *own = true;
            ++ran;
            return [&, own = std::move(own)] {
              if (!*own) ++early;
              ++finished;
            };
          });
        }
      });
    for (std::thread& sender : senders) sender.join();
    pool.drain();
    EXPECT_EQ(pool.queued(), 0U);
  }
  EXPECT_EQ(ran, kSenders * kJobs);
  EXPECT_EQ(finished, kSenders * kJobs);
  EXPECT_EQ(early, 0);
}

TEST(DiskPool, AJobThatHangsHoldsUpNoOther) {
  DiskPool pool("test", 3, 1);
  Gate gate;
  pool.post(gate.job());
  for (int i = 0; i < 3; ++i) {
    std::promise<void> done;
    auto ran = done.get_future();
    pool.post([&done] { return [&done] { done.set_value(); }; });
    ASSERT_TRUE(comes(ran)) << "job " << i;
  }
  EXPECT_GT(pool.longest_running(), std::chrono::milliseconds(0));
}

TEST(DiskPool, AResultIsHandedOverWhileTheNextJobHangs) {
  DiskPool pool("test", 3, 1);
  Gate gate;
  Gate gate_of_first;
  std::promise<void> done;
  auto finished = done.get_future();
  // Both wait while the first one runs, so that the result of the second one may be held back.
  pool.post(gate_of_first.job());
  pool.post([&done] { return [&done] { done.set_value(); }; });
  pool.post(gate.job());
  gate_of_first.open();
  EXPECT_TRUE(comes(finished));
}

TEST(DiskPool, AllThreadsRunWhenJobsAreSlow) {
  constexpr int kThreads = 4;
  DiskPool pool("test", kThreads, 1);
  std::atomic<int> running{0};
  std::promise<void> all;
  auto met = all.get_future();
  Gate gate;
  for (int i = 0; i < kThreads; ++i)
    pool.post([&, wait = gate.job()] {
      if (++running == kThreads) all.set_value();
      wait();
    });
  EXPECT_TRUE(comes(met));
  gate.open();
}

} // namespace
} // namespace cairn
