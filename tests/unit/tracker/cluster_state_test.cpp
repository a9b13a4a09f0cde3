// The life of a node, seen by a tracker.
#include "tests/unit/tracker/fixture.h"

namespace cairn::tracker {

using wire::NodeState;

TEST(ClusterState, ANewNodeWaitsForEveryActivePeer) {
  TestCluster cluster;
  cluster.add(1, "group1");
  cluster.add(2, "group1");
  auto joined = cluster.join(TestCluster::join_of(3, "group1"));
  ASSERT_TRUE(joined);
  EXPECT_EQ(*joined, NodeState::wait_sync);
  cluster.beat(3, {TestCluster::path(kGiB)});

  cluster.beat(1, {TestCluster::path(kGiB)}, {TestCluster::sync(3, false)});
  cluster.mark_brought_up();
  EXPECT_EQ(cluster.state_of(3), NodeState::syncing);
  cluster.beat(1, {TestCluster::path(kGiB)}, {TestCluster::sync(3, true)});
  cluster.mark_brought_up();
  EXPECT_EQ(cluster.state_of(3), NodeState::syncing); // 2 has not said so
  cluster.beat(2, {TestCluster::path(kGiB)}, {TestCluster::sync(3, true)});
  cluster.mark_brought_up();
  EXPECT_EQ(cluster.state_of(3), NodeState::active);

  // After a restart it is read at once, and takes uploads from its first heartbeat on: until then
  // it may be writing down its ID.
  cluster.state.disconnected(3);
  EXPECT_EQ(cluster.state_of(3), NodeState::offline);
  EXPECT_EQ(*cluster.join(TestCluster::join_of(3, "group1")), NodeState::online);
  cluster.beat(3, {TestCluster::path(kGiB)});
  EXPECT_EQ(cluster.state_of(3), NodeState::active);
}

TEST(ClusterState, AnOfflinePeerIsNotWaitedFor) {
  TestCluster cluster;
  cluster.add(1, "group1");
  cluster.add(2, "group1");
  ASSERT_TRUE(cluster.join(TestCluster::join_of(3, "group1")));
  cluster.beat(3, {TestCluster::path(kGiB)});
  cluster.beat(1, {TestCluster::path(kGiB)}, {TestCluster::sync(3, true)});
  cluster.state.disconnected(2);
  cluster.mark_brought_up();
  EXPECT_EQ(cluster.state_of(3), NodeState::active);
}

TEST(ClusterState, RightAfterTheStartAMissingPeerIsWaitedFor) {
  TestCluster cluster;
  cluster.add(1, "group1");
  cluster.add(2, "group1");
  ClusterState restarted(std::chrono::seconds(10), {}, cluster.now);
  restarted.set_facts(cluster.state.facts());
  ASSERT_TRUE(restarted.joined(TestCluster::join_of(1, "group1"), 1, cluster.now));
  JoinNode joining;
  joining.join = TestCluster::join_of(3, "group1");
  joining.just_started = restarted.just_started(cluster.now);
  ClusterFacts facts = restarted.facts();
  ASSERT_TRUE(facts.apply(*facts.evaluate(joining)));
  restarted.set_facts(facts);
  EXPECT_FALSE(facts.find(3)->brought_up);
  ASSERT_TRUE(restarted.joined(joining.join, 3, cluster.now));
  wire::Heartbeat heartbeat;
  heartbeat.id = 1;
  heartbeat.uuid = TestCluster::uuid(1);
  heartbeat.peers = {TestCluster::sync(3, true)};
  ASSERT_TRUE(restarted.heartbeat(heartbeat, 1, cluster.now));
  EXPECT_TRUE(restarted.brought_up(cluster.now).empty());
  Moment later = cluster.now;
  later.steady += std::chrono::seconds(11);
  EXPECT_EQ(restarted.brought_up(later).size(), 1U);
}

TEST(ClusterState, TwoNewNodesAtOnceAreNotBothFirst) {
  TestCluster cluster;
  // Both ask before either is a fact.
  JoinNode first;
  first.join = TestCluster::join_of(1, "group1");
  first.alive = cluster.state.alive(cluster.now);
  cluster.state.heard_of(1, cluster.now);
  JoinNode second;
  second.join = TestCluster::join_of(2, "group1");
  second.alive = cluster.state.alive(cluster.now);
  ASSERT_TRUE(cluster.command(first));
  ASSERT_TRUE(cluster.command(second));
  EXPECT_TRUE(cluster.state.facts().find(1)->brought_up);
  EXPECT_FALSE(cluster.state.facts().find(2)->brought_up);
}

TEST(ClusterState, ANewNodeWhoseGroupIsDownServesAtOnce) {
  TestCluster cluster;
  cluster.add(1, "group1");
  cluster.state.disconnected(1);
  cluster.now = TestCluster::at(100'000);
  EXPECT_EQ(*cluster.join(TestCluster::join_of(2, "group1")), NodeState::online);
  cluster.beat(2, {TestCluster::path(kGiB)});
  EXPECT_EQ(cluster.state_of(2), NodeState::active);
}

TEST(ClusterState, AWaitingNodeServesOnceTheOthersAreRemoved) {
  TestCluster cluster;
  cluster.add(1, "group1");
  ASSERT_TRUE(cluster.join(TestCluster::join_of(2, "group1")));
  ASSERT_TRUE(cluster.join(TestCluster::join_of(3, "group1")));
  cluster.beat(2, {TestCluster::path(kGiB)});
  cluster.state.disconnected(1);
  cluster.mark_brought_up();
  EXPECT_EQ(cluster.state_of(2), NodeState::wait_sync); // 1 has what 2 lacks
  ASSERT_TRUE(cluster.command(RemoveNode{1}));
  cluster.mark_brought_up();
  EXPECT_EQ(cluster.state_of(2), NodeState::active);
  EXPECT_EQ(cluster.state_of(3), NodeState::wait_sync); // only one of them
}

TEST(ClusterState, SilenceAndStopping) {
  TestCluster cluster;
  cluster.add(1, "group1");
  const std::uint64_t version = cluster.state.version();
  cluster.now = TestCluster::at(69'999);
  cluster.state.tick(cluster.now);
  EXPECT_EQ(cluster.state_of(1), NodeState::active);
  EXPECT_EQ(cluster.state.version(), version);
  cluster.now = TestCluster::at(70'000);
  cluster.state.tick(cluster.now);
  EXPECT_EQ(cluster.state_of(1), NodeState::offline);
  EXPECT_GT(cluster.state.version(), version);
  cluster.beat(1); // the connection was still there
  EXPECT_EQ(cluster.state_of(1), NodeState::active);

  wire::Heartbeat heartbeat;
  heartbeat.id = 1;
  heartbeat.uuid = TestCluster::uuid(1);
  heartbeat.stopping = true;
  EXPECT_EQ(*cluster.state.heartbeat(heartbeat, 1, cluster.now), NodeState::online);
}

TEST(ClusterState, ALostConnectionThatWasReplacedSaysNothing) {
  TestCluster cluster;
  cluster.add(1, "group1");
  ASSERT_TRUE(cluster.state.joined(TestCluster::join_of(1, "group1"), 77, cluster.now));
  cluster.state.disconnected(1);
  EXPECT_EQ(cluster.state_of(1), NodeState::online);
  cluster.state.disconnected(77);
  EXPECT_EQ(cluster.state_of(1), NodeState::offline);
}

TEST(ClusterState, HeartbeatsOfStrangersAreRefused) {
  TestCluster cluster;
  cluster.add(1, "group1");
  wire::Heartbeat heartbeat;
  heartbeat.id = 1;
  heartbeat.uuid = TestCluster::uuid(2);
  EXPECT_EQ(cluster.state.heartbeat(heartbeat, 1, cluster.now).code(), Errc::not_found);
  heartbeat.uuid = TestCluster::uuid(1);
  EXPECT_EQ(cluster.state.heartbeat(heartbeat, 2, cluster.now).code(), Errc::not_found);
  heartbeat.id = 9;
  EXPECT_EQ(cluster.state.heartbeat(heartbeat, 1, cluster.now).code(), Errc::not_found);
}

} // namespace cairn::tracker
