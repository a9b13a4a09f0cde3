// A rate limit. Time is the caller's, so that a test can have its own.
#pragma once

#include <chrono>
#include <cstdint>

namespace cairn::storage {

class TokenBucket {
public:
  using Time = std::chrono::steady_clock::time_point;

  // `bytes_per_second` 0: no limit. A second's worth may go at once after a pause.
  explicit TokenBucket(std::uint64_t bytes_per_second) : rate_(bytes_per_second) {}

  // Takes `bytes`, at once even when they are not there: the debt is waited for afterwards. Answers
  // how long the caller must wait before the next take().
  std::chrono::milliseconds take(std::uint64_t bytes, Time now);

private:
  const std::uint64_t rate_;
  double tokens_ = 0;
  bool started_ = false;
  Time last_{};
};

} // namespace cairn::storage
