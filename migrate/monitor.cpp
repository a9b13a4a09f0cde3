// Rates, and the time that is left.
#include "migrate/monitor.h"

#include "migrate/verbs.h"

#include <nlohmann/json.hpp>

#include <cmath>
#include <ctime>

namespace cairn::migrate {

namespace {

using Clock = std::chrono::steady_clock;

constexpr std::chrono::milliseconds kLook{100};
constexpr std::chrono::milliseconds kShow{500};
constexpr std::chrono::seconds kShowLines{10}; // where there is no terminal
constexpr std::chrono::seconds kStatus{1};
constexpr double kSmooth = 10; // seconds that rates look back

} // namespace

Monitor::Monitor(Pass& pass, const Tally& tally, const Job* job, Output& output)
    : pass_(pass),
      tally_(tally),
      job_(job),
      output_(output),
      begin_(Clock::now()),
      rated_(begin_),
      thread_([this] { run(); }) {}

Monitor::~Monitor() {
  {
    const std::scoped_lock lock(mutex_);
    ending_ = true;
    over_.notify_all();
  }
  thread_.join();
}

nlohmann::json Monitor::numbers(const Tally& tally, const ScanCounters& scanned,
                                const Counters& ledger) {
  return {{"scanned_directories", scanned.directories.load()},
          {"skipped_directories", scanned.skipped.load()},
          {"scanned", scanned.entries.load()},
          {"files", tally.files.load()},
          {"bytes", tally.bytes.load()},
          {"cloned", tally.cloned.load()},
          {"linked", tally.linked.load()},
          {"shared", tally.shared.load()},
          {"shared_bytes", tally.shared_bytes.load()},
          {"unchanged", tally.unchanged.load()},
          {"attributes", tally.attributes.load()},
          {"directories", tally.directories.load()},
          {"symlinks", tally.symlinks.load()},
          {"hard_links", tally.hard_links.load()},
          {"specials", tally.specials.load()},
          {"removed", tally.removed.load()},
          {"kept", tally.kept.load()},
          {"vanished", tally.vanished.load()},
          {"failed", tally.failed.load() + scanned.failures.load()},
          {"short_copies", tally.short_copies.load()},
          {"left_out", tally.left_out.load()},
          {"odd_names", scanned.odd_names.load()},
          {"unsafe_links", scanned.unsafe_links.load()},
          {"foreign", scanned.foreign.load()},
          {"retries", tally.retries.load()},
          {"readers", tally.readers.load()},
          {"todo", ledger.queued - ledger.failed},
          {"todo_bytes", ledger.queued_bytes},
          {"debt", ledger.debt()},
          {"total_files", ledger.files},
          {"total_bytes", ledger.bytes},
          {"total_shared", ledger.shared},
          {"total_shared_bytes", ledger.shared_bytes}};
}

void Monitor::show(bool to_status) {
  const auto now = Clock::now();
  const Progress at = pass_.progress();
  const std::uint64_t files =
      tally_.files + tally_.unchanged + tally_.symlinks + tally_.hard_links + tally_.directories;
  const std::uint64_t bytes = tally_.bytes;
  const double passed = std::chrono::duration<double>(now - rated_).count();
  if (passed > 0.2) {
    // At first the mean so far, later the last seconds count most.
    const double all = std::chrono::duration<double>(now - begin_).count();
    const double weight = 1 - std::exp(-passed / std::min(kSmooth, std::max(all, passed)));
    files_rate_ += weight * (static_cast<double>(files - files_seen_) / passed - files_rate_);
    bytes_rate_ += weight * (static_cast<double>(bytes - bytes_seen_) / passed - bytes_rate_);
    files_seen_ = files;
    bytes_seen_ = bytes;
    rated_ = now;
  }
  const std::uint64_t todo = at.ledger.queued - at.ledger.failed;
  double left = 0;
  if (files_rate_ > 0) left = static_cast<double>(todo) / files_rate_;
  if (bytes_rate_ > 0)
    left = std::max(left, static_cast<double>(at.ledger.queued_bytes) / bytes_rate_);
  if (to_status && job_ != nullptr) {
    nlohmann::json status = numbers(tally_, pass_.scanned(), at.ledger);
    status["phase"] = at.phase;
    status["scanning"] = at.scanning;
    status["files_per_s"] = files_rate_;
    status["bytes_per_s"] = bytes_rate_;
    status["eta_s"] = left;
    status["elapsed_s"] = std::chrono::duration<double>(now - begin_).count();
    status["time"] = std::time(nullptr);
    job_->write_status(status);
  }
  if (to_status && output_.options().json && output_.wants_progress()) {
    nlohmann::json event = numbers(tally_, pass_.scanned(), at.ledger);
    event["event"] = "progress";
    event["phase"] = at.phase;
    event["scanning"] = at.scanning;
    event["files_per_s"] = files_rate_;
    event["bytes_per_s"] = bytes_rate_;
    event["eta_s"] = left;
    output_.event(event);
  }
  if (output_.options().json || !output_.wants_progress()) return;
  if (!output_.on_terminal() && !to_status) return;
  std::string line = at.phase + ": " + std::to_string(files) + " done, " + std::to_string(todo) +
                     " to do, " + human_bytes(static_cast<double>(bytes)) + ", " +
                     std::to_string(static_cast<std::uint64_t>(files_rate_)) + " files/s, " +
                     human_bytes(bytes_rate_) + "/s";
  // While the scan finds more, what is known to be left is less than what is.
  if (todo > 0 && files_rate_ > 0)
    line += (at.scanning ? ", at least " : ", ") + human_duration(left) + " left";
  if (at.scanning) line += ", scanning (" + std::to_string(pass_.scanned().entries) + " seen)";
  if (const std::uint64_t failed = tally_.failed + pass_.scanned().failures; failed > 0)
    line += ", " + std::to_string(failed) + " failed";
  output_.progress_line(line);
}

void Monitor::run() {
  auto shown = Clock::now();
  auto written = shown;
  std::unique_lock lock(mutex_);
  // A pass that finds nothing to do is over long before the next look.
  while (!over_.wait_for(lock, kLook, [this] { return ending_; })) {
    if (stop_requested() || (job_ != nullptr && job_->asked_to_stop())) pass_.stop();
    const auto now = Clock::now();
    const bool machines = output_.options().json || job_ != nullptr;
    const auto every = output_.on_terminal() || machines ? std::chrono::milliseconds(kStatus)
                                                         : std::chrono::milliseconds(kShowLines);
    const bool to_status = now - written >= every;
    if (!to_status && now - shown < kShow) continue;
    show(to_status);
    shown = now;
    if (to_status) written = now;
  }
}

} // namespace cairn::migrate
