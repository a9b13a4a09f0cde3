// A node that comes back after deletes may have been forgotten (it was away for longer than
// tombstones are kept): what no member has any more was deleted meanwhile, unless nobody but this
// node ever had it. Runs before the node serves or sends anything.
#pragma once

#include "common/net/disk_pool.h"
#include "common/net/task.h"
#include "storage/peers/peers.h"
#include "storage/peers/remote.h"
#include "storage/store/store.h"
#include "storage/sync/catalogue.h"

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

namespace cairn::storage {

// When the node was last known to be a running member: base_path/data/last_seen, unix seconds.
class LastSeen {
public:
  explicit LastSeen(const std::filesystem::path& base_path)
      : file_(base_path / "data" / "last_seen") {}

  // 0: never. Blocks.
  std::uint64_t read() const;
  // Errors: io_error, no_space. Blocks.
  Status write(std::uint64_t now) const;

private:
  std::filesystem::path file_;
};

struct ReturnReport {
  std::uint64_t files = 0;    // looked at
  std::uint64_t returned = 0; // moved to data/.returned/
  std::uint64_t kept = 0;     // that only this node has, and nobody ever acknowledged
};

// Moves what was deleted out of the way, once the catalogue is ready and an active member can be
// asked; waits for that until `stopping`. `acked_by_any`: SyncService::acked_by_any(). On the
// thread of `remote`. Errors: unavailable (stopping), io_error.
Task<Result<ReturnReport>> check_return(Store& store, Catalogue& catalogue, Peers& peers,
                                        Remote& remote, std::uint64_t acked_by_any,
                                        std::function<bool()> stopping);

} // namespace cairn::storage
