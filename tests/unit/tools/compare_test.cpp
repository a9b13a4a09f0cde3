#include "tools/compare.h"

#include <gtest/gtest.h>

namespace cairn::tools {
namespace {

wire::FileSummary file(std::string name, std::uint64_t size = 1, std::uint32_t crc = 1) {
  wire::FileSummary summary;
  summary.name = std::move(name);
  summary.size = size;
  summary.crc32 = crc;
  return summary;
}

wire::ListFilesReply page(std::vector<wire::FileSummary> files, bool done) {
  wire::ListFilesReply reply;
  reply.files = std::move(files);
  reply.done = done;
  return reply;
}

CopyState copy(bool present, std::uint32_t crc = 1, std::uint32_t meta = 0) {
  CopyState state;
  state.present = present;
  state.crc32 = crc;
  state.meta_crc32 = meta;
  return state;
}

TEST(JudgeCopies, TheWorstDifferenceCounts) {
  EXPECT_FALSE(judge_copies({copy(true), copy(true)}));
  EXPECT_FALSE(judge_copies({copy(false), copy(false)}));
  EXPECT_FALSE(judge_copies({copy(true)}));
  EXPECT_EQ(judge_copies({copy(true), copy(false)}), DifferenceKind::missing);
  EXPECT_EQ(judge_copies({copy(true), copy(true, 2)}), DifferenceKind::content);
  EXPECT_EQ(judge_copies({copy(true), copy(true, 1, 5)}), DifferenceKind::metadata);
  EXPECT_EQ(judge_copies({copy(true), copy(true, 2, 5)}), DifferenceKind::content);
  CopyState damaged = copy(true);
  damaged.damaged = true;
  EXPECT_EQ(judge_copies({damaged}), DifferenceKind::content);
}

TEST(CatalogueMerge, PagesOfDifferentLengths) {
  CatalogueMerge merge(2);
  EXPECT_EQ(merge.wants_page(), 0U);
  EXPECT_EQ(merge.after(0), "");
  ASSERT_TRUE(merge.add_page(0, page({file("a"), file("c")}, false)));
  EXPECT_EQ(merge.wants_page(), 1U);
  ASSERT_TRUE(merge.add_page(1, page({file("b"), file("c"), file("d")}, true)));
  EXPECT_FALSE(merge.wants_page());

  auto next = merge.next();
  EXPECT_EQ(next->name, "a");
  EXPECT_TRUE(next->copies[0].present);
  EXPECT_FALSE(next->copies[1].present);
  EXPECT_EQ(merge.next()->name, "b");
  next = merge.next();
  EXPECT_EQ(next->name, "c");
  EXPECT_FALSE(judge_copies(next->copies));

  EXPECT_EQ(merge.wants_page(), 0U);
  EXPECT_EQ(merge.after(0), "c");
  ASSERT_TRUE(merge.add_page(0, page({file("e")}, true)));
  EXPECT_EQ(merge.next()->name, "d");
  EXPECT_EQ(merge.next()->name, "e");
  EXPECT_FALSE(merge.wants_page());
  EXPECT_FALSE(merge.next());
}

TEST(CatalogueMerge, EmptyMembers) {
  CatalogueMerge merge(2);
  ASSERT_TRUE(merge.add_page(0, page({}, true)));
  ASSERT_TRUE(merge.add_page(1, page({}, false))); // says more and has none
  EXPECT_FALSE(merge.wants_page());
  EXPECT_FALSE(merge.next());
}

TEST(CatalogueMerge, NamesOutOfOrderAreNotCompared) {
  CatalogueMerge merge(1);
  EXPECT_EQ(merge.add_page(0, page({file("b"), file("a")}, true)).code(), Errc::corrupt);
  CatalogueMerge other(1);
  ASSERT_TRUE(other.add_page(0, page({file("b")}, false)));
  EXPECT_EQ(other.add_page(0, page({file("b")}, true)).code(), Errc::corrupt);
}

} // namespace
} // namespace cairn::tools
