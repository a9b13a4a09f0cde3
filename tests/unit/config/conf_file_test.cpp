// Lines, sections and includes of configuration files.
#include "common/config/conf_file.h"

#include "tests/unit/config/temporary_directory.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

namespace cairn::config {
namespace {

TEST(ConfFile, Lines) {
  const auto file = parse_conf_text(
      "\xEF\xBB\xBF# comment\n\n  a = 1  \r\na=2\nb =\nc = x = y # not a comment\n"
      "##include nothing\n#includes are comments\n[ s ]\na = 3\n[t]\nb=4",
      "dir/x.conf");
  ASSERT_TRUE(file) << file.error().text();
  ASSERT_EQ(file->values.size(), 6U);
  EXPECT_EQ(file->values[0].key, "a");
  EXPECT_EQ(file->values[0].value, "1");
  EXPECT_EQ(file->values[0].where.text(), "dir/x.conf:3");
  EXPECT_EQ(file->values[1].value, "2");
  EXPECT_EQ(file->values[2].value, "");
  EXPECT_EQ(file->values[3].value, "x = y # not a comment");
  EXPECT_EQ(file->values[4].full_key(), "s.a");
  EXPECT_EQ(file->values[5].full_key(), "t.b");
}

TEST(ConfFile, Errors) {
  const auto detail = [](std::string_view text) {
    const auto file = parse_conf_text(text, "x.conf");
    return file ? std::string("parsed") : file.error().detail;
  };
  EXPECT_EQ(detail("a = 1\nrubbish\n"), "x.conf:2: '=' is missing");
  EXPECT_EQ(detail("= 1"), "x.conf:1: the key before '=' is missing");
  EXPECT_EQ(detail("\n[s"), "x.conf:2: not a [section]");
  EXPECT_EQ(detail("[]"), "x.conf:1: not a [section]");
  EXPECT_EQ(detail(std::string_view("a=\0", 3)), "x.conf:1: a NUL byte");
  EXPECT_EQ(detail("#include \"\""), "x.conf:1: #include without a file name");
  EXPECT_EQ(read_conf_file("/nonexistent/x.conf").code(), Errc::not_found);
}

TEST(ConfFile, Includes) {
  TemporaryDirectory dir;
  std::filesystem::create_directory(dir.path() / "sub");
  dir.write("main.conf", "[s]\na = 1\n#include sub/one.conf\nd = 4\n");
  dir.write("sub/one.conf", "b = 2\n#include \"two.conf\"\n");
  dir.write("sub/two.conf", "c = 3\n");
  const auto file = read_conf_file(dir.path() / "main.conf");
  ASSERT_TRUE(file) << file.error().text();
  std::string all;
  for (const auto& value : file->values) all += value.full_key() + "=" + value.value + " ";
  // A section does not reach into an included file, nor out of it.
  EXPECT_EQ(all, "s.a=1 b=2 c=3 s.d=4 ");
  EXPECT_EQ(file->values[2].where.file, (dir.path() / "sub/two.conf").string());
}

TEST(ConfFile, IncludeErrorsNameTheLine) {
  TemporaryDirectory dir;
  const auto main = dir.path() / "main.conf";
  dir.write("main.conf", "a = 1\n#include gone.conf\n");
  auto file = read_conf_file(main);
  ASSERT_FALSE(file);
  EXPECT_EQ(file.code(), Errc::not_found);
  EXPECT_TRUE(file.error().detail.starts_with(main.string() + ":2: ")) << file.error().detail;

  dir.write("main.conf", "#include other.conf\n");
  dir.write("other.conf", "\n#include ./main.conf\n");
  file = read_conf_file(main);
  ASSERT_FALSE(file);
  EXPECT_NE(file.error().detail.find("other.conf:2: "), std::string::npos);
  EXPECT_NE(file.error().detail.find("includes itself"), std::string::npos);

  // kIncludeDepthMax levels work, one more does not.
  for (int i = 0; i < 12; ++i) {
    dir.write("d" + std::to_string(i), "#include d" + std::to_string(i + 1) + "\n");
  }
  dir.write("d8", "deep = 1\n");
  EXPECT_TRUE(read_conf_file(dir.path() / "d0"));
  dir.write("d8", "#include d9\n");
  dir.write("d9", "deep = 1\n");
  file = read_conf_file(dir.path() / "d0");
  ASSERT_FALSE(file);
  EXPECT_NE(file.error().detail.find("d8:1: #include deeper than 8 files"), std::string::npos);

  dir.write("big", std::string((1 << 20) + 1, '\n'));
  EXPECT_EQ(read_conf_file(dir.path() / "big").code(), Errc::invalid_argument);
}

} // namespace
} // namespace cairn::config
