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
  Verdicts verdicts(seconds(60), {1000, 1000});
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
  verdicts.note_good(copy, at(2)); // it was read again
  EXPECT_EQ(verdicts.find(copy, 0, 1, at(2)), Verdict::good);
}

TEST(Verdicts, BlocksAddUp) {
  Verdicts verdicts(seconds(60), {1000, 1000});
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

// Whatever the table forgets, it must not take one copy for another, nor forget the newest.
TEST(Verdicts, TheOldestGoFirst) {
  Verdicts verdicts(seconds(6000), {160, 160});
  for (std::uint64_t inode = 0; inode < 1000; ++inode) {
    const CopyStamp good{1, inode, 1, 1};
    verdicts.note_good(good, at(static_cast<int>(inode)));
    EXPECT_EQ(verdicts.find(good, 0, 1, at(1000)), Verdict::good);
    const CopyStamp damaged{2, inode, 1, 1};
    verdicts.note_damaged(damaged, at(static_cast<int>(inode)));
    EXPECT_EQ(verdicts.find(damaged, 0, 1, at(1000)), Verdict::damaged);
  }
  std::size_t good = 0;
  std::size_t damaged = 0;
  for (std::uint64_t inode = 0; inode < 1000; ++inode) {
    good += verdicts.find(CopyStamp{1, inode, 1, 1}, 0, 1, at(1000)) == Verdict::good ? 1 : 0;
    damaged += verdicts.find(CopyStamp{2, inode, 1, 1}, 0, 1, at(1000)) == Verdict::damaged ? 1 : 0;
  }
  EXPECT_LE(good, 256U); // a power of two of places
  EXPECT_GE(good, 160U);
  EXPECT_EQ(damaged, 160U);
  EXPECT_EQ(verdicts.find(CopyStamp{1, 0, 1, 1}, 0, 1, at(1000)), Verdict::unknown);
}

} // namespace
} // namespace cairn::storage
