// Regular expressions: PCRE's spelling on RE2, prefixes for the index, refusals that help.
#include "common/rules/pattern.h"

#include <gtest/gtest.h>

#include <chrono>

namespace cairn::rules {
namespace {

Pattern compiled(std::string_view text, bool ignore_case = false) {
  auto pattern = Pattern::compile(text, ignore_case);
  EXPECT_TRUE(pattern) << pattern.error().detail;
  return *std::move(pattern);
}

std::string refusal(std::string_view text) {
  auto pattern = Pattern::compile(text, false);
  return pattern ? "" : pattern.error().detail;
}

TEST(Pattern, BothSpellingsOfNamedCaptures) {
  for (const char* text : {"^/(?<y>\\d+)/(?P<n>[^/]+)$", "^/(?P<y>\\d+)/(?<n>[^/]+)$"}) {
    const Pattern pattern = compiled(text);
    Captures captures;
    ASSERT_TRUE(pattern.search("/2011/a.jpg", captures));
    EXPECT_EQ(captures.groups[1], "2011");
    EXPECT_EQ(captures.groups[2], "a.jpg");
    ASSERT_EQ(pattern.names().size(), 2u);
  }
  // A bracket in a class, an escaped one: no group.
  EXPECT_TRUE(compiled("[(?<x>]+\\(\\?<").search("<<(?<"));
  EXPECT_TRUE(compiled("^[]a]+$").search("]a]"));
}

TEST(Pattern, BytesAreNotUtf8) {
  EXPECT_TRUE(compiled("^/.$").search("/\xE9"));
  EXPECT_TRUE(compiled("\\.JPG$", true).search("/\xFF.jpg"));
}

TEST(Pattern, RefusalsSayWhatToDo) {
  EXPECT_NE(refusal("^/(?!a)").find("look-ahead"), std::string::npos);
  EXPECT_NE(refusal("(?<=a)b").find("look-behind"), std::string::npos);
  EXPECT_NE(refusal("(a)\\1").find("back references"), std::string::npos);
  EXPECT_NE(refusal("((a{1000}){1000}){10}"), "");
  EXPECT_NE(refusal("("), "");
  std::string groups;
  for (int i = 0; i < 40; ++i) groups += "(a)";
  EXPECT_NE(refusal(groups).find("31 groups"), std::string::npos);
}

TEST(Pattern, NoTextIsSlow) {
  // Exponential for a backtracking engine.
  const Pattern pattern = compiled("^(a+)+(b+)*(a*)*c$");
  const std::string text(64 * 1024, 'a');
  const auto start = std::chrono::steady_clock::now();
  EXPECT_FALSE(pattern.search(text));
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(2));
}

TEST(Pattern, LiteralPrefixes) {
  const auto prefix = [](const char* text) { return compiled(text).literal_prefix(); };
  EXPECT_EQ(prefix("^/upload/(\\d+)"), "/upload/");
  EXPECT_EQ(prefix("^/a\\.b\\-c"), "/a.b-c");
  EXPECT_EQ(prefix("^/ab?c"), "/a");
  EXPECT_EQ(prefix("^/ab{2}"), "/a");
  EXPECT_EQ(prefix("^/a|^/b"), "");
  EXPECT_EQ(prefix("^/(a|b)"), "/");
  EXPECT_EQ(prefix("^/[|]"), "/");
  EXPECT_EQ(prefix("/a"), "");
  EXPECT_EQ(prefix("^/a\\d"), "/a");
  EXPECT_EQ(prefix("(?i)^/a"), "");
  EXPECT_EQ(compiled("^/a", true).literal_prefix(), "");
  EXPECT_TRUE(compiled("^/a/").is_prefix_only());
  EXPECT_FALSE(compiled("^/a/$").is_prefix_only());
}

} // namespace
} // namespace cairn::rules
