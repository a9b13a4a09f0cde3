// Latencies of a benchmark.
#pragma once

#include <chrono>
#include <cstdint>
#include <vector>

namespace cairn::tools {

// Collects latencies and answers order statistics. Keeps every value: a benchmark has millions at
// most.
class Latencies {
public:
  void add(std::chrono::nanoseconds latency) { values_.push_back(latency.count()); }
  void merge(const Latencies& other) {
    values_.insert(values_.end(), other.values_.begin(), other.values_.end());
  }
  std::size_t count() const { return values_.size(); }

  // The smallest value that at least `percent` of all values do not exceed (nearest rank), in
  // milliseconds; 0 without values. `percent` is 0 to 100: 0 is the least, 100 the greatest.
  double percentile_ms(double percent);
  double mean_ms() const;

private:
  std::vector<std::int64_t> values_;
};

} // namespace cairn::tools
