// The frame of one record in a segment file; shared by writer, recovery and reader.
#pragma once

#include "common/base/crc32.h"
#include "storage/binlog/record.h"

#include <charconv>
#include <cstdio>
#include <filesystem>
#include <optional>
#include <string>

namespace cairn::storage {

inline constexpr std::size_t kRecordHead = 8; // u32 size, u32 crc32
// Far above what two names of 128 bytes need; a length beyond it is damage.
inline constexpr std::uint64_t kRecordMax = 4096;

// "00000001000000a0.log"
inline std::string segment_name(std::uint64_t first_seq) {
  char text[24];
  std::snprintf(text, sizeof text, "%016llx.log", static_cast<unsigned long long>(first_seq));
  return text;
}

// First position of a segment by its file name; nullopt for other files.
inline std::optional<std::uint64_t> segment_first_seq(const std::filesystem::path& file) {
  const std::string name = file.filename().string();
  if (name.size() != 20 || !name.ends_with(".log")) return std::nullopt;
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(name.data(), name.data() + 16, value, 16);
  if (error != std::errc() || end != name.data() + 16) return std::nullopt;
  return value;
}

// One record from the front of `bytes`. nullopt: more bytes are needed. Errors: corrupt. `size` is
// what it takes in the file.
inline Result<std::optional<LogRecord>> parse_record(wire::View bytes, std::size_t& size) {
  if (bytes.size() < kRecordHead) return std::optional<LogRecord>();
  const std::uint64_t length = wire::load_big_endian(bytes.data(), 4);
  const auto crc = static_cast<std::uint32_t>(wire::load_big_endian(bytes.data() + 4, 4));
  if (length == 0 || length > kRecordMax) return Error{Errc::corrupt, "impossible record length"};
  if (bytes.size() < kRecordHead + length) return std::optional<LogRecord>();
  const wire::View payload = bytes.subspan(kRecordHead, length);
  if (crc32(0, payload) != crc) return Error{Errc::corrupt, "record checksum does not hold"};
  CAIRN_TRY(record, wire::decode_lenient<LogRecord>(payload));
  size = kRecordHead + length;
  return std::optional<LogRecord>(std::move(record));
}

} // namespace cairn::storage
