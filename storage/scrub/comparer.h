// Compares what this node has with what each active peer has, in the background and slowly: first
// digests of directories, then the files of those that differ. What differs is told to the
// repairer, which looks at it again. Every member does so, so each repairs only its own copies.
#pragma once

#include "common/base/metrics_text.h"
#include "common/config/storage_config.h"
#include "common/net/disk_pool.h"
#include "common/net/task.h"
#include "common/wire/integrity.h"
#include "storage/peers/peers.h"
#include "storage/peers/remote.h"
#include "storage/scrub/repairer.h"
#include "storage/sync/catalogue.h"

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace cairn::storage {

// Names of files that differ between two lists of the same names' range, or that only one has.
// `only_there`: the peer's files that are not here. Pure.
struct Differences {
  std::vector<std::string> here_and_there; // differing
  std::vector<std::string> only_here;
  std::vector<std::string> only_there;
};
Differences compare_rows(const std::vector<wire::FileSummary>& here,
                         const std::vector<wire::FileSummary>& there);

class Comparer {
public:
  // `context` is run by one thread, to which `remote` belongs. What is borrowed outlives it.
  Comparer(asio::io_context& context, Remote& remote, const config::StorageConfig& config,
           Store& store, Catalogue& catalogue, Peers& peers, Repairer& repairer);

  // Any thread.
  void start();
  void request_stop();
  // Lets go of what lives in the context, when that runs no more and is destroyed before this.
  void drop_timer() { timer_.reset(); }
  void write_metrics(MetricsText& out, MetricsText::Labels labels) const;

private:
  using Digests = std::map<std::string, wire::DirectoryDigest>;

  Task<void> run();
  Task<Status> compare_with(wire::NodeView node);
  Task<Status> compare_directory(wire::NodeView node, std::string directory);
  Task<Result<std::vector<wire::FileSummary>>> list_there(wire::NodeView node,
                                                          std::string directory);
  Task<bool> pause(std::chrono::milliseconds time);
  bool is_active() const;

  asio::io_context& context_;
  Remote& remote_;
  const config::StorageConfig& config_;
  Store& store_;
  Catalogue& catalogue_;
  Peers& peers_;
  Repairer& repairer_;
  DiskPool pool_{"compare", 1};
  std::shared_ptr<asio::steady_timer> timer_;
  std::atomic<bool> stopping_{false};
  std::vector<std::string> suspects_;         // of the context's thread
  std::atomic<std::uint64_t> directories_{0}; // compared
  std::atomic<std::uint64_t> differing_{0};   // files
  std::atomic<std::uint64_t> finished_{0};    // unix seconds of the last whole comparison
};

} // namespace cairn::storage
