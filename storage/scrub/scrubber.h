// Reads every file of this node once in scrub_period and compares it with its checksum, on a thread
// of its own with the lowest disk priority, at scrub_rate at most, and only while nobody waits for
// the disk; files of less than a day wait for the next pass. Where it was is kept in
// base_path/data/scrub. Also throws quarantined copies away when their time is over.
#pragma once

#include "common/base/metrics_text.h"
#include "common/config/storage_config.h"
#include "storage/store/store.h"
#include "storage/sync/catalogue.h"
#include "storage/sync/token_bucket.h"

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <mutex>
#include <string>
#include <thread>

namespace cairn::storage {

// How far a pass has come, as it is kept on disk.
struct ScrubState {
  std::string after;          // the last file that was read
  std::uint64_t started = 0;  // unix seconds
  std::uint64_t finished = 0; // unix seconds, 0: it goes on
  std::uint64_t files = 0;    // in this pass
  std::uint64_t bytes = 0;
  std::uint64_t damaged = 0;   // missing ones included
  std::uint64_t last_pass = 0; // when the pass before this one was finished, 0: never

  static constexpr auto fields() {
    using M = ScrubState;
    return std::tuple{wire::string(&M::after),     wire::integer(&M::started),
                      wire::integer(&M::finished), wire::integer(&M::files),
                      wire::integer(&M::bytes),    wire::integer(&M::damaged),
                      wire::integer(&M::last_pass)};
  }
};

class Scrubber {
public:
  // `missing` is called on the scrubber's thread for a file that is listed and not there. (Damaged
  // ones are told by Store::on_suspect().) What is borrowed outlives it.
  Scrubber(const config::StorageConfig& config, Store& store, Catalogue& catalogue,
           std::function<void(const RemoteName&)> missing);
  ~Scrubber(); // stops

  void start();
  void stop();

  ScrubState state() const; // any thread
  void write_metrics(MetricsText& out, MetricsText::Labels labels) const;

private:
  void loop();
  bool wait(std::chrono::milliseconds time);
  bool pace(std::uint8_t store_path, std::uint64_t bytes);
  Status scrub_page();
  void save();

  const config::StorageConfig& config_;
  Store& store_;
  Catalogue& catalogue_;
  const std::function<void(const RemoteName&)> missing_;
  const std::filesystem::path file_;
  TokenBucket bucket_; // of the thread

  mutable std::mutex mutex_; // guards state_ and stopping_
  std::condition_variable wake_;
  ScrubState state_;
  bool stopping_ = false;
  std::atomic<std::uint64_t> quarantined_{0};
  std::thread thread_;
};

} // namespace cairn::storage
