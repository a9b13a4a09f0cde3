// Block checksums: combining, growing, and the record.
#include "storage/store/file_sums.h"

#include "common/base/crc32.h"

#include <gtest/gtest.h>

#include <random>

namespace cairn::storage {
namespace {

wire::Bytes bytes_of(std::size_t size, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  wire::Bytes bytes(size);
  for (std::byte& byte : bytes) byte = static_cast<std::byte>(random());
  return bytes;
}

TEST(FileSums, WholeIsTheCrcOfTheContentHoweverItCame) {
  const wire::Bytes content = bytes_of(3'500'000, 1);
  for (const std::size_t piece : {std::size_t{1000}, std::size_t{1 << 20}, content.size()}) {
    FileSums sums;
    for (std::size_t at = 0; at < content.size(); at += piece)
      sums.append(wire::View(content).subspan(at, std::min(piece, content.size() - at)));
    EXPECT_EQ(sums.size(), content.size());
    EXPECT_EQ(sums.block_count(), 4U);
    EXPECT_EQ(sums.crc32(), crc32(0, content)) << piece;
    const FileSums::Span span = sums.span_of(3);
    EXPECT_EQ(sums.block(3), crc32(0, wire::View(content).subspan(span.from)));
  }
  EXPECT_EQ(FileSums().crc32(), 0U);
}

TEST(FileSums, BlocksOfARange) {
  FileSums sums;
  sums.append(bytes_of(2'500'000, 2));
  const auto expect = [&](std::uint64_t offset, std::uint64_t length, std::uint64_t from,
                          std::uint64_t to) {
    const FileSums::Span blocks = sums.blocks_of(offset, length);
    EXPECT_EQ(blocks.from, from) << offset << "+" << length;
    EXPECT_EQ(blocks.to, to) << offset << "+" << length;
  };
  expect(0, 1, 0, 1);
  expect(0, 1 << 20, 0, 1);
  expect((1 << 20) - 1, 2, 0, 2);
  expect(1 << 20, 1, 1, 2);
  expect(2'499'999, 1, 2, 3);
  expect(0, ~std::uint64_t{0}, 0, 3); // to the end
  expect(2'500'000, 1, 0, 0);         // behind it
  expect(5, 0, 0, 0);
}

TEST(FileSums, ALargeFileHasLargerBlocks) {
  FileSums sums;
  const wire::Bytes piece = bytes_of(1 << 20, 3);
  std::uint32_t whole = 0;
  for (std::size_t i = 0; i < FileSums::kBlocksMax + 3; ++i) {
    sums.append(piece);
    whole = crc32(whole, piece);
  }
  EXPECT_EQ(sums.block_size(), 2 * FileSums::kBlockSizeMin);
  EXPECT_LE(sums.block_count(), FileSums::kBlocksMax);
  EXPECT_EQ(sums.crc32(), whole);
  // The record must fit an extended attribute of ext4, beside others.
  EXPECT_LT(sums.encode().size(), 3000U);
  // The same when the size is set first and the blocks later.
  FileSums resized;
  resized.append(piece);
  resized.resize((FileSums::kBlocksMax + 3) * FileSums::kBlockSizeMin);
  EXPECT_EQ(resized.block_size(), sums.block_size());
  EXPECT_EQ(resized.block_count(), sums.block_count());
}

TEST(FileSums, TheRecordComesBackAndDamageInItIsSeen) {
  FileSums sums;
  sums.append(bytes_of(1'200'000, 4));
  sums.pending = FileSums::Span{7, 900};
  sums.legacy_name = true;
  const wire::Bytes record = sums.encode();
  const auto back = FileSums::decode(record);
  ASSERT_TRUE(back);
  EXPECT_EQ(*back, sums);
  EXPECT_TRUE(back->legacy_name);
  ASSERT_TRUE(back->pending);
  EXPECT_EQ(back->pending->to, 900U);
  for (std::size_t at = 0; at < record.size(); ++at) {
    wire::Bytes damaged = record;
    damaged[at] ^= std::byte{0x10};
    EXPECT_EQ(FileSums::decode(damaged).code(), Errc::corrupt) << at;
  }
  EXPECT_EQ(FileSums::decode(wire::View(record).first(3)).code(), Errc::corrupt);
  EXPECT_EQ(FileSums::decode({}).code(), Errc::corrupt);
}

} // namespace
} // namespace cairn::storage
