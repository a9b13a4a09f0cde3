// After a crash files without a record are looked at: what a crash of ours has left half-written
// goes, and what FastDFS has left in a directory that was taken over stays, whatever it is.
#include "common/base/crc32.h"
#include "tests/unit/store/store_fixture.h"

#include <fstream>

namespace cairn::storage {
namespace {

namespace fs = std::filesystem;

class CrashRecovery : public StoreTest {
protected:
  CrashRecovery() {
    fs::create_directories(data() / "00/00");
    open();
  }

  // A file of `promised` size and that checksum, as its name says; answers the name in 00/00.
  std::string write(SourceRef source, const std::string& content, std::uint32_t crc,
                    std::uint64_t promised, FileKind kind = FileKind::normal,
                    std::uint32_t made = 1'500'000'000) {
    FileIdFields fields;
    fields.source = source;
    fields.timestamp = made;
    fields.size_field = make_size_field(promised, kind, ++number_);
    fields.crc32 = crc;
    const std::string name = make_remote_name(0, 0, 0, fields, "123.txt").substr(4);
    std::ofstream(data() / name, std::ios::binary) << content;
    return name;
  }
  std::string write(SourceRef source, const std::string& content) {
    return write(source, content, crc32(0, std::as_bytes(std::span(content))), content.size());
  }
  bool is_there(const std::string& name) const { return fs::exists(data() / name); }

  std::uint64_t number_ = 0;
};

TEST_F(CrashRecovery, HalfWrittenFilesOfOursGoAndWholeOnesAreLogged) {
  const auto own = SourceRef::from_server_id(100);
  const std::string whole = write(own, "whole");
  const std::string half = write(own, "half", 1, 4);
  const std::string cut = write(own, "cut", 1, 400);
  const auto logged = store_->recover_after_crash();
  ASSERT_TRUE(logged);
  EXPECT_EQ(*logged, 1U);
  EXPECT_TRUE(is_there(whole));
  EXPECT_FALSE(is_there(half));
  EXPECT_FALSE(is_there(cut));
}

TEST_F(CrashRecovery, ChangedAppenderFilesStayWithoutTheirRecords) {
  const std::string first = "first";
  const std::string text =
      write(SourceRef::from_server_id(100), first, crc32(0, std::as_bytes(std::span(first))),
            first.size(), FileKind::appender, 1'500'000'000);
  const std::string other =
      write(SourceRef::from_server_id(100), first, crc32(0, std::as_bytes(std::span(first))),
            first.size(), FileKind::appender, 1'500'000'000);
  const std::string more = " and more";
  for (const std::string& name : {text, other})
    ASSERT_TRUE(store_->append(*parse_remote_name("M00/" + name), std::as_bytes(std::span(more))));
  // The log is lost, and at the second one a crash was in the middle of another change.
  std::ofstream(data() / other, std::ios::binary | std::ios::app) << "half";
  store_.reset();
  binlog_.reset();
  fs::remove_all(config_.base_path / "data" / "binlog");
  open();
  const auto logged = store_->recover_after_crash();
  ASSERT_TRUE(logged);
  EXPECT_EQ(*logged, 1U);
  EXPECT_EQ(fs::file_size(data() / text), first.size() + more.size());
  EXPECT_TRUE(is_there(other));
}

TEST_F(CrashRecovery, AppenderFilesThatWereNeverWholeGo) {
  const auto now = static_cast<std::uint32_t>(std::time(nullptr));
  NewFile file;
  file.extension = "txt";
  ASSERT_TRUE(store_->create(file, 0, std::as_bytes(std::span("logged", 6))));
  const std::string half =
      write(SourceRef::from_server_id(100), "half", 1, 400, FileKind::appender, now);
  ASSERT_TRUE(store_->recover_after_crash());
  EXPECT_FALSE(is_there(half));
}

TEST_F(CrashRecovery, WhatFastdfsHasLeftStays) {
  const auto address = SourceRef::from_ipv4({10, 0, 0, 7});
  const std::string damaged = write(address, "damaged", 1, 7);
  const std::string cut = write(address, "cut", 1, 400);
  const std::string text = "hahaha\n";
  const std::string legacy = write(SourceRef::from_server_id(7), text,
                                   legacy_crc32(std::as_bytes(std::span(text))), text.size());
  for (const char* name :
       {"00/00/000001", "00/00/README", "00/00/Ck4AC2sCVDeEU6-1AAAAAA0e5-o.txt-m"})
    std::ofstream(data() / name) << "x";
  ASSERT_TRUE(store_->recover_after_crash());
  for (const std::string& name :
       {damaged, cut, legacy, std::string("00/00/000001"), std::string("00/00/README"),
        std::string("00/00/Ck4AC2sCVDeEU6-1AAAAAA0e5-o.txt-m")})
    EXPECT_TRUE(is_there(name)) << name;
}

TEST_F(CrashRecovery, WhatWasThereBeforeTheFirstStartIsNotLookedAt) {
  const std::string before = write(SourceRef::from_server_id(7), "damaged", 1, 7);
  std::ofstream(data() / ".mark") << "mark\n";
  fs::last_write_time(data() / ".mark", fs::file_time_type::clock::now() + std::chrono::hours(1));
  ASSERT_TRUE(store_->recover_after_crash());
  EXPECT_TRUE(is_there(before));
}

} // namespace
} // namespace cairn::storage
