// Paths put together from what was looked up.
#include "fuse/path_hints.h"

#include <gtest/gtest.h>

namespace cairn::fuse {

TEST(PathHints, FollowsParentsToTheRoot) {
  PathHints hints;
  hints.note(1, "2012", 10);
  hints.note(10, "03", 11);
  hints.note(11, "a.jpg", 12);
  EXPECT_EQ(hints.path_of(12, 1).text, "2012/03/a.jpg");
  EXPECT_TRUE(hints.path_of(12, 1).is_complete);
  EXPECT_EQ(hints.path_of(12, 10).text, "03/a.jpg");
  // A directory that moves takes its files along.
  hints.note(1, "old", 11);
  EXPECT_EQ(hints.path_of(12, 1).text, "old/a.jpg");
  hints.forget(11);
  EXPECT_EQ(hints.path_of(12, 1).text, "a.jpg");
  EXPECT_FALSE(hints.path_of(12, 1).is_complete);
  EXPECT_TRUE(hints.path_of(99, 1).text.empty());
  EXPECT_TRUE(hints.path_of(1, 1).is_complete);
}

TEST(PathHints, OldHintsThatLoopEnd) {
  PathHints hints;
  hints.note(10, "a", 11);
  hints.note(11, "b", 10);
  EXPECT_FALSE(hints.path_of(10, 1).is_complete);
}

TEST(PathHints, ForgetsWhatWasUsedLongestAgo) {
  PathHints hints(3);
  hints.note(1, "directory", 10);
  hints.note(10, "a", 11);
  hints.note(10, "b", 12);
  EXPECT_TRUE(hints.path_of(11, 1).is_complete); // uses the directory, too
  hints.note(10, "c", 13);
  EXPECT_TRUE(hints.path_of(12, 1).text.empty());
  EXPECT_EQ(hints.path_of(13, 1).text, "directory/c");
  EXPECT_EQ(hints.path_of(11, 1).text, "directory/a");
}

} // namespace cairn::fuse
