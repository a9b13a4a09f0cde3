// The log that makes metadata durable before anybody is told. One interface for all engines: the
// embedded one (one tracker, a LevelDB), one over etcd (several trackers), one in memory (tests).
// What is logged are batches of mutations (common/wire/mutation.h), never commands: replicas need
// not run the same version.
#pragma once

#include "common/base/result.h"
#include "common/net/task.h"
#include "common/wire/bytes.h"

#include <compare>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>

namespace cairn::tracker {

// A place in the log. `epoch` numbers leaderships, `index` entries; both grow.
struct LogPos {
  std::uint64_t epoch = 0;
  std::uint64_t index = 0; // the first entry is 1

  friend auto operator<=>(const LogPos&, const LogPos&) = default;
};

// What has become of an append.
enum class AppendStatus : std::uint8_t {
  committed,  // durable (on a majority) and applied here
  not_leader, // nothing happened; another tracker takes it
  fenced,     // nothing happened: a newer epoch has begun
  unknown,    // it may or may not become durable: read before trying again
  no_quorum,  // nothing happened: not enough trackers, or the engine has failed before
  too_large,  // nothing happened
};

// "committed", "not leader", … for logs.
std::string_view describe(AppendStatus status);

// One entry as it is applied.
struct LogEntry {
  LogPos position;
  wire::Bytes batch; // a wire::MutationBatch
};

// The state machine under a log. Called from one thread at a time, in order, never on the I/O
// thread.
class LogApplier {
public:
  virtual ~LogApplier() = default;

  // The last entry that was applied; read at start.
  virtual LogPos applied() const = 0;
  // Applies entries as one write, skipping those at or below applied(). With `sync` they are on
  // stable storage before it returns (the embedded engine: then this is the log). Errors: corrupt
  // (a batch that does not decode), io_error; nothing was applied then, as far as is known.
  virtual Status apply(std::span<const LogEntry> entries, bool sync) = 0;
  // A hash over all batches up to applied(), in order: replicas that differ at the same position
  // have diverged, which an engine takes for a failure. 0: not kept.
  virtual std::uint64_t hash() const { return 0; }
};

// The next hash().
std::uint64_t chain_hash(std::uint64_t before, wire::View batch);

struct LogStatus {
  std::string engine; // "embedded"
  bool leader = false;
  bool healthy = true;
  LogPos applied;
  std::string detail; // why it is not healthy
};

// Called on the tracker's I/O thread.
class ReplicatedLog {
public:
  virtual ~ReplicatedLog() = default;

  // Begins; `applier` outlives the log. Errors: what keeps it from serving.
  virtual Task<Status> start(LogApplier& applier) = 0;
  // Appends one encoded wire::MutationBatch under `epoch` (status().applied.epoch when the caller
  // evaluated it). Appends are committed in the order of the calls.
  virtual Task<AppendStatus> append(std::uint64_t epoch, wire::Bytes batch) = 0;
  // Appends what `make` answers; when that is empty there is nothing to log, and it counts as
  // committed. An engine with a thread of its own for writing calls `make` there, right before the
  // write, which saves a batch two changes of threads; others call it at once. It may block, and
  // sees what was committed before this call.
  virtual Task<AppendStatus> append_made(std::uint64_t epoch, std::function<wire::Bytes()> make);
  // True while reads of the local state machine are linearizable.
  virtual bool lease_valid() const noexcept = 0;
  // The slow path without a lease: true when a read that begins now is linearizable.
  virtual Task<bool> read_barrier() = 0;
  virtual LogStatus status() const = 0;
};

} // namespace cairn::tracker
