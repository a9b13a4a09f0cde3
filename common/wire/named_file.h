// Files that keep the name they have elsewhere: who brings the files of another cluster over gives
// a storage node each one under its old ID.
#pragma once

#include "common/wire/native.h"

namespace cairn::wire {

// To a storage node, by who knows the cluster's secret: the length of PutNamed (4 bytes), PutNamed,
// and the content -> PutNamedReply.
inline constexpr auto kPutNamed = static_cast<NativeCommand>(199);

inline constexpr std::size_t kPutNamedMax = 1024; // bytes of an encoded PutNamed

// Errors: invalid_argument (no such name, or no such store path), corrupt (a name that says size
// and checksum, and not these), exists (another content has the name; or it was deleted here, and
// `again` is false), no_space, busy, unavailable, timeout (stored, with too few copies).
struct PutNamed {
  std::string name;        // "M00/HH/LL/…", without the group
  std::uint64_t size = 0;  // of the content, bytes
  std::uint32_t mtime = 0; // unix seconds; what readers are told as Last-Modified
  std::uint8_t copies = 1; // as the flags of an upload, see common/wire/copies.h
  bool again = false;      // also when the name was deleted here before

  static constexpr auto fields() {
    using M = PutNamed;
    return std::tuple{string(&M::name), integer(&M::size), integer(&M::mtime), integer(&M::copies),
                      integer(&M::again)};
  }
};

struct PutNamedReply {
  bool was_there = false;  // with this content; nothing was written, and copies were not counted
  std::uint32_t crc32 = 0; // of the stored content
  std::uint8_t have = 1;
  std::uint8_t wanted = 1;

  static constexpr auto fields() {
    using M = PutNamedReply;
    return std::tuple{integer(&M::was_there), integer(&M::crc32), integer(&M::have),
                      integer(&M::wanted)};
  }
};

} // namespace cairn::wire
