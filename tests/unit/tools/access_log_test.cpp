// Lines of access logs and the shapes of URLs.
#include "tools/access_log.h"

#include <gtest/gtest.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <utility>
#include <vector>
#include <zlib.h>

namespace cairn::tools {
namespace {

TEST(AccessLog, CommonAndCombinedLines) {
  const auto line = parse_log_line(
      R"(1.2.3.4 - - [10/Oct/2011:13:55:36 +0000] "GET /a?b=\"c HTTP/1.1" 200 2326 "http://x/" "agent")");
  ASSERT_TRUE(line);
  EXPECT_EQ(line->method, "GET");
  EXPECT_EQ(line->target, "/a?b=\\\"c");
  EXPECT_EQ(line->status, 200);
  EXPECT_EQ(line->bytes, 2326u);
  EXPECT_EQ(line->referer, "http://x/");
  const auto common = parse_log_line(R"(h - - [x] "HEAD http://i.test/b HTTP/1.0" 304 -)");
  ASSERT_TRUE(common);
  EXPECT_EQ(common->target, "http://i.test/b");
  EXPECT_EQ(common->bytes, std::nullopt);
  EXPECT_EQ(common->referer, "");
  for (const char* bad : {"", "x", "\"", "\"GET\" 200 1", R"("GET / HTTP/1.1" abc 1)",
                          R"("GET / HTTP/1.1" 999 1)", "\"\\x16\\x03\" 400 0"})
    EXPECT_FALSE(parse_log_line(bad)) << bad;
}

TEST(AccessLog, LinesAreBounded) {
  const auto path =
      std::filesystem::temp_directory_path() / ("cairn-log-" + std::to_string(getpid()));
  {
    std::ofstream file(path);
    file << "one\r\n" << std::string(3'000'000, 'x') << "\n\nlast";
  }
  std::vector<std::size_t> sizes;
  ASSERT_TRUE(for_each_line(path.string(), [&](std::string_view line) {
    sizes.push_back(line.size());
    return true;
  }));
  EXPECT_EQ(sizes, (std::vector<std::size_t>{3, 64 * 1024, 0, 4}));
  // The same as logrotate leaves it, whole and cut off.
  std::ostringstream plain;
  plain << std::ifstream(path, std::ios::binary).rdbuf();
  gzFile_s* const out = gzopen(path.c_str(), "wb");
  ASSERT_EQ(gzwrite(out, plain.str().data(), static_cast<unsigned>(plain.str().size())),
            static_cast<int>(plain.str().size()));
  gzclose(out);
  const std::vector<std::size_t> as_before = std::exchange(sizes, {});
  const auto note = [&](std::string_view line) {
    sizes.push_back(line.size());
    return true;
  };
  ASSERT_TRUE(for_each_line(path.string(), note));
  EXPECT_EQ(sizes, as_before);
  std::filesystem::resize_file(path, std::filesystem::file_size(path) / 2);
  EXPECT_EQ(for_each_line(path.string(), note).code(), Errc::corrupt);
  std::filesystem::remove(path);
  EXPECT_EQ(for_each_line("/nowhere/at/all", [](std::string_view) { return true; }).code(),
            Errc::not_found);
}

TEST(AccessLog, Shapes) {
  EXPECT_EQ(shape_of("/upload/2011/03/IMG 1.JPG"), "/upload/\\d{4}/\\d{2}/[^/]+\\.jpg");
  EXPECT_EQ(shape_of("/p/123.png"), "/p/\\d+\\.png");
  EXPECT_EQ(shape_of("/p/a_100x50.jpg"), "/p/[^/]+_\\d+x\\d+\\.jpg");
  EXPECT_EQ(shape_of("/h/d41d8cd98f00/x"), "/h/[0-9A-Fa-f]{12}/[^/]+");
  EXPECT_EQ(shape_of("/shop12/a.b/"), "/shop\\d+/a\\.b/");
  EXPECT_EQ(shape_of("/"), "/");
}

} // namespace
} // namespace cairn::tools
