// CRC32 against published values (checklist 75) and itself.
#include "common/base/crc32.h"

#include <gtest/gtest.h>

#include <string_view>

namespace cairn {
namespace {

std::span<const std::byte> bytes(std::string_view text) {
  return std::as_bytes(std::span(text));
}

TEST(Crc32, Standard) {
  EXPECT_EQ(crc32(0, {}), 0U);
  EXPECT_EQ(crc32(0, bytes("123456789")), 0xCBF43926U);
  EXPECT_EQ(crc32(0, bytes("hello\n")), 0x363A3020U);
  EXPECT_EQ(crc32(0, bytes("hahaha\n")), 0x16B28489U);
  EXPECT_EQ(crc32(0, bytes("123456\n")), 0x086B258EU);
}

TEST(Crc32, PiecesEqualTheWhole) {
  const std::uint32_t first = crc32(0, bytes("12345"));
  EXPECT_EQ(crc32(first, bytes("6789")), 0xCBF43926U);
  EXPECT_EQ(crc32(first, {}), first);
  EXPECT_EQ(crc32_combine(first, crc32(0, bytes("6789")), 4), 0xCBF43926U);
  EXPECT_EQ(crc32_combine(first, 0, 0), first);
}

TEST(LegacyCrc32, PublishedUploads) {
  EXPECT_EQ(legacy_crc32(bytes("hahaha\n")), 0xE90CA264U);
  EXPECT_EQ(legacy_crc32(bytes("123456\n")), 0x25D7EC11U);
  EXPECT_EQ(legacy_crc32({}), 0U);
}

TEST(LegacyCrc32, PiecesEqualTheWhole) {
  LegacyCrc32 crc;
  crc.update(bytes("hah"));
  crc.update({});
  crc.update(bytes("aha\n"));
  EXPECT_EQ(crc.value(), 0xE90CA264U);
}

} // namespace
} // namespace cairn
