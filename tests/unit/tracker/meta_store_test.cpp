// The metadata store under fire: a copy of it while it is written, and damaged files.
#include "tracker/log/meta_store.h"

#include "common/wire/mutation.h"
#include "tests/unit/config/temporary_directory.h"

#include <gtest/gtest.h>

#include <atomic>
#include <fstream>
#include <thread>

namespace cairn::tracker {
namespace {

namespace fs = std::filesystem;

std::string key_of(std::uint64_t number) {
  std::string key = "I00000000";
  for (std::size_t at = key.size(); number != 0; number /= 10)
    key[--at] = static_cast<char>('0' + number % 10);
  return key;
}

// Entry `index` says so itself, in two rows.
Status write(MetaStore& store, std::uint64_t index, bool sync) {
  wire::MutationBatch batch;
  batch.mutations.push_back(
      wire::Mutation::put(key_of(index), std::string(200, 'v') + std::to_string(index)));
  batch.mutations.push_back(wire::Mutation::put("last", std::to_string(index)));
  LogEntry entry;
  entry.position = LogPos{1, index};
  entry.batch = wire::encode(batch);
  return store.apply({&entry, 1}, sync);
}

// Everything is there up to the last entry, and nothing else. Errors: as the store's.
Result<std::uint64_t> read_all(const MetaStore& store) {
  CAIRN_TRY(last, store.get("last"));
  std::uint64_t count = 0;
  bool right = true;
  CAIRN_RETURN_IF_ERROR(store.walk("I", {}, [&](std::string_view key, std::string_view value) {
    ++count;
    right = right && key == key_of(count) && value == std::string(200, 'v') + std::to_string(count);
    return true;
  }));
  if (!right || std::to_string(count) != last)
    return Error{Errc::exists, "wrong answers: " + std::to_string(count) + " rows of " + last};
  return count;
}

TEST(MetaStore, ACheckpointIsOneMomentOfABusyStore) {
  const TemporaryDirectory directory;
  auto store = *MetaStore::open(directory.path() / "meta");
  std::atomic<bool> stop{false};
  std::thread writer([&] {
    for (std::uint64_t i = 1; !stop; ++i) ASSERT_TRUE(write(*store, i, false));
  });
  // Without a return: the writer has to be ended.
  for (int i = 0; i < 5 && !HasFailure(); ++i) {
    // Nothing to wait for: the writer is to get on.
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    const fs::path copy = directory.path() / ("copy" + std::to_string(i));
    const auto position = store->checkpoint(copy);
    EXPECT_TRUE(position) << position.error().text();
    if (!position) break;
    const auto opened = MetaStore::open(copy);
    EXPECT_TRUE(opened) << opened.error().text();
    if (!opened) break;
    EXPECT_EQ((*opened)->applied(), *position);
    // The copy writes tables of its own: the store's must not be the same files.
    EXPECT_TRUE(write(**opened, position->index + 1, true));
    const auto count = read_all(**opened);
    EXPECT_TRUE(count) << count.error().text();
    EXPECT_EQ(count ? *count : 0, position->index + 1);
  }
  stop = true;
  writer.join();
  const auto all = read_all(*store);
  ASSERT_TRUE(all) << all.error().text();
  EXPECT_EQ(*all, store->applied().index);
  EXPECT_EQ(store->checkpoint(directory.path() / "copy0").code(), Errc::exists);
}

// One byte of each file in turn is flipped: the store refuses to open, says that it is damaged, or
// (the byte means nothing) answers right. It never answers wrong.
TEST(MetaStore, DamageIsToldAndNeverAnswersWrong) {
  const TemporaryDirectory directory;
  const fs::path good = directory.path() / "good";
  {
    auto store = *MetaStore::open(good);
    for (std::uint64_t i = 1; i <= 30'000; ++i) ASSERT_TRUE(write(*store, i, i % 5000 == 0));
    // Through the log into tables.
    ASSERT_TRUE(store->checkpoint(directory.path() / "tables"));
  }
  int told = 0;
  int files = 0;
  for (const auto& file : fs::directory_iterator(directory.path() / "tables")) {
    if (file.path().filename() == "CURRENT") continue;
    ++files;
    for (const double place : {0.1, 0.5, 0.9}) {
      const fs::path bad = directory.path() / "bad";
      fs::remove_all(bad);
      fs::copy(directory.path() / "tables", bad);
      std::fstream out(bad / file.path().filename(),
                       std::ios::in | std::ios::out | std::ios::binary);
      const auto at = static_cast<std::streamoff>(static_cast<double>(file.file_size()) * place);
      out.seekg(at);
      const char byte = static_cast<char>(out.get() ^ 0x40);
      out.seekp(at);
      out.put(byte);
      out.close();
      const auto store = MetaStore::open(bad);
      if (!store) {
        ++told;
        EXPECT_NE(store.error().detail.find("namespace restore"), std::string::npos)
            << store.error().detail;
        continue;
      }
      const auto count = read_all(**store);
      if (count) {
        EXPECT_EQ(*count, 30'000U);
        continue;
      }
      EXPECT_NE(count.code(), Errc::exists)
          << file.path() << " at " << at << ": " << count.error().text();
      told += count.code() == Errc::corrupt;
    }
  }
  EXPECT_GE(told, files) << "of " << 3 * files;
  // Nothing is begun anew beside the rest of an old store.
  fs::remove(directory.path() / "tables" / "CURRENT");
  EXPECT_EQ(MetaStore::open(directory.path() / "tables").code(), Errc::corrupt);
}

} // namespace
} // namespace cairn::tracker
