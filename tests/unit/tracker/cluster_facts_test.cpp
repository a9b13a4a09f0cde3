// Joins, removals, groups and aliases as facts.
#include "tests/unit/tracker/fixture.h"

namespace cairn::tracker {

TEST(ClusterFacts, TheFirstNodeOfAGroupNeedsNobody) {
  TestCluster cluster;
  ASSERT_TRUE(cluster.join(TestCluster::join_of(1, "group1")));
  EXPECT_TRUE(cluster.state.facts().find(1)->brought_up);
  EXPECT_TRUE(cluster.state.facts().groups().contains("group1"));
  EXPECT_EQ(cluster.state.facts().find(1)->join_time, cluster.now.unix_s);
}

TEST(ClusterFacts, IdConflicts) {
  TestCluster cluster;
  ASSERT_TRUE(cluster.join(TestCluster::join_of(1, "group1")));
  wire::Join other = TestCluster::join_of(1, "group1");
  other.uuid = TestCluster::uuid(2);
  EXPECT_EQ(cluster.join(other).code(), Errc::exists);
  // The same node with another number, in another group, with another number of paths.
  wire::Join renumbered = TestCluster::join_of(3, "group1");
  renumbered.uuid = TestCluster::uuid(1);
  EXPECT_EQ(cluster.join(renumbered).code(), Errc::invalid_argument);
  EXPECT_EQ(cluster.join(TestCluster::join_of(1, "group2")).code(), Errc::invalid_argument);
  EXPECT_EQ(cluster.join(TestCluster::join_of(2, "group1", 2)).code(), Errc::invalid_argument);
  // Alone in its group it may get another path.
  EXPECT_TRUE(cluster.join(TestCluster::join_of(1, "group1", 2)));
}

TEST(ClusterFacts, WhatNoNodeMaySay) {
  TestCluster cluster;
  const auto refused = [&](auto change) {
    wire::Join join = TestCluster::join_of(1, "group1");
    change(join);
    return cluster.join(join).code() == Errc::invalid_argument;
  };
  EXPECT_TRUE(refused([](wire::Join& join) { join.id = 0; }));
  EXPECT_TRUE(refused([](wire::Join& join) { join.id = kServerIdMax + 1; }));
  EXPECT_TRUE(refused([](wire::Join& join) { join.uuid = "x"; }));
  EXPECT_TRUE(refused([](wire::Join& join) { join.group = "a b"; }));
  EXPECT_TRUE(refused([](wire::Join& join) { join.group = std::string(17, 'a'); }));
  EXPECT_TRUE(refused([](wire::Join& join) { join.host = ""; }));
  EXPECT_TRUE(refused([](wire::Join& join) { join.host = "0.0.0.0"; }));
  EXPECT_TRUE(refused([](wire::Join& join) { join.host = "node.example"; }));
  EXPECT_TRUE(refused([](wire::Join& join) { join.port = 0; }));
  EXPECT_TRUE(refused([](wire::Join& join) { join.store_path_count = 257; }));
  EXPECT_TRUE(cluster.state.facts().nodes().empty());
}

TEST(ClusterFacts, RemovalIsForEver) {
  TestCluster cluster;
  cluster.add(1, "group1");
  EXPECT_EQ(cluster.command(RemoveGroup{"group1"}).code(), Errc::busy);
  EXPECT_TRUE(cluster.command(RemoveNode{1}));
  EXPECT_EQ(cluster.command(RemoveNode{1}).code(), Errc::already);
  EXPECT_EQ(cluster.command(RemoveNode{2}).code(), Errc::not_found);
  EXPECT_EQ(cluster.state_of(1), wire::NodeState::deleted);
  EXPECT_EQ(cluster.join(TestCluster::join_of(1, "group1")).code(), Errc::denied);
  wire::Join renumbered = TestCluster::join_of(2, "group1");
  renumbered.uuid = TestCluster::uuid(1);
  EXPECT_EQ(cluster.join(renumbered).code(), Errc::denied);
  EXPECT_TRUE(cluster.command(RemoveGroup{"group1"}));
  EXPECT_EQ(cluster.command(RemoveGroup{"group1"}).code(), Errc::not_found);
}

TEST(ClusterFacts, SourcesResolve) {
  TestCluster cluster;
  cluster.add(100001, "group1");
  cluster.add(100002, "group2");
  const ClusterFacts& facts = cluster.state.facts();
  EXPECT_TRUE(cluster.command(AddAlias{"10.0.0.7", 100001}));
  EXPECT_TRUE(cluster.command(AddAlias{"10.0.0.7", 100001})); // again: nothing to do
  EXPECT_EQ(cluster.command(AddAlias{"10.0.0.7", 100002}).code(), Errc::exists);
  EXPECT_EQ(cluster.command(AddAlias{"100002", 100001}).code(), Errc::exists);
  EXPECT_EQ(cluster.command(AddAlias{"10.0.0.8", 5}).code(), Errc::not_found);
  EXPECT_EQ(cluster.command(AddAlias{"nonsense", 100001}).code(), Errc::invalid_argument);
  EXPECT_TRUE(cluster.command(AddAlias{"7", 100001}));

  const auto id_of = [&](std::string_view source) -> std::uint32_t {
    const NodeFact* found = facts.resolve("group1", source);
    return found == nullptr ? 0 : found->id;
  };
  EXPECT_EQ(id_of("100001"), 100001U);
  EXPECT_EQ(id_of("192.168.1.1"), 100001U);
  EXPECT_EQ(id_of("192.168.1.2"), 0U); // of another group
  EXPECT_EQ(id_of("10.0.0.7"), 100001U);
  EXPECT_EQ(id_of("7"), 100001U);
  EXPECT_EQ(id_of("8"), 0U);
  // An alias stands for a node's ID: nobody else may have it.
  EXPECT_EQ(cluster.join(TestCluster::join_of(7, "group1")).code(), Errc::exists);
  EXPECT_TRUE(cluster.command(RemoveAlias{"7"}));
  EXPECT_EQ(cluster.command(RemoveAlias{"7"}).code(), Errc::not_found);
}

TEST(ClusterFacts, AViewCarriesAllOfThem) {
  TestCluster cluster;
  cluster.add(100001, "group1");
  cluster.add(100002, "group1");
  cluster.add(100003, "group2");
  ASSERT_TRUE(cluster.command(NameCluster{"u"}));
  ASSERT_TRUE(cluster.command(AddGroup{"group3"}));
  ASSERT_TRUE(cluster.command(AddAlias{"10.0.0.7", 100001}));
  ASSERT_TRUE(cluster.command(SetDraining{100002, true}));
  ASSERT_TRUE(cluster.command(RemoveNode{100003}));
  const wire::Bytes bytes = wire::encode(cluster.state.view(""));
  auto view = wire::decode_lenient<wire::ClusterView>(bytes);
  ASSERT_TRUE(view);
  EXPECT_EQ(ClusterFacts::from_view(*view), cluster.state.facts());
}

TEST(ClusterFacts, DamagedRowsAreRefusedWhole) {
  ClusterFacts facts;
  const std::vector<wire::Mutation> mutations{wire::Mutation::put("Cg1", "\x01"),
                                              wire::Mutation::put("Cu", "u")};
  EXPECT_EQ(facts.apply(mutations).code(), Errc::corrupt);
  EXPECT_EQ(facts, ClusterFacts());
}

} // namespace cairn::tracker
