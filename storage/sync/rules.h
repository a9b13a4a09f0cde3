// The rules of sync that need no state: who lists a file to a new member, whether a deleted name
// may come back, whose copy replaces another.
#pragma once

#include "common/base/file_id.h"

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

namespace cairn::storage {

// A member of the group as a view shows it, deleted ones left out.
struct GroupMember {
  std::uint32_t id = 0;
  bool active = false; // it answers and holds its own files

  friend bool operator==(const GroupMember&, const GroupMember&) = default;
};

// The group at one moment, for one bring-up.
struct GroupSnapshot {
  std::uint32_t own_id = 0;
  std::vector<GroupMember> members; // the others
  // The node that stored a file first (0: unknown); aliases and addresses resolved.
  std::function<std::uint32_t(const RemoteName&)> source_of;
};

// Whether this node lists what belongs to `source_id` when it brings up `peer_id`: its own always,
// and what nobody else can list if it has the lowest ID of those that are there. The peer itself
// never counts: what it once had is what it lacks now.
bool lists_for(std::uint32_t source_id, std::uint32_t own_id, std::uint32_t peer_id,
               std::span<const GroupMember> members);

// Whether a tombstone keeps a name from being stored again (G4). Names are made once, with random
// bits, so a deleted one never returns, whatever the clocks say; only the name of a slave file,
// which follows from its master's, may be used again later, and that of a file that somebody has
// `restored` from the trash, at `put_stamp`.
bool tombstone_wins(FileKind kind, std::uint64_t tombstone_stamp, std::uint64_t put_stamp,
                    bool restored);

// Whether a whole file from `sender_id` replaces a different one of the same name: only the owner
// changes a file, so only its copy is newer. An unknown owner (0) leaves it to the sender.
bool may_replace(FileKind kind, std::uint32_t sender_id, std::uint32_t owner_id);

} // namespace cairn::storage
