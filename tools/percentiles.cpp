// Order statistics by nearest rank.
#include "tools/percentiles.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace cairn::tools {

namespace {
constexpr double kNanosPerMilli = 1e6;
}

double Latencies::percentile_ms(double percent) {
  if (values_.empty()) return 0;
  const double exact = std::ceil(percent / 100.0 * static_cast<double>(values_.size()));
  const auto rank = static_cast<std::size_t>(std::max(exact, 1.0));
  const auto index = static_cast<std::ptrdiff_t>(std::min(rank, values_.size()) - 1);
  std::nth_element(values_.begin(), values_.begin() + index, values_.end());
  return static_cast<double>(values_[static_cast<std::size_t>(index)]) / kNanosPerMilli;
}

double Latencies::mean_ms() const {
  if (values_.empty()) return 0;
  const double sum = std::accumulate(values_.begin(), values_.end(), 0.0);
  return sum / static_cast<double>(values_.size()) / kNanosPerMilli;
}

} // namespace cairn::tools
