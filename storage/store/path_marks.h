// Recognises the disk behind a store path by a mark on it, so that one that was replaced by an
// empty one is filled again, one that is not mounted is not taken for empty, and one that belongs
// to another path or node is not used.
//
//   <store path>/data/.mark         a UUID
//   base_path/data/path_marks       a line for each path: index, UUID, 1 if it was a mount point
#pragma once

#include "common/base/result.h"
#include "common/config/storage_config.h"

#include <cstdint>
#include <vector>

namespace cairn::storage {

// The paths whose files are not those of the last run, by index: they are to be walked and brought
// up again. Before the store is opened; touches nothing. Blocks. Errors: unavailable (the disk is
// not mounted), busy (the disk of another store path), io_error.
Result<std::vector<std::uint8_t>> changed_paths(const config::StorageConfig& config);

// Marks the store paths as they are now, once what changed_paths() told is taken care of. Blocks.
// Errors: io_error, no_space.
Status mark_paths(const config::StorageConfig& config);

} // namespace cairn::storage
