// What was deleted, and when: data, not a cache (G4). One LevelDB in base_path/data/tombstones,
// name -> stamp, origin, time.
#pragma once

#include "common/base/result.h"

#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>

namespace leveldb {
class DB;
}

namespace cairn::storage {

struct Tombstone {
  std::uint64_t stamp = 0;     // hybrid clock of the delete
  std::uint32_t origin_id = 0; // node where it was made
  std::uint32_t time = 0;      // unix seconds
};

// Thread-safe; every call may block on the disk.
class Tombstones {
public:
  // `synced`: each put is on stable storage when it returns. Errors: io_error, corrupt.
  static Result<std::unique_ptr<Tombstones>> open(const std::filesystem::path& directory,
                                                  bool synced);
  ~Tombstones();

  // Keeps the later of this and what is there.
  Status put(const std::string& name, const Tombstone& tombstone);
  // nullopt: not deleted. Errors: io_error.
  Result<std::optional<Tombstone>> find(const std::string& name) const;
  // For a name that was used again with a later stamp.
  Status erase(const std::string& name);
  // All in name order, from names greater than `after`; stops when `visit` answers false.
  Status scan(const std::string& after,
              const std::function<bool(const std::string&, const Tombstone&)>& visit) const;
  // Removes those older than `before` (unix seconds); answers how many.
  Result<std::uint64_t> prune(std::uint32_t before);

private:
  Tombstones(std::unique_ptr<leveldb::DB> db, bool synced);

  std::unique_ptr<leveldb::DB> db_;
  const bool synced_;
};

} // namespace cairn::storage
