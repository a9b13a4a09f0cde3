// What a mount counts: questions of the kernel by kind, their times and failures, bytes, and how
// often its caches helped. Lives on the mount's loop; told as Prometheus text.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>

namespace cairn::fuse {

// The extended attribute of a mount's root that holds statistics; nothing lists it.
inline constexpr std::string_view kStatisticsAttribute = "user.cairn.stats";

class Statistics {
public:
  // What is so now, and is not counted.
  struct Now {
    bool connected = false;
    std::uint64_t open_files = 0;
    std::uint64_t unstored_bytes = 0;
    std::uint64_t waiting = 0; // questions without an answer
  };

  // One question was answered with `error` (an errno, 0 for success). `operation` is a literal.
  void answered(const char* operation, std::chrono::microseconds took, int error);

  // Counted by whoever it happens to.
  std::uint64_t read_bytes = 0;    // given to the kernel
  std::uint64_t written_bytes = 0; // taken from it
  std::uint64_t stored_bytes = 0;  // uploaded and committed
  std::uint64_t commits = 0;
  std::uint64_t opens = 0;
  std::uint64_t opens_kept_pages = 0; // of which the kernel's pages were still good
  std::uint64_t answered_here = 0;    // names and attributes of directories, without the tracker
  std::uint64_t events = 0;           // changes of others that the tracker pushed
  std::uint64_t attaches = 0;         // to a tracker, the first one included
  std::uint64_t sessions_lost = 0;    // with their locks and what was not committed
  std::uint64_t writes_failed = 0;    // batches that could not be stored or committed
  std::uint64_t workers = 1;          // processes that served this mount, one after another
  std::uint64_t slow = 0;             // questions that took longer than is logged

  // All of it in the text format of Prometheus.
  std::string text(const Now& now) const;

private:
  struct Operation {
    std::uint64_t count = 0;
    std::uint64_t failed = 0;    // with whatever errno, ENOENT of a lookup included
    std::uint64_t io_errors = 0; // with EIO
    std::chrono::microseconds took{0};
    std::chrono::microseconds longest{0};
  };
  std::map<std::string_view, Operation> operations_;
};

} // namespace cairn::fuse
