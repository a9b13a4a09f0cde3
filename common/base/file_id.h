// File IDs: the grammar of FastDFS file names, which is the only way a name from outside becomes a
// path. Pure text and bits: whether a file exists is the store's business.
//
//   group1/M00/02/44/wKgDrE34E8wAAAAAAAAGkEIYJK42378.sh
//   group  path HH/LL 27 = base64url of 20 bytes, then the 7-character extension block
//
// The 20 bytes, integers big-endian unless said otherwise:
//
//   0       4          8              16      20
//   | source | timestamp | size field   | crc32 |
//
//   source      IPv4 address in network order, or a numeric server ID in little-endian order
//   size field  bit 63: the low 32 bits are the size, bits 54-32 are random; bit 59: trunk-stored;
//               bit 58: appender; bit 63 clear: the whole field is the size
//
// A trunk-stored file has 16 more characters before the block (base64url of three 32-bit numbers).
// A slave file has the 27 characters of its master, cut before the extension, then its own prefix
// and extension.
#pragma once

#include "common/base/result.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace cairn {

inline constexpr std::size_t kGroupNameMax = 16;      // characters
inline constexpr std::size_t kExtensionMax = 6;       // characters, without the dot
inline constexpr std::size_t kSlavePrefixMax = 16;    // characters
inline constexpr std::size_t kRemoteNameMax = 127;    // characters, "M00/…" included
inline constexpr std::size_t kEncodedFieldsSize = 27; // characters
inline constexpr std::size_t kExtensionBlockSize = 7; // characters
inline constexpr std::size_t kNormalNameSize = 44;    // characters of "M00/HH/LL/" + 27 + 7
inline constexpr std::size_t kTrunkNameSize = 60;     // the same with 16 trunk characters
inline constexpr std::uint32_t kServerIdMax = 16'777'215;
// Larger sizes would run into the flag bits of the size field.
inline constexpr std::uint64_t kFileSizeMax = (std::uint64_t{1} << 58) - 1;

// Who stored a file first: a numeric server ID (1 to kServerIdMax) or an IPv4 address, as four
// bytes of the name. Read as a little-endian number they are an ID when that is in range, else an
// address. So an address x.y.z.0 cannot be told from an ID (it cannot be a host address in
// practice) and from_ipv4() of one reads back as an ID; 0.0.0.0 is an address.
struct SourceRef {
  std::uint32_t little_endian = 0; // the four bytes, first one lowest

  // `id` must be 1 to kServerIdMax.
  static constexpr SourceRef from_server_id(std::uint32_t id) { return SourceRef{id}; }
  // `octets` in written order: {192, 168, 1, 20}.
  static constexpr SourceRef from_ipv4(std::array<std::uint8_t, 4> octets) {
    return SourceRef{
        static_cast<std::uint32_t>(octets[0]) | static_cast<std::uint32_t>(octets[1]) << 8 |
        static_cast<std::uint32_t>(octets[2]) << 16 | static_cast<std::uint32_t>(octets[3]) << 24};
  }

  constexpr bool is_server_id() const {
    return little_endian >= 1 && little_endian <= kServerIdMax;
  }
  // The server ID, or nullopt for an address.
  constexpr std::optional<std::uint32_t> server_id() const {
    if (!is_server_id()) return std::nullopt;
    return little_endian;
  }
  // The four bytes in the order of the name: for an address, as it is written.
  constexpr std::array<std::uint8_t, 4> octets() const {
    return {static_cast<std::uint8_t>(little_endian), static_cast<std::uint8_t>(little_endian >> 8),
            static_cast<std::uint8_t>(little_endian >> 16),
            static_cast<std::uint8_t>(little_endian >> 24)};
  }
  // "100001" or "192.168.1.20".
  std::string text() const;

  friend constexpr bool operator==(SourceRef, SourceRef) = default;
};

// "100001" (decimal without leading zero, 1 to kServerIdMax) or a dotted IPv4 address.
Result<SourceRef> parse_source_ref(std::string_view text);

// What a name says about how its file is kept.
enum class FileKind : std::uint8_t {
  normal,
  appender, // may grow: size and crc32 of the name are those of the first upload
  slave,    // carries its master's 27 characters: nothing in them describes this file
  trunk,    // an immutable file inside a trunk file
};

// "normal", "appender", "slave", "trunk".
std::string_view describe(FileKind kind);

// The 20 bytes of a name.
struct FileIdFields {
  SourceRef source;
  std::uint32_t timestamp = 0;  // unix seconds: when the upload ended (trunk: when it began)
  std::uint64_t size_field = 0; // see the drawing above; size() reads it
  std::uint32_t crc32 = 0;      // of the content; appender: of the initial content

  constexpr bool is_appender() const { return (size_field & kAppenderBit) != 0; }
  constexpr bool is_trunk() const { return (size_field & kTrunkBit) != 0; }
  // The size in bytes as every FastDFS client decodes it; meaningless (0) for appender files.
  constexpr std::uint64_t size() const {
    return (size_field & (kSmallBit | kTrunkBit)) != 0 ? size_field & 0xFFFF'FFFFU : size_field;
  }

  static constexpr std::uint64_t kSmallBit = std::uint64_t{1} << 63;
  static constexpr std::uint64_t kTrunkBit = std::uint64_t{1} << 59;
  static constexpr std::uint64_t kAppenderBit = std::uint64_t{1} << 58;

  friend constexpr bool operator==(const FileIdFields&, const FileIdFields&) = default;
};

// The size field of a new name. `kind` is normal, appender (`size` is not used: the name says 0) or
// trunk (`size` below 4 GiB); `size` at most kFileSizeMax. Of `random` the low 23 bits are used; a
// normal file of 4 GiB or more has none.
std::uint64_t make_size_field(std::uint64_t size, FileKind kind, std::uint64_t random);

// The 27 characters of `fields`.
std::string encode27(const FileIdFields& fields);

// The fields of exactly 27 characters; invalid_argument when they are not the encoding of 20 bytes
// (a character outside the alphabet, or spare bits set).
Result<FileIdFields> decode27(std::string_view text);

// Where a trunk-stored file lies.
struct TrunkLocation {
  std::uint32_t file = 0;      // number of the trunk file
  std::uint32_t offset = 0;    // bytes from its start to the slot (a 24-byte header, then data)
  std::uint32_t slot_size = 0; // bytes, header included

  friend constexpr bool operator==(const TrunkLocation&, const TrunkLocation&) = default;
};

// The 16 characters of a trunk location.
std::string encode_trunk(const TrunkLocation& location);

class RemoteName;

// Parses the name of a file as clients send it, without group: "M00/HH/LL/leaf", or the form of
// FastDFS before 1.12 without "M00/" (store path 0). This is the whole protection against path
// traversal. Accepted is exactly:
//   - 11 to 127 characters;
//   - "M", two hex digits of either case (the store path index), "/" - or nothing of this;
//   - two upper-case hex digits, "/", two upper-case hex digits, "/";
//   - a leaf of A-Z a-z 0-9 - _ . that does not begin with "." (so never "..", and never one of our
//     own dot-directories) and does not end in "-m": <name>-m is the metadata side file of <name>,
//     which only the metadata commands may touch.
// Everything else, NUL and control characters included, is invalid_argument. The index is not
// compared with the number of store paths here. Does not allocate when it succeeds.
Result<RemoteName> parse_remote_name(std::string_view text);

// A parsed remote name: a value of about 200 bytes without heap memory; its views live as long as
// it does. A default one is empty and names nothing.
class RemoteName {
public:
  RemoteName() = default;

  // As it was given.
  std::string_view text() const { return {text_.data(), size_}; }
  // "HH/LL/leaf": the path below <store path>/data/ (for trunk-stored files nothing is there). A
  // NUL follows it in memory, so its data() is a C string for system calls.
  std::string_view true_name() const { return text().substr(prefix_size_); }
  std::string_view leaf() const { return size_ == 0 ? text() : text().substr(prefix_size_ + 6U); }
  // "Mpp/HH/LL/leaf" with an upper-case index: one spelling for one file.
  std::string canonical() const;

  std::uint8_t store_path() const { return store_path_; }
  std::uint8_t high() const { return high_; } // first directory level
  std::uint8_t low() const { return low_; }   // second directory level

  // By the rules of FastDFS 6: bit 58 appender; longer than 60 characters, or than 44 without bit
  // 59: slave; 60 with bit 59: trunk; else normal (lengths in the "M00/" form). Beyond them: a name
  // of at most 44 whose end is no extension block is a slave too (a short prefix without
  // extension). FastDFS 3.x set bits 58 and 59 by chance, so only the disk knows for sure: a file
  // that exists under a name is read, whatever this says. A leaf that does not decode is normal.
  FileKind kind() const { return kind_; }
  // The 20 bytes; nullopt when the leaf does not begin with 27 decodable characters. For a slave
  // they describe the master.
  const std::optional<FileIdFields>& fields() const { return fields_; }
  // Set exactly for FileKind::trunk.
  const std::optional<TrunkLocation>& trunk() const { return trunk_; }

  // The same file: index, directories and leaf; the spelling of the prefix does not matter.
  friend bool operator==(const RemoteName& a, const RemoteName& b) {
    return a.store_path_ == b.store_path_ && a.true_name() == b.true_name();
  }

private:
  friend Result<RemoteName> parse_remote_name(std::string_view text);

  std::array<char, kRemoteNameMax + 1> text_{}; // always ends in NUL
  std::uint8_t size_ = 0;
  std::uint8_t prefix_size_ = 0; // 4 for "M00/", else 0
  std::uint8_t store_path_ = 0;
  std::uint8_t high_ = 0;
  std::uint8_t low_ = 0;
  FileKind kind_ = FileKind::normal;
  std::optional<FileIdFields> fields_;
  std::optional<TrunkLocation> trunk_;
};

// Group names are 1 to 16 of A-Z a-z 0-9.
Status validate_group_name(std::string_view group);

// A file ID: the group and the name in it.
struct FileId {
  std::string group;
  RemoteName name;

  // "group1/M00/HH/LL/leaf", the name as it was given.
  std::string text() const;
  friend bool operator==(const FileId&, const FileId&) = default;
};

// Splits at the first "/" and validates both parts; invalid_argument otherwise.
Result<FileId> parse_file_id(std::string_view text);

// A file name extension as uploads carry it: 0 to 6 characters of A-Z a-z 0-9 - _ . without the
// leading dot (a dot is allowed inside: "tar.gz"). One that ends in "-m" is refused: the name could
// not be told from a metadata side file.
Status validate_extension(std::string_view extension);

// A slave prefix: 1 to 16 characters of A-Z a-z 0-9 - _ .
Status validate_prefix(std::string_view prefix);

// The 7 characters at the end of a new name: "417.txt", ".tar.gz", "1398204" (no extension). The
// digits come from `random`. `extension` must be valid.
std::string extension_block(std::string_view extension, std::uint64_t random);

// The name of the slave of `master` with `prefix` and `extension` (nullopt: the master's own, as
// the client-side helpers do it; empty: none; one leading dot is not doubled). The master is cut at
// the first "." of its last 7 characters, if any. Result: "Mpp/HH/LL/leaf", spelled as the
// master's prefix. invalid_argument: bad characters or lengths; a master shorter than 34 characters
// after "Mpp/"; prefix "-m" without extension and everything else that would end in "-m"; an empty
// prefix with the master's own extension (the name would be the master's); and a name that would
// read as trunk-stored. name_too_long: over 127 characters. Upload of a slave also demands a
// non-empty prefix: use validate_prefix() for that.
Result<std::string> slave_name(const RemoteName& master, std::string_view prefix,
                               std::optional<std::string_view> extension);

// "Mpp/HH/LL/" + 27 + `block` (7 characters), or with `trunk` 16 characters more before the block.
std::string make_remote_name(std::uint8_t store_path, std::uint8_t high, std::uint8_t low,
                             const FileIdFields& fields, std::string_view block,
                             const std::optional<TrunkLocation>& trunk = std::nullopt);

// The name an appender file gets when it becomes a normal file (command 38): in the same store path
// and directory, `fields` (built with FileKind::normal: timestamp now, size and CRC32 of the whole
// content), and the last 7 characters of the old name. invalid_argument when `old` is no appender
// name.
Result<std::string> regenerated_name(const RemoteName& old, const FileIdFields& fields);

} // namespace cairn
