// What is remembered of copies.
#include "storage/store/verdicts.h"

#include <gtest/gtest.h>

namespace cairn::storage {
namespace {

using std::chrono::seconds;

constexpr std::uint64_t kMiB = 1 << 20;

Verdicts::Time at(int second) {
  return Verdicts::Time() + seconds(1'000'000 + second);
}

TEST(Verdicts, HoldForTheVeryCopyAndForATime) {
  Verdicts verdicts(seconds(60), 1000);
  const CopyStamp copy{1, 2, 3000, 4};
  EXPECT_EQ(verdicts.find(copy, 0, 3000, at(0)), Verdict::unknown);
  verdicts.note_good(copy, at(0));
  EXPECT_EQ(verdicts.find(copy, 0, 3000, at(59)), Verdict::good);
  EXPECT_EQ(verdicts.find(copy, 0, 3000, at(60)), Verdict::unknown);
  for (CopyStamp other : {CopyStamp{9, 2, 3000, 4}, CopyStamp{1, 9, 3000, 4},
                          CopyStamp{1, 2, 3001, 4}, CopyStamp{1, 2, 3000, 5}})
    EXPECT_EQ(verdicts.find(other, 0, 1, at(1)), Verdict::unknown);
  verdicts.note_damaged(copy, at(1));
  EXPECT_EQ(verdicts.find(copy, 0, 1, at(1)), Verdict::damaged);
  EXPECT_EQ(verdicts.size(), 1U);
}

TEST(Verdicts, BlocksAddUp) {
  Verdicts verdicts(seconds(60), 1000);
  const CopyStamp copy{1, 2, 10 * kMiB, 4};
  verdicts.note_good(copy, kMiB, {2, 4}, at(0));
  EXPECT_EQ(verdicts.find(copy, 2 * kMiB, 2 * kMiB, at(1)), Verdict::good);
  EXPECT_EQ(verdicts.find(copy, 2 * kMiB, 2 * kMiB + 1, at(1)), Verdict::unknown);
  EXPECT_EQ(verdicts.find(copy, 2 * kMiB - 1, 1, at(1)), Verdict::unknown);
  verdicts.note_good(copy, kMiB, {4, 5}, at(30));
  EXPECT_EQ(verdicts.find(copy, 2 * kMiB, 3 * kMiB, at(31)), Verdict::good);
  // Later blocks do not make the first ones younger.
  EXPECT_EQ(verdicts.find(copy, 4 * kMiB, 1, at(61)), Verdict::unknown);
  // Blocks of another copy at the same place do not add up.
  CopyStamp changed = copy;
  changed.change_ns = 5;
  verdicts.note_good(changed, kMiB, {0, 1}, at(31));
  EXPECT_EQ(verdicts.find(changed, 2 * kMiB, kMiB, at(31)), Verdict::unknown);
  EXPECT_EQ(verdicts.find(copy, 2 * kMiB, kMiB, at(31)), Verdict::unknown);
}

TEST(Verdicts, TheOldestGoFirst) {
  Verdicts verdicts(seconds(60), 160); // ten a shard
  for (std::uint64_t inode = 0; inode < 1000; ++inode)
    verdicts.note_good(CopyStamp{1, inode, 1, 1}, at(0));
  EXPECT_EQ(verdicts.size(), 160U);
  EXPECT_EQ(verdicts.find(CopyStamp{1, 999, 1, 1}, 0, 1, at(1)), Verdict::good);
  EXPECT_EQ(verdicts.find(CopyStamp{1, 0, 1, 1}, 0, 1, at(1)), Verdict::unknown);
}

} // namespace
} // namespace cairn::storage
