// Binlog::append_new(): the journal has a new file's content before its file is made. Whatever
// happens meanwhile, what was committed comes back after a crash, once and whole, and what could
// not be made does not.
#include "storage/binlog/binlog.h"
#include "tests/unit/config/temporary_directory.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <map>
#include <mutex>
#include <random>
#include <set>
#include <string>
#include <thread>
#include <vector>

namespace cairn::storage {
namespace {

namespace fs = std::filesystem;

LogRecord record_of(const std::string& name, const std::string& content) {
  LogRecord record;
  record.kind = ChangeKind::put;
  record.name = name;
  record.total_size = content.size();
  record.length = content.size();
  return record;
}

class EarlyWrite : public testing::Test {
protected:
  using Files = std::map<std::string, std::string>;

  EarlyWrite() { log_ = open(directory_.path() / "log", nullptr); }

  static std::unique_ptr<Binlog> open(const fs::path& directory, Files* restored) {
    BinlogOptions options;
    options.journal_size = 1 << 20;
    options.restore = [restored](const LogRecord& record, wire::View content) {
      if (restored != nullptr) restored->emplace(record.name, wire::as_text(content));
      return Status();
    };
    auto opened = Binlog::open(directory, std::move(options));
    EXPECT_TRUE(opened) << opened.error().text();
    return std::move(*opened);
  }

  Result<std::uint64_t> append_new(const std::string& name, const std::string& content,
                                   const std::function<Status()>& make) {
    LogRecord record = record_of(name, content);
    return log_->append_new(record, wire::as_view(content), make);
  }

  // What a start would put back if the power went now and took all that is not in the journal:
  // nothing but what the log and the journal hold.
  Files after_a_crash() {
    const fs::path copy = directory_.path() / ("copy" + std::to_string(++copies_));
    fs::copy(directory_.path() / "log", copy, fs::copy_options::recursive);
    Files restored;
    names_.clear();
    const auto log = open(copy, &restored);
    BinlogReader reader(*log);
    for (std::uint64_t last = 0;;) {
      const auto record = reader.next();
      EXPECT_TRUE(record) << record.error().text();
      if (!record || !record->has_value()) break;
      EXPECT_GT((*record)->seq, last);
      last = (*record)->seq;
      EXPECT_TRUE(names_.insert((*record)->name).second) << (*record)->name << " twice";
    }
    return restored;
  }

  TemporaryDirectory directory_;
  std::unique_ptr<Binlog> log_;
  std::set<std::string> names_; // of the records after the last crash
  int copies_ = 0;
};

Status nothing() {
  return {};
}

TEST_F(EarlyWrite, TheContentIsOnItsWayWhileTheFileIsMade) {
  const auto journal_has = [&](const std::string& content) {
    for (const char* file : {"journal.0", "journal.1"}) {
      std::ifstream in(directory_.path() / "log" / file, std::ios::binary);
      const std::string bytes((std::istreambuf_iterator<char>(in)),
                              std::istreambuf_iterator<char>());
      if (bytes.find(content) != std::string::npos) return true;
    }
    return false;
  };
  Files all;
  bool seen = false;
  // Not the first of all, which writes zeros ahead; and who waited for a commit may be back before
  // the commit thread has ended it.
  for (int turn = 0; turn < 50 && !seen; ++turn) {
    const std::string name = std::to_string(turn);
    const std::string content = name + std::string(3000, 'e');
    const std::uint64_t before = log_->end_seq();
    const auto made = append_new(name, content, [&] {
      for (int i = 0; i < 10 && !seen; ++i) {
        seen = journal_has(content);
        if (!seen) std::this_thread::sleep_for(std::chrono::milliseconds(10));
      }
      EXPECT_EQ(log_->end_seq(), before) << "the record is in the log before its file";
      return Status();
    });
    ASSERT_TRUE(made && log_->commit_blocking(*made));
    EXPECT_EQ(log_->committed_seq(), *made);
    all.emplace(name, content);
  }
  EXPECT_TRUE(seen);
  EXPECT_EQ(after_a_crash(), all);
}

TEST_F(EarlyWrite, WhatCouldNotBeMadeDoesNotComeBack) {
  const auto first = append_new("a", "first", nothing);
  ASSERT_TRUE(first && log_->commit_blocking(*first));
  const auto failed = append_new("b", "second", [] {
    return Status(Error{Errc::no_space, "full"});
  });
  EXPECT_EQ(failed.code(), Errc::no_space);
  EXPECT_EQ(after_a_crash(), (Files{{"a", "first"}}));
  EXPECT_EQ(names_, (std::set<std::string>{"a"}));
  const auto third = append_new("c", "third", nothing);
  ASSERT_TRUE(third && log_->commit_blocking(*third));
  EXPECT_EQ(after_a_crash(), (Files{{"a", "first"}, {"c", "third"}}));
  EXPECT_EQ(names_, (std::set<std::string>{"a", "c"}));
}

TEST_F(EarlyWrite, OthersAppendAndCommitMeanwhile) {
  const auto first = append_new("a", "first", nothing);
  ASSERT_TRUE(first && log_->commit_blocking(*first));
  for (const bool commits : {false, true}) {
    const std::string outer = commits ? "d" : "b", inner = commits ? "e" : "c";
    std::uint64_t inner_seq = 0;
    const auto made = append_new(outer, outer, [&] {
      LogRecord record = record_of(inner, inner);
      const auto seq = log_->append(record, wire::as_view(inner));
      EXPECT_TRUE(seq);
      inner_seq = *seq;
      EXPECT_TRUE(!commits || log_->commit_blocking(inner_seq));
      return Status();
    });
    ASSERT_TRUE(made);
    EXPECT_GT(*made, inner_seq) << "the log is in the order of the appends";
    ASSERT_TRUE(log_->commit_blocking(*made));
  }
  EXPECT_EQ(after_a_crash(),
            (Files{{"a", "first"}, {"b", "b"}, {"c", "c"}, {"d", "d"}, {"e", "e"}}));
  EXPECT_EQ(names_.size(), 5U);
}

TEST_F(EarlyWrite, AnUncommittedOneIsFollowedByOthers) {
  const auto first = append_new("a", "first", nothing);
  ASSERT_TRUE(first && log_->commit_blocking(*first));
  // The early one waits for its commit; the next takes the common way, and both fit into one flush.
  ASSERT_TRUE(append_new("b", "second", nothing));
  const auto third = append_new("c", "third", nothing);
  ASSERT_TRUE(third && log_->commit_blocking(*third));
  // Through the turn of the journal's files, early ones in front of the batch that does not fit.
  Files all{{"a", "first"}, {"b", "second"}, {"c", "third"}};
  for (int i = 0; i < 100; ++i) {
    const std::string early = "x" + std::to_string(i), late = "y" + std::to_string(i);
    ASSERT_TRUE(append_new(early, early, nothing));
    const auto last = append_new(late, std::string(30'000, 'z'), nothing);
    ASSERT_TRUE(last && log_->commit_blocking(*last));
  }
  after_a_crash();
  EXPECT_EQ(names_.size(), 203U);
}

TEST_F(EarlyWrite, ManyThreadsWithFailures) {
  const auto seed = static_cast<unsigned>(std::random_device()());
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mutex mutex;
  Files committed;
  std::set<std::string> failed;
  std::vector<std::thread> threads;
  for (unsigned number = 0; number < 4; ++number)
    threads.emplace_back([&, number] {
      std::mt19937 random(seed + number);
      for (int i = 0; i < 150; ++i) {
        const std::string name = std::to_string(number) + "." + std::to_string(i);
        const std::string content(random() % 3000, static_cast<char>('a' + random() % 26));
        const bool fails = random() % 4 == 0;
        const auto pause = std::chrono::microseconds(random() % 300);
        const auto made = append_new(name, content, [&] {
          std::this_thread::sleep_for(pause);
          return fails ? Status(Error{Errc::no_space, "full"}) : Status();
        });
        EXPECT_EQ(static_cast<bool>(made), !fails);
        EXPECT_TRUE(!made || log_->commit_blocking(*made));
        const std::lock_guard lock(mutex);
        if (made)
          committed.emplace(name, content);
        else
          failed.insert(name);
      }
    });
  for (auto& thread : threads) thread.join();
  const Files restored = after_a_crash();
  // The journal holds what was not checkpointed; the log has all.
  for (const auto& [name, content] : committed) {
    EXPECT_TRUE(names_.contains(name)) << name;
    const auto file = restored.find(name);
    EXPECT_TRUE(file == restored.end() || file->second == content) << name;
  }
  for (const std::string& name : failed) {
    EXPECT_FALSE(names_.contains(name)) << name;
    EXPECT_FALSE(restored.contains(name)) << name;
  }
  EXPECT_FALSE(restored.empty());
}

} // namespace
} // namespace cairn::storage
