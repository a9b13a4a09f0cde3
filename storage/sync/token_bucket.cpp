// A rate limit.
#include "storage/sync/token_bucket.h"

#include <algorithm>
#include <cmath>

namespace cairn::storage {

std::chrono::milliseconds TokenBucket::take(std::uint64_t bytes, Time now) {
  if (rate_ == 0) return std::chrono::milliseconds(0);
  const double rate = static_cast<double>(rate_);
  if (!started_) {
    started_ = true;
    tokens_ = rate;
  } else {
    const double seconds = std::chrono::duration<double>(now - last_).count();
    tokens_ = std::min(rate, tokens_ + rate * std::max(0.0, seconds));
  }
  last_ = now;
  tokens_ -= static_cast<double>(bytes);
  if (tokens_ >= 0) return std::chrono::milliseconds(0);
  return std::chrono::milliseconds(static_cast<std::int64_t>(std::ceil(-tokens_ / rate * 1000)));
}

} // namespace cairn::storage
