// What a mount concludes about directories, against a set of names that nobody else can see.
#include "fuse/known_directories.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <map>
#include <random>
#include <set>
#include <string>

namespace cairn::fuse {
namespace {

using Time = KnownDirectories::Time;

wire::NsAttributes attributes(std::uint64_t inode, std::uint32_t nlink) {
  wire::NsAttributes out;
  out.inode = inode;
  out.type = wire::NsType::directory;
  out.nlink = nlink;
  return out;
}

TEST(KnownDirectories, TheLatestAttributesCount) {
  KnownDirectories known;
  EXPECT_EQ(known.attributes(1), nullptr);
  const Time early = Time() + std::chrono::seconds(1);
  known.changed(attributes(1, 3), 20, early);
  ASSERT_NE(known.attributes(1), nullptr);
  EXPECT_EQ(known.attributes(1)->now.nlink, 3U);
  EXPECT_EQ(known.attributes(1)->told, early);
  known.changed(attributes(1, 2), 10, Time()); // overtaken
  EXPECT_EQ(known.attributes(1)->now.nlink, 3U);
  known.forget_attributes(1, 19);
  EXPECT_NE(known.attributes(1), nullptr) << "that was before";
  known.forget_attributes(1, 30);
  EXPECT_EQ(known.attributes(1), nullptr);
  known.changed(attributes(1, 4), 25, Time());
  EXPECT_EQ(known.attributes(1), nullptr) << "older than what made it old";
  known.changed(attributes(1, 4), 31, Time());
  EXPECT_NE(known.attributes(1), nullptr);
  known.forget_attributes(1, 0);
  EXPECT_EQ(known.attributes(1), nullptr);
}

TEST(KnownDirectories, OnlyOneMadeHereLacksNames) {
  KnownDirectories known;
  EXPECT_FALSE(known.lacks(1, "a"));
  known.changed(attributes(1, 2), 1, Time());
  EXPECT_FALSE(known.lacks(1, "a"));
  known.made(1);
  EXPECT_TRUE(known.lacks(1, "a"));
  EXPECT_FALSE(known.lacks(1, "."));
  EXPECT_FALSE(known.lacks(1, ".."));
  known.may_have(1, "a");
  EXPECT_FALSE(known.lacks(1, "a"));
  EXPECT_TRUE(known.lacks(1, "b"));
  EXPECT_FALSE(known.lacks(2, "b"));
  known.forget_attributes(1, 5);
  EXPECT_TRUE(known.lacks(1, "b")) << "its names are not its attributes";
  known.forget(1);
  EXPECT_FALSE(known.lacks(1, "b"));
  known.made(1);
  known.clear();
  EXPECT_FALSE(known.lacks(1, "b"));
}

TEST(KnownDirectories, WhatWasUsedLongestAgoGoes) {
  KnownDirectories known(3, 4);
  for (std::uint64_t inode = 1; inode <= 3; ++inode) known.made(inode);
  EXPECT_TRUE(known.lacks(1, "x")); // used
  known.made(4);
  EXPECT_FALSE(known.lacks(2, "x"));
  EXPECT_TRUE(known.lacks(1, "x"));
  // Names of all of them: the fifth is one too many.
  for (const char* name : {"a", "b"}) known.may_have(3, name);
  for (const char* name : {"a", "b", "c"}) known.may_have(4, name);
  EXPECT_FALSE(known.lacks(3, "x"));
  EXPECT_TRUE(known.lacks(4, "x"));
  // One directory with more than all may have is not known any more; others can be again.
  for (const char* name : {"d", "e"}) known.may_have(4, name);
  EXPECT_FALSE(known.lacks(4, "x"));
  known.made(5);
  known.may_have(5, "a");
  EXPECT_TRUE(known.lacks(5, "x"));
}

// Random changes, few directories and names, and little room: what is said to lack a name lacks it.
TEST(KnownDirectories, NeverDeniesAName) {
  const char* const only = std::getenv("CAIRN_SEED");
  const std::uint64_t first = only != nullptr ? std::strtoull(only, nullptr, 10) : 1;
  const std::uint64_t last = only != nullptr ? first : 50;
  std::uint64_t denied = 0;
  for (std::uint64_t seed = first; seed <= last; ++seed) {
    SCOPED_TRACE("CAIRN_SEED=" + std::to_string(seed));
    std::mt19937_64 random(seed);
    KnownDirectories known(4, 12);
    std::map<std::uint64_t, std::set<std::string>> truth;
    std::uint64_t next = 1;
    for (int step = 0; step < 2000; ++step) {
      const std::string name(1, static_cast<char>('a' + random() % 8));
      if (truth.size() < 6 && random() % 8 == 0) {
        truth[next];
        known.made(next++);
        continue;
      }
      if (truth.empty()) continue;
      const auto at =
          std::next(truth.begin(), static_cast<std::ptrdiff_t>(random() % truth.size()));
      switch (random() % 8) {
        case 0:
        case 1: // made, here or elsewhere
          known.may_have(at->first, name);
          at->second.insert(name);
          break;
        case 2: // removed
          at->second.erase(name);
          break;
        case 3:
          known.forget(at->first);
          truth.erase(at);
          break;
        default:
          if (!known.lacks(at->first, name)) break;
          ASSERT_FALSE(at->second.contains(name)) << at->first << "/" << name;
          ++denied;
      }
    }
  }
  EXPECT_GT(denied, 0U);
}

} // namespace
} // namespace cairn::fuse
