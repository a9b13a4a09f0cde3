// create_copy: a file with the content of another one, in one change.
#include "tests/unit/namespace/fixture.h"

#include <cerrno>

namespace cairn::tracker {

namespace {

using wire::NsOp;
using NamespaceCopies = NamespaceFixture;

TEST_F(NamespaceCopies, ACopyThatIsMadeAtOnceSharesTheStoredFiles) {
  const auto a = create("a", root_caller_, 0644, 0, 1);
  ASSERT_TRUE(a);
  wire::NsCreateCopy copy;
  copy.create.parent = root_;
  copy.create.name = "b";
  copy.create.mode = 0600;
  copy.create.set = wire::kNsSetMtime;
  copy.create.mtime.seconds = 77;
  copy.from = a->attributes.inode;
  copy.data_version = a->attributes.data_version + 1;
  copy.create.size = 1000;
  const auto made = change<wire::NsNodeReply>(NsOp::create_copy, copy, root_caller_);
  ASSERT_TRUE(made);
  EXPECT_TRUE(made->created);
  ASSERT_EQ(made->extents.size(), 1U);
  EXPECT_EQ(made->extents[0].id, id_of(1));
  EXPECT_EQ(made->attributes.size, 1000U);
  EXPECT_EQ(made->attributes.mode, 0600);
  EXPECT_EQ(made->attributes.mtime.seconds, 77);
  expect_sound();
  // It is there now, and is not made anew; truncated and shared again it still is one reference.
  EXPECT_EQ(change<wire::NsNodeReply>(NsOp::create_copy, copy, root_caller_).code(), Errc::exists);
  copy.create.existing = wire::NsExisting::truncate;
  const auto again = change<wire::NsNodeReply>(NsOp::create_copy, copy, root_caller_);
  ASSERT_TRUE(again);
  EXPECT_FALSE(again->created);
  expect_sound();
  // Onto itself: nothing is lost.
  copy.create.name = "a";
  const auto self = change<wire::NsNodeReply>(NsOp::create_copy, copy, root_caller_);
  ASSERT_TRUE(self);
  EXPECT_EQ(self->extents.size(), 1U);
  expect_sound();
  // Its content has become another one by that: who has only seen the old one gets nothing.
  copy.create.name = "c";
  EXPECT_EQ(change<wire::NsNodeReply>(NsOp::create_copy, copy, root_caller_).code(), Errc::busy);
  copy.data_version = self->attributes.data_version + 1;
  copy.create.size = 999;
  EXPECT_EQ(change<wire::NsNodeReply>(NsOp::create_copy, copy, root_caller_).code(), Errc::busy);
  copy.create.size = 1000;
  // In place of other content, which goes.
  ASSERT_TRUE(create("c", root_caller_, 0644, 0, 2));
  ASSERT_TRUE(change<wire::NsNodeReply>(NsOp::create_copy, copy, root_caller_));
  EXPECT_EQ(due(9'000'000), 1U);
  expect_sound();
  ASSERT_TRUE(unlink("a", root_caller_));
  EXPECT_EQ(change<wire::NsNodeReply>(NsOp::create_copy, copy, root_caller_).code(),
            static_cast<Errc>(ESTALE));
  ASSERT_TRUE(unlink("c", root_caller_));
  EXPECT_EQ(due(9'000'000), 1U);
  expect_sound();
  ASSERT_TRUE(unlink("b", root_caller_));
  EXPECT_EQ(due(9'000'000), 2U);
  expect_sound();
}

TEST_F(NamespaceCopies, TheFirstVersionIsNotJustAny) {
  const auto a = create("a", root_caller_, 0644, 0, 1);
  ASSERT_TRUE(a);
  wire::NsCreateCopy copy;
  copy.create.parent = root_;
  copy.create.name = "b";
  copy.create.size = 1000;
  copy.from = a->attributes.inode;
  copy.data_version = a->attributes.data_version + 1;
  // Other content of the same size.
  wire::NsCreate over;
  over.parent = root_;
  over.name = "a";
  over.existing = wire::NsExisting::truncate;
  wire::NsExtent extent;
  extent.length = 1000;
  extent.id = id_of(2);
  over.extents.push_back(extent);
  ASSERT_TRUE(change<wire::NsNodeReply>(NsOp::create, over, root_caller_));
  EXPECT_EQ(change<wire::NsNodeReply>(NsOp::create_copy, copy, root_caller_).code(), Errc::busy);
}

TEST_F(NamespaceCopies, ACopyAsksForTheRightsOfReadingAndWriting) {
  const auto secret = create("secret", root_caller_, 0600, 0, 1);
  const auto open = create("open", root_caller_, 0644, 0, 2);
  ASSERT_TRUE(secret && open);
  wire::NsMkdir mkdir;
  mkdir.parent = root_;
  mkdir.name = "mine";
  mkdir.mode = 0777;
  const auto mine = change<wire::NsNodeReply>(NsOp::mkdir, mkdir, root_caller_);
  ASSERT_TRUE(mine);
  wire::NsCreateCopy copy;
  copy.create.parent = mine->attributes.inode;
  copy.create.name = "x";
  copy.from = secret->attributes.inode;
  EXPECT_EQ(change<wire::NsNodeReply>(NsOp::create_copy, copy, user_).code(),
            static_cast<Errc>(EACCES));
  copy.from = open->attributes.inode;
  EXPECT_TRUE(change<wire::NsNodeReply>(NsOp::create_copy, copy, user_));
  copy.create.existing = wire::NsExisting::truncate;
  copy.create.parent = root_;
  copy.create.name = "secret";
  EXPECT_EQ(change<wire::NsNodeReply>(NsOp::create_copy, copy, user_).code(),
            static_cast<Errc>(EACCES));
  // Other exports, directories, and content beside the copied one.
  wire::NsExportChange add;
  add.values.name = "others";
  copy.create.parent = change<wire::NsExportReply>(NsOp::export_add, add, admin_)->made.root;
  EXPECT_EQ(change<wire::NsNodeReply>(NsOp::create_copy, copy, root_caller_).code(),
            static_cast<Errc>(EXDEV));
  copy.create.parent = root_;
  copy.from = root_;
  EXPECT_EQ(change<wire::NsNodeReply>(NsOp::create_copy, copy, root_caller_).code(),
            Errc::is_directory);
  copy.from = open->attributes.inode;
  copy.create.extents = open->extents;
  EXPECT_EQ(change<wire::NsNodeReply>(NsOp::create_copy, copy, root_caller_).code(),
            Errc::invalid_argument);
  expect_sound();
}

} // namespace
} // namespace cairn::tracker
