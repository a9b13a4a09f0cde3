// The log of FastDFS as it grows, and what the paths of its directories mean.
#include "migrate/fastdfs_source.h"

#include <gtest/gtest.h>

#include <fstream>
#include <zlib.h>

namespace cairn::migrate {
namespace {

namespace fs = std::filesystem;

class FastdfsGrowing : public testing::Test {
protected:
  void SetUp() override {
    std::string name = (fs::temp_directory_path() / "cairn-fastdfs-XXXXXX").string();
    ASSERT_NE(::mkdtemp(name.data()), nullptr);
    node_.base_path = root_ = name;
    fs::create_directories(root_ / "data/sync");
  }
  void TearDown() override { fs::remove_all(root_); }

  fs::path log(const std::string& name) const { return root_ / "data/sync" / name; }
  void append(const std::string& name, const std::string& text) const {
    std::ofstream(log(name), std::ios::binary | std::ios::app) << text;
  }
  // The names since `at`, each with a '.'; "lost" when the log does not go on there.
  std::string follow(FastdfsPosition& at) const {
    std::string out;
    const Status done = follow_fastdfs_log(node_, at, [&out](const FastdfsChange& change) {
      out += std::string(change.name) + ".";
      return Status();
    });
    return done ? out : "lost";
  }

  fs::path root_;
  FastdfsNode node_;
};

TEST_F(FastdfsGrowing, EachLineIsToldOnceAndHalfALineLater) {
  FastdfsPosition at;
  EXPECT_EQ(follow(at), "");
  EXPECT_EQ(fastdfs_log_end(node_), FastdfsPosition());
  append("binlog.000", "1 C a\n2 C b\n3 C");
  EXPECT_EQ(follow(at), "a.b.");
  append("binlog.000", " c\nnonsense\n4 D a\n");
  EXPECT_EQ(follow(at), "c.a.");
  EXPECT_EQ(at, fastdfs_log_end(node_));
  EXPECT_EQ(follow(at), "");
  const auto kept = parse_fastdfs_position(at.text());
  ASSERT_TRUE(kept);
  EXPECT_EQ(*kept, at);
  EXPECT_EQ(parse_fastdfs_position("1").code(), Errc::corrupt);
  EXPECT_EQ(parse_fastdfs_position("1 x").code(), Errc::corrupt);
}

TEST_F(FastdfsGrowing, ItGoesOnInTheNextFileAndInCompressedOnes) {
  append("binlog.000", "1 C a\n");
  FastdfsPosition at;
  EXPECT_EQ(follow(at), "a.");
  const std::string whole = "1 C a\n2 C b\n";
  const gzFile zipped = ::gzopen(log("binlog.000.gz").c_str(), "wb");
  ASSERT_NE(zipped, nullptr);
  ::gzwrite(zipped, whole.data(), static_cast<unsigned>(whole.size()));
  ::gzclose(zipped);
  fs::remove(log("binlog.000"));
  // What is compressed is closed.
  EXPECT_EQ(fastdfs_log_end(node_).file, 1U);
  append("binlog.001", "3 C c\n");
  EXPECT_TRUE(fastdfs_log_reaches(node_, at));
  EXPECT_EQ(follow(at), "b.c.");
  EXPECT_EQ(at.file, 1U);
}

TEST_F(FastdfsGrowing, ALogThatWasCutOffIsLost) {
  append("binlog.007", "1 C a\n2 C b\n");
  FastdfsPosition at;
  EXPECT_EQ(follow(at), "a.b."); // from its beginning, wherever that is
  EXPECT_EQ(at.file, 7U);
  fs::resize_file(log("binlog.007"), 6);
  EXPECT_FALSE(fastdfs_log_reaches(node_, at));
  EXPECT_EQ(follow(at), "lost");
  fs::rename(log("binlog.007"), log("binlog.009"));
  EXPECT_EQ(follow(at), "lost");
}

TEST(FastdfsSource, PathsAreFilesMetadataDirectoriesOrNothing) {
  using What = FastdfsSource::What;
  const std::string file = "M00/00/00/Ck4AC2sCVCiAZYrvAAAADOMwc68205.txt";
  const auto of = [](std::string_view path) { return FastdfsSource::what(path, false); };
  EXPECT_EQ(of(file), What::file);
  EXPECT_EQ(of(file + "-m"), What::metadata);
  EXPECT_EQ(FastdfsSource::file_of(file + "-m"), file);
  for (const char* other : {"M00/00/00/000001", "M00/00/00/README", "M00/00/00/.cp1.tmp", "",
                            "M00/00/00/Ck4AC2sCVCiAZYrvAAAADOMwc68205.txt/x", "M00/../00/passwd"})
    EXPECT_EQ(of(other), What::other) << other;
  const auto folder = [](std::string_view path) { return FastdfsSource::what(path, true); };
  for (const char* known : {"M00", "M00/0A", "M00/FF/00"})
    EXPECT_EQ(folder(known), What::directory) << known;
  for (const char* other : {"M00/sync", "M00/0a", "M00/.adopted", "M00/00/00/00"})
    EXPECT_EQ(folder(other), What::other) << other;
  EXPECT_TRUE(FastdfsSource::is_leaf_directory("M00/00/00"));
  EXPECT_FALSE(FastdfsSource::is_leaf_directory("M00/00"));
}

} // namespace
} // namespace cairn::migrate
