// What is remembered for a moment.
#include "storage/peers/recent.h"

#include <gtest/gtest.h>

namespace cairn::storage {
namespace {

using std::chrono::milliseconds;
const SteadyTime kStart{};

TEST(RecentNames, BelievesForASecond) {
  RecentNames names(milliseconds(1000), 10);
  names.add("a", kStart);
  EXPECT_TRUE(names.contains("a", kStart + milliseconds(999)));
  EXPECT_FALSE(names.contains("a", kStart + milliseconds(1000)));
  EXPECT_FALSE(names.contains("b", kStart));
  EXPECT_EQ(names.size(), 0U);
}

TEST(RecentNames, KeepsTheNewestOfTooMany) {
  RecentNames names(milliseconds(1000), 3);
  for (const char* name : {"a", "b", "b", "c", "d"}) names.add(name, kStart);
  EXPECT_EQ(names.size(), 3U);
  EXPECT_FALSE(names.contains("a", kStart));
  EXPECT_TRUE(names.contains("d", kStart));
  names.clear();
  EXPECT_FALSE(names.contains("d", kStart));
}

TEST(Reachability, OneCallerAtATimeTriesAFailedEndpoint) {
  Reachability reachability(milliseconds(1000));
  const Endpoint endpoint{"10.0.0.1", 23000};
  EXPECT_TRUE(reachability.may_try(endpoint, kStart));
  reachability.failed(endpoint, kStart);
  EXPECT_TRUE(reachability.is_suspect(endpoint));
  EXPECT_FALSE(reachability.may_try(endpoint, kStart + milliseconds(999)));
  const auto later = kStart + milliseconds(1000);
  EXPECT_TRUE(reachability.may_try(endpoint, later));
  EXPECT_FALSE(reachability.may_try(endpoint, later)) << "somebody is trying";
  reachability.failed(endpoint, later);
  EXPECT_FALSE(reachability.may_try(endpoint, later + milliseconds(1)));
  EXPECT_TRUE(reachability.may_try(endpoint, later + milliseconds(1000)));
  reachability.succeeded(endpoint);
  EXPECT_FALSE(reachability.is_suspect(endpoint));
  EXPECT_TRUE(reachability.may_try(endpoint, later));
}

} // namespace
} // namespace cairn::storage
