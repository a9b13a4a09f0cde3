#include "client/placement.h"

#include "common/base/file_id.h"

#include <gtest/gtest.h>

namespace cairn {
namespace {

using namespace std::chrono_literals;

const auto kStart = Placement::Clock::time_point() + 1h;

// A name whose source is the node `id`.
std::string name_from(std::uint32_t id) {
  FileIdFields fields;
  fields.source = SourceRef::from_server_id(id);
  fields.timestamp = 1'790'000'000;
  fields.size_field = make_size_field(10, FileKind::normal, 1);
  return "M00/00/00/" + encode27(fields) + "abc.jpg";
}

Placement::View view_of(std::vector<std::pair<std::uint32_t, wire::NodeState>> nodes) {
  auto view = std::make_shared<wire::ClusterView>();
  for (const auto& [id, state] : nodes) {
    wire::NodeView node;
    node.id = id;
    node.group = "group1";
    node.host = "10.0.0." + std::to_string(id % 100);
    node.port = 23000;
    node.state = state;
    view->nodes.push_back(node);
  }
  return view;
}

TEST(Placement, AReadGoesToTheSourceWhileItIsActiveAndTheViewFresh) {
  Placement placement(1s, 200ms);
  EXPECT_FALSE(placement.source_of("group1", name_from(100'001), kStart)) << "nothing is known";
  placement.learn(
      view_of({{100'001, wire::NodeState::active}, {100'002, wire::NodeState::offline}}), kStart);
  EXPECT_EQ(placement.source_of("group1", name_from(100'001), kStart), Address("10.0.0.1", 23000));
  EXPECT_FALSE(placement.source_of("group1", name_from(100'002), kStart)) << "it is away";
  EXPECT_FALSE(placement.source_of("group2", name_from(100'001), kStart)) << "another group's";
  EXPECT_FALSE(placement.source_of("group1", "nonsense", kStart));
  EXPECT_FALSE(placement.source_of("group1", name_from(100'001), kStart + 1s));
}

TEST(Placement, UploadsGoWhereTheLastOneWentForAMoment) {
  Placement placement(1s, 200ms);
  StorePlace place;
  place.group = "group1";
  place.address = Address("10.0.0.1", 23000);
  place.store_path = 1;
  placement.remember("", place, kStart);
  const auto found = placement.place("", kStart + 199ms);
  ASSERT_TRUE(found);
  EXPECT_EQ(found->address, place.address);
  EXPECT_EQ(found->store_path, 1);
  EXPECT_FALSE(placement.place("group1", kStart)) << "another question";
  EXPECT_FALSE(placement.place("", kStart + 200ms));
}

TEST(Placement, ANodeThatFailedIsForgotten) {
  Placement placement(1s, 200ms);
  StorePlace place;
  place.address = Address("10.0.0.1", 23000);
  placement.remember("", place, kStart);
  placement.learn(view_of({{100'001, wire::NodeState::active}}), kStart);
  placement.failed(Address("10.0.0.2", 23000));
  EXPECT_TRUE(placement.place("", kStart));
  placement.failed(place.address);
  EXPECT_FALSE(placement.place("", kStart));
  EXPECT_FALSE(placement.view(kStart)) << "a new view may know why";
}

} // namespace
} // namespace cairn
