// Log lines, the data lock, the node's UUID, durable files.
#include "common/daemon/daemon.h"

#include "common/base/durable_file.h"
#include "common/daemon/log_line.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <sys/stat.h>

namespace cairn {

namespace {

class DaemonFiles : public ::testing::Test {
protected:
  DaemonFiles() {
    std::string name = (std::filesystem::temp_directory_path() / "cairn-daemon-XXXXXX").string();
    base = ::mkdtemp(name.data());
  }
  ~DaemonFiles() override { std::filesystem::remove_all(base); }
  std::filesystem::path base;
};

LogEvent event_of(std::string_view message) {
  LogEvent event;
  event.time = std::chrono::system_clock::time_point(std::chrono::milliseconds(1'700'000'000'007));
  event.level = "info";
  event.logger = "storage.sync";
  event.message = message;
  return event;
}

std::string logfmt(std::string_view message) {
  std::string out;
  append_logfmt(event_of(message), out);
  return out;
}

std::string json(std::string_view message) {
  std::string out;
  append_json(event_of(message), out);
  return out;
}

} // namespace

TEST(LogLine, FactsBecomeFields) {
  EXPECT_EQ(logfmt("peer joined group=g1 node=7"),
            "time=2023-11-14T22:13:20.007Z level=info logger=storage.sync msg=\"peer joined\" "
            "group=g1 node=7\n");
  EXPECT_EQ(
      json("peer joined group=g1 error=no such file node=7"),
      "{\"time\":\"2023-11-14T22:13:20.007Z\",\"level\":\"info\",\"logger\":\"storage.sync\","
      "\"msg\":\"peer joined\",\"group\":\"g1\",\"error\":\"no such file\",\"node\":\"7\"}\n");
  EXPECT_NE(logfmt("failed error=open /x: no=t found path=")
                .find("msg=\"failed\" error=\"open /x:\" no=\"t found\" path=\"\"\n"),
            std::string::npos);
  EXPECT_NE(logfmt("plain text").find("msg=\"plain text\"\n"), std::string::npos);
  EXPECT_NE(logfmt("a=1").find("msg=\"\" a=1\n"), std::string::npos);
}

TEST(LogLine, NobodyForgesALine) {
  const std::string line = logfmt("name=x\ntime=1 level=error \"quoted\"\x01");
  EXPECT_EQ(line.find('\n'), line.size() - 1);
  EXPECT_EQ(line.find('\x01'), std::string::npos);
  const std::string object = json("name=x\n\"}{\\");
  EXPECT_EQ(object.find('\n'), object.size() - 1);
  EXPECT_NE(object.find("x\\n\\\"}{\\\\"), std::string::npos);
}

TEST_F(DaemonFiles, OneProcessHasTheData) {
  auto lock = DataLock::take(base);
  ASSERT_TRUE(lock);
  auto second = DataLock::take(base);
  ASSERT_FALSE(second);
  EXPECT_EQ(second.code(), Errc::busy);
  EXPECT_NE(second.error().detail.find("(pid " + std::to_string(::getpid()) + ")"),
            std::string::npos);
  { DataLock gone = *std::move(lock); }
  EXPECT_TRUE(DataLock::take(base));
}

TEST_F(DaemonFiles, TheUuidStays) {
  auto lock = DataLock::take(base);
  ASSERT_TRUE(lock);
  auto uuid = node_uuid(base);
  ASSERT_TRUE(uuid);
  EXPECT_EQ(uuid->size(), 36U);
  EXPECT_EQ(*node_uuid(base), *uuid);
  struct stat info {};
  ASSERT_EQ(::stat((base / "data" / "node.uuid").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777U, 0644U);
  ASSERT_TRUE(durable_write_file(base / "data" / "node.uuid", "garbage"));
  EXPECT_EQ(node_uuid(base).code(), Errc::corrupt);
}

TEST_F(DaemonFiles, DurableFilesAreReplacedWhole) {
  ASSERT_TRUE(durable_write_file(base / "f", "one"));
  ASSERT_TRUE(durable_write_file(base / "f", "two"));
  EXPECT_EQ(*read_small_file(base / "f"), "two");
  EXPECT_EQ(read_small_file(base / "f", 2).code(), Errc::invalid_argument);
  EXPECT_EQ(read_small_file(base / "none").code(), Errc::not_found);
  EXPECT_FALSE(durable_write_file(base / "none" / "f", "x"));
  std::size_t entries = 0;
  for (const auto& entry : std::filesystem::directory_iterator(base)) entries += entry.exists();
  EXPECT_EQ(entries, 1U);
}

} // namespace cairn
