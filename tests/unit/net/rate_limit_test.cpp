// Rate limits on a clock of the test's own.
#include "common/net/rate_limit.h"

#include <gtest/gtest.h>

namespace cairn {

using namespace std::chrono_literals;

TEST(RateLimit, ASecondsWorthAndThenOneByOne) {
  RateLimiter limiter;
  const RateLimits limits{10, 0};
  RateLimiter::Time now{};
  for (int i = 0; i < 10; ++i) EXPECT_EQ(limiter.take("a", limits, now), 0ms) << i;
  EXPECT_EQ(limiter.take("a", limits, now), 100ms);
  EXPECT_EQ(limiter.take("b", limits, now), 0ms); // others have their own
  now += 100ms;
  EXPECT_EQ(limiter.take("a", limits, now), 0ms);
  EXPECT_GT(limiter.take("a", limits, now), 0ms);
  now += 1h; // no more than a second's worth is saved
  for (int i = 0; i < 10; ++i) EXPECT_EQ(limiter.take("a", limits, now), 0ms) << i;
  EXPECT_GT(limiter.take("a", limits, now), 0ms);
}

TEST(RateLimit, BytesAreADebt) {
  RateLimiter limiter;
  const RateLimits limits{0, 1000};
  RateLimiter::Time now{};
  EXPECT_EQ(limiter.take("a", limits, now), 0ms);
  limiter.charge("a", limits, 4000, now);
  EXPECT_EQ(limiter.take("a", limits, now), 3000ms);
  now += 2s;
  EXPECT_EQ(limiter.take("a", limits, now), 1000ms);
  now += 1s;
  EXPECT_EQ(limiter.take("a", limits, now), 0ms);
}

TEST(RateLimit, WithoutLimitsNothingIsKept) {
  RateLimiter limiter;
  for (int i = 0; i < 1000; ++i) EXPECT_EQ(limiter.take("a", RateLimits(), {}), 0ms);
}

TEST(RateLimit, ManyClientsAreForgottenNotKept) {
  RateLimiter limiter;
  const RateLimits limits{1, 0};
  RateLimiter::Time now{};
  for (int i = 0; i < 300'000; ++i)
    EXPECT_EQ(limiter.take(std::to_string(i), limits, now), 0ms) << i;
}

} // namespace cairn
