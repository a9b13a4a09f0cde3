// Whether a store path takes new files, decided from what its disk did: errors, and how long it
// takes to answer. A plain class: the time is given in, the disk is asked by others.
#pragma once

#include "common/wire/native.h"

#include <chrono>
#include <string>

namespace cairn::storage {

class PathHealth {
public:
  using Clock = std::chrono::steady_clock;

  // A probe (asking for free space; when wants_write() also a small synced write) that takes longer
  // than this is a disk that does not answer. Disks that remap sectors stand still for a second or
  // two, and behind a few hundred uploads a probe waits its turn.
  static constexpr std::chrono::milliseconds kAnswerMax{10'000};
  // A job on the path that runs so long makes it worth a write probe.
  static constexpr std::chrono::milliseconds kSuspicious{3'000};
  // A path comes back after so many good write probes in a row that were quick.
  static constexpr int kGoodProbes = 3;
  static constexpr std::chrono::milliseconds kQuick{1'000};

  wire::PathState state() const { return state_; }
  // Why the path is not `ok`, one line; else empty.
  const std::string& cause() const { return cause_; }

  // An operation met an error of the disk. True: the path has just become read-only.
  bool met_error(const std::string& cause);
  // Once a second: `longest_job` is how long the slowest running job has taken so far. True: the
  // state has changed.
  bool tick(Clock::time_point now, std::chrono::milliseconds longest_job);
  // False while a probe is under way: a disk that hangs gets no second one.
  bool may_probe() const { return !probing_; }
  // Whether the probe that begins now should also write.
  bool wants_write() const { return suspicious_ || state_ != wire::PathState::ok; }
  void probe_began(Clock::time_point now, bool writes);
  // Whether the probe under way is to write.
  bool probe_writes() const { return probe_writes_; }
  // `cause`: empty for success. True: the state has changed.
  bool probe_ended(Clock::time_point now, const std::string& cause);

private:
  void become(wire::PathState state, std::string cause);

  wire::PathState state_ = wire::PathState::ok;
  std::string cause_;
  bool suspicious_ = false;
  bool probing_ = false;
  bool probe_writes_ = false;
  int good_ = 0;
  Clock::time_point probe_since_;
};

} // namespace cairn::storage
