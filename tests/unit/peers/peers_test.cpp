// Which node a file name means, and who owns the file.
#include "storage/peers/peers.h"

#include <gtest/gtest.h>

namespace cairn::storage {
namespace {

constexpr std::uint32_t kRemovedId = 8'400'000;

wire::NodeView node(std::uint32_t id, const std::string& host, const std::string& group = "group1",
                    wire::NodeState state = wire::NodeState::active) {
  wire::NodeView view;
  view.id = id;
  view.uuid = "uuid-" + std::to_string(id);
  view.group = group;
  view.host = host;
  view.port = 23000;
  view.state = state;
  return view;
}

wire::ClusterView sample() {
  wire::ClusterView view;
  view.version = 7;
  view.nodes = {node(30, "10.0.0.3"), node(10, "10.0.0.1"), node(20, "10.0.0.2"),
                node(5, "10.0.1.1", "group2"),
                node(kRemovedId, "10.0.0.9", "group1", wire::NodeState::deleted)};
  view.aliases = {{"192.168.7.7", 30}, {"4711", 20}, {"10.0.0.9", 30}, {"192.168.7.8", 5}};
  return view;
}

PeerMap map_of(wire::ClusterView view, const std::string& uuid = "uuid-20") {
  return PeerMap(std::move(view), uuid, "group1");
}

SourceRef source(const std::string& text) {
  return *parse_source_ref(text);
}

RemoteName name_from(const std::string& source_text) {
  FileIdFields fields;
  fields.source = source(source_text);
  fields.timestamp = 1;
  fields.size_field = make_size_field(100, FileKind::normal, 1);
  return *parse_remote_name(make_remote_name(0, 1, 2, fields, extension_block("jpg", 3)));
}

std::uint32_t id_of(const wire::NodeView* view) {
  return view == nullptr ? 0 : view->id;
}

TEST(PeerMap, MembersAreOurGroupWithoutUsAndRemovedOnesById) {
  const PeerMap map = map_of(sample());
  ASSERT_EQ(map.members().size(), 2U);
  EXPECT_EQ(map.members()[0].id, 10U);
  EXPECT_EQ(map.members()[1].id, 30U);
  EXPECT_EQ(map.own_id(), 20U);
  EXPECT_TRUE(map.is_known());
  EXPECT_EQ(id_of(map.find(kRemovedId)), kRemovedId);
  EXPECT_EQ(map.find(99), nullptr);
}

TEST(PeerMap, ResolvesIdsAddressesAndAliases) {
  const PeerMap map = map_of(sample());
  EXPECT_EQ(id_of(map.resolve(source("30"))), 30U);
  EXPECT_EQ(id_of(map.resolve(source("10.0.0.2"))), 20U) << "our own address";
  EXPECT_EQ(id_of(map.resolve(source("192.168.7.7"))), 30U);
  EXPECT_EQ(id_of(map.resolve(source("4711"))), 20U);
  EXPECT_EQ(id_of(map.resolve(source("10.0.0.9"))), 30U) << "alias before a removed node";
  EXPECT_EQ(map.resolve(source("10.0.1.1")), nullptr) << "the address of another group's node";
  EXPECT_EQ(map.resolve(source("172.16.0.1")), nullptr);
}

TEST(PeerMap, RemovedNodesAddressCountsWhenNobodyElseHasIt) {
  auto view = sample();
  view.aliases.clear();
  EXPECT_EQ(id_of(map_of(view).resolve(source("10.0.0.9"))), kRemovedId);
  view.nodes.push_back(node(40, "10.0.0.9"));
  EXPECT_EQ(id_of(map_of(view).resolve(source("10.0.0.9"))), 40U);
}

TEST(PeerMap, OwnerIsTheSourceWhileItIsAMemberElseTheLowestId) {
  const PeerMap map = map_of(sample());
  EXPECT_EQ(map.owner_of(name_from("30")), 30U);
  EXPECT_EQ(map.owner_of(name_from("20")), 20U);
  EXPECT_EQ(map.owner_of(name_from("192.168.7.7")), 30U);
  EXPECT_EQ(map.owner_of(name_from(std::to_string(kRemovedId))), 10U) << "removed";
  EXPECT_EQ(map.owner_of(name_from("12345")), 10U) << "unknown";
  EXPECT_EQ(map.owner_of(name_from("192.168.7.8")), 10U) << "now in another group";
  EXPECT_EQ(map.owner_of(*parse_remote_name("M00/00/01/legacy.jpg")), 10U) << "no source in it";
}

TEST(PeerMap, AllMembersAgreeOnTheOwnerWhoeverAsksAndHoweverTheViewIsSorted) {
  auto turned = sample();
  std::reverse(turned.nodes.begin(), turned.nodes.end());
  for (const char* text : {"30", "12345", "10.0.0.9", "192.168.7.8"}) {
    const auto name = name_from(text);
    EXPECT_EQ(map_of(sample(), "uuid-10").owner_of(name), map_of(turned, "uuid-30").owner_of(name));
  }
}

TEST(PeerMap, NothingIsKnownBeforeTheFirstView) {
  const PeerMap map;
  EXPECT_FALSE(map.is_known());
  EXPECT_EQ(map.owner_of(name_from("30")), 0U);
  EXPECT_EQ(map.own_id(), 0U);
}

TEST(Peers, TellsOfMembersAndAddressesButNotOfStates) {
  Peers peers("uuid-20", "group1");
  int changes = 0;
  peers.on_change([&] { ++changes; });
  auto view = sample();
  peers.update(view);
  EXPECT_EQ(changes, 1);

  const auto before = peers.get();
  ++view.version;
  peers.update(view);
  EXPECT_EQ(peers.get(), before) << "only the version differs";

  view.nodes[0].state = wire::NodeState::offline;
  peers.update(view);
  EXPECT_NE(peers.get(), before);
  EXPECT_EQ(changes, 1);

  view.nodes[0].host = "10.0.0.33";
  peers.update(view);
  EXPECT_EQ(changes, 2);
  view.nodes[0].state = wire::NodeState::deleted;
  peers.update(view);
  EXPECT_EQ(changes, 3);

  peers.update(wire::ClusterView());
  EXPECT_TRUE(peers.get()->is_known()) << "an empty view says nothing";
}

} // namespace
} // namespace cairn::storage
