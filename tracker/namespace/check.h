// Does everything in the namespace's tables fit together? What `cairn fsck` asks the tracker, and
// what the tests ask after every storm.
#pragma once

#include "tracker/namespace/key_value.h"

#include <cstdint>
#include <string>
#include <vector>

namespace cairn::tracker {

struct CheckReport {
  std::uint64_t inodes = 0;
  std::uint64_t entries = 0;
  std::uint64_t extents = 0;
  std::uint64_t references = 0;    // stored files that the namespace owns
  std::vector<std::string> faults; // one line for people each; at most kFaultsMax

  static constexpr std::size_t kFaultsMax = 1000;
};

// Reads all tables. Memory: about 100 bytes an inode, an entry and an owned stored file. Errors:
// io_error, corrupt (a row that cannot be read at all).
Result<CheckReport> check_tables(const KeyValueView& view);

} // namespace cairn::tracker
