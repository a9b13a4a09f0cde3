// The built-in table and mime.types files.
#include "common/net/mime_types.h"

#include <gtest/gtest.h>

namespace cairn {
namespace {

TEST(MimeTypes, BuiltIn) {
  const MimeTypes types("application/octet-stream");
  EXPECT_EQ(types.type_of("a.jpg"), "image/jpeg");
  EXPECT_EQ(types.type_of("M00/00/00/wKg417.JPEG"), "image/jpeg");
  EXPECT_EQ(types.type_of("a.tar.gz"), "application/gzip");
  EXPECT_EQ(types.type_of("a.svg"), "image/svg+xml");
  EXPECT_EQ(types.type_of("noextension"), "application/octet-stream");
  EXPECT_EQ(types.type_of("a."), "application/octet-stream");
  EXPECT_EQ(types.type_of("a.extension-of-many-characters"), "application/octet-stream");
}

TEST(MimeTypes, ApacheFile) {
  MimeTypes types;
  ASSERT_TRUE(types.add_text("# comment\nimage/x-own jpg OWN\n\ntext/none\n", "m"));
  EXPECT_EQ(types.type_of("a.jpg"), "image/x-own");
  EXPECT_EQ(types.type_of("a.own"), "image/x-own");
  EXPECT_EQ(types.type_of("a.png"), "image/png");
}

TEST(MimeTypes, NginxFile) {
  MimeTypes types;
  ASSERT_TRUE(
      types.add_text("types {\n  text/html html htm; # x\n  image/x-own\n    jpg own;\n}\n", "m"));
  EXPECT_EQ(types.type_of("a.htm"), "text/html");
  EXPECT_EQ(types.type_of("a.own"), "image/x-own");
  MimeTypes brace_below;
  ASSERT_TRUE(brace_below.add_text("types\n{\nimage/x-own own;\n}\n", "m"));
  EXPECT_EQ(brace_below.type_of("a.own"), "image/x-own");
}

TEST(MimeTypes, FaultsNameTheLine) {
  MimeTypes types;
  const Status status = types.add_text("image/png png\nwhat is this\n", "mime.types");
  EXPECT_EQ(status.code(), Errc::invalid_argument);
  EXPECT_NE(status.error().detail.find("mime.types:2"), std::string::npos);
  EXPECT_EQ(types.add_file("/nonexistent/mime.types").code(), Errc::not_found);
}

} // namespace
} // namespace cairn
