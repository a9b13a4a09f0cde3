// Sequences of selection, boundaries of the reserve, and who serves a read.
#include "tests/unit/tracker/fixture.h"

namespace cairn::tracker {

namespace {

std::vector<std::uint32_t> uploads(Selection& selection, const ClusterState& state, int count) {
  std::vector<std::uint32_t> ids;
  for (int i = 0; i < count; ++i) {
    auto target = selection.for_upload(state, std::nullopt);
    ids.push_back(target ? target->node->fact.id : 0);
  }
  return ids;
}

std::vector<std::uint32_t> ids_of(const Result<std::vector<const Node*>>& nodes) {
  std::vector<std::uint32_t> ids;
  if (nodes) {
    for (const Node* node : *nodes) ids.push_back(node->fact.id);
  }
  return ids;
}

using Ids = std::vector<std::uint32_t>;

} // namespace

TEST(Selection, RoundRobinOverGroupsAndNodes) {
  TestCluster cluster;
  cluster.add(11, "group1");
  cluster.add(12, "group1");
  cluster.add(21, "group2");
  Selection selection((SelectionRules()));
  EXPECT_EQ(uploads(selection, cluster.state, 5), (Ids{11, 21, 12, 21, 11}));
}

TEST(Selection, NodesAreOrderedByTheTextOfTheirIds) {
  TestCluster cluster;
  cluster.add(9, "group1");
  cluster.add(10, "group1");
  Selection selection((SelectionRules()));
  EXPECT_EQ(uploads(selection, cluster.state, 3), (Ids{10, 9, 10}));
  auto all = selection.for_upload_all(cluster.state, "group1");
  ASSERT_TRUE(all);
  EXPECT_EQ(all->nodes.front()->fact.id, 10U);
}

TEST(Selection, SpecifiedGroup) {
  TestCluster cluster;
  cluster.add(11, "group1");
  cluster.add(21, "group2");
  SelectionRules rules;
  rules.store_lookup = config::StoreLookup::specified;
  rules.store_group = "group2";
  Selection selection(rules);
  EXPECT_EQ(uploads(selection, cluster.state, 2), (Ids{21, 21}));
  rules.store_group = "group3";
  Selection other(rules);
  EXPECT_EQ(other.for_upload(cluster.state, std::nullopt).code(), Errc::not_found);
  // A client that names its group gets that one.
  EXPECT_EQ(selection.for_upload(cluster.state, "group1")->node->fact.id, 11U);
  EXPECT_EQ(selection.for_upload(cluster.state, "nogroup").code(), Errc::not_found);
}

TEST(Selection, OnlyGroupsThatPassTheFilter) {
  TestCluster cluster;
  cluster.add(11, "group1");
  cluster.add(21, "group2");
  Selection selection((SelectionRules()));
  const GroupFilter second = [](std::string_view group) { return group == "group2"; };
  for (int i = 0; i < 3; ++i)
    EXPECT_EQ(selection.for_upload(cluster.state, std::nullopt, second)->node->fact.id, 21U);
  EXPECT_EQ(selection.for_upload(cluster.state, "group1", second).code(), Errc::denied);
  EXPECT_EQ(selection.for_upload_all(cluster.state, "group1", second).code(), Errc::denied);
  const GroupFilter none = [](std::string_view) { return false; };
  EXPECT_EQ(selection.for_upload(cluster.state, std::nullopt, none).code(), Errc::not_found);
}

TEST(Selection, MostFreeGoesByTheFullestMember) {
  TestCluster cluster;
  cluster.add(11, "group1", {TestCluster::path(90 * kGiB)});
  cluster.add(12, "group1", {TestCluster::path(10 * kGiB)});
  cluster.add(21, "group2", {TestCluster::path(20 * kGiB)});
  cluster.add(31, "group3", {TestCluster::path(20 * kGiB)});
  SelectionRules rules;
  rules.store_lookup = config::StoreLookup::most_free;
  Selection selection(rules);
  EXPECT_EQ(uploads(selection, cluster.state, 3), (Ids{21, 21, 21}));
  cluster.beat(31, {TestCluster::path(21 * kGiB)});
  EXPECT_EQ(uploads(selection, cluster.state, 1), (Ids{31}));
}

TEST(Selection, StoreServer) {
  TestCluster cluster;
  cluster.add(11, "group1", {TestCluster::path(50 * kGiB)}, 10);
  cluster.add(12, "group1", {TestCluster::path(50 * kGiB)}, 3);
  cluster.add(13, "group1", {TestCluster::path(50 * kGiB)}, 3);
  SelectionRules rules;
  rules.store_server = config::StoreServer::first_by_ip;
  Selection first(rules);
  EXPECT_EQ(uploads(first, cluster.state, 2), (Ids{11, 11}));
  rules.store_server = config::StoreServer::first_by_priority;
  Selection priority(rules);
  EXPECT_EQ(uploads(priority, cluster.state, 2), (Ids{12, 12}));
}

TEST(Selection, StorePaths) {
  TestCluster cluster;
  cluster.add(11, "group1",
              {TestCluster::path(50 * kGiB), TestCluster::path(0), TestCluster::path(60 * kGiB)});
  const auto paths = [&](Selection& selection, int count) {
    std::vector<int> taken;
    for (int i = 0; i < count; ++i)
      taken.push_back(selection.for_upload(cluster.state, std::nullopt)->store_path);
    return taken;
  };
  Selection rotating((SelectionRules()));
  EXPECT_EQ(paths(rotating, 4), (std::vector<int>{0, 2, 0, 2}));
  SelectionRules rules;
  rules.store_path = config::StorePath::most_free;
  Selection most(rules);
  EXPECT_EQ(paths(most, 2), (std::vector<int>{2, 2}));
}

TEST(Selection, ReserveBoundaries) {
  config::ReservedSpace absolute; // 1024 MiB
  EXPECT_FALSE(path_has_room(TestCluster::path(1024 * kMiB), 1, absolute));
  EXPECT_FALSE(path_has_room(TestCluster::path(1025 * kMiB - 1), 1, absolute));
  EXPECT_TRUE(path_has_room(TestCluster::path(1025 * kMiB), 1, absolute));
  // 1024 / 3 = 341: of one path of three.
  EXPECT_FALSE(path_has_room(TestCluster::path(341 * kMiB), 3, absolute));
  EXPECT_TRUE(path_has_room(TestCluster::path(342 * kMiB), 3, absolute));

  config::ReservedSpace share;
  share.is_percent = true;
  share.percent = 20;
  EXPECT_FALSE(path_has_room(TestCluster::path(20 * kMiB, 100 * kMiB), 1, share));
  EXPECT_TRUE(path_has_room(TestCluster::path(21 * kMiB, 100 * kMiB), 1, share));
  EXPECT_FALSE(path_has_room(TestCluster::path(0, 0), 1, share));

  wire::PathUsage path = TestCluster::path(50 * kGiB);
  path.free_inodes = kInodesKept;
  EXPECT_FALSE(path_has_room(path, 1, absolute));
  path.free_inodes = kInodesKept + 1;
  EXPECT_TRUE(path_has_room(path, 1, absolute));
  path.total_inodes = path.free_inodes = 0; // counts none
  EXPECT_TRUE(path_has_room(path, 1, absolute));
  path.state = wire::PathState::read_only;
  EXPECT_FALSE(path_has_room(path, 1, absolute));
}

TEST(Selection, WhoGetsNothing) {
  TestCluster cluster;
  Selection selection((SelectionRules()));
  EXPECT_EQ(selection.for_upload(cluster.state, std::nullopt).code(), Errc::not_found);
  cluster.add(11, "group1", {TestCluster::path(0)});
  EXPECT_EQ(selection.for_upload(cluster.state, std::nullopt).code(), Errc::no_space);
  EXPECT_EQ(selection.for_upload(cluster.state, "group1").code(), Errc::no_space);
  EXPECT_EQ(selection.for_upload_all(cluster.state, "group1").code(), Errc::no_space);
  cluster.add(12, "group1");
  EXPECT_EQ(uploads(selection, cluster.state, 2), (Ids{12, 12})); // the full one is passed over
  ASSERT_TRUE(cluster.command(SetDraining{12, true}));
  EXPECT_EQ(selection.for_upload(cluster.state, std::nullopt).code(), Errc::no_space);
  ASSERT_TRUE(cluster.join(TestCluster::join_of(13, "group1"))); // waits for sync
  cluster.beat(13);
  EXPECT_EQ(selection.for_upload(cluster.state, std::nullopt).code(), Errc::no_space);
  cluster.state.disconnected(11);
  EXPECT_EQ(selection.for_upload(cluster.state, std::nullopt).code(), Errc::not_found);
}

TEST(Selection, GroupsThatCannotReplicateComeLast) {
  TestCluster cluster;
  cluster.add(11, "group1", {TestCluster::path(0)});
  cluster.add(12, "group1");
  cluster.add(21, "group2");
  Selection selection((SelectionRules()));
  EXPECT_EQ(uploads(selection, cluster.state, 2), (Ids{21, 21}));
  cluster.state.disconnected(21);
  EXPECT_EQ(uploads(selection, cluster.state, 1), (Ids{12}));
}

TEST(Selection, ReadAndWriteModesOfStorageIds) {
  config::StorageIdEntry read_only;
  read_only.id = 11;
  read_only.writable = false;
  config::StorageIdEntry write_only;
  write_only.id = 12;
  write_only.readable = false;
  TestCluster cluster({read_only, write_only});
  cluster.add(11, "group1");
  cluster.add(12, "group1");
  Selection selection((SelectionRules()));
  EXPECT_EQ(uploads(selection, cluster.state, 2), (Ids{12, 12}));
  const RemoteName old = name_of(12, kNow - 100'000);
  EXPECT_EQ(ids_of(selection.eligible_for_fetch(cluster.state, "group1", old, kNow)), (Ids{11}));
  EXPECT_EQ((*selection.for_fetch(cluster.state, "group1", old, kNow))->fact.id, 11U);
}

TEST(Selection, FreshFilesAreReadAtTheirSourceUntilPeersHaveThem) {
  TestCluster cluster;
  cluster.add(11, "group1");
  cluster.add(12, "group1");
  Selection selection((SelectionRules()));
  const auto all = [&](const RemoteName& name) {
    return ids_of(selection.eligible_for_fetch(cluster.state, "group1", name, kNow));
  };
  const RemoteName fresh = name_of(12, kNow);
  EXPECT_EQ(all(fresh), (Ids{12}));
  for (int i = 0; i < 3; ++i)
    EXPECT_EQ((*selection.for_fetch(cluster.state, "group1", fresh, kNow))->fact.id, 12U);
  wire::SourceSync synced;
  synced.source_id = 12;
  synced.synced_until = static_cast<std::uint32_t>(kNow); // not later than the file
  cluster.beat(11, {TestCluster::path(kGiB)}, {}, {synced});
  EXPECT_EQ(all(fresh), (Ids{12}));
  synced.synced_until = static_cast<std::uint32_t>(kNow + 1);
  cluster.beat(11, {TestCluster::path(kGiB)}, {}, {synced});
  EXPECT_EQ(all(fresh), (Ids{11, 12}));
  EXPECT_EQ((*selection.for_fetch(cluster.state, "group1", fresh, kNow))->fact.id, 11U);
  EXPECT_EQ((*selection.for_fetch(cluster.state, "group1", fresh, kNow))->fact.id, 12U);

  // Synced up to one second before it, and five minutes old: rule 4.
  const RemoteName settled = name_of(12, kNow - 301);
  synced.synced_until = static_cast<std::uint32_t>(kNow - 302);
  cluster.beat(11, {TestCluster::path(kGiB)}, {}, {synced});
  EXPECT_EQ(all(settled), (Ids{11, 12}));
  EXPECT_EQ(all(name_of(12, kNow - 300)), (Ids{12}));
  // Older than the longest delay: everywhere.
  EXPECT_EQ(all(name_of(12, kNow - 86'401)), (Ids{11, 12}));
}

TEST(Selection, WhenTheSourceIsDownAnyMemberAnswers) {
  TestCluster cluster;
  cluster.add(11, "group1");
  cluster.add(12, "group1");
  Selection selection((SelectionRules()));
  for (const FileKind kind : {FileKind::normal, FileKind::appender}) {
    const RemoteName name = name_of(12, kNow, kind);
    EXPECT_EQ(ids_of(selection.eligible_for_fetch(cluster.state, "group1", name, kNow)), (Ids{12}));
    EXPECT_EQ((*selection.for_update(cluster.state, "group1", name))->fact.id, 12U);
  }
  cluster.state.disconnected(12);
  for (const FileKind kind : {FileKind::normal, FileKind::appender}) {
    const RemoteName name = name_of(12, kNow, kind);
    EXPECT_EQ((*selection.for_fetch(cluster.state, "group1", name, kNow))->fact.id, 11U);
    EXPECT_EQ(ids_of(selection.eligible_for_fetch(cluster.state, "group1", name, kNow)), (Ids{11}));
    EXPECT_EQ((*selection.for_update(cluster.state, "group1", name))->fact.id, 11U);
  }
  cluster.state.disconnected(11);
  const RemoteName name = name_of(12, kNow);
  EXPECT_EQ(selection.for_fetch(cluster.state, "group1", name, kNow).code(), Errc::not_found);
  EXPECT_EQ(selection.eligible_for_fetch(cluster.state, "group1", name, kNow).code(),
            Errc::not_found);
  EXPECT_EQ(selection.for_update(cluster.state, "group1", name).code(), Errc::not_found);
}

TEST(Selection, SourcesByAddressAliasAndUnknown) {
  TestCluster cluster;
  cluster.add(100, "group1");
  cluster.add(99, "group1");
  ASSERT_TRUE(cluster.command(AddAlias{"10.1.2.3", 100}));
  Selection selection((SelectionRules()));
  const auto updated = [&](SourceRef source) {
    return (*selection.for_update(cluster.state, "group1", name_of(source, kNow)))->fact.id;
  };
  EXPECT_EQ(updated(SourceRef::from_server_id(100)), 100U);
  EXPECT_EQ(updated(SourceRef::from_ipv4({192, 168, 1, 100})), 100U);
  EXPECT_EQ(updated(SourceRef::from_ipv4({10, 1, 2, 3})), 100U);
  EXPECT_EQ(updated(SourceRef::from_ipv4({10, 1, 2, 4})), 99U); // the lowest ID, not text
}

TEST(Selection, SourceFirst) {
  TestCluster cluster;
  cluster.add(11, "group1");
  cluster.add(12, "group1");
  SelectionRules rules;
  rules.download_server = config::DownloadServer::source_first;
  Selection selection(rules);
  const RemoteName old = name_of(12, kNow - 100'000);
  for (int i = 0; i < 3; ++i)
    EXPECT_EQ((*selection.for_fetch(cluster.state, "group1", old, kNow))->fact.id, 12U);
}

} // namespace cairn::tracker
