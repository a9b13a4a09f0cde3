// Origin marks on a real disk: they stay with their file and come with its copies.
#include "common/base/crc32.h"
#include "common/base/file_id.h"
#include "storage/store/store.h"
#include "tests/unit/config/temporary_directory.h"

#include <gtest/gtest.h>

#include <filesystem>

namespace cairn::storage {
namespace {

namespace fs = std::filesystem;

class OriginMarks : public testing::Test {
protected:
  OriginMarks() {
    config_.base_path = directory_.path() / "base";
    config_.group_name = "group1";
    fs::create_directories(directory_.path() / "p0");
    config_.store_paths.push_back({directory_.path() / "p0", false});
    config_.store_path_count = 1;
    fs::create_directories(config_.base_path / "data");
    store_ = *Store::open(config_);
    store_->set_node_id(100);
    BinlogOptions options;
    options.durable = false;
    binlog_ = *Binlog::open(config_.base_path / "data" / "binlog", std::move(options));
    store_->attach(*binlog_);
  }

  TemporaryDirectory directory_;
  config::StorageConfig config_;
  std::unique_ptr<Binlog> binlog_;
  std::unique_ptr<Store> store_;
};

TEST_F(OriginMarks, StayWithTheFile) {
  NewFile file;
  file.extension = "jpg";
  file.mark = "small";
  const auto small = *parse_remote_name(store_->create(file, 0, wire::to_bytes("abc"))->name);
  EXPECT_EQ(store_->mark_of(small), "small");
  file.mark = "large";
  auto staged = *store_->stage(0);
  ASSERT_TRUE(staged.write(wire::to_bytes("abcdef")));
  const auto large = *parse_remote_name(store_->publish(file, std::move(staged))->name);
  EXPECT_EQ(store_->mark_of(large), "large");
  file.mark.clear();
  const auto none = *parse_remote_name(store_->create(file, 0, wire::to_bytes("abc"))->name);
  EXPECT_EQ(store_->mark_of(none), "");

  // A repaired copy keeps it.
  auto again = *store_->stage(0);
  ASSERT_TRUE(again.write(wire::to_bytes("abc")));
  Origin origin;
  origin.id = 7;
  ASSERT_TRUE(store_->replace_copy(small, std::move(again), store_->copy_of(small), origin));
  EXPECT_EQ(store_->mark_of(small), "small");
}

TEST_F(OriginMarks, ComeWithACopyOrAfterIt) {
  const wire::Bytes content = wire::to_bytes("x");
  FileIdFields fields;
  fields.source = SourceRef::from_server_id(7);
  fields.timestamp = 1'700'000'000;
  fields.size_field = make_size_field(content.size(), FileKind::normal, 5);
  fields.crc32 = crc32(0, content);
  const auto name = *parse_remote_name(make_remote_name(0, 0, 1, fields, "123.jpg"));
  Origin from;
  from.id = 7;
  from.stamp = 5;
  from.mtime = 1'700'000'000;
  ASSERT_TRUE(store_->put(name, content, from)) << "brought by a reader";
  EXPECT_EQ(store_->mark_of(name), "");
  from.mark = "late";
  EXPECT_NE(store_->apply_mark(name, from)->seq, 0U);
  EXPECT_EQ(store_->mark_of(name), "late");
  EXPECT_EQ(store_->apply_mark(name, from)->seq, 0U) << "once";
}

} // namespace
} // namespace cairn::storage
