// Disks that were replaced, exchanged, or are not mounted.
#include "storage/store/path_marks.h"

#include "common/base/durable_file.h"
#include "tests/unit/config/temporary_directory.h"

#include <gtest/gtest.h>

#include <filesystem>

namespace cairn::storage {
namespace {

namespace fs = std::filesystem;

class PathMarks : public testing::Test {
protected:
  PathMarks() {
    config_.base_path = directory_.path() / "base";
    fs::create_directories(config_.base_path / "data");
    for (const char* name : {"p0", "p1"}) {
      fs::create_directories(directory_.path() / name / "data");
      config_.store_paths.push_back({directory_.path() / name, false});
    }
  }

  fs::path mark(std::size_t index) const {
    return config_.store_paths[index].path / "data" / ".mark";
  }

  TemporaryDirectory directory_;
  config::StorageConfig config_;
};

TEST_F(PathMarks, SameDisksAreNoChange) {
  EXPECT_TRUE(changed_paths(config_)->empty());
  ASSERT_TRUE(mark_paths(config_));
  EXPECT_TRUE(changed_paths(config_)->empty());
  ASSERT_TRUE(mark_paths(config_));
  EXPECT_TRUE(changed_paths(config_)->empty());
}

TEST_F(PathMarks, AnEmptyDiskIsFoundUntilItIsMarked) {
  ASSERT_TRUE(mark_paths(config_));
  fs::remove_all(config_.store_paths[1].path / "data");
  EXPECT_EQ(*changed_paths(config_), std::vector<std::uint8_t>{1});
  EXPECT_EQ(*changed_paths(config_), std::vector<std::uint8_t>{1}) << "a crash in between";
  fs::create_directories(config_.store_paths[1].path / "data");
  ASSERT_TRUE(mark_paths(config_));
  EXPECT_TRUE(changed_paths(config_)->empty());
}

TEST_F(PathMarks, ExchangedDisksAreRefused) {
  ASSERT_TRUE(mark_paths(config_));
  fs::rename(mark(0), mark(0).string() + "x");
  fs::rename(mark(1), mark(0));
  fs::rename(mark(0).string() + "x", mark(1));
  EXPECT_EQ(changed_paths(config_).code(), Errc::busy);
}

TEST_F(PathMarks, ADiskThatIsNotMountedIsNotTakenForAnEmptyOne) {
  ASSERT_TRUE(mark_paths(config_));
  const fs::path list = config_.base_path / "data" / "path_marks";
  std::string text = *read_small_file(list);
  ASSERT_EQ(text.substr(text.size() - 3), " 0\n") << "a plain directory";
  text[text.size() - 2] = '1'; // as if path 1 had been a mount point
  ASSERT_TRUE(durable_write_file(list, text));
  EXPECT_TRUE(changed_paths(config_)->empty()) << "its mark is there";
  fs::remove(mark(1));
  EXPECT_EQ(changed_paths(config_).code(), Errc::unavailable);
}

TEST_F(PathMarks, ALostListIsMadeAnew) {
  ASSERT_TRUE(mark_paths(config_));
  fs::remove(config_.base_path / "data" / "path_marks");
  EXPECT_TRUE(changed_paths(config_)->empty());
  ASSERT_TRUE(mark_paths(config_));
  fs::remove(mark(0));
  EXPECT_EQ(*changed_paths(config_), std::vector<std::uint8_t>{0});
}

} // namespace
} // namespace cairn::storage
