// Fragmented files are stored anew: the tracker tells a storage node which ranges of which stored
// files make the new one, and names it afterwards.
#pragma once

#include "common/wire/native.h"

namespace cairn::wire {

// tracker -> storage node: Rewrite -> RewriteReply. Errors: invalid_argument (more than may be),
// unavailable (a part cannot be read now, too few nodes), no_space, io_error.
inline constexpr auto kRewrite = static_cast<NativeCommand>(197);

// Of one Rewrite.
inline constexpr std::size_t kRewritePartsMax = 16'384;
inline constexpr std::uint64_t kRewriteBytesMax = 64ULL << 20;
// Bytes of an encoded Rewrite.
inline constexpr std::uint64_t kRewriteFrameMax = 4ULL << 20;

// The next bytes of the new stored file.
struct RewritePart {
  std::string id; // of a stored file, "group1/M00/…"; empty: zeros
  std::uint64_t offset = 0;
  std::uint64_t length = 0;

  static constexpr auto fields() {
    using M = RewritePart;
    return std::tuple{string(&M::id), integer(&M::offset), integer(&M::length)};
  }
};

// Where the parts of another group are read.
struct RewriteSource {
  std::string group;
  std::string host; // numeric address
  std::uint16_t port = 0;

  static constexpr auto fields() {
    using M = RewriteSource;
    return std::tuple{string(&M::group), string(&M::host), integer(&M::port)};
  }
};

struct Rewrite {
  std::string extension;   // of the new name, without the dot
  std::string mark;        // encoded OriginMark of the new file
  std::uint8_t copies = 1; // nodes that must have it before the answer; see common/wire/copies.h
  std::vector<RewritePart> parts;
  std::vector<RewriteSource> sources; // in the order to be asked

  static constexpr auto fields() {
    using M = Rewrite;
    return std::tuple{string(&M::extension), string(&M::mark), integer(&M::copies), list(&M::parts),
                      list(&M::sources)};
  }
};

struct RewriteReply {
  std::string id;
  std::uint8_t copies = 1; // nodes that have it

  static constexpr auto fields() {
    using M = RewriteReply;
    return std::tuple{string(&M::id), integer(&M::copies)};
  }
};

} // namespace cairn::wire
