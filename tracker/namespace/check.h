// Does everything in the namespace's tables fit together? What `cairn fsck` asks the tracker, and
// what the tests ask after every storm.
#pragma once

#include "tracker/namespace/key_value.h"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace cairn::tracker {

// One row as it should be. It is only put right while it still is as it was found.
struct RowFix {
  std::string key;
  std::optional<std::string> found; // nullopt: there was none
  std::optional<std::string> right; // nullopt: there should be none
};

struct CheckReport {
  std::uint64_t inodes = 0;
  std::uint64_t entries = 0;
  std::uint64_t extents = 0;
  std::uint64_t references = 0;    // stored files that the namespace owns
  std::vector<std::string> faults; // one line for people each; at most kFaultsMax
  // What follows from other rows beyond doubt: counters, indexes, names of nothing. At most
  // kFaultsMax; the rest is found by the next check.
  std::vector<RowFix> fixes;

  static constexpr std::size_t kFaultsMax = 1000;
};

// Reads all tables. Memory: about 100 bytes an inode, an entry and an owned stored file. Errors:
// io_error, corrupt (a row that cannot be read at all).
Result<CheckReport> check_tables(const KeyValueView& view);

} // namespace cairn::tracker
