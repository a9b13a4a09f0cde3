// The LevelDB that holds all tables of a tracker's metadata; the first byte of a key names its
// table. Every call blocks: DiskPool only (or before the loops start, or under ResidentOnly).
#pragma once

#include "tracker/log/replicated_log.h"

#include <filesystem>
#include <functional>
#include <memory>
#include <mutex>
#include <string_view>
#include <vector>

namespace leveldb {
class DB;
class FilterPolicy;
class Cache;
class Snapshot;
} // namespace leveldb

namespace cairn::tracker {

class PinningEnv;

// Table 'M' is the store's own: "Mapplied" (LogPos of the last entry and the hash up to it, written
// with its mutations) and "Mfmt" (version of the whole format).
class MetaStore final : public LogApplier {
public:
  // For who reads little: tools and tests. Bytes.
  static constexpr std::size_t kSmallCache = 8 << 20;

  // Opens the store in `directory`, made if it is missing; keeps up to `cache_bytes` of what was
  // read in memory. Errors: busy (another process has it), corrupt (with what to do), unsupported
  // (written by a later version), io_error.
  static Result<std::unique_ptr<MetaStore>> open(const std::filesystem::path& directory,
                                                 std::size_t cache_bytes = kSmallCache);
  ~MetaStore() override;

  LogPos applied() const override { return applied_; }
  Status apply(std::span<const LogEntry> entries, bool sync) override;
  std::uint64_t hash() const override { return hash_; }

  // What was in the store at one moment, while more is applied. Ends before the store does. Any
  // thread.
  class Snapshot {
  public:
    explicit Snapshot(const MetaStore& store);
    ~Snapshot();
    Snapshot(const Snapshot&) = delete;
    Snapshot& operator=(const Snapshot&) = delete;

  private:
    friend class MetaStore;
    const MetaStore& store_;
    const leveldb::Snapshot* at_;
  };

  // One value. Errors: not_found, io_error.
  Result<std::string> get(std::string_view key, const Snapshot* snapshot = nullptr) const;
  // Calls `row` for each key that begins with `prefix` and is not below `from`, in order, until it
  // answers false. Errors: io_error, corrupt.
  Status walk(std::string_view prefix, std::string_view from,
              const std::function<bool(std::string_view key, std::string_view value)>& row,
              const Snapshot* snapshot = nullptr) const;
  // Calls `row` for each key that begins with `prefix`, in order, until it answers an Error, which
  // is passed on.
  Status scan(std::string_view prefix,
              const std::function<Status(std::string_view key, std::string_view value)>& row) const;

  // The same, beginning behind the key `after` (empty: at the first key of the prefix).
  Status scan_from(
      std::string_view prefix, std::string_view after,
      const std::function<Status(std::string_view key, std::string_view value)>& row) const;

  // A copy of the store as it is now, in `directory`, which is made. Its tables are hard links, so
  // that it costs a few megabytes and milliseconds, during which nothing is applied. Answers its
  // position. Any thread. Errors: exists, io_error, no_space.
  Result<LogPos> checkpoint(const std::filesystem::path& directory);

private:
  explicit MetaStore(std::size_t cache_bytes);
  Status copy_files(const std::filesystem::path& to, std::vector<std::filesystem::path>& copied);

  std::filesystem::path directory_;
  std::unique_ptr<PinningEnv> env_;
  std::mutex apply_mutex_; // held while something is written
  std::unique_ptr<const leveldb::FilterPolicy> filter_;
  std::unique_ptr<leveldb::Cache> cache_;
  std::unique_ptr<leveldb::DB> db_; // after what it uses
  LogPos applied_;
  std::uint64_t hash_ = 0;
};

} // namespace cairn::tracker
