// Paths, hosts, arguments and shares.
#include "common/rules/uri.h"

#include <gtest/gtest.h>

namespace cairn::rules {
namespace {

std::string normal(std::string_view path) {
  const auto result = normalize_path(path);
  return result ? *result : "refused";
}

TEST(Uri, PathsAreNormalisedAsNginxDoes) {
  EXPECT_EQ(normal("/"), "/");
  EXPECT_EQ(normal("//a///b//"), "/a/b/");
  EXPECT_EQ(normal("/a/./b/."), "/a/b/");
  EXPECT_EQ(normal("/a/../b"), "/b");
  EXPECT_EQ(normal("/a/b/.."), "/a/");
  EXPECT_EQ(normal("/a/.."), "/");
  EXPECT_EQ(normal("/a/...b"), "/a/...b");
  EXPECT_EQ(normal("/.."), "refused");
  EXPECT_EQ(normal("/a/../../b"), "refused");
  EXPECT_EQ(normal("a"), "refused");
  EXPECT_EQ(normal(std::string_view("/a\0b", 4)), "refused");
  EXPECT_EQ(normal("/" + std::string(65536, 'x')).size(), 65537u);
}

TEST(Uri, Hosts) {
  EXPECT_EQ(normalize_host("Img.Example.COM:8080"), "img.example.com");
  EXPECT_EQ(normalize_host("a.b."), "a.b");
  EXPECT_EQ(normalize_host("[::1]:80"), "[::1]");
  EXPECT_EQ(normalize_host(""), "");
}

TEST(Uri, Arguments) {
  EXPECT_EQ(argument("a=1&ID=%41%2fb&id=2", "id"), "A/b");
  EXPECT_EQ(argument("id=", "id"), "");
  EXPECT_EQ(argument("id&x=1", "id"), std::nullopt);
  EXPECT_EQ(argument("id=%zz", "id"), "%zz");
  EXPECT_EQ(argument("", "id"), std::nullopt);
}

TEST(Uri, SplitUrls) {
  EXPECT_EQ(split_url("http://h:80/a?b")->target, "/a?b");
  EXPECT_EQ(split_url("https://h")->target, "/");
  EXPECT_EQ(split_url("https://h?x=1")->target, "/?x=1");
  EXPECT_EQ(split_url("/a")->host, "");
  EXPECT_FALSE(split_url("a/b"));
  EXPECT_FALSE(split_url("http:///a"));
}

TEST(Uri, SharesAreEven) {
  std::size_t below = 0;
  for (int i = 0; i < 20'000; ++i)
    below += share_of("h", "/upload/" + std::to_string(i) + ".jpg") < 3'000 ? 1 : 0;
  EXPECT_NEAR(static_cast<double>(below), 6'000, 250);
  EXPECT_EQ(share_of("h", "/a"), share_of("h", "/a"));
}

TEST(Uri, EscapesWhatAUrlCannotHold) {
  EXPECT_EQ(escape_path("/a b\r\n\"%?#\xC3\xA9"), "/a%20b%0D%0A%22%25%3F%23%C3%A9");
}

} // namespace
} // namespace cairn::rules
