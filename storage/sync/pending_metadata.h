// Metadata that came before its file: set at another node, it travels by another stream than the
// file. One LevelDB in base_path/data/sync/pending, name -> stamp, origin, text; normally empty.
#pragma once

#include "common/base/result.h"
#include "common/wire/native.h"

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

namespace leveldb {
class DB;
}

namespace cairn::storage {

// Thread-safe; every call may block on the disk.
class PendingMetadata {
public:
  struct Entry {
    std::uint64_t stamp = 0;
    std::uint32_t origin_id = 0;
    std::uint32_t time = 0; // unix seconds of the arrival
    std::string text;

    static constexpr auto fields() {
      using M = Entry;
      return std::tuple{wire::integer(&M::stamp), wire::integer(&M::origin_id),
                        wire::integer(&M::time), wire::string(&M::text)};
    }
  };

  // What is damaged is thrown away: comparison with the peers will find what it said. Errors:
  // io_error.
  static Result<std::unique_ptr<PendingMetadata>> open(const std::filesystem::path& directory);
  ~PendingMetadata();

  // Keeps the entry with the higher stamp, on stable storage. Errors: io_error.
  Status put(const std::string& name, const Entry& entry);
  // Errors: io_error, corrupt.
  Result<std::optional<Entry>> find(const std::string& name) const;
  Status erase(const std::string& name);
  // True as long as nothing waits: the only question on the way of most files.
  bool is_empty() const { return count_.load() == 0; }
  // Removes those older than `before` (unix seconds).
  Status prune(std::uint32_t before);

private:
  explicit PendingMetadata(std::unique_ptr<leveldb::DB> db);

  mutable std::mutex mutex_; // makes put() and erase() whole
  std::unique_ptr<leveldb::DB> db_;
  std::atomic<std::uint64_t> count_{0};
};

} // namespace cairn::storage
