// What FastDFS has left: its configuration, its log, slots of trunk files, and the list that a
// takeover keeps.
#include "common/base/crc32.h"
#include "common/wire/codec.h"
#include "migrate/adopted_path.h"
#include "migrate/fastdfs_ids.h"
#include "migrate/fastdfs_node.h"
#include "migrate/fastdfs_trunk.h"

#include <gtest/gtest.h>

#include <fstream>

namespace cairn::migrate {
namespace {

namespace fs = std::filesystem;

class FastdfsDisk : public testing::Test {
protected:
  void SetUp() override {
    std::string name = (fs::temp_directory_path() / "cairn-fastdfs-XXXXXX").string();
    ASSERT_NE(::mkdtemp(name.data()), nullptr);
    root_ = name;
  }
  void TearDown() override { fs::remove_all(root_); }
  void write(const std::string& file, const std::string& text) {
    fs::create_directories((root_ / file).parent_path());
    std::ofstream(root_ / file, std::ios::binary) << text;
  }
  fs::path root_;
};

TEST_F(FastdfsDisk, ConfigurationWithoutStorePathsUsesTheBasePath) {
  write("storage.conf", "group_name=g1\nbase_path=/srv/fd\nallow_hosts=*\nunknown_key=1\n");
  const auto node = read_fastdfs_conf(root_ / "storage.conf");
  ASSERT_TRUE(node) << node.error().text();
  EXPECT_EQ(node->store_paths, std::vector<fs::path>{"/srv/fd"});
  EXPECT_EQ(node->subdir_count, 256U);
  write("storage.conf", "group_name=g1\nbase_path=/srv/fd\nstore_path_count=2\nstore_path0=/a\n");
  EXPECT_EQ(read_fastdfs_conf(root_ / "storage.conf").code(), Errc::invalid_argument);
  write("storage.conf", "group_name=../x\nbase_path=/srv/fd\n");
  EXPECT_EQ(read_fastdfs_conf(root_ / "storage.conf").code(), Errc::invalid_argument);
}

TEST_F(FastdfsDisk, StorageIdsTellItsOwnNumber) {
  FastdfsNode node;
  node.group = "g1";
  node.port = 23001;
  const fs::path conf = root_ / "storage.conf";
  const std::vector<std::string> here = {"10.0.0.1", "10.0.1.1"};
  const auto own = [&] {
    const auto ids = read_fastdfs_ids(node, conf, {}, here);
    return ids ? ids->own : 99;
  };
  EXPECT_EQ(own(), 0U) << "there is no file";
  EXPECT_EQ(read_fastdfs_ids(node, conf, root_ / "none", here).code(), Errc::not_found);

  write("storage_ids.conf", "1 g1 10.0.0.9\n2 g2 10.0.0.1\n3 g1 10.0.2.2,10.0.1.1\n");
  EXPECT_EQ(own(), 3U) << "by its second address, in its own group";
  EXPECT_EQ(read_fastdfs_ids(node, conf, {}, here)->addresses.at("1"), "10.0.0.9");
  node.bind_addr = "10.0.0.9";
  EXPECT_EQ(own(), 1U) << "what it is bound to comes first";
  node.bind_addr.clear();

  write("storage_ids.conf", "1 g1 10.0.0.1:23000\n2 g1 10.0.0.1:23001\n");
  EXPECT_EQ(own(), 2U) << "two of one machine, by the port";
  write("storage_ids.conf", "1 g1 10.0.0.1\n2 g1 10.0.1.1\n");
  EXPECT_EQ(own(), 0U) << "cannot be told";
  write("storage_ids.conf", "x\n");
  EXPECT_EQ(read_fastdfs_ids(node, conf, {}, here).code(), Errc::invalid_argument);
}

TEST_F(FastdfsDisk, LogsAreReadInTheirOrderAndDamagedLinesAreCounted) {
  FastdfsNode node;
  node.base_path = root_;
  write("data/sync/binlog.010", "3 d M00/00/00/c extra words\n");
  write("data/sync/binlog.000", "1 C M00/00/00/a\nnonsense\n2 CC M00/00/00/b\n2 c M00/00/00/b\n");
  write("data/sync/binlog_index.dat", "current_write=10\n");
  std::vector<std::string> seen;
  const auto log = read_fastdfs_log(node, [&seen](const FastdfsChange& change) {
    seen.push_back(std::to_string(change.time) + change.op + std::string(change.name) + "|" +
                   std::string(change.extra));
    return Status();
  });
  ASSERT_TRUE(log) << log.error().text();
  EXPECT_EQ(seen, (std::vector<std::string>{"1CM00/00/00/a|", "2cM00/00/00/b|",
                                            "3dM00/00/00/c|extra words"}));
  EXPECT_EQ(log->files, 2U);
  EXPECT_EQ(log->damaged, 2U);
}

TEST_F(FastdfsDisk, ASlotIsBelievedOnlyWhenItIsWhatTheNameSays) {
  const std::string content = "content";
  const auto bytes = std::as_bytes(std::span(content));
  FileIdFields fields;
  fields.source = SourceRef::from_ipv4({10, 0, 0, 7});
  fields.timestamp = 1'700'000'000;
  fields.size_field = make_size_field(content.size(), FileKind::trunk, 1);
  fields.crc32 = crc32(0, bytes);
  const TrunkLocation at{7, 256, 256};
  const auto name = parse_remote_name(make_remote_name(0, 0, 1, fields, "417.txt", at));
  ASSERT_TRUE(name);
  ASSERT_EQ(name->kind(), FileKind::trunk);

  wire::Bytes raw(256);
  wire::Writer writer(raw);
  writer.raw(wire::as_view("F"));
  writer.integer(256, 4);
  writer.integer(content.size(), 4);
  writer.integer(fields.crc32, 4);
  writer.integer(fields.timestamp, 4);
  writer.raw(wire::as_view("417.txt" + content));
  raw.resize(512);
  const std::string file(reinterpret_cast<const char*>(raw.data()), raw.size());
  EXPECT_EQ(trunk_leaf(at.file), "000007");
  EXPECT_TRUE(is_trunk_leaf("000007"));
  EXPECT_FALSE(is_trunk_leaf("00000a"));
  write("000007", file);

  auto opened = TrunkFile::open(root_ / "000007");
  ASSERT_TRUE(opened);
  const auto slot = opened->slot(256);
  ASSERT_TRUE(slot);
  EXPECT_TRUE(slot->holds(*name));
  const auto read = opened->content(256, *slot);
  ASSERT_TRUE(read);
  EXPECT_TRUE(std::ranges::equal(*read, bytes));

  for (const std::size_t damaged : {0U, 4U, 8U, 12U, 16U, 20U}) {
    std::string other = file;
    other[256 + damaged] ^= 1;
    write("000007", other);
    EXPECT_FALSE(TrunkFile::open(root_ / "000007")->slot(256)->holds(*name)) << damaged;
  }
  std::string other = file;
  other[256 + kSlotHeaderSize] ^= 1;
  write("000007", other);
  EXPECT_EQ(TrunkFile::open(root_ / "000007")->content(256, *slot).code(), Errc::corrupt);
  EXPECT_EQ(TrunkFile::open(root_ / "000007")->slot(500).code(), Errc::corrupt);
}

TEST_F(FastdfsDisk, TheListOfWhatWasThereComesBack) {
  fs::create_directories(root_ / "data");
  auto path = AdoptedPath::open(3, root_, true);
  ASSERT_TRUE(path) << path.error().text();
  EXPECT_EQ(AdoptedPath::open(3, root_, true).code(), Errc::busy);
  EXPECT_EQ(path->remote("00/00/x"), "M03/00/00/x");
  EXPECT_EQ(AdoptedListReader::open(*path).code(), Errc::not_found);
  ASSERT_TRUE(path->make_folder());
  struct stat status {};
  status.st_size = 5;
  status.st_mtim = {-3, 7};
  {
    auto list = AdoptedListWriter::open(*path);
    ASSERT_TRUE(list);
    ASSERT_TRUE(list->add(adopted_name('f', "00/00/with space and \n", status)));
    ASSERT_TRUE(list->add(adopted_name('l', "00/01/b", status)));
    ASSERT_TRUE(list->finish());
  }
  auto list = AdoptedListReader::open(*path);
  ASSERT_TRUE(list);
  auto first = list->next();
  ASSERT_TRUE(first && *first) << first.error().text();
  EXPECT_EQ((*first)->type, 'f');
  EXPECT_EQ((*first)->below, "00/00/with space and \\012");
  EXPECT_TRUE((*first)->is_as_before(status));
  status.st_mtim.tv_nsec = 8;
  EXPECT_FALSE((*first)->is_as_before(status));
  EXPECT_EQ((*list->next())->below, "00/01/b");
  EXPECT_FALSE(*list->next());
}

} // namespace
} // namespace cairn::migrate
