// Stamps that order changes to one file across nodes: milliseconds of the wall clock in the upper
// 48 bits, a counter in the lower 16, never running backwards and never behind a stamp seen.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>

namespace cairn::storage {

class HybridClock {
public:
  // A stamp greater than all given or observed before. Any thread.
  std::uint64_t now() {
    const auto wall = std::chrono::duration_cast<std::chrono::milliseconds>(
        std::chrono::system_clock::now().time_since_epoch());
    const std::uint64_t floor = static_cast<std::uint64_t>(wall.count()) << 16;
    std::uint64_t last = last_.load();
    for (;;) {
      const std::uint64_t next = floor > last ? floor : last + 1;
      if (last_.compare_exchange_weak(last, next)) return next;
    }
  }

  // When a stamp was given, unix milliseconds.
  static std::uint64_t unix_ms_of(std::uint64_t stamp) { return stamp >> 16; }

  // Takes notice of a stamp from elsewhere.
  void observe(std::uint64_t stamp) {
    std::uint64_t last = last_.load();
    while (last < stamp && !last_.compare_exchange_weak(last, stamp)) {
    }
  }

private:
  std::atomic<std::uint64_t> last_{0};
};

} // namespace cairn::storage
