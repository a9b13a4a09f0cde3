// Replaces this node's damaged and missing copies by good ones from peers, carries out deletes that
// it missed, and fetches newer metadata. What is to be looked at comes from readers, the scrubber,
// the comparison with peers and the command line; what to do is decided by plan_content().
#pragma once

#include "common/base/metrics_text.h"
#include "common/config/storage_config.h"
#include "common/net/task.h"
#include "common/wire/integrity.h"
#include "storage/binlog/binlog.h"
#include "storage/peers/peers.h"
#include "storage/peers/remote.h"
#include "storage/scrub/repair_plan.h"
#include "storage/store/store.h"
#include "storage/sync/catalogue.h"
#include "storage/sync/token_bucket.h"

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <vector>

namespace cairn::storage {

class Repairer {
public:
  // `context` is run by one thread, to which `remote` belongs. What is borrowed outlives it.
  Repairer(asio::io_context& context, Remote& remote, const config::StorageConfig& config,
           Store& store, Binlog& binlog, Catalogue& catalogue, Peers& peers);

  // Starts the workers. On any thread, before the context runs or while it does.
  void start();
  // Ends the workers once the context runs their last steps. Any thread.
  void request_stop();
  // Lets go of what lives in the context, when that runs no more and is destroyed before this.
  void drop_timers() { timers_.clear(); }

  // Why somebody wants a copy to be looked at.
  enum class Cause : std::uint8_t {
    damaged,        // it was found damaged, or missing where the catalogue lists it
    seen_elsewhere, // a reader had to ask a peer: worth a look only if it should be here
    differs,        // a peer says something else of it
  };
  // Puts a file on the list, unless it is on it. Any thread; does not block.
  void submit(const RemoteName& name, Cause cause, const std::string& why);
  // Looks at a file now. On the context's thread. Errors: io_error, no_space.
  Task<Result<wire::RepairReply>> repair(RemoteName name, bool only_listed = false);

  // --- any thread
  // Copies known to be damaged or missing and not yet replaced.
  std::uint64_t damaged_copies() const;
  // Of those, such that nobody has a good copy.
  std::uint64_t lost_copies() const;
  // Names of the first few of those.
  std::vector<std::string> lost_names(std::size_t limit) const;
  std::uint64_t found() const { return found_; }
  std::uint64_t repaired() const { return repaired_; }
  void write_metrics(MetricsText& out, MetricsText::Labels labels) const;

private:
  using Clock = std::chrono::steady_clock;
  struct Item {
    RemoteName name;
    Cause cause = Cause::damaged;
    std::uint32_t attempts = 0;
    Clock::time_point due{};
    bool busy = false;
    bool lost = false;
  };

  Task<void> work(std::shared_ptr<asio::steady_timer> timer);
  std::optional<Item> take();
  void finish(const Item& item, const Result<wire::RepairReply>& outcome);
  Task<std::vector<PeerCopy>> ask_peers(RemoteName name, std::vector<wire::NodeView> nodes);
  Task<Status> fetch(RemoteName name, wire::NodeView node, wire::CopyFacts theirs,
                     std::optional<CopyStamp> damaged);
  Task<Status> fetch_metadata(RemoteName name, wire::NodeView node, std::uint64_t stamp);
  Task<void> pause(std::chrono::milliseconds time);

  asio::io_context& context_;
  Remote& remote_;
  Store& store_;
  Binlog& binlog_;
  Catalogue& catalogue_;
  Peers& peers_;
  TokenBucket bucket_; // of the context's thread
  std::vector<std::shared_ptr<asio::steady_timer>> timers_;
  std::atomic<bool> stopping_{false};

  mutable std::mutex mutex_; // guards items_
  std::map<std::string, Item> items_;
  std::atomic<std::uint64_t> found_{0};    // damaged or missing copies
  std::atomic<std::uint64_t> repaired_{0}; // files of which something was made right
  std::atomic<std::uint64_t> fetched_bytes_{0};
};

} // namespace cairn::storage
