// How a client of ours asks for several copies of an upload, and what it is told. A FastDFS client
// sends 0 in the status byte of a request and gets the FastDFS reply.
#pragma once

#include "common/wire/codec.h"

#include <cstdint>
#include <string>

namespace cairn::wire {

// In the status byte of an upload (11, 21, 23): nodes that must have the file before the answer; 0:
// as many as the group is configured for, and the FastDFS reply.
inline constexpr std::uint8_t kCopiesMask = 0x1F;
// Not more than the group has members.
inline constexpr std::uint8_t kCopiesOfMembers = 0x80;

// The reply to an upload that asked for copies. Less `have` than `wanted`: the file is stored and
// the other nodes will get it; whether that is an error the node's `copies_short` says.
struct StoredCopies {
  std::uint8_t have = 1;
  std::uint8_t wanted = 1;
  bool refused = false; // copies_short = refuse: to be told as a failure
  std::string id;       // "group1/M00/…"

  static constexpr auto fields() {
    using M = StoredCopies;
    return std::tuple{integer(&M::have), integer(&M::wanted), integer(&M::refused), string(&M::id)};
  }
};

} // namespace cairn::wire
