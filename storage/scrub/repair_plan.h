// Decides from what the members say of their copies of one file what this node should do about its
// own. Pure: no disk, no sockets.
#pragma once

#include "common/base/file_id.h"
#include "common/wire/integrity.h"

#include <cstdint>
#include <optional>
#include <span>
#include <string>

namespace cairn::storage {

// What another member said.
struct PeerCopy {
  std::uint32_t id = 0;
  bool answered = false;
  wire::CopyFacts facts;
};

struct RepairPlan {
  enum class Action : std::uint8_t {
    none,
    fetch,  // the content of peers[from]
    remove, // the file was deleted
    lost,   // the copy is damaged or missing, and nobody has a good one that may replace it
    wait,   // the same, but not all could be asked
  };
  Action action = Action::none;
  std::size_t from = 0;
  std::uint64_t deleted_stamp = 0; // remove: of the tombstone
  std::uint32_t deleted_by = 0;
  std::string why; // lost, wait
};

// `owner`: the node where the file is changed, 0: unknown. A copy that is the last one, or of the
// owner itself, is replaced only by one that has the very content its checksums promise.
RepairPlan plan_content(FileKind kind, const wire::CopyFacts& own, std::uint32_t own_id,
                        std::uint32_t owner, std::span<const PeerCopy> peers);

// The member whose metadata are newer, or whole where ours are damaged; nullopt: ours are right.
std::optional<std::size_t> plan_metadata(const wire::CopyFacts& own,
                                         std::span<const PeerCopy> peers);

} // namespace cairn::storage
