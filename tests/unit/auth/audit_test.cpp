// The audit log: it goes on after a restart and a crash, and shows what was done to it.
#include "common/auth/audit.h"

#include "tests/unit/config/temporary_directory.h"

#include <gtest/gtest.h>

#include <fstream>
#include <sstream>

namespace cairn::auth {

namespace {

AuditEvent event_of(std::string what) {
  AuditEvent event;
  event.who = "key A";
  event.from = "10.0.0.1";
  event.what = std::move(what);
  event.object = "group1/M00/\xFF";
  event.result = "ok";
  return event;
}

class AuditLogTest : public testing::Test {
protected:
  void append(int count) {
    auto log = AuditLog::open(dir_.path());
    ASSERT_TRUE(log) << log.error().text();
    for (int i = 0; i < count; ++i) ASSERT_TRUE((*log)->append(event_of("delete")));
  }
  std::filesystem::path file() const { return dir_.path() / "audit-000000000001.log"; }
  std::string text() const {
    std::ifstream in(file(), std::ios::binary);
    std::ostringstream out;
    out << in.rdbuf();
    return out.str();
  }
  void write(const std::string& text) const {
    std::ofstream(file(), std::ios::binary | std::ios::trunc) << text;
  }
  Result<AuditEnd> read() const { return read_audit_log(dir_.path(), {}); }

  TemporaryDirectory dir_;
};

} // namespace

TEST_F(AuditLogTest, GoesOnAfterARestart) {
  EXPECT_EQ(read().code(), Errc::not_found);
  append(3);
  append(2);
  const auto end = read();
  ASSERT_TRUE(end) << end.error().text();
  EXPECT_EQ(end->lines, 5U);
  EXPECT_EQ(end->seq, 5U);
}

TEST_F(AuditLogTest, ALineThatACrashCutIsDropped) {
  append(2);
  const std::string whole = text();
  for (const std::size_t cut : {whole.size() - 1, whole.size() - 20}) {
    write(whole.substr(0, cut));
    append(1);
    const auto end = read();
    ASSERT_TRUE(end) << end.error().text();
    EXPECT_EQ(end->lines, 2U);
  }
}

TEST_F(AuditLogTest, AnEmptyFileIsBegunAnew) {
  write("");
  append(1);
  EXPECT_TRUE(read());
}

TEST_F(AuditLogTest, WhatWasDoneToItShows) {
  append(4);
  const std::string good = text();
  std::vector<std::string> lines;
  std::istringstream in(good);
  for (std::string line; std::getline(in, line);) lines.push_back(line + "\n");
  ASSERT_EQ(lines.size(), 4U);
  const auto breaks = [&](const std::string& altered) {
    write(altered);
    return read().code() == Errc::corrupt;
  };
  std::string other = good;
  other.replace(other.find("10.0.0.1"), 8, "10.0.0.2");
  EXPECT_TRUE(breaks(other));
  EXPECT_TRUE(breaks(lines[0] + lines[2] + lines[3]));
  EXPECT_TRUE(breaks(lines[0] + lines[2] + lines[1] + lines[3]));
  EXPECT_TRUE(breaks(lines[0] + lines[1] + lines[1] + lines[2] + lines[3]));
  EXPECT_TRUE(breaks(good + "{}\n"));
  EXPECT_FALSE(breaks(good));
}

TEST_F(AuditLogTest, ADamagedEndIsNotContinued) {
  append(2);
  std::string altered = text();
  altered[altered.size() - 5] ^= 1;
  write(altered);
  EXPECT_EQ(AuditLog::open(dir_.path()).code(), Errc::corrupt);
}

} // namespace cairn::auth
