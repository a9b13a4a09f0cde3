// What is shown of an object that is still coming, and what is held back.
#include "storage/rules/arriving.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <string>

namespace cairn::storage {
namespace {

class ArrivingTest : public testing::Test {
protected:
  void put(std::string_view text) {
    const auto room = arriving_.room();
    ASSERT_LE(text.size(), room.size());
    std::memcpy(room.data(), text.data(), text.size());
    arriving_.arrived(text.size());
  }
  // What look() shows of the piece in memory; "-" for nothing yet, "!" for an error.
  std::string look(std::uint64_t offset, std::uint64_t max = 1000) {
    const auto part = arriving_.look(offset, max);
    if (!part) return "!";
    if (!*part) return "-";
    EXPECT_EQ((*part)->fd, nullptr);
    EXPECT_EQ((*part)->count, (*part)->bytes.size());
    return std::string(wire::as_text((*part)->bytes));
  }

  int changes_ = 0;
  Arriving arriving_{[this] { ++changes_; }};
};

TEST_F(ArrivingTest, TheLastByteWaitsForTheEnd) {
  arriving_.begin(6, 17);
  EXPECT_FALSE(arriving_.can_be_sent());
  EXPECT_EQ(look(0), "-");
  put("abc");
  EXPECT_TRUE(arriving_.can_be_sent());
  EXPECT_EQ(look(0), "abc");
  EXPECT_EQ(look(1, 1), "b");
  EXPECT_EQ(look(3), "-");
  put("def");
  EXPECT_EQ(look(3), "de");
  EXPECT_EQ(look(5), "-");
  EXPECT_FALSE(arriving_.room().empty()) << "the end is seen in the same piece";
  arriving_.complete();
  EXPECT_EQ(look(3), "def");
  EXPECT_EQ(look(6), "!");
  EXPECT_EQ(changes_, 3);
  EXPECT_EQ(arriving_.mtime(), 17u);
}

TEST_F(ArrivingTest, AFailureEndsEveryAnswer) {
  arriving_.begin(6, 0);
  put("abc");
  arriving_.fail(Error{Errc::closed, "gone"});
  EXPECT_EQ(look(0), "!");
  EXPECT_FALSE(arriving_.can_be_sent());
  EXPECT_EQ(changes_, 2);
}

TEST_F(ArrivingTest, WhatIsCompleteStaysSoWhenItCannotBeStored) {
  arriving_.begin(3, 0);
  put("abc");
  arriving_.complete();
  arriving_.fail(Error{Errc::no_space});
  EXPECT_EQ(look(0), "abc");
}

TEST_F(ArrivingTest, MoreThanPromisedIsNeverShownAsAll) {
  arriving_.begin(3, 0);
  put("abcd");
  EXPECT_EQ(look(0), "ab");
}

TEST_F(ArrivingTest, AnUnknownLengthIsNotSent) {
  arriving_.begin(std::nullopt, 0);
  put("abc");
  EXPECT_FALSE(arriving_.can_be_sent());
  arriving_.complete();
  EXPECT_FALSE(arriving_.can_be_sent());
}

TEST_F(ArrivingTest, AnEmptyObjectCanBeSentAtItsEnd) {
  arriving_.begin(0, 0);
  EXPECT_FALSE(arriving_.can_be_sent());
  arriving_.complete();
  EXPECT_TRUE(arriving_.can_be_sent());
}

TEST_F(ArrivingTest, WhatWasMovedIsShownFromTheFile) {
  arriving_.begin(Arriving::kPiece + 10, 0);
  ASSERT_EQ(arriving_.room().size(), Arriving::kPiece);
  put(std::string(Arriving::kPiece, 'x'));
  EXPECT_TRUE(arriving_.room().empty());
  const auto file = std::make_shared<const int>(99);
  arriving_.moved_to(file);
  put("0123456789");
  const auto part = arriving_.look(5, 1'000'000);
  ASSERT_TRUE(part && *part);
  EXPECT_EQ((*part)->fd, file);
  EXPECT_EQ((*part)->count, Arriving::kPiece - 5);
  EXPECT_EQ(look(Arriving::kPiece), "012345678");
  EXPECT_EQ(arriving_.piece().size(), 10u);
  // The rest is in the file as well: the last byte still waits.
  arriving_.moved_to(file);
  EXPECT_EQ((**arriving_.look(Arriving::kPiece, 100)).count, 9u);
  arriving_.complete();
  EXPECT_EQ((**arriving_.look(Arriving::kPiece, 100)).count, 10u);
  EXPECT_EQ(arriving_.room().size(), 0u) << "no memory is kept for slow clients";
}

} // namespace
} // namespace cairn::storage
