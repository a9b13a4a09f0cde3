// Origin marks on a real disk: they stay with their file and come with its copies.
#include "tests/unit/store/store_fixture.h"

namespace cairn::storage {
namespace {

class OriginMarks : public StoreTest {
protected:
  OriginMarks() { open(); }
};

TEST_F(OriginMarks, StayWithTheFile) {
  NewFile file;
  file.extension = "jpg";
  file.mark = "small";
  const auto small = *parse_remote_name(store_->create(file, 0, wire::to_bytes("abc"))->name);
  EXPECT_EQ(store_->mark_of(small), "small");
  file.mark = "large";
  auto staged = *store_->stage(0);
  ASSERT_TRUE(staged.write(wire::to_bytes("abcdef")));
  const auto large = *parse_remote_name(store_->publish(file, std::move(staged))->name);
  EXPECT_EQ(store_->mark_of(large), "large");
  file.mark.clear();
  const auto none = *parse_remote_name(store_->create(file, 0, wire::to_bytes("abc"))->name);
  EXPECT_EQ(store_->mark_of(none), "");

  // A repaired copy keeps it.
  auto again = *store_->stage(0);
  ASSERT_TRUE(again.write(wire::to_bytes("abc")));
  Origin origin;
  origin.id = 7;
  ASSERT_TRUE(store_->replace_copy(small, std::move(again), store_->copy_of(small), origin));
  EXPECT_EQ(store_->mark_of(small), "small");
}

TEST_F(OriginMarks, ComeWithACopyOrAfterIt) {
  const auto made = store_->create(NewFile(), 0, wire::to_bytes("x"));
  ASSERT_TRUE(made) << made.error().text();
  const auto name = *parse_remote_name(made->name);
  EXPECT_EQ(store_->mark_of(name), "");
  Origin from;
  from.id = 7;
  from.stamp = 5;
  from.mtime = 1'700'000'000;
  from.mark = "late";
  const auto marked = store_->apply_mark(name, from);
  ASSERT_TRUE(marked) << marked.error().text();
  EXPECT_NE(marked->seq, 0U);
  EXPECT_EQ(store_->mark_of(name), "late");
  const auto again = store_->apply_mark(name, from);
  ASSERT_TRUE(again) << again.error().text();
  EXPECT_EQ(again->seq, 0U) << "once";
}

} // namespace
} // namespace cairn::storage
