// Watches a pass from a thread of its own: shows how far it is, keeps the job's status file, and
// stops it when somebody asks for that.
#pragma once

#include "migrate/job.h"
#include "migrate/output.h"
#include "migrate/pass.h"

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <thread>

namespace cairn::migrate {

class Monitor {
public:
  // `job` may be null: then there is no status file.
  Monitor(Pass& pass, const Tally& tally, const Job* job, Output& output);
  ~Monitor();

  // The numbers of a run, for summaries and status files.
  static nlohmann::json numbers(const Tally& tally, const ScanCounters& scanned,
                                const Counters& ledger);

private:
  void run();
  void show(bool to_status);

  Pass& pass_;
  const Tally& tally_;
  const Job* job_;
  Output& output_;
  std::chrono::steady_clock::time_point begin_;
  double files_rate_ = 0; // a second, smoothed
  double bytes_rate_ = 0;
  std::uint64_t files_seen_ = 0;
  std::uint64_t bytes_seen_ = 0;
  std::chrono::steady_clock::time_point rated_;
  std::mutex mutex_;
  std::condition_variable over_; // ending_ was set
  bool ending_ = false;          // guarded by mutex_
  std::thread thread_;
};

} // namespace cairn::migrate
