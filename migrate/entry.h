// One thing of a source tree: what lstat(2) tells of it, in a form that the ledger keeps. Paths are
// relative to the root of the tree, without a '/' at either end; the root is "". Names are bytes.
#pragma once

#include "cairn/namespace.h"
#include "common/wire/codec.h"

#include <cstdint>
#include <string>
#include <string_view>
#include <sys/stat.h>

namespace cairn::migrate {

struct Entry {
  NodeType type = NodeType::regular;
  std::uint32_t mode = 0; // 07777
  std::uint32_t uid = 0;
  std::uint32_t gid = 0;
  std::uint32_t nlink = 1;
  std::uint64_t size = 0;   // bytes
  std::uint64_t blocks = 0; // of 512 bytes; less than the size has when there are holes
  std::uint64_t device = 0;
  std::uint64_t inode = 0;
  std::uint64_t rdev = 0; // major << 32 | minor, of a device
  std::int64_t mtime_s = 0;
  std::uint32_t mtime_ns = 0;
  std::int64_t ctime_s = 0;
  std::uint32_t ctime_ns = 0;
  std::string target; // of a symlink

  static constexpr auto fields() {
    using M = Entry;
    return std::tuple{
        wire::integer(&M::type),    wire::integer(&M::mode),     wire::integer(&M::uid),
        wire::integer(&M::gid),     wire::integer(&M::nlink),    wire::integer(&M::size),
        wire::integer(&M::blocks),  wire::integer(&M::device),   wire::integer(&M::inode),
        wire::integer(&M::rdev),    wire::integer(&M::mtime_s),  wire::integer(&M::mtime_ns),
        wire::integer(&M::ctime_s), wire::integer(&M::ctime_ns), wire::string(&M::target)};
  }
  bool is_directory() const { return type == NodeType::directory; }
  bool is_regular() const { return type == NodeType::regular; }
  FileTime mtime() const { return {mtime_s, mtime_ns}; }
  // The same thing, not touched since: nothing that changes with its content differs.
  bool unchanged_since(const Entry& before) const {
    return type == before.type && size == before.size && mtime() == before.mtime() &&
           ctime_s == before.ctime_s && ctime_ns == before.ctime_ns && inode == before.inode;
  }
  // Mode, owner and time, which can be set without touching the content.
  bool same_attributes(const Entry& other) const {
    return mode == other.mode && uid == other.uid && gid == other.gid && mtime() == other.mtime();
  }
};

// What stat(2) answered. `target` is filled by who has read the link.
Entry entry_of(const struct stat& status);

// The directory of a path, and its last name.
std::string_view parent_of(std::string_view path);
std::string_view name_of(std::string_view path);
// `directory` and `name` as one path.
std::string join(std::string_view directory, std::string_view name);

// A path for people: bytes that are no printable UTF-8 as \ooo, so that a line stays a line.
std::string printable(std::string_view path);
// True for well-formed UTF-8 without control characters.
bool is_plain_text(std::string_view path);

} // namespace cairn::migrate
