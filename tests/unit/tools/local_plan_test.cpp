#include "tools/local_plan.h"

#include "common/config/client_config.h"
#include "common/config/storage_config.h"
#include "common/config/tracker_config.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

namespace cairn::tools {
namespace {

LocalShape shape_of(unsigned net, unsigned trackers, unsigned groups, unsigned storages) {
  LocalShape shape;
  shape.net = net;
  shape.trackers = trackers;
  shape.groups = groups;
  shape.storages = storages;
  return shape;
}

TEST(LocalPlan, AddressesAreThoseOfTheContract) {
  const LocalPlan plan("/r", shape_of(64, 2, 2, 3));
  ASSERT_EQ(plan.nodes().size(), 8U);
  EXPECT_EQ(plan.find("tracker2")->addr, "127.64.1.2");
  EXPECT_EQ(plan.find("tracker2")->port, 22122);
  EXPECT_EQ(plan.find("tracker2")->http, 22180);
  const LocalNode* storage = plan.find("group2-storage3");
  ASSERT_NE(storage, nullptr);
  EXPECT_EQ(storage->addr, "127.64.12.3");
  EXPECT_EQ(storage->port, 23000);
  EXPECT_EQ(storage->http, 8888);
  EXPECT_EQ(storage->group, "group2");
  EXPECT_EQ(plan.find("group3-storage1"), nullptr);
  EXPECT_EQ(LocalPlan("/r", shape_of(0, 1, 1, 1)).nodes().front().addr, "127.0.1.1");
}

TEST(LocalPlan, NamesFollowFromAddresses) {
  EXPECT_EQ(local_storage_at("127.64.12.3"), (LocalStorage{2, 3}));
  EXPECT_EQ(local_storage_at("127.0.11.1"), (LocalStorage{1, 1}));
  EXPECT_FALSE(local_storage_at("127.64.1.1"));
  EXPECT_FALSE(local_storage_at("127.64.10.1"));
  EXPECT_FALSE(local_storage_at("10.64.12.3"));
  EXPECT_FALSE(local_storage_at("tracker.example"));
}

TEST(LocalPlan, TheShapeIsKept) {
  LocalShape shape = shape_of(70, 3, 2, 2);
  shape.paths = 4;
  shape.copies = 2;
  shape.storage_conf = {"durability = relaxed"};
  const auto read = parse_local_shape(local_shape_json(shape));
  ASSERT_TRUE(read);
  EXPECT_EQ(*read, shape);
  EXPECT_FALSE(parse_local_shape("{}"));
  EXPECT_FALSE(parse_local_shape(R"({"net":"x"})"));
  EXPECT_FALSE(parse_local_shape("not json"));
}

// The files are read by the programs' own readers.
class LocalConfTest : public testing::Test {
protected:
  LocalConfTest() {
    std::string pattern = testing::TempDir() + "cairn-plan-XXXXXX";
    directory_ = ::mkdtemp(pattern.data());
  }
  ~LocalConfTest() override { std::filesystem::remove_all(directory_); }

  std::filesystem::path write(const std::string& text) {
    const auto file = directory_ / "a.conf";
    std::ofstream(file) << text;
    return file;
  }

  std::filesystem::path directory_;
};

TEST_F(LocalConfTest, TrackersAgreeOnTheHolder) {
  const LocalPlan plan("/r", shape_of(64, 2, 1, 1));
  const auto first = config::load_tracker_config(write(plan.conf_text(*plan.find("tracker1"))));
  ASSERT_TRUE(first) << first.error().text();
  EXPECT_FALSE(first->config.metadata_holder);
  EXPECT_EQ(first->config.bind_addr, std::vector<std::string>{"127.64.1.1"});
  const auto second = config::load_tracker_config(write(plan.conf_text(*plan.find("tracker2"))));
  ASSERT_TRUE(second) << second.error().text();
  ASSERT_TRUE(second->config.metadata_holder);
  EXPECT_EQ(second->config.metadata_holder->text(), "127.64.1.1:22122");
}

TEST_F(LocalConfTest, StorageNodesKnowTheirTrackersAndPaths) {
  LocalShape shape = shape_of(64, 2, 1, 1);
  shape.paths = 2;
  shape.storage_conf = {"durability = relaxed", "reserved_storage_space = 64MB"};
  const LocalPlan plan("/r", shape);
  const auto loaded =
      config::load_storage_config(write(plan.conf_text(*plan.find("group1-storage1"))));
  ASSERT_TRUE(loaded) << loaded.error().text();
  EXPECT_EQ(loaded->config.trackers.size(), 2U);
  EXPECT_EQ(loaded->config.group_name, "group1");
  ASSERT_EQ(loaded->config.store_paths.size(), 2U);
  EXPECT_EQ(loaded->config.store_paths[1].path, "/r/data/group1-storage1/path1");
  EXPECT_EQ(loaded->config.heart_beat_interval, std::chrono::seconds(1));
  EXPECT_EQ(loaded->config.durability, config::Durability::relaxed);
  // The line that was given stands instead of ours.
  EXPECT_EQ(loaded->config.reserved_storage_space.bytes, std::uint64_t{64} << 20);
}

TEST_F(LocalConfTest, ClientsKnowAllTrackers) {
  const LocalPlan plan("/r", shape_of(64, 3, 1, 1));
  const auto loaded = config::load_client_config(write(plan.client_conf_text()));
  ASSERT_TRUE(loaded) << loaded.error().text();
  EXPECT_EQ(loaded->config.trackers.size(), 3U);
  EXPECT_EQ(loaded->config.cluster_secret_file, "/r/conf/cluster.secret");
}

TEST(ConfLine, FromAPair) {
  EXPECT_EQ(*conf_line("a=b"), "a = b");
  EXPECT_EQ(*conf_line("a = b=c"), "a = b=c");
  EXPECT_FALSE(conf_line("ab"));
  EXPECT_FALSE(conf_line("a=b\nc=d"));
}

} // namespace
} // namespace cairn::tools
