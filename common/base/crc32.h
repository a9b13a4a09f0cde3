// CRC32 of file contents: the standard one, and the variant that FastDFS before 5.12 wrote into
// file names.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace cairn {

// Continues the standard CRC32 (reflected polynomial 0xEDB88320, as zlib) over `data`. Start with
// `running` 0; the answer is both the final value and what the next call continues from.
std::uint32_t crc32(std::uint32_t running, std::span<const std::byte> data);

// The CRC32 of A followed by B, from those of A and B and the length of B in bytes; no data is
// read, so parts may be checksummed in any order.
std::uint32_t crc32_combine(std::uint32_t a, std::uint32_t b, std::uint64_t b_size);

// The CRC32 of FastDFS before 5.12, in pieces: its register was a signed 32-bit number, so the
// shift was arithmetic and dragged ones in. Names in old stores carry this value; whoever verifies
// content against a name must accept either one.
class LegacyCrc32 {
public:
  // Continues over `data`.
  void update(std::span<const std::byte> data);

  // The checksum of everything so far; update() may still follow.
  std::uint32_t value() const { return ~static_cast<std::uint32_t>(register_); }

private:
  std::int32_t register_ = -1;
};

// LegacyCrc32 of one piece.
std::uint32_t legacy_crc32(std::span<const std::byte> data);

} // namespace cairn
