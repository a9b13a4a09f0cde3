// Entity tags and times of the kinds of files.
#include "storage/http/file_reply.h"

#include <gtest/gtest.h>

namespace cairn::storage {
namespace {

constexpr std::int64_t kNow = 1'700'000'000;

RemoteName name_of(FileKind kind, std::uint64_t size) {
  FileIdFields fields;
  fields.source = SourceRef::from_server_id(100'001);
  fields.timestamp = 1'600'000'000;
  fields.size_field = make_size_field(size, kind, 0x1234);
  fields.crc32 = 0xABCDE;
  return *parse_remote_name(make_remote_name(0, 1, 2, fields, extension_block("jpg", 417)));
}

OpenFile file_of(std::uint64_t size, std::uint32_t mtime) {
  OpenFile file;
  file.size = size;
  file.mtime = mtime;
  return file;
}

TEST(Validators, NormalFilesAreDescribedByTheirName) {
  OpenFile file = file_of(1000, 1'650'000'000);
  file.immutable = true;
  const Validators validators = validators_of(name_of(FileKind::normal, 1000), file, kNow);
  EXPECT_EQ(validators.etag, "\"000abcde-3e8\"");
  EXPECT_EQ(validators.last_modified, 1'600'000'000);
  // Another disk, another time: the same tag.
  file.mtime += 99;
  EXPECT_EQ(validators_of(name_of(FileKind::normal, 1000), file, kNow).etag, validators.etag);
}

TEST(Validators, ANameThatDoesNotFitTheFileIsNotBelieved) {
  OpenFile file = file_of(999, 1'650'000'000);
  file.immutable = true;
  const Validators validators = validators_of(name_of(FileKind::normal, 1000), file, kNow);
  EXPECT_EQ(validators.last_modified, 1'650'000'000);
  EXPECT_NE(validators.etag, "\"000abcde-3e7\"");
}

TEST(Validators, SlavesAreNotTheirMaster) {
  const RemoteName master = name_of(FileKind::normal, 1000);
  const RemoteName slave = *parse_remote_name(*slave_name(master, "_big", std::nullopt));
  OpenFile file = file_of(1000, 1'650'000'000);
  file.immutable = true;
  file.crc32 = 0x55;
  const Validators validators = validators_of(slave, file, kNow);
  EXPECT_EQ(validators.etag, "\"00000055-3e8\"");
  EXPECT_EQ(validators.last_modified, 1'650'000'000);
}

TEST(Validators, AppendersChange) {
  const RemoteName name = name_of(FileKind::appender, 0);
  OpenFile file = file_of(1000, static_cast<std::uint32_t>(kNow));
  const std::string fresh = validators_of(name, file, kNow).etag;
  EXPECT_TRUE(fresh.starts_with("W/")) << "may change again within this second";
  EXPECT_TRUE(validators_of(name, file, kNow + 60).etag.starts_with('"'));

  file.version = 7;
  const std::string seven = validators_of(name, file, kNow).etag;
  EXPECT_TRUE(seven.starts_with('"'));
  file.version = 8;
  EXPECT_NE(validators_of(name, file, kNow).etag, seven);
}

} // namespace
} // namespace cairn::storage
