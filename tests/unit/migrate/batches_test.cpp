// What is asked while requests are under way goes together; the first goes at once.
#include "migrate/batches.h"

#include <boost/asio/io_context.hpp>
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

namespace cairn::migrate {
namespace {

using Together = Batches<int, std::string>;

class BatchesTest : public testing::Test {
protected:
  void make(BatchLimits limits) {
    together_ = std::make_shared<Together>(
        io_.get_executor(), limits, "test",
        [this](Together::Wishes wishes) { return send(std::move(wishes)); });
  }

  // Notes what came together, and takes its time.
  Task<void> send(Together::Wishes wishes) {
    ++under_way_;
    most_under_way_ = std::max(most_under_way_, under_way_);
    std::vector<int>& sent = sent_.emplace_back();
    for (const auto& wish : wishes) sent.push_back(wish->question);
    asio::steady_timer timer(io_.get_executor(), std::chrono::milliseconds(1));
    co_await timer.async_wait(as_result);
    for (const auto& wish : wishes) {
      if (wish->question < 0)
        wish->answer = Error{Errc::corrupt, "negative"};
      else
        wish->answer = std::to_string(wish->question);
    }
    --under_way_;
  }

  void ask(int question, std::uint64_t bytes = 0) {
    spawn(
        io_.get_executor(),
        [](BatchesTest* self, int asked, std::uint64_t size) -> Task<void> {
          const auto answer = co_await self->together_->ask(asked, size);
          self->answers_.push_back(answer ? *answer : answer.error().detail);
        }(this, question, bytes),
        "ask");
  }

  asio::io_context io_;
  std::shared_ptr<Together> together_;
  std::vector<std::vector<int>> sent_;
  std::vector<std::string> answers_;
  unsigned under_way_ = 0;
  unsigned most_under_way_ = 0;
};

BatchLimits limits(unsigned under_way, std::size_t questions, std::uint64_t bytes) {
  BatchLimits out;
  out.under_way = under_way;
  out.questions = questions;
  out.bytes = bytes;
  return out;
}

TEST_F(BatchesTest, NotMoreQuestionsThanARequestMayHold) {
  make(limits(1, 3, 0));
  for (int i = 0; i < 8; ++i) ask(i);
  io_.run();
  EXPECT_EQ(sent_, (std::vector<std::vector<int>>{{0}, {1, 2, 3}, {4, 5, 6}, {7}}));
  EXPECT_EQ(answers_, (std::vector<std::string>{"0", "1", "2", "3", "4", "5", "6", "7"}));
  EXPECT_EQ(most_under_way_, 1U);
}

TEST_F(BatchesTest, NotMoreBytesThanARequestMayHoldButForOneAlone) {
  make(limits(1, 9, 100));
  for (const std::uint64_t bytes : {7, 40, 60, 1, 500, 1, 99, 1}) {
    ask(static_cast<int>(bytes), bytes);
  }
  io_.run();
  EXPECT_EQ(sent_, (std::vector<std::vector<int>>{{7}, {40, 60}, {1}, {500}, {1, 99}, {1}}));
}

TEST_F(BatchesTest, NoMoreRequestsThanAllowedAreUnderWay) {
  make(limits(2, 2, 0));
  for (int i = 0; i < 20; ++i) ask(i);
  io_.run();
  EXPECT_EQ(most_under_way_, 2U);
  EXPECT_EQ(answers_.size(), 20U);
}

TEST_F(BatchesTest, AnErrorIsThatOfItsQuestionAlone) {
  make(limits(1, 9, 0));
  for (const int question : {0, 1, -2, 3}) ask(question);
  io_.run();
  EXPECT_EQ(sent_.size(), 2U);
  EXPECT_EQ(answers_, (std::vector<std::string>{"0", "1", "negative", "3"}));
}

TEST_F(BatchesTest, AfterAPauseItGoesOn) {
  make(limits(1, 9, 0));
  ask(1);
  io_.run();
  io_.restart();
  ask(2);
  io_.run();
  EXPECT_EQ(answers_, (std::vector<std::string>{"1", "2"}));
}

} // namespace
} // namespace cairn::migrate
