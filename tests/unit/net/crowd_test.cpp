// Requests that wait in their sockets while an I/O thread is busy with many others.
#include "common/net/crowd.h"

#include "common/net/connection.h"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <vector>

namespace cairn {

namespace {

using namespace std::chrono_literals;

class CrowdTest : public ::testing::Test {
protected:
  void enter(std::size_t count) {
    for (std::size_t i = 0; i < count; ++i) inside.push_back(std::make_unique<CrowdMark>(&crowd));
  }
  // Waits for a turn and notes it; with `stay` it is counted from then on.
  Task<void> wait(int number, bool stay) {
    co_await crowd.turn();
    order.push_back(number);
    if (stay) inside.push_back(std::make_unique<CrowdMark>(&crowd));
  }
  void come(int number, bool stay = true) {
    spawn(io.get_executor(), wait(number, stay), "test");
    io.poll();
    io.restart();
  }
  void settle() {
    io.poll();
    io.restart();
  }

  asio::io_context io;
  Connection connection{tcp::socket(io)};
  Crowd& crowd = crowd_of(connection);
  std::vector<std::unique_ptr<CrowdMark>> inside;
  std::vector<int> order;
};

} // namespace

TEST_F(CrowdTest, IsFullAtItsBound) {
  EXPECT_FALSE(crowd.is_full());
  enter(Crowd::kInsideMax - 1);
  EXPECT_FALSE(crowd.is_full());
  enter(1);
  EXPECT_TRUE(crowd.is_full());
  inside.pop_back();
  EXPECT_FALSE(crowd.is_full());
}

TEST_F(CrowdTest, WhoLeavesLetsTheFirstIn) {
  enter(Crowd::kInsideMax);
  for (int number : {1, 2, 3}) come(number);
  EXPECT_TRUE(order.empty());
  inside.pop_back();
  EXPECT_TRUE(crowd.is_full()); // the place is promised
  settle();
  EXPECT_EQ(order, std::vector<int>{1});
  inside.pop_back();
  inside.pop_back();
  settle();
  EXPECT_EQ(order, (std::vector<int>{1, 2, 3}));
}

TEST_F(CrowdTest, AGroupThatLeavesLetsNoMoreInThanLeft) {
  enter(Crowd::kInsideMax);
  for (int number = 0; number < 100; ++number) come(number);
  for (int i = 0; i < 10; ++i) inside.pop_back(); // before anybody who was called has run
  settle();
  EXPECT_EQ(order.size(), 10U);
}

TEST_F(CrowdTest, WhoDoesNotUseTheTurnLeavesItToTheNext) {
  enter(Crowd::kInsideMax);
  come(1, /*stay=*/false); // its connection has ended, or half a request came
  come(2);
  inside.pop_back();
  settle();
  inside.pop_back();
  settle();
  EXPECT_EQ(order, (std::vector<int>{1, 2}));
  EXPECT_FALSE(crowd.is_full());
}

TEST_F(CrowdTest, WhatHangsDoesNotStopTheOthers) {
  enter(Crowd::kInsideMax);
  come(1);
  const auto until = std::chrono::steady_clock::now() + 9s;
  while (order.empty() && std::chrono::steady_clock::now() < until) io.run_one_for(100ms);
  EXPECT_EQ(order, std::vector<int>{1}); // nobody has left
}

TEST_F(CrowdTest, GoesDownWithWaiters) {
  enter(Crowd::kInsideMax);
  for (int number = 0; number < 5; ++number) come(number);
  inside.pop_back(); // one is called and never runs
  inside.clear();
}

} // namespace cairn
