// Runs of written bytes, against a plain array.
#include "fuse/dirty.h"

#include <gtest/gtest.h>

#include <random>

namespace cairn::fuse {
namespace {

wire::Bytes bytes(std::string_view text) {
  return wire::to_bytes(text);
}

TEST(DirtyRanges, WritesInOrderAreOneRun) {
  DirtyRanges ranges;
  ranges.put(10, bytes("abc"));
  ranges.put(13, bytes("def"));
  EXPECT_EQ(ranges.runs(), 1U);
  EXPECT_EQ(ranges.bytes(), 6U);
  EXPECT_EQ(ranges.begin(), 10U);
  EXPECT_EQ(ranges.end(), 16U);
  EXPECT_EQ(ranges.joined(), bytes("abcdef"));
}

TEST(DirtyRanges, TheLaterWriteWinsAndRunsThatTouchAreJoined) {
  DirtyRanges ranges;
  ranges.put(0, bytes("aaaa"));
  ranges.put(8, bytes("bbbb"));
  EXPECT_EQ(ranges.runs(), 2U);
  EXPECT_FALSE(ranges.covers(0, 12));
  ranges.put(2, bytes("cccccccc"));
  EXPECT_EQ(ranges.runs(), 1U);
  EXPECT_EQ(ranges.joined(), bytes("aaccccccccbb"));
  EXPECT_TRUE(ranges.covers(0, 12));
  EXPECT_FALSE(ranges.covers(0, 13));
}

TEST(DirtyRanges, ExtentsNameTheirPartOfWhatIsStored) {
  DirtyRanges ranges;
  ranges.put(100, bytes("abcd"));
  ranges.put(200, bytes("efgh"));
  // Stored in two pieces that are cut elsewhere.
  std::vector<wire::NsExtent> stored(2);
  stored[0].length = 6;
  stored[0].id = "first";
  stored[1].offset = 6;
  stored[1].length = 2;
  stored[1].id = "second";
  const auto extents = ranges.extents(stored, 100);
  ASSERT_EQ(extents.size(), 3U);
  EXPECT_EQ(extents[0].offset, 0U);
  EXPECT_EQ(extents[0].length, 4U);
  EXPECT_EQ(extents[0].source, 0U);
  EXPECT_EQ(extents[1].offset, 100U);
  EXPECT_EQ(extents[1].length, 2U);
  EXPECT_EQ(extents[1].source, 4U);
  EXPECT_EQ(extents[1].id, "first");
  EXPECT_EQ(extents[2].offset, 102U);
  EXPECT_EQ(extents[2].length, 2U);
  EXPECT_EQ(extents[2].source, 0U);
  EXPECT_EQ(extents[2].id, "second");
}

TEST(DirtyRanges, RandomWritesReadAsInAnArray) {
  for (unsigned seed = 1; seed <= 50; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937 random(seed);
    constexpr std::size_t kSize = 300;
    wire::Bytes model(kSize);
    std::vector<bool> written(kSize);
    DirtyRanges ranges;
    for (int step = 0; step < 60; ++step) {
      const std::size_t at = random() % kSize;
      const std::size_t length = std::min<std::size_t>(random() % 40, kSize - at);
      wire::Bytes data(length);
      for (std::size_t i = 0; i < length; ++i) {
        data[i] = static_cast<std::byte>(random());
        model[at + i] = data[i];
        written[at + i] = true;
      }
      ranges.put(at, data);
      const std::size_t from = random() % kSize;
      const std::size_t count = random() % (kSize - from);
      wire::Bytes seen(count);
      ranges.overlay(from, seen);
      wire::Bytes clipped(count);
      ranges.clip(from, count).overlay(from, clipped);
      bool all = true;
      for (std::size_t i = 0; i < count; ++i) {
        ASSERT_EQ(seen[i], written[from + i] ? model[from + i] : std::byte{0});
        all = all && written[from + i];
      }
      ASSERT_EQ(seen, clipped);
      if (count > 0) {
        ASSERT_EQ(ranges.covers(from, count), all);
      }
    }
    ASSERT_EQ(ranges.bytes(), static_cast<std::uint64_t>(std::ranges::count(written, true)));
    ASSERT_EQ(ranges.joined().size(), ranges.bytes());
  }
}

// Extents after a commit, against an array that says which byte of which stored file is where.
TEST(Overlaid, RandomCommitsNameTheSameBytes) {
  using Byte = std::pair<std::string, std::uint64_t>;
  for (unsigned seed = 1; seed <= 200; ++seed) {
    std::mt19937 dice(seed);
    const auto roll = [&](unsigned below) { return static_cast<std::uint64_t>(dice() % below); };
    std::vector<Byte> model(400);
    std::vector<wire::NsExtent> all;
    for (int step = 0; step < 20; ++step) {
      std::vector<wire::NsExtent> fresh;
      std::uint64_t source = roll(5);
      for (std::uint64_t at = roll(200); fresh.size() < 4 && at < 380; at += roll(30)) {
        wire::NsExtent extent;
        extent.offset = at;
        extent.length = 1 + roll(20);
        extent.id = "file" + std::to_string(step);
        extent.source = source;
        for (std::uint64_t i = 0; i < extent.length; ++i)
          model[at + i] = Byte(extent.id, source + i);
        at += extent.length;
        source += extent.length;
        fresh.push_back(std::move(extent));
      }
      all = overlaid(all, fresh);
    }
    std::vector<Byte> seen(400);
    std::uint64_t end = 0;
    for (const wire::NsExtent& extent : all) {
      ASSERT_GE(extent.offset, end) << "seed " << seed;
      ASSERT_GT(extent.length, 0U) << "seed " << seed;
      end = extent.offset + extent.length;
      for (std::uint64_t i = 0; i < extent.length; ++i)
        seen[extent.offset + i] = Byte(extent.id, extent.source + i);
    }
    ASSERT_EQ(seen, model) << "seed " << seed;
  }
}

} // namespace
} // namespace cairn::fuse
