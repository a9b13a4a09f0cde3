// A socket pair as the kernel: what a worker leaves behind, and what its successor makes of it.
#include "fuse/channel.h"

#include <gtest/gtest.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <linux/fuse.h>
#include <string>
#include <sys/socket.h>
#include <unistd.h>
#include <vector>

namespace cairn::fuse {
namespace {

constexpr std::size_t kBuffer = 64 * 1024;

class ChannelTest : public testing::Test {
protected:
  void SetUp() override {
    auto made = make_record();
    ASSERT_TRUE(made);
    record_ = *std::move(made);
    std::array<int, 2> ends{};
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends.data()), 0);
    kernel_ = ends[0];
    ours_ = ends[1];
  }
  void TearDown() override {
    ::close(kernel_);
    ::close(ours_);
  }

  static std::string message(std::uint32_t opcode, std::uint64_t unique, const std::string& body) {
    fuse_in_header header{};
    header.len = static_cast<std::uint32_t>(sizeof header + body.size());
    header.opcode = opcode;
    header.unique = unique;
    header.nodeid = 7;
    std::string out(sizeof header, '\0');
    std::memcpy(out.data(), &header, sizeof header);
    return out + body;
  }
  // The kernel asks, and `by` reads it.
  std::string ask(Channel& by, const std::string& text) {
    EXPECT_EQ(::send(kernel_, text.data(), text.size(), 0), static_cast<ssize_t>(text.size()));
    return read(by);
  }
  std::string read(Channel& by) {
    std::string out(kBuffer, '\0');
    const ssize_t count = by.read(ours_, out.data(), out.size());
    out.resize(count < 0 ? 0 : static_cast<std::size_t>(count));
    return out;
  }
  void answer(Channel& by, std::uint64_t unique) {
    fuse_out_header header{};
    header.len = sizeof header;
    header.unique = unique;
    const iovec part{&header, sizeof header};
    EXPECT_EQ(by.write(ours_, &part, 1), static_cast<ssize_t>(sizeof header));
  }
  // Answers that the kernel has got: number and error.
  std::vector<std::pair<std::uint64_t, int>> told() {
    std::vector<std::pair<std::uint64_t, int>> out;
    fuse_out_header header{};
    while (::recv(kernel_, &header, sizeof header, MSG_DONTWAIT) > 0)
      out.emplace_back(header.unique, header.error);
    return out;
  }

  SharedRecord record_;
  int kernel_ = -1;
  int ours_ = -1;
};

TEST_F(ChannelTest, NothingIsLeftOfWhatWasAnswered) {
  Channel first(*record_);
  const std::string question = message(FUSE_LOOKUP, 2, std::string("name\0", 5));
  EXPECT_EQ(ask(first, question), question);
  answer(first, 2);
  EXPECT_EQ(told().size(), 1U);
  Channel second(*record_);
  EXPECT_TRUE(second.take_over(ours_).empty());
  EXPECT_TRUE(told().empty());
}

TEST_F(ChannelTest, WhatCannotBeRecordedIsLeftToTheKernel) {
  Channel channel(*record_);
  for (std::uint64_t i = 0; i < Record::kRequests; ++i)
    ASSERT_FALSE(ask(channel, message(FUSE_GETATTR, 2 * i + 2, std::string())).empty()) << i;
  EXPECT_FALSE(channel.is_full());
  const std::string last = message(FUSE_GETATTR, 2 * Record::kRequests + 2, std::string());
  EXPECT_TRUE(ask(channel, last).empty());
  EXPECT_EQ(errno, EAGAIN);
  EXPECT_TRUE(channel.is_full());
  answer(channel, 2);
  EXPECT_EQ(read(channel), last);
  EXPECT_FALSE(channel.is_full());
}

TEST_F(ChannelTest, ChangesAreToldAsFailedAndDoubted) {
  Channel first(*record_);
  std::string body(sizeof(fuse_mkdir_in), '\0');
  ask(first, message(FUSE_MKDIR, 2, body + std::string("made\0", 5)));
  body.assign(sizeof(fuse_rename2_in), '\0');
  const std::uint64_t other = 9;
  std::memcpy(body.data(), &other, sizeof other);
  ask(first, message(FUSE_RENAME2, 4, body + std::string("from\0to\0", 8)));
  // Longer than is kept.
  ask(first, message(FUSE_WRITE, 6, std::string(10'000, 'x')));

  Channel second(*record_);
  std::vector<std::pair<std::uint64_t, std::string>> doubts;
  for (const Channel::Doubt& doubt : second.take_over(ours_))
    doubts.emplace_back(doubt.node, doubt.name);
  const std::vector<std::pair<std::uint64_t, std::string>> expected{
      {7, ""}, {7, "made"}, {7, ""}, {7, "from"}, {9, "to"}, {7, ""}};
  EXPECT_EQ(doubts, expected);
  const std::vector<std::pair<std::uint64_t, int>> errors{{2, -EIO}, {4, -EIO}, {6, -EIO}};
  EXPECT_EQ(told(), errors);
  // And a third finds nothing.
  Channel third(*record_);
  EXPECT_TRUE(third.take_over(ours_).empty());
  EXPECT_TRUE(told().empty());
}

TEST_F(ChannelTest, QuestionsAreReadAgainOnce) {
  Channel first(*record_);
  const std::string question = message(FUSE_LOOKUP, 2, std::string("name\0", 5));
  ask(first, question);
  Channel second(*record_);
  EXPECT_TRUE(second.take_over(ours_).empty());
  EXPECT_TRUE(told().empty());
  EXPECT_EQ(read(second), question);
  // That one dies of it: nobody tries a third time.
  Channel third(*record_);
  EXPECT_EQ(third.take_over(ours_).size(), 1U);
  const std::vector<std::pair<std::uint64_t, int>> errors{{2, -EIO}};
  EXPECT_EQ(told(), errors);
}

TEST_F(ChannelTest, WhoWasInterruptedIsToldSo) {
  Channel first(*record_);
  ask(first, message(FUSE_SETLKW, 2, std::string(sizeof(fuse_lk_in), '\0')));
  fuse_interrupt_in interrupt{};
  interrupt.unique = 2;
  ask(first, message(FUSE_INTERRUPT, 3,
                     std::string(reinterpret_cast<const char*>(&interrupt), sizeof interrupt)));
  Channel second(*record_);
  second.take_over(ours_);
  const std::vector<std::pair<std::uint64_t, int>> errors{{2, -EINTR}};
  EXPECT_EQ(told(), errors);
}

TEST_F(ChannelTest, TheFirstQuestionIsAnsweredToTheKernelOnce) {
  Channel first(*record_);
  const std::string init = message(FUSE_INIT, 1, std::string(64, 'i'));
  ask(first, init);
  {
    Channel early(*record_); // it was not answered yet
    early.take_over(ours_);
    EXPECT_EQ(read(early), init);
    answer(early, 1);
    EXPECT_EQ(told().size(), 1U);
  }
  Channel second(*record_);
  second.take_over(ours_);
  EXPECT_EQ(read(second), init);
  answer(second, 1);
  EXPECT_TRUE(told().empty()) << "the kernel has had its answer";
  const std::string next = message(FUSE_GETATTR, 8, std::string(16, '\0'));
  EXPECT_EQ(ask(second, next), next);
}

TEST_F(ChannelTest, WhatHasNoAnswerIsNotKept) {
  Channel first(*record_);
  for (std::uint64_t unique = 2; unique < 2 * Record::kRequests; unique += 2)
    ask(first, message(FUSE_FORGET, unique, std::string(8, '\0')));
  Channel second(*record_);
  EXPECT_TRUE(second.take_over(ours_).empty());
  EXPECT_TRUE(told().empty());
}

TEST(FileRecords, TheNextWorkerFindsThem) {
  auto record = make_record();
  ASSERT_TRUE(record);
  FileRecords first(**record);
  FileRecords::Place open;
  FileRecords::Place closed;
  first.file(open, 10, 2, false);
  first.file(closed, 11, 1, true);
  wire::NsLock lock;
  lock.inode = 10;
  lock.type = wire::NsLockType::write;
  lock.owner = 5;
  lock.end = 99;
  first.locks(open, {lock, lock});
  lock.owner = 6;
  first.locks(open, {lock});
  first.file(closed, 11, 0, false);

  FileRecords second(**record);
  auto left = second.left();
  ASSERT_EQ(left.size(), 1U);
  EXPECT_EQ(left[0].inode, 10U);
  EXPECT_EQ(left[0].handles, 2U);
  EXPECT_FALSE(left[0].unstored);
  ASSERT_EQ(left[0].locks.size(), 1U);
  EXPECT_EQ(left[0].locks[0].owner, 6U);
  EXPECT_EQ(left[0].locks[0].end, 99U);
  // It gives the places back, and takes no place that is taken.
  FileRecords::Place fresh;
  second.file(fresh, 12, 1, true);
  EXPECT_EQ(FileRecords(**record).left().size(), 2U);
  second.file(left[0].place, 10, 0, false);
  second.locks(left[0].place, {});
  const auto last = FileRecords(**record).left();
  ASSERT_EQ(last.size(), 1U);
  EXPECT_EQ(last[0].inode, 12U);
  EXPECT_TRUE(last[0].unstored);
}

TEST(FreeSlots, LowOnesFirstAndNoneTwice) {
  std::atomic<std::uint32_t> top = 3;
  FreeSlots slots(4, top, [](std::uint32_t slot) { return slot == 0 || slot == 2; });
  EXPECT_EQ(slots.take(), 1U);
  EXPECT_EQ(slots.take(), 3U);
  EXPECT_EQ(slots.take(), FreeSlots::kNone);
  slots.give_back(2);
  EXPECT_EQ(slots.take(), 2U);
}

} // namespace
} // namespace cairn::fuse
