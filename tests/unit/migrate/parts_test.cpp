// The small parts of the migrator: filter rules, names in order, rates by the clock, letters,
// options as JSON, printable names.
#include "migrate/destination.h"
#include "migrate/filter.h"
#include "migrate/itemize.h"
#include "migrate/limiter.h"
#include "migrate/options.h"
#include "migrate/sorted_names.h"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <filesystem>

namespace cairn::migrate {
namespace {

TEST(Filter, FirstRuleThatMatchesWins) {
  Filter filter;
  for (const char* rule : {"+ keep.tmp", "- *.tmp", "- /cache/", "- thumbs/***", "+ a/**/z.jpg",
                           "- a/**", "- [0-9]?.log"})
    ASSERT_TRUE(filter.add(rule)) << rule;
  EXPECT_TRUE(filter.takes("x/keep.tmp", false));
  EXPECT_FALSE(filter.takes("x/other.tmp", false));
  EXPECT_FALSE(filter.takes("cache", true));
  EXPECT_TRUE(filter.takes("cache", false)) << "only directories";
  EXPECT_TRUE(filter.takes("x/cache", true)) << "only at the root";
  EXPECT_FALSE(filter.takes("deep/thumbs", true));
  EXPECT_FALSE(filter.takes("deep/thumbs/1/2.jpg", false));
  EXPECT_TRUE(filter.takes("a/b/c/z.jpg", false));
  EXPECT_FALSE(filter.takes("a/b/c/y.jpg", false));
  EXPECT_FALSE(filter.takes("7x.log", false));
  EXPECT_TRUE(filter.takes("77x.log", false));
  EXPECT_FALSE(filter.add("perhaps *.jpg"));
}

TEST(Filter, StarsStopAtSlashesAndDoubleStarsDoNot) {
  EXPECT_TRUE(wild_match("*.jpg", "a.jpg"));
  EXPECT_FALSE(wild_match("*.jpg", "d/a.jpg"));
  EXPECT_TRUE(wild_match("**.jpg", "d/e/a.jpg"));
  EXPECT_TRUE(wild_match("a/**/b*c", "a/x/y/bzzc"));
  EXPECT_FALSE(wild_match("a/**/b*c", "a/x/y/bz/c"));
  EXPECT_TRUE(wild_match("**/b*c/d", "x/bb/y/bc/d")) << "a failed star goes back to the double one";
  EXPECT_TRUE(wild_match("[!a-c]\\*", "d*"));
  EXPECT_FALSE(wild_match("[!a-c]\\*", "b*"));
  EXPECT_FALSE(wild_match("[ab", "a"));
}

TEST(Filter, AListOfPathsTakesTheirDirectoriesToo) {
  Filter filter;
  filter.only({"./a/b/c.jpg", "/d"});
  EXPECT_TRUE(filter.takes("a", true));
  EXPECT_TRUE(filter.takes("a/b/c.jpg", false));
  EXPECT_FALSE(filter.takes("a/b/d.jpg", false));
  EXPECT_TRUE(filter.takes("d", false));
}

TEST(SortedNames, LongListsAreMergedFromDisk) {
  SortedNames names(1000, std::filesystem::temp_directory_path());
  std::vector<std::string> expected;
  for (unsigned i = 0; i < 5000; ++i) {
    std::string name = std::to_string(i * 2654435761U);
    if (i % 7 == 0) name += "\n\xff";
    ASSERT_TRUE(names.add(name, 8));
    expected.push_back(std::move(name));
  }
  std::ranges::sort(expected);
  std::vector<std::string> seen;
  ASSERT_TRUE(names.each([&](const std::string& name, std::uint8_t type) -> Status {
    EXPECT_EQ(type, 8);
    seen.push_back(name);
    return {};
  }));
  EXPECT_EQ(seen, expected);
}

TEST(Limiter, ATimetableHoldsFromTimeToTimeAndOverMidnight) {
  const auto limiter = Limiter::parse("08:00,20M 23:00,off");
  ASSERT_TRUE(limiter);
  EXPECT_EQ(limiter->rate_at(8 * 60), std::uint64_t{20} << 20);
  EXPECT_EQ(limiter->rate_at(22 * 60 + 59), std::uint64_t{20} << 20);
  EXPECT_EQ(limiter->rate_at(23 * 60), 0U);
  EXPECT_EQ(limiter->rate_at(3 * 60), 0U) << "the last one holds over midnight";
  EXPECT_FALSE(Limiter::parse("25:00,1M"));
  EXPECT_FALSE(Limiter::parse("fast"));
}

TEST(Limiter, WhatIsTakenHasToBeWaitedFor) {
  auto limiter = Limiter::parse("1M");
  ASSERT_TRUE(limiter);
  const Limiter::Clock::time_point now(std::chrono::hours(1));
  std::chrono::duration<double> waited{};
  for (int i = 0; i < 10; ++i) waited = limiter->take(1 << 20, now, 0);
  EXPECT_NEAR(waited.count(), 10, 0.3);
  EXPECT_EQ(limiter->take(1, now + std::chrono::seconds(60), 0).count(), 0);
}

TEST(Itemize, LettersAreThoseOfRsync) {
  Entry now;
  now.size = 5;
  now.mtime_s = 100;
  now.mode = 0644;
  EXPECT_EQ(itemize(Change::sent, now, {}, true), "<f+++++++++");
  Entry before = now;
  before.mtime_s = 99;
  before.mode = 0600;
  EXPECT_EQ(itemize(Change::attributes, now, before, false), ".f..tp.....");
  before.size = 4;
  EXPECT_EQ(itemize(Change::sent, now, before, true), "<fcstp.....");
  now.type = NodeType::directory;
  EXPECT_EQ(itemize(Change::made, now, {}, false), "cd+++++++++");
}

TEST(CopyOptions, JsonKeepsEverythingBytesIncluded) {
  CopyOptions options;
  options.rules = {"- \xff*"};
  options.files_from = {"a\nb"};
  options.removals_max = 7;
  options.remove = true;
  options.modify_window = std::chrono::seconds(2);
  options.bwlimit = "1M";
  const auto back = options_from_json(nlohmann::json::parse(to_json(options).dump()));
  ASSERT_TRUE(back);
  EXPECT_EQ(back->rules, options.rules);
  EXPECT_EQ(back->files_from, options.files_from);
  EXPECT_EQ(back->removals_max, options.removals_max);
  EXPECT_TRUE(back->remove);
  EXPECT_EQ(back->modify_window, options.modify_window);
  EXPECT_EQ(back->age_max, options.age_max);
  EXPECT_EQ(back->bwlimit, "1M");
}

TEST(Paths, OddBytesBecomeAPrintableLine) {
  EXPECT_EQ(printable("\xc3\xbcml.jpg"), "\xc3\xbcml.jpg");
  EXPECT_EQ(printable("a\nb\xff\\"), "a\\012b\\377\\134");
  EXPECT_FALSE(is_plain_text("\xed\xa0\x80")) << "a surrogate";
  EXPECT_EQ(join("", "a"), "a");
  EXPECT_EQ(parent_of("a/b/c"), "a/b");
  EXPECT_EQ(name_of("c"), "c");
}

TEST(DestinationPath, ThreeSpellingsAreOne) {
  for (const char* text : {"photos/2012", ":/photos/2012/", "/photos//2012"}) {
    const auto parsed = parse_destination(text);
    ASSERT_TRUE(parsed) << text;
    EXPECT_EQ(parsed->text(), "photos/2012");
  }
  EXPECT_FALSE(parse_destination(":/"));
}

} // namespace
} // namespace cairn::migrate
