// Replication under disturbances. Each failure prints the seed that made it; CAIRN_SYNC_SEED runs
// one seed, CAIRN_SYNC_SEEDS so many.
#include "storage/scrub/inspect.h"
#include "tests/unit/sync/replication_world.h"

#include <algorithm>

namespace cairn::storage {
namespace {

// Random changes with disturbed streams; answers how many files came out of the trash.
int random_changes_converge(bool trash) {
  spdlog::set_level(spdlog::level::err);
  const std::uint64_t one = number_of("CAIRN_SYNC_SEED", 0);
  const std::uint64_t seeds = one != 0 ? 1 : number_of("CAIRN_SYNC_SEEDS", 4);
  int restored = 0;
  for (std::uint64_t i = 1; i <= seeds && !testing::Test::HasFailure(); ++i) {
    const std::uint64_t seed = one != 0 ? one : i;
    SCOPED_TRACE("CAIRN_SYNC_SEED=" + std::to_string(seed));
    World world(seed, seed % 2 == 0 ? 2 : 3, trash);
    for (int step = 0; step < 400 && !testing::Test::HasFatalFailure(); ++step) {
      world.change();
      for (std::uint64_t j = world.pick(6); j > 0; --j) world.disturb();
    }
    world.heal();
    world.expect_equal();
    restored += world.restored;
  }
  return restored;
}

TEST(Replication, RandomChangesConverge) {
  EXPECT_EQ(random_changes_converge(/*trash=*/false), 0);
}

TEST(Replication, FilesOutOfTheTrashConverge) {
  EXPECT_GT(random_changes_converge(/*trash=*/true), 0);
}

TEST(Replication, AnEmptyGroupIsBroughtUpAtOnce) {
  World world(1, 2);
  world.heal();
  EXPECT_TRUE(world.stream(1, 2).state().is_brought_up());
  EXPECT_TRUE(world.stream(2, 1).state().is_brought_up());
}

TEST(Replication, ANewDiskGetsEverythingFromTheOthers) {
  spdlog::set_level(spdlog::level::err);
  World world(77, 3);
  for (int step = 0; step < 150; ++step) {
    world.change();
    if (step % 20 == 0) world.heal();
  }
  world.replace_disks(3);
  world.heal();
  world.expect_equal();
  EXPECT_GE(world.stream(1, 3).bring_ups, 2);
}

TEST(Replication, ADeleteThatArrivesBeforeTheFileWins) {
  World world(5, 3);
  world.heal();
  NewFile file;
  file.extension = "txt";
  const auto made = world.node(1).store->create(file, 0, wire::as_view("content"));
  ASSERT_TRUE(made);
  EXPECT_TRUE(world.stream(1, 2).drain());
  ASSERT_TRUE(world.node(2).store->set_metadata(name_of(made->name),
                                                "a\x02"
                                                "b",
                                                false, Origin()));
  EXPECT_TRUE(world.stream(2, 3).drain()); // metadata before its file
  EXPECT_FALSE(world.node(3).store->exists(name_of(made->name)));
  ASSERT_TRUE(world.node(2).store->remove(name_of(made->name), Origin()));
  EXPECT_TRUE(world.stream(2, 3).drain());
  EXPECT_TRUE(world.stream(1, 3).drain());
  EXPECT_FALSE(world.node(3).store->exists(name_of(made->name)));
  world.heal();
  world.expect_equal();
  EXPECT_FALSE(world.node(1).store->exists(name_of(made->name)));
}

TEST(Replication, ADeleteOfTheNewNameThatArrivesBeforeTheRename) {
  World world(15, 3);
  world.heal();
  NewFile file;
  file.extension = "txt";
  file.appender = true;
  const auto made = world.node(1).store->create(file, 0, wire::as_view("content"));
  ASSERT_TRUE(made);
  world.heal();
  const auto renamed = world.node(1).store->regenerate(name_of(made->name));
  ASSERT_TRUE(renamed);
  EXPECT_TRUE(world.stream(1, 2).drain());
  ASSERT_TRUE(world.node(2).store->remove(name_of(renamed->name), Origin()));
  EXPECT_TRUE(world.stream(2, 3).drain());
  world.heal();
  EXPECT_TRUE(world.node(3).files().empty());
  world.expect_equal();
}

TEST(Replication, MetadataWaitsForItsFile) {
  World world(6, 3);
  world.heal();
  NewFile file;
  file.extension = "txt";
  const auto made = world.node(1).store->create(file, 0, wire::as_view("content"));
  ASSERT_TRUE(made);
  EXPECT_TRUE(world.stream(1, 2).drain());
  ASSERT_TRUE(world.node(2).store->set_metadata(name_of(made->name),
                                                "a\x02"
                                                "b",
                                                false, Origin()));
  EXPECT_TRUE(world.stream(2, 3).drain());
  world.node(3).open_receiver(); // what waits is on disk
  for (std::uint32_t other : {1U, 2U}) world.stream(other, 3).disconnect();
  EXPECT_TRUE(world.stream(1, 3).drain());
  EXPECT_EQ(*world.node(3).store->get_metadata(name_of(made->name)),
            "a\x02"
            "b");
}

TEST(Replication, ADamagedCopyIsNotSent) {
  spdlog::set_level(spdlog::level::off);
  World world(8, 2);
  world.heal();
  NewFile file;
  file.extension = "txt";
  const auto bad = world.node(1).store->create(file, 0, wire::as_view("content"));
  const auto good = world.node(1).store->create(file, 0, wire::as_view("another"));
  ASSERT_TRUE(bad && good);
  std::ofstream(world.node(1).roots()[0] / "data" / name_of(bad->name).true_name()) << "c0ntent";
  for (int i = 0; i < 10; ++i) {
    world.stream(1, 2).send();
    world.stream(1, 2).deliver(true);
  }
  EXPECT_FALSE(world.node(2).store->exists(name_of(bad->name)));
  EXPECT_TRUE(world.node(2).store->exists(name_of(good->name)));
  EXPECT_EQ(world.stream(1, 2).state().retries(), 1U);
}

TEST(Catalogue, IsMadeAnewFromTheDisk) {
  spdlog::set_level(spdlog::level::err);
  World world(9, 2);
  for (int step = 0; step < 150; ++step) world.change();
  Node& node = world.node(1);
  const auto before = node.catalogued();
  EXPECT_FALSE(before.empty());
  node.close();
  std::filesystem::remove_all(node.config.base_path / "data" / "catalogue" / "00");
  for (const auto& entry :
       std::filesystem::directory_iterator(node.config.base_path / "data" / "catalogue" / "01"))
    std::ofstream(entry.path()) << "damage";
  node.open();
  EXPECT_EQ(node.catalogued(), before);
}

// Under load it gathers records before it writes them; a listing does not wait less for that.
TEST(Catalogue, AListingHasWhatWasCommittedBeforeIt) {
  Node node(1, /*durable=*/true);
  ASSERT_TRUE(node.catalogue->wait_for(0, std::chrono::seconds(20)));
  for (int i = 0; i < 10; ++i) {
    NewFile file;
    file.extension = "jpg";
    file.mark = "a mark";
    const auto made = node.store->create(file, 0, wire::as_view("content"));
    ASSERT_TRUE(made) << made.error().text();
    ASSERT_TRUE(node.binlog->commit_blocking(made->seq));
    const auto listed = marked_files(*node.catalogue, wire::ListMarked());
    ASSERT_TRUE(listed) << listed.error().text();
    EXPECT_TRUE(std::ranges::any_of(
        listed->files, [&](const wire::MarkedFile& one) { return one.name == made->name; }))
        << "file " << i;
  }
}

// `cairn check` begins with digests. Waiting for the catalogue may take all the time there is; the
// caller gets on nevertheless.
TEST(Catalogue, DigestsHaveWhatWasCommittedBeforeThem) {
  Node node(1, /*durable=*/true);
  ASSERT_TRUE(node.catalogue->wait_for(0, std::chrono::seconds(20)));
  for (std::uint64_t count = 1; count <= 10; ++count) {
    NewFile file;
    file.extension = "jpg";
    const auto made = node.store->create(file, 0, wire::as_view("content"));
    ASSERT_TRUE(made) << made.error().text();
    ASSERT_TRUE(node.binlog->commit_blocking(made->seq));
    wire::DigestFiles whole;
    whole.time_ms = 0;
    const auto digests = digest_files(*node.store, *node.catalogue, whole);
    ASSERT_TRUE(digests) << digests.error().text();
    EXPECT_TRUE(digests->done);
    std::uint64_t listed = 0;
    for (const wire::DirectoryDigest& part : digests->directories) listed += part.count;
    EXPECT_EQ(listed, count);
  }
}

} // namespace
} // namespace cairn::storage
