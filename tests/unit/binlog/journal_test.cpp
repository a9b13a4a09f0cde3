// The journal's files: what is set aside, what is written, and that a replay finds every batch
// however far the end of the file has moved.
#include "storage/binlog/journal.h"

#include "common/base/crc32.h"
#include "common/wire/codec.h"
#include "tests/unit/config/temporary_directory.h"

#include <gtest/gtest.h>

#include <array>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>
#include <sys/stat.h>
#include <vector>

namespace cairn::storage {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kSize = 12 << 20; // of a file: three times what is written ahead at once

struct Entry {
  std::string frame;
  std::uint64_t content_size = 0;
  bool operator==(const Entry&) const = default;
};

struct Opened {
  std::unique_ptr<Journal> journal;
  std::vector<Entry> replayed;
};

Opened open_in(const fs::path& directory, std::uint64_t size = kSize) {
  Opened opened;
  auto journal = Journal::open(directory, size, [&](wire::View frame, wire::View content) {
    opened.replayed.push_back({std::string(wire::as_text(frame)), content.size()});
    return Status();
  });
  EXPECT_TRUE(journal) << journal.error().text();
  opened.journal = std::move(*journal);
  return opened;
}

// A batch of one entry; false: it does not fit into the current file.
bool write(Journal& journal, const std::string& frame, std::size_t content_size) {
  JournalBatch batch;
  batch.add(wire::as_view(frame), wire::Bytes(content_size, std::byte{1}));
  if (!journal.fits(batch)) return false;
  EXPECT_TRUE(journal.write(batch, 0));
  return true;
}

struct stat info_of(const fs::path& file) {
  struct stat info {};
  EXPECT_EQ(::stat(file.c_str(), &info), 0);
  return info;
}

TEST(Journal, SetsItsFilesAsideAndWritesThemAsFarAsTheyAreUsed) {
  TemporaryDirectory directory;
  const Opened opened = open_in(directory.path());
  for (const char* name : {"journal.0", "journal.1"}) {
    const struct stat info = info_of(directory.path() / name);
    EXPECT_GE(static_cast<std::uint64_t>(info.st_blocks) * 512, kSize) << name;
    EXPECT_EQ(info.st_size, 0) << name;
  }
  ASSERT_TRUE(write(*opened.journal, "one", 100));
  const auto first = info_of(directory.path() / "journal.0").st_size;
  EXPECT_GT(first, 1 << 20); // the next ones find their blocks written
  ASSERT_TRUE(write(*opened.journal, "two", 100));
  EXPECT_EQ(info_of(directory.path() / "journal.0").st_size, first);
}

TEST(Journal, ReplaysEveryBatchOfAFileThatGrowsOverSeveralStarts) {
  TemporaryDirectory directory;
  std::vector<Entry> written;
  {
    const Opened opened = open_in(directory.path());
    // Sizes around a block and around a step; the last one ends where the file does.
    const std::vector<std::size_t> sizes{1, 4000, 4096, 70'000, 3 << 20, 1 << 20, 5 << 20};
    for (const std::size_t size : sizes) {
      const std::string frame = "frame of " + std::to_string(size);
      if (!write(*opened.journal, frame, size)) break;
      written.push_back({frame, size});
    }
    ASSERT_EQ(written.size(), sizes.size());
    while (write(*opened.journal, "small", 9000)) written.push_back({"small", 9000});
  }
  EXPECT_EQ(info_of(directory.path() / "journal.0").st_size, static_cast<off_t>(kSize));
  const Opened again = open_in(directory.path());
  EXPECT_EQ(again.replayed, written);
  // What was replayed is released, and the other file, never used so far, goes on.
  ASSERT_TRUE(again.journal->release_all(0));
  ASSERT_TRUE(write(*again.journal, "in the other file", 10));
  EXPECT_EQ(open_in(directory.path()).replayed, (std::vector<Entry>{{"in the other file", 10}}));
}

TEST(Journal, ABatchBehindTheEndOfTheFileIsNoBatch) {
  TemporaryDirectory directory;
  {
    const Opened opened = open_in(directory.path());
    ASSERT_TRUE(write(*opened.journal, "whole", 100));
    ASSERT_TRUE(write(*opened.journal, "cut", 6 << 20));
  }
  // As after a power loss that took the file's new end.
  fs::resize_file(directory.path() / "journal.0", 5 << 20);
  EXPECT_EQ(open_in(directory.path()).replayed, (std::vector<Entry>{{"whole", 100}}));
}

// What a client stores lies in the journal as it came, and stays behind the last batch when the
// file is used again: it must not be taken for the next one.
TEST(Journal, ContentThatLooksLikeABatchIsNone) {
  TemporaryDirectory directory;
  const fs::path file = directory.path() / "journal.0";
  {
    const Opened opened = open_in(directory.path());
    Journal& journal = *opened.journal;
    ASSERT_TRUE(write(journal, "first", 10));
    std::array<std::byte, 8> generation{};
    std::ifstream(file).seekg(8).read(reinterpret_cast<char*>(generation.data()), 8);

    // A whole batch with one entry, of the generation two turns ahead if they were counted.
    wire::Bytes forged(44 + 8 + 6);
    constexpr std::uint64_t kMagic = 0x434149524e4a4f55;
    const std::uint64_t next = wire::load_big_endian(generation.data(), 8) + 2;
    wire::store_big_endian(forged.data(), kMagic, 8);
    wire::store_big_endian(forged.data() + 8, next, 8);
    wire::store_big_endian(forged.data() + 16, next, 8);
    wire::store_big_endian(forged.data() + 32, 8 + 6, 4);
    wire::store_big_endian(forged.data() + 44, 6, 4);
    std::memcpy(forged.data() + 52, "forged", 6);
    wire::store_big_endian(forged.data() + 36, crc32(0, wire::View(forged).subspan(44)), 4);
    wire::store_big_endian(forged.data() + 40, crc32(0, wire::View(forged).first(40)), 4);

    // It lies in the third block: the batch is in the second, its content 57 bytes behind.
    constexpr std::size_t kBefore = 4096 - 57;
    wire::Bytes content(kBefore + forged.size());
    std::memcpy(content.data() + kBefore, forged.data(), forged.size());
    JournalBatch batch;
    batch.add(wire::as_view("frame"), content);
    ASSERT_TRUE(journal.fits(batch) && journal.write(batch, 0));
    std::string block(forged.size(), ' ');
    std::ifstream(file).seekg(8192).read(block.data(), static_cast<long>(block.size()));
    ASSERT_EQ(block, wire::as_text(forged));

    // Two turns, each with an empty batch, and one of a block: the next would be the forged one.
    ASSERT_TRUE(journal.release_all(0) && journal.release_all(0));
    ASSERT_TRUE(write(journal, "last", 10));
  }
  EXPECT_EQ(open_in(directory.path()).replayed, (std::vector<Entry>{{"last", 10}}));
}

TEST(Journal, FilesOfAnotherSizeAreKeptAndGrow) {
  TemporaryDirectory directory;
  {
    const Opened opened = open_in(directory.path());
    ASSERT_TRUE(write(*opened.journal, "before", 2 << 20));
  }
  const Opened smaller = open_in(directory.path(), 1 << 20);
  EXPECT_EQ(smaller.replayed, (std::vector<Entry>{{"before", 2 << 20}}));
  const Opened larger = open_in(directory.path(), 2 * kSize);
  EXPECT_EQ(larger.replayed, (std::vector<Entry>{{"before", 2 << 20}}));
  JournalBatch batch;
  batch.add(wire::as_view("large"), wire::Bytes(kSize + 4096));
  EXPECT_TRUE(larger.journal->could_fit(batch));
}

} // namespace
} // namespace cairn::storage
