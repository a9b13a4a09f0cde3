// Replication of this node: one Sender per member of the group, the receiver, the catalogue, and
// what is done to them every second.
#pragma once

#include "common/base/metrics_text.h"
#include "common/config/storage_config.h"
#include "common/net/disk_pool.h"
#include "common/net/io_pool.h"
#include "storage/binlog/binlog.h"
#include "storage/peers/peers.h"
#include "storage/store/store.h"
#include "storage/sync/catalogue.h"
#include "storage/sync/copy_waits.h"
#include "storage/sync/receiver.h"
#include "storage/sync/sender.h"

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

namespace cairn::storage {

class SyncService {
public:
  // Opens the receiver and the catalogue below base_path/data. What is borrowed outlives it;
  // `credentials` are proved to the peers.
  // Errors: io_error, no_space.
  static Result<std::unique_ptr<SyncService>> open(const config::StorageConfig& config,
                                                   const std::string& uuid, Store& store,
                                                   Binlog& binlog, Peers& peers,
                                                   Credentials credentials);
  ~SyncService(); // stops

  // These store paths are not what they were: they are walked again, and every peer brings this
  // node up anew. Before start(). Blocks. Errors: io_error.
  Status begin_anew(const std::vector<std::uint8_t>& store_paths);
  // Starts the catalogue alone; start() does it otherwise.
  void start_catalogue();
  // Starts the catalogue and, once the trackers' view says who they are, the senders.
  Status start();
  // Ends all streams and saves the positions. Idempotent; not on one of its own threads.
  void stop();

  // `changed` is called when a peer has come, gone, or been brought up: the trackers should know
  // soon. It must only post. Before start().
  void on_change(std::function<void()> changed) { changed_ = std::move(changed); }

  // For the handlers of the native commands 180 to 183.
  SyncReceiver& receiver() { return *receiver_; }
  // For list_files (187).
  Catalogue& catalogue() { return *catalogue_; }
  // One page of the catalogue, as list_files answers it. Runs on a thread of its own. Errors:
  // unavailable (the catalogue is being made), io_error.
  Task<Result<wire::ListFilesReply>> list_files(wire::ListFiles request);

  // Runs `work` (which answers a Result) on a thread for long looks at the catalogue.
  template <class F>
  auto run_in_background(F work) {
    return background_.run(std::move(work));
  }

  // --- any thread
  std::uint64_t file_count() const { return catalogue_->count(); }
  std::vector<wire::PeerSync> peers_report() const;
  // Who has which change of this node.
  const CopyWaits& copies() const { return copies_; }
  // An upload whose record is at `seq` will wait for copies: peers may get it while it is being
  // committed here. Does not block.
  void send_ahead(std::uint64_t seq);
  // CopyWaits::wait(), for which the senders are woken at once.
  Task<unsigned> wait_for_copies(std::uint64_t seq, unsigned copies,
                                 std::chrono::milliseconds timeout);
  std::vector<wire::SourceSync> sources_report() const { return receiver_->sources(); }
  // Position in this node's log that some peer has acknowledged; what comes later nobody has for
  // sure. From the cursor files, before start(). Blocks.
  std::uint64_t acked_by_any() const;
  // Position up to which no member needs the log any more.
  std::uint64_t min_acked() const;
  // Families beside those that the node reports from peers_report(): changes that do not get
  // through, and what came in.
  void write_metrics(MetricsText& out) const;

private:
  // Lets callbacks of the binlog and of Peers find out that the service has stopped.
  struct Waker {
    std::mutex mutex;               // guards service
    SyncService* service = nullptr; // null: stopped
    std::atomic<bool> posted{false};
  };

  SyncService(const config::StorageConfig& config, std::string uuid, Store& store, Binlog& binlog,
              Peers& peers, Credentials credentials);

  Status make_log_id();
  Task<void> tick();
  void reconcile();
  void housekeep(bool prune);
  void prune_log();
  GroupSnapshot group_now() const;
  SenderOptions sender_options(const wire::NodeView& peer);
  void post_wake();
  void wake_senders();
  void hurry();
  std::uint64_t end_to_send() const;
  bool is_all_read() const;
  void post_tick();

  const config::StorageConfig& config_;
  const std::string uuid_;
  const std::filesystem::path directory_; // base_path/data/sync
  Store& store_;
  Binlog& binlog_;
  Peers& peers_;
  Credentials credentials_;
  std::string log_id_;
  CopyWaits copies_;
  std::unique_ptr<Catalogue> catalogue_;
  std::unique_ptr<SyncReceiver> receiver_;
  std::function<void()> changed_;
  std::shared_ptr<Waker> waker_ = std::make_shared<Waker>();
  int listener_ = 0;
  bool started_ = false;
  bool catalogue_started_ = false;
  std::atomic<bool> stopping_{false};
  std::shared_ptr<asio::steady_timer> tick_timer_; // of the I/O thread

  mutable std::mutex senders_mutex_; // guards senders_; it is changed on the I/O thread only
  std::map<std::uint32_t, std::shared_ptr<Sender>> senders_;
  std::vector<std::shared_ptr<Sender>> retiring_; // of the I/O thread

  // The pools go before what their jobs use, the context after what its coroutines use.
  IoPool io_{1};
  asio::steady_timer wake_timer_{io_.at(0)};
  std::atomic<bool> gathering_long_{false}; // wake_timer_ was set when nobody waited for copies
  std::atomic<std::uint64_t> ahead_{0};     // the furthest send_ahead()
  DiskPool background_{"sync-background", 2};
};

} // namespace cairn::storage
