// One picture out of several trackers' views.
#include "storage/tracker_link/view_merge.h"

#include <gtest/gtest.h>

#include <map>

namespace cairn::storage {
namespace {

using wire::NodeState;

wire::ClusterView view_of(std::map<std::uint32_t, NodeState> nodes,
                          const std::string& cluster = "cluster-a") {
  wire::ClusterView view;
  view.version = 1;
  view.cluster_uuid = cluster;
  for (const auto& [id, state] : nodes) {
    wire::NodeView node;
    node.id = id;
    node.host = "10.0.0." + std::to_string(id);
    node.state = state;
    view.nodes.push_back(node);
  }
  return view;
}

std::map<std::uint32_t, NodeState> states(ViewMerge& merge) {
  std::map<std::uint32_t, NodeState> result;
  for (const auto& node : merge.merged().nodes) result[node.id] = node.state;
  return result;
}

using States = std::map<std::uint32_t, NodeState>;

TEST(ViewMerge, BestOpinionOfConnectedTrackersCounts) {
  ViewMerge merge(2);
  ASSERT_TRUE(merge.take(0, view_of({{1, NodeState::active}, {2, NodeState::syncing}})));
  ASSERT_TRUE(merge.take(1, view_of({{1, NodeState::offline}, {2, NodeState::active}})));
  EXPECT_EQ(states(merge), (States{{1, NodeState::active}, {2, NodeState::active}}));
  merge.disconnect(0);
  EXPECT_EQ(states(merge), (States{{1, NodeState::offline}, {2, NodeState::active}}));
  merge.disconnect(1);
  EXPECT_EQ(states(merge), (States{{1, NodeState::active}, {2, NodeState::active}}))
      << "nobody is connected: what was said last";
}

TEST(ViewMerge, NodesNeverVanish) {
  ViewMerge merge(2);
  ASSERT_TRUE(merge.take(0, view_of({{1, NodeState::active}, {2, NodeState::active}})));
  ASSERT_TRUE(merge.take(1, view_of({{1, NodeState::active}})));
  EXPECT_EQ(states(merge), (States{{1, NodeState::active}, {2, NodeState::active}}));
  merge.disconnect(0);
  EXPECT_EQ(states(merge), (States{{1, NodeState::active}, {2, NodeState::offline}}))
      << "known, but nobody says that it is alive";
}

TEST(ViewMerge, RemovalIsFinalWhoeverSaysIt) {
  ViewMerge merge(2);
  ASSERT_TRUE(merge.take(0, view_of({{1, NodeState::deleted}})));
  ASSERT_TRUE(merge.take(1, view_of({{1, NodeState::active}})));
  EXPECT_EQ(states(merge), (States{{1, NodeState::deleted}}));
  merge.disconnect(0);
  EXPECT_EQ(states(merge), (States{{1, NodeState::deleted}}));
}

TEST(ViewMerge, LaterAddressAndAliasesCount) {
  ViewMerge merge(2);
  auto moved = view_of({{1, NodeState::active}});
  moved.nodes[0].host = "10.9.9.9";
  moved.aliases = {{"4711", 1}};
  ASSERT_TRUE(merge.take(1, moved));
  ASSERT_TRUE(merge.take(0, view_of({{1, NodeState::active}})));
  EXPECT_EQ(merge.merged().nodes[0].host, "10.0.0.1");
  EXPECT_TRUE(merge.merged().aliases.empty());
  ASSERT_TRUE(merge.take(1, moved));
  EXPECT_EQ(merge.merged().nodes[0].host, "10.9.9.9");
  ASSERT_EQ(merge.merged().aliases.size(), 1U);
  ASSERT_TRUE(merge.take(0, view_of({})));
  EXPECT_EQ(merge.merged().aliases.size(), 1U) << "a tracker that has just started knows none";
  const std::uint64_t version = merge.merged().version;
  EXPECT_GT(merge.merged().version, version);
}

TEST(ViewMerge, AnotherClusterIsRefusedWhileTheFirstOneSpeaks) {
  ViewMerge merge(2);
  ASSERT_TRUE(merge.take(0, view_of({{1, NodeState::active}})));
  const auto other = view_of({{7, NodeState::active}}, "cluster-b");
  EXPECT_EQ(merge.take(1, other).code(), Errc::invalid_argument);
  EXPECT_EQ(states(merge), (States{{1, NodeState::active}}));
  merge.disconnect(0);
  EXPECT_TRUE(merge.take(1, other)) << "set up anew";
  EXPECT_EQ(states(merge), (States{{7, NodeState::active}}));
}

} // namespace
} // namespace cairn::storage
