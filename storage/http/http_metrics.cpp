// Counting and formatting.
#include "storage/http/http_metrics.h"

#include "storage/http/admin_pages.h"

#include <algorithm>
#include <charconv>
#include <string>
#include <string_view>

namespace cairn::storage {

namespace {

constexpr std::array<std::string_view, 2> kEntryNames{"download", "admin"};
constexpr std::array<std::string_view, 3> kMethodNames{"GET", "HEAD", "other"};
constexpr std::array<std::string_view, 5> kClassNames{"1xx", "2xx", "3xx", "4xx", "5xx"};

void add(std::atomic<std::uint64_t>& counter, std::uint64_t count) {
  counter.fetch_add(count, std::memory_order_relaxed);
}

std::uint64_t get(const std::atomic<std::uint64_t>& counter) {
  return counter.load(std::memory_order_relaxed);
}

} // namespace

void HttpMetrics::count(const HttpExchange& exchange) {
  const std::string_view path = exchange.target.substr(0, exchange.target.find('?'));
  Entry& entry = entries_[is_admin_path(path) ? 1 : 0];
  const std::size_t method = exchange.method == "GET" ? 0 : exchange.method == "HEAD" ? 1 : 2;
  const std::size_t status_class =
      static_cast<std::size_t>(std::clamp(exchange.status / 100, 1, 5) - 1);
  add(entry.requests[method][status_class], 1);
  const double seconds = std::chrono::duration<double>(exchange.duration).count();
  const auto bucket = std::lower_bound(kBounds.begin(), kBounds.end(), seconds);
  add(entry.durations[static_cast<std::size_t>(bucket - kBounds.begin())], 1);
  add(entry.nanoseconds, static_cast<std::uint64_t>(exchange.duration.count()));
  add(entry.bytes_out, exchange.bytes);
  if (!exchange.complete) add(entry.aborted, 1);
}

void HttpMetrics::write(MetricsText& out) const {
  out.family("cairn_http_requests_total", "counter", "HTTP requests answered.");
  for (std::size_t e = 0; e < kEntries; ++e)
    for (std::size_t m = 0; m < kMethods; ++m)
      for (std::size_t c = 0; c < kClasses; ++c) {
        const std::uint64_t count = get(entries_[e].requests[m][c]);
        // The everyday ones are there from the start, so that rates begin at zero.
        if (count > 0 || (m == 0 && (c == 1 || c == 4)))
          out.sample(
              count,
              {{"entry", kEntryNames[e]}, {"method", kMethodNames[m]}, {"code", kClassNames[c]}});
      }

  out.family("cairn_http_request_duration_seconds", "histogram",
             "Time from the parsed head to the last byte given to the kernel.");
  for (std::size_t e = 0; e < kEntries; ++e) {
    const Entry& entry = entries_[e];
    std::uint64_t total = 0;
    for (std::size_t b = 0; b < entry.durations.size(); ++b) {
      total += get(entry.durations[b]);
      std::array<char, 32> digits{};
      std::string_view bound = "+Inf";
      if (b < kBounds.size()) {
        const char* end =
            std::to_chars(digits.data(), digits.data() + digits.size(), kBounds[b]).ptr;
        bound = {digits.data(), static_cast<std::size_t>(end - digits.data())};
      }
      out.sample(total, {{"entry", kEntryNames[e]}, {"le", bound}}, "_bucket");
    }
    out.sample(static_cast<double>(get(entry.nanoseconds)) / 1e9, {{"entry", kEntryNames[e]}},
               "_sum");
    out.sample(total, {{"entry", kEntryNames[e]}}, "_count");
  }

  out.family("cairn_http_bytes_total", "counter", "Bytes of HTTP replies, heads included.");
  for (std::size_t e = 0; e < kEntries; ++e)
    out.sample(get(entries_[e].bytes_out), {{"entry", kEntryNames[e]}, {"direction", "out"}});

  out.family("cairn_http_aborted_total", "counter",
             "HTTP replies that were broken off: the client went away or a source failed.");
  for (std::size_t e = 0; e < kEntries; ++e)
    out.sample(get(entries_[e].aborted), {{"entry", kEntryNames[e]}});
}

} // namespace cairn::storage
