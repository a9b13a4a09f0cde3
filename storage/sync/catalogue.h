// What files this node holds, without walking its directories: one LevelDB per store path,
//   base_path/data/catalogue/<path, two hex digits>/     name -> CatalogueRow, "!state" -> State
// It is a cache (G8): it follows the binlog in the background, and is made anew from the store path
// when it is missing, damaged, or the log no longer holds what follows its position.
#pragma once

#include "common/base/file_id.h"
#include "common/base/result.h"
#include "common/wire/native.h"
#include "storage/binlog/binlog.h"
#include "storage/store/store.h"

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <mutex>
#include <optional>
#include <shared_mutex>
#include <string>
#include <thread>
#include <vector>

namespace leveldb {
class DB;
}

namespace cairn::storage {

// One file.
struct CatalogueRow {
  wire::FileSummary summary;
  std::uint32_t origin_id = 0; // node that made the last change to its content; 0: unknown
  std::uint64_t seq = 0;       // record of the last change, 0: found by walking
  bool crc_known = true;       // false: summary.crc32 has to be read from the file
  std::string mark;            // origin mark; empty: the file is nobody's but its ID's

  static constexpr auto fields() {
    using M = CatalogueRow;
    return std::tuple{wire::nested(&M::summary), wire::integer(&M::origin_id),
                      wire::integer(&M::seq), wire::integer(&M::crc_known), wire::string(&M::mark)};
  }
};

class Catalogue {
public:
  // Opens or creates the catalogue in `directory` for the store paths with these roots. What is
  // damaged is thrown away. `store` and `binlog` outlive it. Errors: io_error, no_space.
  static Result<std::unique_ptr<Catalogue>> open(const std::filesystem::path& directory,
                                                 std::vector<std::filesystem::path> roots,
                                                 Store& store, Binlog& binlog);
  ~Catalogue(); // stops

  // Forgets what it knows of a store path, so that start() walks it. Before start().
  void walk_again(std::size_t store_path);
  // Starts the thread that follows the log (and walks the store paths first, where needed).
  void start();
  void stop();

  // False while a store path is being walked: list() would miss files. Any thread.
  bool is_ready() const { return ready_.load(); }
  // Every record up to here has been applied; the log must keep what follows. Any thread.
  std::uint64_t position() const { return position_.load(); }
  // Where it will go on after a restart: position(), or a little before.
  std::uint64_t kept_position() const { return kept_position_.load(); }
  // Files it knows. Any thread.
  std::uint64_t count() const { return count_.load(); }

  // Waits until is_ready() and position() >= seq; false when the time is over first. Any thread
  // that may block.
  bool wait_for(std::uint64_t seq, std::chrono::milliseconds timeout);
  // Waits until it has everything that was committed before this call, as a listing must have that
  // is begun after an acknowledgement. Any thread that may block. Errors: unavailable (being
  // walked, or seconds behind).
  Status catch_up();

  // Up to `limit` rows with names greater than `after`, in name order over all store paths. Reads
  // files whose checksum is not known (appender and slave files changed since it was). Any thread
  // that may block. Errors: unavailable (being walked), io_error.
  Result<std::vector<CatalogueRow>> list(const std::string& after, std::size_t limit);

  // The row of one file; nullopt: none. Any thread that may block. Errors: io_error.
  Result<std::optional<CatalogueRow>> find(const std::string& name) const;

private:
  struct State;
  struct Part;
  struct Batch;

  Catalogue(Store& store, Binlog& binlog);
  Status open_part(Part& part, bool fresh);
  void loop();
  Status walk(std::size_t index);
  Status follow();
  Status apply(const LogRecord& record, Batch& batch);
  Status write(Batch& batch, std::uint64_t position);
  void publish(std::uint64_t position);
  Result<std::optional<CatalogueRow>> get(const Part& part, const std::string& name) const;
  std::optional<CatalogueRow> look_at(const RemoteName& name) const;
  void fill_crc(CatalogueRow& row);

  Store& store_;
  Binlog& binlog_;
  std::vector<Part> parts_; // one per store path; constant after open but for their states, which
                            // belong to the thread
  std::atomic<bool> ready_{false};
  std::atomic<std::uint64_t> position_{0};
  std::atomic<std::uint64_t> kept_position_{0};
  std::atomic<std::uint64_t> count_{0};

  std::unique_ptr<BinlogReader> reader_; // the thread's

  std::mutex mutex_;              // guards woken_, waiting_ and stopping_
  std::condition_variable wake_;  // for the thread
  std::condition_variable moved_; // for wait_for()
  bool woken_ = false;
  std::size_t waiting_ = 0; // callers in wait_for()
  bool stopping_ = false;
  int listener_ = 0;
  std::thread thread_;
  // Serialises the thread's batches with fill_crc(), which writes back what it read.
  std::mutex write_mutex_;
  // Held alone by the thread while it opens a database, shared by the others that read one.
  mutable std::shared_mutex open_mutex_;
};

} // namespace cairn::storage
