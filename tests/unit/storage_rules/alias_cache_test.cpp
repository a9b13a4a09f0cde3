// The bounded memory of names.
#include "storage/rules/alias_cache.h"

#include <gtest/gtest.h>

namespace cairn::storage {
namespace {

using namespace std::chrono_literals;

wire::AliasRow row(std::string target) {
  wire::AliasRow made;
  made.target = std::move(target);
  return made;
}

TEST(AliasCache, FoundAndAbsentNamesAgeApart) {
  AliasCache cache(10, 10s, 1s);
  const AliasCache::Time start{};
  cache.put("h", "/a", row("id:x"), start);
  cache.put("h", "/b", row(""), start);
  EXPECT_TRUE(cache.find("h", "/a", start + 9s)->is_fresh);
  EXPECT_FALSE(cache.find("h", "/a", start + 10s)->is_fresh);
  EXPECT_EQ(cache.find("h", "/a", start + 99s)->row.target, "id:x");
  EXPECT_TRUE(cache.find("h", "/b", start)->is_fresh);
  EXPECT_FALSE(cache.find("h", "/b", start + 1s)->is_fresh);
  EXPECT_EQ(cache.find("", "/a", start), std::nullopt);
  cache.put("h", "/b", row("id:y"), start + 2s);
  EXPECT_EQ(cache.find("h", "/b", start + 2s)->row.target, "id:y");
  EXPECT_EQ(cache.size(), 2u);
}

TEST(AliasCache, TheLeastRecentlyUsedGoes) {
  AliasCache cache(3, 10s, 1s);
  const AliasCache::Time now{};
  for (const char* path : {"/a", "/b", "/c"}) cache.put("", path, row("id:x"), now);
  EXPECT_TRUE(cache.find("", "/a", now).has_value());
  cache.put("", "/d", row("id:x"), now);
  EXPECT_EQ(cache.size(), 3u);
  EXPECT_FALSE(cache.find("", "/b", now).has_value());
  EXPECT_TRUE(cache.find("", "/a", now).has_value());
  cache.erase("", "/a");
  cache.erase("", "/never");
  EXPECT_FALSE(cache.find("", "/a", now).has_value());
  cache.clear();
  EXPECT_EQ(cache.size(), 0u);
}

} // namespace
} // namespace cairn::storage
