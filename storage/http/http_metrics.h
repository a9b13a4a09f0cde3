// Counters of the HTTP service. Written by every I/O thread, read by /metrics.
#pragma once

#include "common/base/metrics_text.h"
#include "common/net/http_server.h"

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>

namespace cairn::storage {

class HttpMetrics {
public:
  // For HttpOptions::observe. A few relaxed additions; any thread.
  void count(const HttpExchange& exchange);

  // The families cairn_http_requests_total, cairn_http_request_duration_seconds,
  // cairn_http_bytes_total and cairn_http_aborted_total. The numbers are read one by one: a family
  // may be a request ahead of another.
  void write(MetricsText& out) const;

private:
  static constexpr std::size_t kEntries = 2; // download, admin
  static constexpr std::size_t kMethods = 3; // GET, HEAD, other
  static constexpr std::size_t kClasses = 5; // 1xx to 5xx
  static constexpr std::array<double, 7> kBounds{0.001, 0.005, 0.025, 0.1, 0.5, 2.5, 10.0}; // s

  using Counter = std::atomic<std::uint64_t>;

  struct Entry {
    std::array<std::array<Counter, kClasses>, kMethods> requests{};
    std::array<Counter, kBounds.size() + 1> durations{}; // by bucket, not cumulated; last: above
    Counter nanoseconds{0};
    Counter bytes_out{0};
    Counter aborted{0};
  };
  std::array<Entry, kEntries> entries_{};
};

} // namespace cairn::storage
