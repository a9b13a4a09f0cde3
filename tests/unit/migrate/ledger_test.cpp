// The ledger: counters that always match the rows, wishes that replace each other, order of paths.
#include "migrate/ledger.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <unistd.h>

namespace cairn::migrate {
namespace {

class LedgerTest : public testing::Test {
protected:
  void SetUp() override {
    folder_ =
        std::filesystem::temp_directory_path() / ("cairn-ledger-" + std::to_string(::getpid()));
    std::filesystem::remove_all(folder_);
    reopen();
  }
  void TearDown() override {
    ledger_.reset();
    std::filesystem::remove_all(folder_);
  }
  void reopen() {
    ledger_.reset();
    auto opened = Ledger::open(folder_, 4 << 20);
    ASSERT_TRUE(opened) << opened.error().text();
    ledger_ = *std::move(opened);
  }
  static FileRow file_of(std::uint64_t size) {
    FileRow row;
    row.seen.size = size;
    return row;
  }
  static WorkRow work_of(std::uint64_t size) {
    WorkRow row;
    row.seen.size = size;
    return row;
  }

  std::filesystem::path folder_;
  std::unique_ptr<Ledger> ledger_;
};

TEST_F(LedgerTest, AWishThatReplacesAnotherIsAsOldAsThat) {
  const auto run_after = [this](std::uint32_t run, std::uint32_t attempts) {
    WorkRow row = work_of(1);
    row.run = run;
    row.attempts = attempts;
    Ledger::Batch batch;
    batch.put_work("x", row);
    EXPECT_TRUE(ledger_->commit(batch));
    const auto now = ledger_->work("x");
    return now && *now ? (*now)->run : 999;
  };
  EXPECT_EQ(run_after(3, 0), 3U);
  EXPECT_EQ(run_after(4, 1), 3U); // a run that was killed may have carried it out
  EXPECT_EQ(run_after(4, 0), 0U); // as may a try that failed
}

TEST_F(LedgerTest, CountersFollowTheRowsAndSurviveAReopen) {
  Ledger::Batch batch;
  batch.put_file("a", file_of(10));
  batch.put_file("b", file_of(20));
  batch.put_file("b", file_of(25)); // twice in one batch counts once
  FileRow gone = file_of(7);
  gone.flags = kRowGone;
  batch.put_file("c", gone);
  batch.put_work("d", work_of(100));
  batch.mark(Table::scans, "");
  ASSERT_TRUE(ledger_->commit(batch));
  Counters counters = ledger_->counters();
  EXPECT_EQ(counters.files, 2U);
  EXPECT_EQ(counters.bytes, 35U);
  EXPECT_EQ(counters.gone, 1U);
  EXPECT_EQ(counters.queued, 1U);
  EXPECT_EQ(counters.queued_bytes, 100U);
  EXPECT_EQ(counters.debt(), 2U);
  reopen();
  EXPECT_EQ(ledger_->counters(), counters);
  Ledger::Batch undo;
  undo.erase_file("a");
  undo.erase_file("never there");
  undo.erase(Table::scans, "");
  ASSERT_TRUE(ledger_->commit(undo));
  counters = ledger_->counters();
  EXPECT_EQ(counters.files, 1U);
  EXPECT_EQ(counters.bytes, 25U);
  EXPECT_EQ(counters.debt(), 1U);
}

TEST_F(LedgerTest, ANewerWishIsNotFinishedByAnOlderOne) {
  Ledger::Batch first;
  first.put_work("x", work_of(1));
  ASSERT_TRUE(ledger_->commit(first));
  const auto old = ledger_->work("x");
  ASSERT_TRUE(old && *old);
  Ledger::Batch second;
  second.put_work("x", work_of(2));
  ASSERT_TRUE(ledger_->commit(second));
  Ledger::Batch finish;
  finish.finish_work("x", (*old)->serial);
  ASSERT_TRUE(ledger_->commit(finish));
  auto now = ledger_->work("x");
  ASSERT_TRUE(now && *now);
  EXPECT_EQ((*now)->seen.size, 2U);
  WorkRow failed = **now;
  failed.failed_pass = 3;
  failed.error = "why";
  Ledger::Batch fail;
  fail.fail_work("x", failed);
  ASSERT_TRUE(ledger_->commit(fail));
  EXPECT_EQ(ledger_->counters().failed, 1U);
  Ledger::Batch done;
  done.finish_work("x", (*now)->serial);
  ASSERT_TRUE(ledger_->commit(done));
  EXPECT_EQ(ledger_->counters().failed, 0U);
  EXPECT_EQ(ledger_->counters().queued, 0U);
}

TEST_F(LedgerTest, ChildrenComeInOrderAndParentsBeforeWhatIsInThem) {
  Ledger::Batch batch;
  for (const char* path : {"", "a", "a/b", "a/b/c", "a-", "a-/x", "a/\xff", "b"})
    batch.put_file(path, file_of(1));
  ASSERT_TRUE(ledger_->commit(batch));
  std::vector<std::string> names;
  Ledger::Children children(*ledger_, "");
  for (;;) {
    auto child = children.next();
    ASSERT_TRUE(child);
    if (!*child) break;
    names.push_back((*child)->first);
  }
  EXPECT_EQ(names, (std::vector<std::string>{"a", "a-", "b"}));
  const auto all = ledger_->paths(Table::files, std::nullopt, 100);
  ASSERT_TRUE(all);
  for (std::size_t i = 0; i < all->size(); ++i)
    for (std::size_t j = 0; j < i; ++j)
      EXPECT_FALSE((*all)[j].starts_with((*all)[i] + "/")) << (*all)[j] << " before " << (*all)[i];
  // Page by page gives the same.
  std::vector<std::string> paged;
  for (std::optional<std::string> after;;) {
    const auto page = ledger_->paths(Table::files, after, 2);
    ASSERT_TRUE(page);
    if (page->empty()) break;
    paged.insert(paged.end(), page->begin(), page->end());
    after = page->back();
  }
  EXPECT_EQ(paged, *all);
  const auto last = ledger_->last_paths(Table::files, 3);
  ASSERT_TRUE(last);
  EXPECT_EQ(*last, std::vector<std::string>(all->rbegin(), all->rbegin() + 3));
}

TEST_F(LedgerTest, ASecondProcessIsRefusedAndDamageIsTold) {
  // The lock is per process in LevelDB's own table too.
  const auto second = Ledger::open(folder_, 4 << 20);
  EXPECT_EQ(second.code(), Errc::busy);
  ledger_.reset();
  for (const auto& file : std::filesystem::directory_iterator(folder_))
    if (file.path().filename().string().starts_with("MANIFEST"))
      std::filesystem::resize_file(file.path(), 3);
  const auto damaged = Ledger::open(folder_, 4 << 20);
  ASSERT_EQ(damaged.code(), Errc::corrupt);
  EXPECT_NE(ledger_advice(damaged.error()), "");
}

} // namespace
} // namespace cairn::migrate
