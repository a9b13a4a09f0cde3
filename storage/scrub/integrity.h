// What keeps the copies of this node right: repairer, scrubber and comparison with peers, on an I/O
// thread of their own.
#pragma once

#include "common/net/io_pool.h"
#include "storage/scrub/comparer.h"
#include "storage/scrub/repairer.h"
#include "storage/scrub/return_check.h"
#include "storage/scrub/scrubber.h"

#include <memory>
#include <string>

namespace cairn::storage {

class Integrity {
public:
  // What is borrowed outlives it. `hello` is what this node says of itself to peers, and proves.
  Integrity(const config::StorageConfig& config, wire::Hello hello, Credentials credentials,
            Store& store, Binlog& binlog, Catalogue& catalogue, Peers& peers);
  ~Integrity(); // stops

  // Runs check_return() before anything else, then `done` (on its own thread). Before start().
  void start_with_return_check(std::uint64_t acked_by_any, std::function<void()> done);
  void start();
  // Idempotent; not on its own thread.
  void stop();

  Repairer& repairer() { return *repairer_; }
  const Repairer& repairer() const { return *repairer_; }
  const Scrubber& scrubber() const { return *scrubber_; }
  // Looks at a file now. Any I/O thread. Errors: io_error, no_space, unavailable (stopping).
  Task<Result<wire::RepairReply>> repair(RemoteName name);
  void write_metrics(MetricsText& out, MetricsText::Labels labels) const;

private:
  Task<void> return_first(std::uint64_t acked_by_any, std::function<void()> done);

  Store& store_;
  Catalogue& catalogue_;
  Peers& peers_;
  std::atomic<bool> stopping_{false};
  std::unique_ptr<Remote> remote_;
  std::unique_ptr<Repairer> repairer_;
  std::unique_ptr<Scrubber> scrubber_;
  std::unique_ptr<Comparer> comparer_;
  std::atomic<bool> started_{false};
  IoPool io_{1}; // goes first: its coroutines use the others
};

} // namespace cairn::storage
