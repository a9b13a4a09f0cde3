// Room on a store path.
#include "storage/store/space.h"

#include <gtest/gtest.h>

#include <vector>

namespace cairn::storage {
namespace {

wire::PathUsage disk(std::uint64_t free_bytes, std::uint64_t inodes, std::uint64_t free_inodes) {
  wire::PathUsage usage;
  usage.total_bytes = 1'000'000;
  usage.free_bytes = free_bytes;
  usage.total_inodes = inodes;
  usage.free_inodes = free_inodes;
  return usage;
}

TEST(Space, UploadsTogetherDoNotOverrunTheReserve) {
  Space space;
  space.measured(disk(1000, 0, 0));
  std::vector<SpaceHold> held;
  for (int i = 0; i < 8; ++i) held.push_back(*space.hold(100, 150));
  EXPECT_FALSE(space.hold(100, 150));
  EXPECT_EQ(space.usage().free_bytes, 200U);
  // Those that ended have used their room, until it is measured that they have not.
  held.clear();
  EXPECT_FALSE(space.hold(100, 150));
  space.measured(disk(1000, 0, 0));
  EXPECT_TRUE(space.hold(100, 150));
}

TEST(Space, MeasuringDoesNotForgetThePromises) {
  Space space;
  space.measured(disk(1000, 0, 0));
  const auto held = space.hold(900, 0);
  ASSERT_TRUE(held);
  space.measured(disk(1000, 0, 0)); // nothing is written yet
  EXPECT_FALSE(space.hold(200, 0));
}

TEST(Space, InodesHaveAReserve) {
  Space space;
  space.measured(disk(100'000, 200, 12));
  std::vector<SpaceHold> held;
  for (int i = 0; i < 2; ++i) held.push_back(*space.hold(1, 0));
  EXPECT_FALSE(space.hold(1, 0)); // a twentieth of 200 stays
  space.measured(disk(100'000, 0, 0));
  EXPECT_TRUE(space.hold(1, 0)); // no fixed number of inodes
}

TEST(Space, AFullDiskGivesNothingUntilItIsMeasured) {
  Space space;
  space.measured(disk(1000, 0, 0));
  space.exhausted();
  EXPECT_FALSE(space.hold(1, 0));
  space.measured(disk(1000, 0, 0));
  EXPECT_TRUE(space.hold(1, 0));
}

} // namespace
} // namespace cairn::storage
