// The namespace's tables: keys, and values as bytes. docs/namespace.md draws them. Integers in keys
// are big-endian so that order is kept; in values they are varints so that a small file is small.
#pragma once

#include "common/wire/namespace_admin.h"

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace cairn::tracker {

using wire::NsTime;
using wire::NsType;

// --- keys ----------------------------------------------------------------------------------------

namespace key {
std::string inode(std::uint64_t ino);                                             // I
std::string entry(std::uint64_t parent, std::string_view name);                   // D
std::string cookie(std::uint64_t parent, std::uint64_t cookie);                   // e
std::string extent(std::uint64_t ino, std::uint64_t end);                         // E
std::string xattr(std::uint64_t ino, std::string_view name);                      // X
std::string link(std::uint64_t ino, std::uint64_t parent, std::string_view name); // P
std::string references(std::string_view ref);                                     // R
std::string garbage(std::uint64_t due_ms, std::string_view ref);                  // G
std::string trash(std::uint64_t due_s, std::uint64_t ino);                        // T
std::string orphan(std::uint64_t ino);                                            // O
std::string condemned(std::string_view ref);                                      // H
std::string fragmented(std::uint64_t ino);                                        // F
std::string session(std::uint64_t session);                                       // S
std::string answer(std::uint64_t session, std::uint64_t sequence); // N, by sequence % kNsWindow
std::string quota(std::uint64_t root);                             // Q
std::string export_name(std::string_view name);                    // B
inline constexpr std::string_view kState = "Vstate";

// `table` and one number: the prefix of all rows of an inode, directory or session.
std::string prefix(char table, std::uint64_t number);
// The number of 8 bytes at `offset` of a key. The key is long enough.
std::uint64_t number_at(std::string_view key, std::size_t offset);
} // namespace key

// --- stored files
// ----------------------------------------------------------------------------------

// A FastDFS ID in binary: 32 bytes or so where the text has 51. Order means nothing.
//   varint n   n > 0: the group is "group<n>"; 0: a length byte and the group's name
//   u8 form    0: store path, two directories, 20 bytes, 7 characters; 1: the name as text
// Errors: invalid_argument (not a file ID).
Result<std::string> encode_ref(std::string_view id);
// Errors: corrupt.
Result<std::string> decode_ref(std::string_view ref);
// Bytes in the stored file as its name tells them; 0 when the name does not (appenders, slaves).
std::uint64_t stored_size(std::string_view id);

// A run of a file's content.
struct Extent {
  std::uint64_t offset = 0; // in the file
  std::uint64_t length = 0;
  std::string ref;          // encode_ref()
  std::uint64_t source = 0; // offset in the stored file
  bool owned = true;

  std::uint64_t end() const { return offset + length; }
  friend bool operator==(const Extent&, const Extent&) = default;
};

// --- values
// ----------------------------------------------------------------------------------------

// Extents that an inode row holds itself; with more of them all are rows of table E.
inline constexpr std::size_t kInlineExtents = 2;

struct Inode {
  std::uint64_t ino = 0; // of the key
  NsType type = NsType::none;
  std::uint16_t mode = 0;
  std::uint32_t nlink = 0;
  std::uint32_t uid = 0;
  std::uint32_t gid = 0;
  std::uint64_t rdev = 0;
  std::uint64_t size = 0;
  std::uint64_t bytes = 0; // in extents
  NsTime atime, mtime, ctime, btime;
  std::uint64_t parent =
      0;                  // of a directory: where it is; of a file: one of its directories; 0 none
  std::uint64_t root = 0; // inode of the export's root, to which quota is charged
  std::uint64_t version = 0;
  std::uint64_t data_version = 0;
  bool has_xattr = false;
  bool has_acl = false;
  std::uint64_t trash_due = 0;   // unix seconds; not 0: in the trash
  std::uint64_t extent_rows = 0; // not 0: that many rows in table E, and `extents` is empty
  std::vector<Extent> extents;   // at most kInlineExtents
  std::string target;            // of a symlink

  bool is_directory() const { return type == NsType::directory; }
  bool is_regular() const { return type == NsType::regular; }
  std::uint64_t extent_count() const { return extent_rows != 0 ? extent_rows : extents.size(); }
};
std::string encode(const Inode& inode);
// Errors: corrupt.
Result<Inode> decode_inode(std::uint64_t ino, std::string_view row);

struct DirEntry {
  std::uint64_t ino = 0;
  NsType type = NsType::none;
  std::uint64_t cookie = 0; // the inode's number when the entry was made with it
};
std::string encode(const DirEntry& entry);
Result<DirEntry> decode_entry(std::string_view row);

// Table E; the offset follows from the key.
std::string encode(const Extent& extent);
Result<Extent> decode_extent(std::uint64_t end, std::string_view row);

std::string encode_count(std::uint64_t count);
Result<std::uint64_t> decode_count(std::string_view row);

// "Vstate": what the namespace counts with.
struct StateRow {
  std::uint64_t next = 2;     // next inode number and cookie
  std::uint64_t position = 0; // changes so far; the namespace's own clock, unlike log indexes it
                              // counts operations
  std::uint64_t session = 1;  // next session
  NsTime clock;               // time of the last change; never goes back
  // Sessions below it belong to a history that this store has not seen to its end (it was put back
  // from a backup): nothing is known of what they uploaded.
  std::uint64_t session_floor = 0;

  static constexpr auto fields() {
    using M = StateRow;
    return std::tuple{wire::integer(&M::next), wire::integer(&M::position),
                      wire::integer(&M::session), wire::time(&M::clock),
                      wire::integer(&M::session_floor)};
  }
};

struct SessionRow {
  std::uint64_t token = 0;
  wire::NsSessionKind kind = wire::NsSessionKind::client;
  std::string export_name;
  std::string label;
  std::string address;
  std::uint64_t opened = 0; // unix seconds

  static constexpr auto fields() {
    using M = SessionRow;
    return std::tuple{wire::integer(&M::token),      wire::integer(&M::kind),
                      wire::string(&M::export_name), wire::string(&M::label),
                      wire::string(&M::address),     wire::integer(&M::opened)};
  }
};

// The answer of a change, kept for whoever asks again.
struct AnswerRow {
  std::uint64_t sequence = 0;
  std::uint64_t position = 0;
  wire::Bytes reply;

  static constexpr auto fields() {
    using M = AnswerRow;
    return std::tuple{wire::integer(&M::sequence), wire::integer(&M::position),
                      wire::blob(&M::reply)};
  }
};

// A file that was written in pieces, and may have to be rewritten.
struct FragmentsRow {
  std::uint64_t written_ms = 0; // unix milliseconds of the last write that made it worse
  std::uint64_t dead = 0;       // bytes overwritten in stored files that stay, at most

  static constexpr auto fields() {
    using M = FragmentsRow;
    return std::tuple{wire::integer(&M::written_ms), wire::integer(&M::dead)};
  }
};

struct TrashRow {
  std::uint64_t root = 0;    // of the export
  std::uint64_t removed = 0; // unix seconds
  std::string path;          // where it was, in the export

  static constexpr auto fields() {
    using M = TrashRow;
    return std::tuple{wire::integer(&M::root), wire::integer(&M::removed), wire::string(&M::path)};
  }
};

// Rows that are messages. Errors: corrupt.
template <class Row>
std::string encode_row(const Row& row) {
  const wire::Bytes bytes = wire::encode(row);
  return std::string(wire::as_text(bytes));
}
template <class Row>
Result<Row> decode_row(std::string_view bytes) {
  auto row = wire::decode_lenient<Row>(wire::as_view(bytes));
  if (!row) return Error{Errc::corrupt, "a row of the namespace does not decode"};
  return row;
}

} // namespace cairn::tracker
