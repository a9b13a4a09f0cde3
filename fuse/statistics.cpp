// Counters and their text.
#include "fuse/statistics.h"

#include "common/base/metrics_text.h"

#include <algorithm>
#include <cerrno>
#include <fmt/format.h>

namespace cairn::fuse {

void Statistics::answered(const char* operation, std::chrono::microseconds took, int error) {
  Operation& of = operations_[operation];
  ++of.count;
  if (error != 0) ++of.failed;
  if (error == EIO) ++of.io_errors;
  of.took += took;
  of.longest = std::max(of.longest, took);
}

std::string Statistics::text(const Now& now) const {
  MetricsText out;
  const auto seconds = [](std::chrono::microseconds time) {
    return std::chrono::duration<double>(time).count();
  };
  out.family("cairn_mount_operations_total", "counter", "Questions of the kernel, answered.");
  for (const auto& [name, of] : operations_) out.sample(of.count, {{"op", name}});
  out.family("cairn_mount_operations_failed_total", "counter", "Of these, with any error.");
  for (const auto& [name, of] : operations_) out.sample(of.failed, {{"op", name}});
  out.family("cairn_mount_io_errors_total", "counter", "Of these, with EIO.");
  for (const auto& [name, of] : operations_) out.sample(of.io_errors, {{"op", name}});
  out.family("cairn_mount_operation_seconds_total", "counter", "Time from question to answer.");
  for (const auto& [name, of] : operations_) out.sample(seconds(of.took), {{"op", name}});
  out.family("cairn_mount_operation_seconds_max", "gauge", "The longest of these times.");
  for (const auto& [name, of] : operations_) out.sample(seconds(of.longest), {{"op", name}});

  const auto counter = [&](const char* name, std::uint64_t value, const char* help) {
    out.family(name, "counter", help);
    out.sample(value);
  };
  counter("cairn_mount_read_bytes_total", read_bytes, "Bytes given to the kernel.");
  counter("cairn_mount_written_bytes_total", written_bytes, "Bytes taken from the kernel.");
  counter("cairn_mount_stored_bytes_total", stored_bytes, "Bytes stored and committed.");
  counter("cairn_mount_commits_total", commits, "Commits of what was written.");
  counter("cairn_mount_writes_failed_total", writes_failed, "Commits that could not be made.");
  counter("cairn_mount_opens_total", opens, "Files opened.");
  counter("cairn_mount_opens_kept_pages_total", opens_kept_pages,
          "Opens that found the kernel's pages still good.");
  counter("cairn_mount_answered_here_total", answered_here,
          "Questions about directories answered without the tracker.");
  counter("cairn_mount_events_total", events, "Changes of others that the tracker told of.");
  counter("cairn_mount_attaches_total", attaches, "Connections to a tracker, the first included.");
  counter("cairn_mount_sessions_lost_total", sessions_lost,
          "Sessions that ended, with locks and what was not committed.");
  counter("cairn_mount_workers_total", workers,
          "Processes that served this mount; the figures above are those of the last one.");
  counter("cairn_mount_slow_operations_total", slow, "Questions that hung and were logged.");
  const auto gauge = [&](const char* name, std::uint64_t value, const char* help) {
    out.family(name, "gauge", help);
    out.sample(value);
  };
  gauge("cairn_mount_connected", now.connected ? 1 : 0, "1 while the tracker is there.");
  gauge("cairn_mount_open_files", now.open_files, "Files that are open or not yet stored.");
  gauge("cairn_mount_unstored_bytes", now.unstored_bytes, "Bytes written and not committed.");
  gauge("cairn_mount_waiting_operations", now.waiting, "Questions without an answer yet.");
  return out.text();
}

} // namespace cairn::fuse
