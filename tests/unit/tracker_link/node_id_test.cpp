// Deriving and keeping the storage ID.
#include "storage/tracker_link/node_id.h"

#include "common/base/text.h"
#include "tests/unit/config/temporary_directory.h"

#include <gtest/gtest.h>

#include <set>

namespace cairn::storage {
namespace {

TEST(NodeId, DerivedIdsAreInTheirRangeAndSpread) {
  std::set<std::uint32_t> ids;
  for (int i = 0; i < 1000; ++i) {
    const auto id = derived_node_id(uuid_v4());
    EXPECT_GE(id, kDerivedIdMin);
    EXPECT_LE(id, kDerivedIdMax);
    ids.insert(id);
  }
  EXPECT_GT(ids.size(), 990U);
}

TEST(NodeId, DerivationNeverChanges) {
  EXPECT_EQ(derived_node_id("00000000-0000-4000-8000-000000000000"), 9'192'624U);
}

TEST(NodeId, NextWrapsWithinTheRange) {
  EXPECT_EQ(next_derived_id(kDerivedIdMin), kDerivedIdMin + 1);
  EXPECT_EQ(next_derived_id(kDerivedIdMax), kDerivedIdMin);
}

TEST(NodeId, IsKept) {
  const TemporaryDirectory directory;
  EXPECT_EQ(*load_node_id(directory.path()), std::nullopt);
  ASSERT_TRUE(store_node_id(directory.path(), 8'400'000));
  EXPECT_EQ(*load_node_id(directory.path()), 8'400'000U);
  directory.write("data/node.id", "soup\n");
  EXPECT_EQ(load_node_id(directory.path()).code(), Errc::corrupt);
  directory.write("data/node.id", "16777216\n");
  EXPECT_EQ(load_node_id(directory.path()).code(), Errc::corrupt);
}

} // namespace
} // namespace cairn::storage
