// CRC32, standard and legacy.
#include "common/base/crc32.h"

#include <array>
#include <libdeflate.h>
#include <limits>
#include <zlib.h>

namespace cairn {

std::uint32_t crc32(std::uint32_t running, std::span<const std::byte> data) {
  // libdeflate answers its start value for a null pointer, whatever `running` is.
  if (data.empty()) return running;
  return libdeflate_crc32(running, data.data(), data.size());
}

std::uint32_t crc32_combine(std::uint32_t a, std::uint32_t b, std::uint64_t b_size) {
  static_assert(sizeof(z_off_t) == 8, "files over 2 GiB need the 64-bit form");
  return static_cast<std::uint32_t>(::crc32_combine(a, b, static_cast<z_off_t>(b_size)));
}

namespace {

constexpr std::array<std::uint32_t, 256> kTable = [] {
  std::array<std::uint32_t, 256> table{};
  for (std::uint32_t i = 0; i < 256; ++i) {
    std::uint32_t value = i;
    for (int bit = 0; bit < 8; ++bit) value = (value >> 1) ^ ((value & 1) != 0 ? 0xEDB88320U : 0);
    table[i] = value;
  }
  return table;
}();

} // namespace

void LegacyCrc32::update(std::span<const std::byte> data) {
  for (const std::byte byte : data) {
    const auto index =
        (static_cast<std::uint32_t>(register_) ^ std::to_integer<std::uint32_t>(byte)) & 0xFFU;
    // The arithmetic shift of a signed register is the whole difference from the standard.
    register_ = static_cast<std::int32_t>(kTable[index]) ^ (register_ >> 8);
  }
}

std::uint32_t legacy_crc32(std::span<const std::byte> data) {
  LegacyCrc32 crc;
  crc.update(data);
  return crc.value();
}

} // namespace cairn
