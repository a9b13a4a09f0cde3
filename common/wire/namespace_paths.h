// Paths of the namespace for storage nodes, which serve them over HTTP and have checked an access
// key: they ask and change without a session, with all rights. Nodes of the cluster only.
#pragma once

#include "common/wire/namespace_admin.h"

namespace cairn::wire {

// To any tracker, which passes it on to the one that holds the metadata.
// NsOnce -> NsOnceReply: as kNsAskOnce, also of private exports; and NsOp::exports.
inline constexpr auto kNsAskTrusted = static_cast<NativeCommand>(205);
inline constexpr auto kNsChangePath =
    static_cast<NativeCommand>(206); // NsChangePath -> NsOnceReply

enum class NsPathChange : std::uint8_t {
  put = 1,    // names stored data; makes the directories above it
  remove = 2, // a file, or an empty directory
};

// One change, all of it or nothing. The owner of what is made is that of the export's root. Errors,
// in NsOnceReply: ENOENT (no such export; remove: no such file), EEXIST (`exclusive`), EISDIR,
// ENOTDIR, ENOTEMPTY, EROFS, EDQUOT, ESTALE (what was stored is being removed), EAGAIN (once more:
// it may have happened).
struct NsChangePath {
  NsPathChange kind = NsPathChange::put;
  std::string path;              // "/EXPORT/2012/a.jpg"
  bool exclusive = false;        // put: nothing may be there
  std::vector<NsExtent> extents; // put: all of the content
  std::uint64_t size = 0;        // put: bytes

  static constexpr auto fields() {
    using M = NsChangePath;
    return std::tuple{integer(&M::kind), string(&M::path), integer(&M::exclusive),
                      list(&M::extents), integer(&M::size)};
  }
};

// The reply of a put.
struct NsPathReply {
  NsNodeReply node;
  bool created = false; // else it was there, and has other content now

  static constexpr auto fields() {
    using M = NsPathReply;
    return std::tuple{nested(&M::node), integer(&M::created)};
  }
};

} // namespace cairn::wire
