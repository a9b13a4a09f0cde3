// Binlog::UnderWay: a flush waits for others that are on their way, and never for long.
#include "storage/binlog/binlog.h"
#include "tests/unit/config/temporary_directory.h"

#include <gtest/gtest.h>

#include <atomic>
#include <deque>
#include <future>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

namespace cairn::storage {
namespace {

class GroupCommit : public testing::Test {
protected:
  GroupCommit() {
    BinlogOptions options;
    options.journal_size = 1 << 20;
    options.restore = [](const LogRecord&, wire::View) { return Status(); };
    auto opened = Binlog::open(directory_.path() / "log", std::move(options));
    EXPECT_TRUE(opened) << opened.error().text();
    log_ = std::move(*opened);
  }

  std::uint64_t append(const std::string& name) {
    const std::string content(100, 'x');
    LogRecord record;
    record.kind = ChangeKind::put;
    record.name = name;
    record.total_size = record.length = content.size();
    const auto seq = log_->append(record, wire::as_view(content));
    EXPECT_TRUE(seq) << seq.error().text();
    return seq ? *seq : 0;
  }

  TemporaryDirectory directory_;
  std::unique_ptr<Binlog> log_;
};

TEST_F(GroupCommit, NobodyWaitsForOthersThatDoNotCome) {
  std::deque<Binlog::UnderWay> others;
  for (int i = 0; i < 500; ++i) others.emplace_back(*log_);
  for (int i = 0; i < 100; ++i) {
    std::promise<Status> promise;
    auto answer = promise.get_future();
    log_->when_committed(append(std::to_string(i)),
                         [&promise](Status status) { promise.set_value(std::move(status)); });
    ASSERT_EQ(answer.wait_for(std::chrono::seconds(20)), std::future_status::ready) << i;
    EXPECT_TRUE(answer.get());
  }
}

TEST_F(GroupCommit, WhatRestsWhenTheLogIsClosedIsAnswered) {
  for (int round = 0; round < 20; ++round) {
    auto others = std::make_unique<std::deque<Binlog::UnderWay>>();
    for (int i = 0; i < 500; ++i) others->emplace_back(*log_);
    EXPECT_TRUE(log_->commit_blocking(append("first " + std::to_string(round))));
  }
  std::atomic<int> answered = 0;
  {
    Binlog::UnderWay one(*log_), two(*log_);
    for (int i = 0; i < 10; ++i)
      log_->when_committed(append(std::to_string(i)), [&answered](Status status) {
        EXPECT_TRUE(status);
        ++answered;
      });
  }
  log_.reset();
  EXPECT_EQ(answered, 10);
}

// Everybody gets his answer, and after it the log is committed up to his record.
TEST_F(GroupCommit, AllThreadsAreAnswered) {
  const unsigned seed = std::random_device()();
  SCOPED_TRACE("seed " + std::to_string(seed));
  constexpr int kEach = 100;
  std::atomic<int> answered = 0;
  std::vector<std::thread> threads;
  for (unsigned number = 0; number < 12; ++number)
    threads.emplace_back([this, number, seed, &answered] {
      std::mt19937 random(seed + number);
      for (int i = 0; i < kEach; ++i) {
        const Binlog::UnderWay here(*log_);
        const std::uint64_t seq = append(std::to_string(number) + "." + std::to_string(i));
        std::promise<Status> promise;
        auto answer = promise.get_future();
        auto tell = [&promise](Status status) { promise.set_value(std::move(status)); };
        if (random() % 2 == 0)
          log_->when_committed(seq, tell);
        else
          log_->commit_then(seq, tell);
        const Status status = answer.get();
        EXPECT_TRUE(status);
        EXPECT_GE(log_->committed_seq(), seq);
        ++answered;
        if (random() % 4 == 0)
          std::this_thread::sleep_for(std::chrono::microseconds(random() % 3000));
      }
    });
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(answered, 12 * kEach);
}

} // namespace
} // namespace cairn::storage
