// The file name grammar and its bits.
#include "common/base/file_id.h"

#include "common/base/text.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <span>

namespace cairn {
namespace {

using Bytes20 = std::array<std::byte, 20>;

constexpr std::size_t kPrefixSize = 4;      // "M00/"
constexpr std::size_t kDirectoriesSize = 6; // "HH/LL/"
constexpr std::size_t kTrunkTextSize = 16;
constexpr std::size_t kMasterSizeMin = 34; // after "Mpp/", as every FastDFS client checks it

void put_big_endian(std::span<std::byte> out, std::uint64_t value) {
  for (std::size_t i = out.size(); i-- > 0; value >>= 8)
    out[i] = static_cast<std::byte>(value & 0xFF);
}

std::uint64_t get_big_endian(std::span<const std::byte> bytes) {
  std::uint64_t value = 0;
  for (const std::byte byte : bytes) value = (value << 8) | std::to_integer<std::uint64_t>(byte);
  return value;
}

constexpr auto kNameChars = [] {
  std::array<bool, 256> table{};
  for (int c = '0'; c <= '9'; ++c) table[static_cast<std::size_t>(c)] = true;
  for (int c = 'A'; c <= 'Z'; ++c) table[static_cast<std::size_t>(c)] = true;
  for (int c = 'a'; c <= 'z'; ++c) table[static_cast<std::size_t>(c)] = true;
  table['-'] = table['_'] = table['.'] = true;
  return table;
}();

constexpr bool is_name_char(char c) {
  return kNameChars[static_cast<unsigned char>(c)];
}

bool all_name_chars(std::string_view text) {
  return std::all_of(text.begin(), text.end(), is_name_char);
}

// The value of two upper-case hex digits, or -1.
int upper_hex_pair(char a, char b) {
  if (a >= 'a' || b >= 'a') return -1;
  const int high = hex_digit(a);
  const int low = hex_digit(b);
  return high < 0 || low < 0 ? -1 : high * 16 + low;
}

void append_hex_pair(std::string& out, std::uint8_t value) {
  constexpr std::string_view kDigits = "0123456789ABCDEF";
  out += kDigits[value >> 4];
  out += kDigits[value & 15];
}

std::optional<FileIdFields> decode_fields(std::string_view text) {
  Bytes20 bytes{};
  if (!base64url_decode_to(text, bytes)) return std::nullopt;
  const auto at = [&](std::size_t offset, std::size_t size) {
    return get_big_endian(std::span(bytes).subspan(offset, size));
  };
  FileIdFields fields;
  fields.source = SourceRef::from_ipv4(
      {std::to_integer<std::uint8_t>(bytes[0]), std::to_integer<std::uint8_t>(bytes[1]),
       std::to_integer<std::uint8_t>(bytes[2]), std::to_integer<std::uint8_t>(bytes[3])});
  fields.timestamp = static_cast<std::uint32_t>(at(4, 4));
  fields.size_field = at(8, 8);
  fields.crc32 = static_cast<std::uint32_t>(at(16, 4));
  return fields;
}

std::optional<TrunkLocation> decode_trunk(std::string_view text) {
  std::array<std::byte, 12> bytes{};
  if (!base64url_decode_to(text, bytes)) return std::nullopt;
  const auto at = [&](std::size_t offset) {
    return static_cast<std::uint32_t>(get_big_endian(std::span(bytes).subspan(offset, 4)));
  };
  return TrunkLocation{at(0), at(4), at(8)};
}

Error bad_name(const char* why) {
  return Error{Errc::invalid_argument, std::string("not a file name: ") + why};
}

} // namespace

std::string SourceRef::text() const {
  if (is_server_id()) return std::to_string(little_endian);
  const auto bytes = octets();
  std::string result = std::to_string(bytes[0]);
  for (std::size_t i = 1; i < bytes.size(); ++i) result += "." + std::to_string(bytes[i]);
  return result;
}

Result<SourceRef> parse_source_ref(std::string_view text) {
  const Error bad{Errc::invalid_argument, "not a server ID (1 to 16777215) or an IPv4 address"};
  if (text.find('.') == std::string_view::npos) {
    const auto id = parse_u64(text);
    if (!id || *id < 1 || *id > kServerIdMax || text.front() == '0') return bad;
    return SourceRef::from_server_id(static_cast<std::uint32_t>(*id));
  }
  const auto parts = split(text, '.');
  std::array<std::uint8_t, 4> octets{};
  if (parts.size() != octets.size()) return bad;
  for (std::size_t i = 0; i < octets.size(); ++i) {
    const auto number = parse_u64(parts[i]);
    if (!number || *number > 255 || parts[i].size() > 3) return bad;
    octets[i] = static_cast<std::uint8_t>(*number);
  }
  return SourceRef::from_ipv4(octets);
}

std::string_view describe(FileKind kind) {
  switch (kind) {
    case FileKind::normal:
      return "normal";
    case FileKind::appender:
      return "appender";
    case FileKind::slave:
      return "slave";
    case FileKind::trunk:
      return "trunk";
  }
  return "unknown";
}

std::uint64_t make_size_field(std::uint64_t size, FileKind kind, std::uint64_t random) {
  constexpr std::uint64_t kSmallSizeMax = 0xFFFF'FFFF;
  CAIRN_ASSERT(size <= kFileSizeMax);
  CAIRN_ASSERT(kind != FileKind::slave); // a slave has its master's field
  const std::uint64_t random_bits = (random & 0x7F'FFFF) << 32;
  if (kind == FileKind::appender) {
    return FileIdFields::kSmallBit | FileIdFields::kAppenderBit | random_bits;
  }
  if (kind == FileKind::trunk) {
    CAIRN_ASSERT(size <= kSmallSizeMax);
    return FileIdFields::kSmallBit | FileIdFields::kTrunkBit | random_bits | size;
  }
  if (size > kSmallSizeMax) return size;
  return FileIdFields::kSmallBit | random_bits | size;
}

std::string encode27(const FileIdFields& fields) {
  Bytes20 bytes{};
  const auto octets = fields.source.octets();
  for (std::size_t i = 0; i < octets.size(); ++i) bytes[i] = std::byte{octets[i]};
  const std::span<std::byte> all(bytes);
  put_big_endian(all.subspan(4, 4), fields.timestamp);
  put_big_endian(all.subspan(8, 8), fields.size_field);
  put_big_endian(all.subspan(16, 4), fields.crc32);
  return base64url_encode(bytes);
}

Result<FileIdFields> decode27(std::string_view text) {
  if (const auto fields = decode_fields(text)) return *fields;
  return Error{Errc::invalid_argument, "not the 27 characters of a file name"};
}

std::string encode_trunk(const TrunkLocation& location) {
  std::array<std::byte, 12> bytes{};
  const std::span<std::byte> all(bytes);
  put_big_endian(all.subspan(0, 4), location.file);
  put_big_endian(all.subspan(4, 4), location.offset);
  put_big_endian(all.subspan(8, 4), location.slot_size);
  return base64url_encode(bytes);
}

// True for what extension_block() makes: 7 digits, or digits, a dot and an extension. The end of a
// slave's name rarely looks like that, whatever its length.
static bool is_extension_block(std::string_view block) {
  constexpr std::size_t kBlockSize = 7;
  if (block.size() != kBlockSize) return false;
  const std::string_view digits = block.substr(0, block.find('.'));
  return std::all_of(digits.begin(), digits.end(), [](char c) { return c >= '0' && c <= '9'; });
}

Result<RemoteName> parse_remote_name(std::string_view text) {
  if (text.size() <= 10) return bad_name("shorter than 11 characters");
  if (text.size() > kRemoteNameMax) return bad_name("longer than 127 characters");

  RemoteName name;
  if (text.front() == 'M') {
    const int high = hex_digit(text[1]);
    const int low = hex_digit(text[2]);
    if (high < 0 || low < 0 || text[3] != '/') return bad_name("no store path index after M");
    name.store_path_ = static_cast<std::uint8_t>(high * 16 + low);
    name.prefix_size_ = kPrefixSize;
  } else if (text.size() > kRemoteNameMax - kPrefixSize) {
    return bad_name("longer than 127 characters with its store path");
  }

  const std::string_view true_name = text.substr(name.prefix_size_);
  // With the prefix, 11 characters leave 7: one for the leaf.
  const int high = upper_hex_pair(true_name[0], true_name[1]);
  const int low = upper_hex_pair(true_name[3], true_name[4]);
  if (high < 0 || low < 0 || true_name[2] != '/' || true_name[5] != '/') {
    return bad_name("no HH/HH/ directories");
  }
  name.high_ = static_cast<std::uint8_t>(high);
  name.low_ = static_cast<std::uint8_t>(low);

  const std::string_view leaf = true_name.substr(kDirectoriesSize);
  if (!all_name_chars(leaf)) return bad_name("a character outside A-Z a-z 0-9 - _ .");
  if (leaf.front() == '.') return bad_name("begins with a dot");
  if (leaf.ends_with("-m")) return bad_name("ends in -m, as metadata side files do");

  std::memcpy(name.text_.data(), text.data(), text.size());
  name.size_ = static_cast<std::uint8_t>(text.size());
  name.fields_ = decode_fields(leaf.substr(0, kEncodedFieldsSize));
  if (!name.fields_) return name;

  const std::size_t length = true_name.size() + kPrefixSize;
  const bool trunk_bit = name.fields_->is_trunk();
  if (name.fields_->is_appender()) {
    name.kind_ = FileKind::appender;
  } else if (length > kTrunkNameSize || (length > kNormalNameSize && !trunk_bit) ||
             (length <= kNormalNameSize && !is_extension_block(leaf.substr(kEncodedFieldsSize)))) {
    name.kind_ = FileKind::slave;
  } else if (length == kTrunkNameSize && trunk_bit) {
    name.trunk_ = decode_trunk(leaf.substr(kEncodedFieldsSize, kTrunkTextSize));
    // Bit 59 by chance (FastDFS 3.x) on a slave of just that length.
    name.kind_ = name.trunk_ ? FileKind::trunk : FileKind::slave;
  }
  return name;
}

std::string RemoteName::canonical() const {
  std::string result = "M";
  append_hex_pair(result, store_path_);
  result += '/';
  result += true_name();
  return result;
}

Status validate_group_name(std::string_view group) {
  const bool good = std::all_of(group.begin(), group.end(), [](char c) {
    return is_name_char(c) && c != '-' && c != '_' && c != '.';
  });
  if (!good || group.empty() || group.size() > kGroupNameMax) {
    return Error{Errc::invalid_argument, "not a group name (1 to 16 letters and digits)"};
  }
  return {};
}

std::string FileId::text() const {
  std::string result = group;
  result += '/';
  result += name.text();
  return result;
}

Result<FileId> parse_file_id(std::string_view text) {
  const std::size_t slash = text.find('/');
  if (slash == std::string_view::npos) return Error{Errc::invalid_argument, "not a file ID"};
  CAIRN_RETURN_IF_ERROR(validate_group_name(text.substr(0, slash)));
  CAIRN_TRY(name, parse_remote_name(text.substr(slash + 1)));
  return FileId{std::string(text.substr(0, slash)), name};
}

Status validate_extension(std::string_view extension) {
  if (extension.size() > kExtensionMax || !all_name_chars(extension)) {
    return Error{Errc::invalid_argument,
                 "not a file name extension (up to 6 of letters, digits, - _ .)"};
  }
  if (extension.ends_with("-m")) {
    return Error{Errc::invalid_argument, "an extension may not end in -m"};
  }
  return {};
}

Status validate_prefix(std::string_view prefix) {
  if (prefix.empty() || prefix.size() > kSlavePrefixMax || !all_name_chars(prefix)) {
    return Error{Errc::invalid_argument, "not a slave prefix (1 to 16 of letters, digits, - _ .)"};
  }
  return {};
}

std::string extension_block(std::string_view extension, std::uint64_t random) {
  CAIRN_ASSERT(extension.size() <= kExtensionMax);
  const std::size_t digits =
      extension.empty() ? kExtensionBlockSize : kExtensionMax - extension.size();
  std::string block;
  for (std::size_t i = 0; i < digits; ++i, random /= 10) {
    block += static_cast<char>('0' + random % 10);
  }
  if (!extension.empty()) (block += '.') += extension;
  return block;
}

Result<std::string> slave_name(const RemoteName& master, std::string_view prefix,
                               std::optional<std::string_view> extension) {
  if (!prefix.empty()) CAIRN_RETURN_IF_ERROR(validate_prefix(prefix));
  if (extension) CAIRN_RETURN_IF_ERROR(validate_extension(*extension));
  if (master.true_name().size() < kMasterSizeMin) {
    return Error{Errc::invalid_argument, "the master's name is too short for a slave"};
  }

  const std::string_view text = master.text();
  const std::size_t dot = text.find('.', text.size() - kExtensionBlockSize);
  const std::string_view stem = text.substr(0, dot);
  const std::string_view old_tail =
      dot == std::string_view::npos ? std::string_view() : text.substr(dot);
  std::string tail;
  if (!extension) {
    tail = old_tail;
  } else if (!extension->empty()) {
    tail = extension->front() == '.' ? "" : ".";
    tail += *extension;
  }
  if (prefix.empty() && tail == old_tail) {
    return Error{Errc::invalid_argument, "the slave would have its master's name"};
  }

  std::string result(stem);
  result += prefix;
  result += tail;
  if (result.size() > kRemoteNameMax) return Error{Errc::name_too_long, "slave name"};
  // Also refuses what would be the master's metadata file (prefix "-m" without extension).
  CAIRN_TRY(parsed, parse_remote_name(result));
  if (parsed.kind() == FileKind::trunk) {
    return Error{Errc::invalid_argument, "the slave's name would read as a trunk-stored file"};
  }
  return result;
}

std::string make_remote_name(std::uint8_t store_path, std::uint8_t high, std::uint8_t low,
                             const FileIdFields& fields, std::string_view block,
                             const std::optional<TrunkLocation>& trunk) {
  CAIRN_ASSERT(block.size() == kExtensionBlockSize);
  std::string name;
  name.reserve(kTrunkNameSize);
  name += 'M';
  append_hex_pair(name, store_path);
  name += '/';
  append_hex_pair(name, high);
  name += '/';
  append_hex_pair(name, low);
  name += '/';
  name += encode27(fields);
  if (trunk) name += encode_trunk(*trunk);
  name += block;
  return name;
}

Result<std::string> regenerated_name(const RemoteName& old, const FileIdFields& fields) {
  CAIRN_ASSERT(!fields.is_appender() && !fields.is_trunk());
  const std::string_view leaf = old.leaf();
  if (old.kind() != FileKind::appender || leaf.size() < kEncodedFieldsSize + kExtensionBlockSize) {
    return Error{Errc::invalid_argument, "not the name of an appender file"};
  }
  return make_remote_name(old.store_path(), old.high(), old.low(), fields,
                          leaf.substr(leaf.size() - kExtensionBlockSize));
}

} // namespace cairn
