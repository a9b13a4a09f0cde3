// Limits of connections, memory and operations.
#include "common/net/connection_gauge.h"
#include "common/net/memory_budget.h"
#include "common/net/operation_limit.h"

#include <gtest/gtest.h>

#include <vector>

namespace cairn {
namespace {

boost::asio::ip::address address(const char* text) {
  return boost::asio::ip::make_address(text);
}

TEST(ConnectionGauge, HoldsTheTotalAndTheSharesOfAddresses) {
  ConnectionGauge gauge;
  const ConnectionLimits limits{3, 2};
  std::vector<ConnectionSlot> slots;
  slots.push_back(*gauge.admit(address("10.0.0.1"), limits));
  slots.push_back(*gauge.admit(address("::ffff:10.0.0.1"), limits)); // the same host
  EXPECT_FALSE(gauge.admit(address("10.0.0.1"), limits));
  slots.push_back(*gauge.admit(address("fd00::1"), limits));
  EXPECT_FALSE(gauge.admit(address("10.0.0.2"), limits));
  EXPECT_EQ(gauge.open, 3U);
  EXPECT_EQ(gauge.refused, 2U);
  slots.erase(slots.begin());
  EXPECT_EQ(gauge.open, 2U);
  EXPECT_TRUE(gauge.admit(address("10.0.0.1"), limits)); // given back at once
  EXPECT_EQ(gauge.open, 2U);
  slots.clear();
  EXPECT_EQ(gauge.open, 0U);
  EXPECT_EQ(gauge.open_max, 3U);
}

TEST(ConnectionGauge, ZeroIsNoLimitOfAnAddress) {
  ConnectionGauge gauge;
  std::vector<ConnectionSlot> slots;
  for (int i = 0; i < 100; ++i) slots.push_back(*gauge.admit(address("10.0.0.1"), {100, 0}));
  EXPECT_FALSE(gauge.admit(address("10.0.0.1"), {100, 0}));
}

TEST(MemoryBudget, GivesBackWhatAChargeTook) {
  MemoryBudget budget(100);
  {
    MemoryCharge first = budget.take(60);
    EXPECT_TRUE(first);
    EXPECT_FALSE(budget.take(41));
    EXPECT_TRUE(budget.take(40));
    EXPECT_EQ(budget.used(), 60U);
    MemoryCharge moved = std::move(first);
    EXPECT_TRUE(moved);
    EXPECT_EQ(budget.used(), 60U);
  }
  EXPECT_EQ(budget.used(), 0U);
  EXPECT_EQ(budget.refused(), 1U);
}

TEST(OperationLimit, RefusesWhileAsManyAsAllowedRun) {
  OperationLimit limit(1);
  OperationTicket first = limit.begin();
  EXPECT_TRUE(first);
  EXPECT_FALSE(limit.begin());
  first = OperationTicket();
  EXPECT_EQ(limit.running(), 0U);
  EXPECT_TRUE(limit.begin());
  EXPECT_EQ(limit.refused(), 1U);
}

} // namespace
} // namespace cairn
