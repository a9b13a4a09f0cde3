// The rules of sync.
#include "storage/sync/rules.h"

namespace cairn::storage {

bool lists_for(std::uint32_t source_id, std::uint32_t own_id, std::uint32_t peer_id,
               std::span<const GroupMember> members) {
  if (source_id == own_id) return true;
  std::uint32_t lowest = own_id;
  for (const GroupMember& member : members) {
    if (!member.active || member.id == peer_id) continue;
    if (member.id == source_id) return false;
    if (member.id < lowest) lowest = member.id;
  }
  return lowest == own_id;
}

bool tombstone_wins(FileKind kind, std::uint64_t tombstone_stamp, std::uint64_t put_stamp,
                    bool restored) {
  return (kind != FileKind::slave && !restored) || put_stamp <= tombstone_stamp;
}

bool may_replace(FileKind kind, std::uint32_t sender_id, std::uint32_t owner_id) {
  // The name of a normal file tells its content: there is nothing newer.
  if (kind == FileKind::normal || kind == FileKind::trunk) return false;
  return owner_id == 0 || owner_id == sender_id;
}

} // namespace cairn::storage
