// The log of the tests: three replicas in one process, as the etcd engine will be one: a fenced,
// ordered log of batches that a majority keeps, applied by each replica when it comes to it. A
// seeded generator decides what fails: appends that are lost, appends whose answer is lost, leaders
// that are replaced in the middle of one, replicas that crash and forget what they had not synced.
#pragma once

#include "tracker/log/replicated_log.h"

#include <cstddef>
#include <functional>
#include <random>
#include <vector>

namespace cairn::tracker {

class SimLog;

// What the replicas share. One thread.
class SimCluster {
public:
  struct Faults {
    // Chances in 1000 of each append.
    unsigned lost = 0;     // it never becomes durable; the answer is "unknown"
    unsigned answer = 0;   // it becomes durable; the answer is "unknown"
    unsigned takeover = 0; // another replica leads before it
  };

  SimCluster(std::uint64_t seed, Faults faults) : random_(seed), faults_(faults) {}

  // Adds a replica. `restart` brings its state machine back to what was synced (any prefix of what
  // was applied); the replica is then fed from there.
  void add(SimLog& replica) { replicas_.push_back(&replica); }

  // The replica that leads, nullptr in between.
  SimLog* leader() const { return leader_; }
  // Replica `index` takes over: a new epoch, everything applied first.
  void take_over(std::size_t index);
  // Some replicas apply some of what they lack.
  void catch_up_some();
  // All apply everything. Errors: corrupt (replicas have diverged).
  Status catch_up();
  std::size_t entries() const { return log_.size(); }
  // Faults from now on.
  void set_faults(Faults faults) { faults_ = faults; }

  bool chance(unsigned per_mille) { return random_() % 1000 < per_mille; }
  std::uint64_t random() { return random_(); }

private:
  friend class SimLog;

  Status feed(SimLog& replica, std::size_t until);

  std::mt19937_64 random_;
  Faults faults_;
  std::vector<LogEntry> log_;
  std::vector<std::uint64_t> hashes_; // after each entry, as the first replica to apply it had it
  std::uint64_t epoch_ = 0;
  SimLog* leader_ = nullptr;
  std::vector<SimLog*> replicas_;
};

// One replica's log.
class SimLog final : public ReplicatedLog {
public:
  explicit SimLog(SimCluster& cluster) : cluster_(cluster) {}

  Task<Status> start(LogApplier& applier) override;
  Task<AppendStatus> append(std::uint64_t epoch, wire::Bytes batch) override;
  bool lease_valid() const noexcept override { return cluster_.leader() == this; }
  Task<bool> read_barrier() override { co_return lease_valid(); }
  LogStatus status() const override;

private:
  friend class SimCluster;

  SimCluster& cluster_;
  LogApplier* applier_ = nullptr;
  std::uint64_t epoch_ = 0; // of its own leadership
};

} // namespace cairn::tracker
