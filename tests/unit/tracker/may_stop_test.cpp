// When a node may be stopped.
#include "tracker/cluster/may_stop.h"

#include "tests/unit/tracker/fixture.h"

namespace cairn::tracker {
namespace {

class MayStop : public ::testing::Test {
protected:
  void SetUp() override {
    for (const std::uint32_t id : {1U, 2U, 3U}) cluster_.add(id, "group1");
    for (const std::uint32_t id : {1U, 2U, 3U}) in_sync(id);
  }

  void in_sync(std::uint32_t id) {
    std::vector<wire::PeerSync> peers;
    for (const std::uint32_t peer : {1U, 2U, 3U})
      if (peer != id) peers.push_back(TestCluster::sync(peer, true));
    cluster_.beat(id, {TestCluster::path(50 * kGiB)}, peers);
  }

  std::string reasons(std::uint32_t id) {
    std::string all;
    for (const std::string& reason : reasons_not_to_stop(cluster_.state, id)) all += reason + "\n";
    return all;
  }

  TestCluster cluster_;
};

TEST_F(MayStop, WhenTheOthersHaveEverything) {
  for (const std::uint32_t id : {1U, 2U, 3U}) EXPECT_EQ(reasons(id), "");
}

TEST_F(MayStop, NotWhileAPeerLacksChanges) {
  wire::PeerSync behind = TestCluster::sync(2, true);
  behind.backlog_files = 12;
  cluster_.beat(1, {TestCluster::path(50 * kGiB)}, {behind, TestCluster::sync(3, true)});
  EXPECT_EQ(reasons(1), "node 2 at 192.168.1.2 still lacks 12 of its changes\n");
  EXPECT_EQ(reasons(2), "");
}

TEST_F(MayStop, NotWhileItBringsAPeerUpOrCannotReachIt) {
  cluster_.beat(1, {TestCluster::path(50 * kGiB)}, {TestCluster::sync(2, false)});
  EXPECT_EQ(reasons(1),
            "node 2 at 192.168.1.2 is not in sync with it\n"
            "node 3 at 192.168.1.3 is not in sync with it\n");
}

TEST_F(MayStop, NotWhileAnotherIsDown) {
  cluster_.state.disconnected(3);
  EXPECT_EQ(reasons(1), "node 3 at 192.168.1.3 is not serving\n");
  EXPECT_EQ(reasons(3), ""); // it is down already
}

TEST_F(MayStop, NotTheLastThatTakesUploads) {
  for (const std::uint32_t id : {2U, 3U})
    EXPECT_TRUE(cluster_.command(FactsCommand(SetDraining{id, true})));
  EXPECT_EQ(reasons(1), "no other node of group1 takes uploads\n");
  EXPECT_EQ(reasons(2), "");
}

TEST_F(MayStop, NotTheOnlyOne) {
  cluster_.add(9, "group2");
  EXPECT_EQ(reasons(9), "it is the only node of group2\n");
}

} // namespace
} // namespace cairn::tracker
