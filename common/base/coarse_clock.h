// The steady clock as the kernel's last tick left it: some milliseconds late, at a tenth of the
// price. For deadlines and ages that are asked for several times a request.
#pragma once

#include <chrono>
#include <ctime>

namespace cairn {

// Comparable with std::chrono::steady_clock::now(), and at most about 10 ms behind it.
inline std::chrono::steady_clock::time_point coarse_now() {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
  return std::chrono::steady_clock::time_point(std::chrono::seconds(now.tv_sec) +
                                               std::chrono::nanoseconds(now.tv_nsec));
}

} // namespace cairn
