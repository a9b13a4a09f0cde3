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
                    std::uint64_t promised) {
    FileIdFields fields;
    fields.source = source;
    fields.timestamp = 1'500'000'000;
    fields.size_field = make_size_field(promised, FileKind::normal, ++number_);
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
