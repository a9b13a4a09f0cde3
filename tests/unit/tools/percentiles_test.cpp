#include "tools/percentiles.h"

#include <gtest/gtest.h>

namespace cairn::tools {
namespace {

using namespace std::chrono_literals;

TEST(Latencies, NearestRank) {
  Latencies latencies;
  for (int i = 100; i >= 1; --i) latencies.add(std::chrono::milliseconds(i));
  EXPECT_DOUBLE_EQ(latencies.percentile_ms(0), 1);
  EXPECT_DOUBLE_EQ(latencies.percentile_ms(50), 50);
  EXPECT_DOUBLE_EQ(latencies.percentile_ms(99), 99);
  EXPECT_DOUBLE_EQ(latencies.percentile_ms(99.9), 100);
  EXPECT_DOUBLE_EQ(latencies.percentile_ms(100), 100);
  EXPECT_DOUBLE_EQ(latencies.mean_ms(), 50.5);
}

TEST(Latencies, OneAndNone) {
  Latencies latencies;
  EXPECT_DOUBLE_EQ(latencies.percentile_ms(50), 0);
  EXPECT_DOUBLE_EQ(latencies.mean_ms(), 0);
  latencies.add(1500us);
  EXPECT_DOUBLE_EQ(latencies.percentile_ms(0), 1.5);
  EXPECT_DOUBLE_EQ(latencies.percentile_ms(99), 1.5);
}

TEST(Latencies, Merged) {
  Latencies a;
  Latencies b;
  a.add(1ms);
  b.add(3ms);
  a.merge(b);
  EXPECT_EQ(a.count(), 2U);
  EXPECT_DOUBLE_EQ(a.mean_ms(), 2);
}

} // namespace
} // namespace cairn::tools
