#include "tools/status_model.h"

#include "tools/admin.h"
#include "tools/nodes.h"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace cairn::tools {
namespace {

nlohmann::json answer() {
  return nlohmann::json::parse(R"({
    "cluster": "u", "time": 1000,
    "trackers": [{"address": "127.64.1.1:22122", "role": "holder", "connected": true}],
    "groups": [{"name": "group1", "nodes": 2, "active": 2, "files": 5, "takes_uploads": true}],
    "nodes": [
      {"id": 11, "group": "group1", "host": "127.64.11.1", "port": 23000, "state": "active",
       "end_seq": 9, "last_heartbeat": 999},
      {"id": 12, "group": "group1", "host": "127.64.11.2", "port": 23000, "state": "active"},
      {"id": 13, "group": "group1", "host": "127.64.11.3", "port": 23000, "state": "deleted"}],
    "sync": [
      {"from": 11, "to": 12, "phase": "tail", "acked_seq": 7, "lag_files": 2, "lag_seconds": 1.5},
      {"from": 11, "to": 13, "phase": "disconnected", "lag_files": 100}],
    "alarms": []})");
}

TEST(ReadStatus, WhatTheTrackerSays) {
  const ClusterStatus status = read_status(answer());
  EXPECT_EQ(status.nodes.size(), 2U); // without the removed one
  EXPECT_EQ(status.sync.size(), 1U);
  EXPECT_EQ(status.lag_files_of(12), 2U);
  EXPECT_EQ(status.lag_files_of(11), 0U);
  EXPECT_DOUBLE_EQ(status.lag_seconds_of(12), 1.5);
  EXPECT_EQ(status.find(11)->end_seq, 9U);
  EXPECT_EQ(node_name(status.find(11)->node), "group1-storage1");
  EXPECT_FALSE(status.is_degraded());
}

TEST(ReadStatus, DegradedByAnyOfThem) {
  auto down = answer();
  down["nodes"][1]["state"] = "offline";
  EXPECT_TRUE(read_status(down).is_degraded());
  auto syncing = answer();
  syncing["nodes"][1]["state"] = "syncing";
  EXPECT_TRUE(read_status(syncing).is_degraded());
  auto tracker = answer();
  tracker["trackers"][0]["connected"] = false;
  EXPECT_TRUE(read_status(tracker).is_degraded());
  auto alarm = answer();
  alarm["alarms"].push_back({{"severity", "error"}, {"code", "path_failed"}, {"message", "m"}});
  EXPECT_TRUE(read_status(alarm).is_degraded());
}

TEST(ReadStatus, OtherTypesAndMissingFieldsAreDefaults) {
  const auto status =
      read_status(nlohmann::json::parse(R"({"nodes":[{"id":"x"},7],"alarms":{},"time":"later"})"));
  EXPECT_EQ(status.nodes.size(), 1U);
  EXPECT_EQ(status.time, 0U);
}

TEST(AdminReply, AnErrorInItIsAnError) {
  const auto refused =
      read_admin_reply(R"({"error":{"code":"busy","status":16,"message":"node 7 is active"}})");
  EXPECT_EQ(refused.code(), Errc::busy);
  EXPECT_EQ(refused.error().detail, "node 7 is active");
  EXPECT_TRUE(read_admin_reply(R"({"ok":true})"));
  EXPECT_EQ(read_admin_reply("what?").code(), Errc::invalid_argument);
  EXPECT_FALSE(read_admin_reply(R"({"error":"odd"})"));
}

ClusterNode node(std::uint32_t id, std::string host, NodeState state = NodeState::active) {
  ClusterNode one;
  one.id = id;
  one.uuid = "uuid-" + std::to_string(id);
  one.group = "group1";
  one.address = Address(std::move(host), 23000);
  one.state = state;
  return one;
}

TEST(FindNode, ByEveryName) {
  Cluster cluster;
  cluster.nodes = {node(11, "127.64.11.1"), node(12, "10.0.0.1")};
  for (const char* name : {"11", "group1-storage1", "127.64.11.1", "127.64.11.1:23000", "uuid-11"})
    EXPECT_EQ(find_node(cluster, name)->id, 11U) << name;
  EXPECT_EQ(node_name(cluster.nodes[1]), "12");
  EXPECT_EQ(find_node(cluster, "13").code(), Errc::not_found);
}

TEST(FindNode, AnAddressMeansTheNodeThatHasItNow) {
  Cluster cluster;
  cluster.nodes = {node(11, "10.0.0.1", NodeState::deleted), node(12, "10.0.0.1")};
  EXPECT_EQ(find_node(cluster, "10.0.0.1")->id, 12U);
  EXPECT_EQ(find_node(cluster, "11")->id, 11U);
  cluster.nodes.push_back(node(13, "10.0.0.1"));
  EXPECT_EQ(find_node(cluster, "10.0.0.1").code(), Errc::invalid_argument);
}

} // namespace
} // namespace cairn::tools
