// A log after a crash: the last record is whole, torn in any way, or the log is damaged.
#include "tracker/log/log_file.h"

#include "common/wire/mutation.h"
#include "tests/unit/config/temporary_directory.h"
#include "tracker/log/meta_store.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <iterator>
#include <random>
#include <span>
#include <string>

namespace cairn::tracker {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kSector = 512;
constexpr std::size_t kBlock = 32 * 1024;

Status write(MetaStore& store, std::uint64_t index, std::size_t size) {
  wire::MutationBatch batch;
  batch.mutations.push_back(
      wire::Mutation::put("I" + std::to_string(index), std::string(size, 'v')));
  batch.mutations.push_back(wire::Mutation::put("last", std::to_string(index)));
  LogEntry entry;
  entry.position = LogPos{1, index};
  entry.batch = wire::encode(batch);
  return store.apply({&entry, 1}, true);
}

fs::path log_of(const fs::path& store) {
  for (const auto& entry : fs::directory_iterator(store))
    if (entry.path().extension() == ".log") return entry.path();
  return {};
}

std::string read(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  return std::string((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
}

void put(const fs::path& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
}

std::size_t end_of(const std::string& log) {
  return end_of_log(std::as_bytes(std::span(log)));
}

// A store in use whose log has grown from `before` to `after` by its last change, number `last`.
struct Crash {
  explicit Crash(std::mt19937_64& random) {
    auto store = *MetaStore::open(directory.path() / "live");
    last = 2 + random() % 30;
    for (std::uint64_t i = 1; i <= last; ++i) {
      before = read(log_of(directory.path() / "live"));
      EXPECT_TRUE(write(*store, i, random() % (random() % 8 == 0 ? 3 * kBlock : 1500)));
    }
    after = read(log_of(directory.path() / "live"));
    before.resize(after.size(), '\0');
    begin = static_cast<std::size_t>(
        std::mismatch(before.begin(), before.end(), after.begin()).first - before.begin());
    end = after.find_last_not_of('\0') + 1;
    fs::copy(directory.path() / "live", directory.path() / "left");
    fs::remove(directory.path() / "left" / "LOCK");
  }
  fs::path left() const { return directory.path() / "left"; }

  TemporaryDirectory directory;
  std::string before;
  std::string after;
  std::size_t begin = 0; // of what the last change wrote
  std::size_t end = 0;
  std::uint64_t last = 0;
};

class LogFileTest : public testing::Test {
protected:
  // Calls `test` with a seeded generator: CAIRN_SEED, or some.
  template <class Test>
  static void with_seeds(std::uint64_t count, Test test) {
    const char* const only = std::getenv("CAIRN_SEED");
    const std::uint64_t first = only != nullptr ? std::strtoull(only, nullptr, 10) : 1;
    for (std::uint64_t seed = first; seed < first + (only != nullptr ? 1 : count); ++seed) {
      SCOPED_TRACE("CAIRN_SEED=" + std::to_string(seed));
      std::mt19937_64 random(seed);
      test(random);
      if (HasFatalFailure()) return;
    }
  }
};

TEST_F(LogFileTest, WhatWasSyncedIsThereAndZerosFollow) {
  std::mt19937_64 random(1);
  const Crash crash(random);
  EXPECT_GT(crash.after.size(), crash.end + 100'000) << "there are zeros ahead";
  EXPECT_EQ(end_of(crash.after), crash.after.size());
  auto store = MetaStore::open(crash.left());
  ASSERT_TRUE(store) << store.error().text();
  EXPECT_EQ((*store)->applied().index, crash.last);
  // Whoever has it open keeps it.
  EXPECT_FALSE(MetaStore::open(crash.left()));
  ASSERT_TRUE(write(**store, crash.last + 1, 10));
  store->reset();
  EXPECT_LT(fs::file_size(log_of(crash.left())), 1000U) << "a log that was closed has no zeros";
  store = MetaStore::open(crash.left());
  ASSERT_TRUE(store);
  EXPECT_EQ((*store)->applied().index, crash.last + 1);
}

// Sectors of the last record reached the disk or not, in any order.
TEST_F(LogFileTest, ATornRecordIsCutOff) {
  with_seeds(60, [](std::mt19937_64& random) {
    const Crash crash(random);
    std::string log = crash.before;
    bool all = true;
    const std::size_t first = crash.begin / kSector * kSector;
    for (std::size_t at = first; at < crash.end; at += kSector) {
      const bool lost = random() % 3 == 0;
      const std::string_view part = std::string_view(crash.after).substr(at, kSector);
      if (!lost) log.replace(at, part.size(), part);
      all = all && log.compare(at, part.size(), part) == 0;
    }
    put(log_of(crash.left()), log);
    auto store = MetaStore::open(crash.left());
    ASSERT_TRUE(store) << store.error().text();
    ASSERT_EQ((*store)->applied().index, all ? crash.last : crash.last - 1);
    ASSERT_TRUE(write(**store, (*store)->applied().index + 1, 5));
    const std::uint64_t now = (*store)->applied().index;
    store->reset();
    store = MetaStore::open(crash.left());
    ASSERT_TRUE(store) << store.error().text();
    ASSERT_EQ((*store)->applied().index, now);
  });
}

// The process was killed in the middle of a write.
TEST_F(LogFileTest, ARecordThatWasBegunIsCutOff) {
  std::mt19937_64 random(7);
  const Crash crash(random);
  for (std::size_t cut = crash.begin; cut < crash.end; cut += 1 + (crash.end - crash.begin) / 50) {
    std::string log = crash.before;
    log.replace(crash.begin, cut - crash.begin, crash.after, crash.begin, cut - crash.begin);
    const std::size_t end = end_of(log);
    EXPECT_TRUE(end == log.size() || end <= crash.begin) << cut;
    const fs::path copy = crash.directory.path() / std::to_string(cut);
    fs::copy(crash.left(), copy);
    put(log_of(copy), log);
    auto store = MetaStore::open(copy);
    ASSERT_TRUE(store) << store.error().text();
    EXPECT_EQ((*store)->applied().index, crash.last - 1) << cut;
  }
}

// A byte of an earlier record is another: that is not what a crash does, and is told.
TEST_F(LogFileTest, DamageIsNotTakenForATornRecord) {
  with_seeds(30, [](std::mt19937_64& random) {
    const Crash crash(random);
    std::string log = crash.after;
    std::size_t at = random() % crash.begin;
    while (log[at] == '\0') at = random() % crash.begin; // not in the padding of a block
    log[at] = static_cast<char>(log[at] ^ static_cast<char>(1 + random() % 255));
    EXPECT_EQ(end_of(log), log.size());
    put(log_of(crash.left()), log);
    const auto store = MetaStore::open(crash.left());
    ASSERT_FALSE(store);
    EXPECT_EQ(store.code(), Errc::corrupt);
  });
}

// Nor in the last record, as long as it shows: its first and last byte and its length are as they
// were, and no sector of it is empty.
TEST_F(LogFileTest, DamageOfTheLastRecordIsTold) {
  with_seeds(30, [](std::mt19937_64& random) {
    const Crash crash(random);
    std::string log;
    for (std::uint64_t next = crash.last + 1; log.empty() || log.back() == '\0'; ++next) {
      auto store = MetaStore::open(crash.left());
      ASSERT_TRUE(store && write(**store, next, 200));
      store->reset();
      log = read(log_of(crash.left()));
    }
    const std::size_t at = log.size() - 20 - random() % 150; // in the value
    log[at] = static_cast<char>(log[at] ^ static_cast<char>(1 + random() % 255));
    put(log_of(crash.left()), log);
    const auto store = MetaStore::open(crash.left());
    ASSERT_FALSE(store);
    EXPECT_EQ(store.code(), Errc::corrupt);
  });
}

TEST_F(LogFileTest, NothingIsCutOffNothing) {
  EXPECT_EQ(end_of(""), 0U);
  EXPECT_EQ(end_of(std::string(100'000, '\0')), 100'000U);
  EXPECT_EQ(end_of("garbage"), 0U);
}

} // namespace
} // namespace cairn::tracker
