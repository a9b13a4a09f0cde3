// Who is told to store a content, who to share it, and who to wait.
#include "migrate/contents.h"

#include <boost/asio/io_context.hpp>
#include <gtest/gtest.h>

#include <filesystem>
#include <unistd.h>

namespace cairn::migrate {
namespace {

wire::Bytes hash_of(int number) {
  return wire::Bytes(32, static_cast<std::byte>(number));
}

class ContentsTest : public testing::Test {
protected:
  ContentsTest()
      : folder_(std::filesystem::temp_directory_path() /
                ("cairn-contents-" + std::to_string(::getpid()))) {
    std::filesystem::remove_all(folder_);
    ledger_ = *Ledger::open(folder_, 4 << 20);
    contents_ = std::make_unique<Contents>(*ledger_, false);
  }
  ~ContentsTest() override {
    found_.clear(); // its claims are those of `contents_`
    turn();
    found_.clear();
    contents_.reset();
    ledger_.reset();
    std::filesystem::remove_all(folder_);
  }
  // Begins to look for a content; the answer comes to `found_` when there is one.
  void look(int number, std::uint64_t size = 100) {
    spawn(
        io_.get_executor(),
        [](ContentsTest* self, int of, std::uint64_t bytes) -> Task<void> {
          auto found = co_await self->contents_->find(bytes, hash_of(of));
          if (found) self->found_.push_back(*std::move(found));
        }(this, number, size),
        "look");
    turn();
  }
  void turn() {
    io_.restart();
    io_.poll();
  }
  void add(int number, Holder holder, std::uint64_t size = 100) {
    Ledger::Batch batch;
    contents_->add(batch, size, hash_of(number), holder);
    ASSERT_TRUE(ledger_->commit(batch));
  }

  std::filesystem::path folder_;
  std::unique_ptr<Ledger> ledger_;
  asio::io_context io_;
  std::unique_ptr<Contents> contents_;
  std::vector<Contents::Found> found_;
};

TEST_F(ContentsTest, TheFirstStoresAndTheOthersWaitForIt) {
  look(1);
  ASSERT_EQ(found_.size(), 1U);
  EXPECT_TRUE(found_[0].holders.empty());
  look(1);
  look(1);
  look(2); // another content is nobody's to wait for
  EXPECT_EQ(found_.size(), 2U);
  add(1, Holder(7, 3));
  found_.erase(found_.begin());
  turn();
  ASSERT_EQ(found_.size(), 3U);
  EXPECT_EQ(found_[1].holders, std::vector<Holder>{Holder(7, 3)});
  EXPECT_EQ(found_[2].holders, std::vector<Holder>{Holder(7, 3)});
}

TEST_F(ContentsTest, WhenTheFirstFailsOneOtherStores) {
  for (int i = 0; i < 3; ++i) look(1);
  ASSERT_EQ(found_.size(), 1U);
  found_.clear();
  turn();
  ASSERT_EQ(found_.size(), 1U);
  EXPECT_TRUE(found_[0].holders.empty());
  found_.clear();
  turn();
  EXPECT_EQ(found_.size(), 1U);
}

TEST_F(ContentsTest, TheLedgerRemembersAndWhatIsDroppedIsForgotten) {
  add(1, Holder(7, 3));
  add(1, Holder(9, 1));
  contents_ = std::make_unique<Contents>(*ledger_, false);
  look(1);
  ASSERT_EQ(found_.size(), 1U);
  EXPECT_EQ(found_[0].holders, (std::vector<Holder>{Holder(7, 3), Holder(9, 1)}));
  Ledger::Batch batch; // which is not written down yet
  contents_->drop(batch, 100, hash_of(1), 7);
  look(1);
  EXPECT_EQ(found_[1].holders, std::vector<Holder>{Holder(9, 1)});
  add(1, Holder(9, 2)); // it has changed, and come back
  look(1);
  EXPECT_EQ(found_[2].holders, std::vector<Holder>{Holder(9, 2)});
  look(1, 101); // the same hash with another size: never
  EXPECT_TRUE(found_[3].holders.empty());
  Contents lately(*ledger_, true);
  const auto unread = lately.claim_unread(100);
  EXPECT_TRUE(unread && *unread);
}

TEST_F(ContentsTest, ALongFileIsSentUnreadOnlyWhenNobodyCanHaveIt) {
  auto first = contents_->claim_unread(500);
  ASSERT_TRUE(first && *first);
  const auto second = contents_->claim_unread(500);
  EXPECT_TRUE(second && !*second);
  look(1, 500); // hashed meanwhile: it may be what the first one is
  EXPECT_TRUE(found_.empty());
  add(1, Holder(7, 3), 500);
  first->reset();
  turn();
  ASSERT_EQ(found_.size(), 1U);
  EXPECT_EQ(found_[0].holders, std::vector<Holder>{Holder(7, 3)});
  contents_ = std::make_unique<Contents>(*ledger_, false);
  const auto later = contents_->claim_unread(500);
  EXPECT_TRUE(later && !*later);
}

TEST_F(ContentsTest, ManyEntriesDoNotStayInMemoryAndAreFoundAllTheSame) {
  Ledger::Batch batch;
  for (std::uint64_t i = 0; i < 30'000; ++i)
    contents_->add(batch, i, hash_of(1), Holder(i + 10, 1));
  ASSERT_TRUE(ledger_->commit(batch));
  look(1, 5);
  ASSERT_EQ(found_.size(), 1U);
  EXPECT_EQ(found_[0].holders, std::vector<Holder>{Holder(15, 1)});
}

} // namespace
} // namespace cairn::migrate
