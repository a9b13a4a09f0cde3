// Forms, in pieces of any size.
#include "storage/http/multipart.h"

#include <gtest/gtest.h>

namespace cairn::storage {

namespace {

// "[headers]content|[headers]content|." or "?" where it is refused, "-" where it has no end.
std::string read_all(std::string_view text, std::size_t piece, const std::string& boundary = "b") {
  MultipartReader reader(boundary);
  std::string seen;
  for (;;) {
    const auto event = reader.next();
    if (!event) return seen + "?";
    switch (event->kind) {
      case MultipartReader::Kind::need_more:
        if (text.empty()) return seen + "-";
        reader.feed(text.substr(0, piece));
        text.remove_prefix(std::min(piece, text.size()));
        break;
      case MultipartReader::Kind::part:
        seen.append("[").append(event->text.substr(0, event->text.find('\r'))).append("]");
        break;
      case MultipartReader::Kind::data:
        seen.append(event->text);
        break;
      case MultipartReader::Kind::part_end:
        seen += "|";
        break;
      case MultipartReader::Kind::end:
        return seen + ".";
    }
  }
}

} // namespace

TEST(Multipart, TheSameInPiecesOfAnySize) {
  const std::string text =
      "ignored\r\n--b\r\nA: 1\r\nB: 2\r\n\r\none\r\n--x\r\n-\r\n--b\r\nC: "
      "3\r\n\r\n\r\n--b--\r\nrest";
  for (std::size_t piece = 1; piece <= text.size(); ++piece)
    EXPECT_EQ(read_all(text, piece), "[A: 1]one\r\n--x\r\n-|[C: 3]|.") << piece;
}

TEST(Multipart, MalformedOnes) {
  EXPECT_EQ(read_all("--b\r\nA: 1\r\n\r\none", 64), "[A: 1]-");
  EXPECT_EQ(read_all("--bc\r\nA: 1\r\n\r\none\r\n--b--", 64), "?");
  EXPECT_EQ(read_all("", 64), "-");
  EXPECT_EQ(read_all("--b\r\n" + std::string(10'000, 'h'), 4096), "?");
  EXPECT_EQ(read_all("--b--", 64), ".");
}

TEST(Multipart, Boundaries) {
  EXPECT_EQ(multipart_boundary("multipart/form-data; boundary=abc"), "abc");
  EXPECT_EQ(multipart_boundary("Multipart/Form-Data; charset=x; boundary=\"a b\""), "a b");
  EXPECT_FALSE(multipart_boundary("multipart/form-data"));
  EXPECT_FALSE(multipart_boundary("multipart/form-data; boundary="));
  EXPECT_FALSE(multipart_boundary("image/png; boundary=abc"));
  EXPECT_FALSE(multipart_boundary("multipart/form-data; boundary=" + std::string(71, 'x')));
}

TEST(Multipart, Parameters) {
  const std::string value = "form-data; name=\"f\"; filename=\"a \\\"b\\\"; c.jpg\"; x=y";
  EXPECT_EQ(header_parameter(value, "name"), "f");
  EXPECT_EQ(header_parameter(value, "filename"), "a \"b\"; c.jpg");
  EXPECT_EQ(header_parameter(value, "x"), "y");
  EXPECT_FALSE(header_parameter(value, "z"));
  EXPECT_FALSE(header_parameter("form-data", "name"));
}

} // namespace cairn::storage
