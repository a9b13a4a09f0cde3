// Memory for contents: never more than there is, in order, and what is longer than all of it alone.
#include "migrate/worker.h"

#include <boost/asio/io_context.hpp>
#include <gtest/gtest.h>

#include <map>
#include <utility>
#include <vector>

namespace cairn::migrate {
namespace {

class RoomTest : public testing::Test {
protected:
  void take(int who, std::uint64_t bytes) {
    spawn(
        io_.get_executor(),
        [](RoomTest* self, int number, std::uint64_t wanted) -> Task<void> {
          auto part = co_await self->room_.take(wanted);
          self->parts_.emplace(number, std::move(part));
        }(this, who, bytes),
        "take");
    turn();
  }
  void give(int who) {
    parts_.erase(who);
    turn();
  }
  void turn() {
    io_.restart();
    io_.poll();
  }
  std::vector<int> holders() const {
    std::vector<int> out;
    for (const auto& [who, part] : parts_) out.push_back(who);
    return out;
  }

  asio::io_context io_;
  Room room_{100};
  std::map<int, Room::Part> parts_;
};

TEST_F(RoomTest, WhoDoesNotFitWaitsAndNobodyOvertakes) {
  take(1, 60);
  take(2, 50);
  take(3, 10); // it would fit, and is not the first who waits
  EXPECT_EQ(holders(), std::vector<int>{1});
  give(1);
  EXPECT_EQ(holders(), (std::vector<int>{2, 3}));
  take(4, 40);
  EXPECT_EQ(holders(), (std::vector<int>{2, 3, 4}));
  take(5, 1);
  give(3);
  EXPECT_EQ(holders(), (std::vector<int>{2, 4, 5}));
}

TEST_F(RoomTest, WhatIsLongerThanAllOfItGoesAlone) {
  take(1, 1);
  take(2, 1000);
  take(3, 1);
  EXPECT_EQ(holders(), std::vector<int>{1});
  give(1);
  EXPECT_EQ(holders(), std::vector<int>{2});
  give(2);
  EXPECT_EQ(holders(), std::vector<int>{3});
}

} // namespace
} // namespace cairn::migrate
