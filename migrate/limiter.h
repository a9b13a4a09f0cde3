// --bwlimit: a rate, or a timetable of rates. Any thread.
#pragma once

#include "common/base/result.h"

#include <chrono>
#include <cstdint>
#include <mutex>
#include <string_view>
#include <utility>
#include <vector>

namespace cairn::migrate {

class Limiter {
public:
  using Clock = std::chrono::steady_clock;

  // "20M" (bytes a second, powers of 1024), "off", or a timetable "08:00,20M 23:00,off" by the
  // local time of day: each rate holds from its time to the next, the last one over midnight.
  // Errors: invalid_argument.
  static Result<Limiter> parse(std::string_view text);
  Limiter() = default;
  Limiter(Limiter&& other) noexcept : table_(std::move(other.table_)) {}
  // Before it is used.
  Limiter& operator=(Limiter&& other) noexcept {
    table_ = std::move(other.table_);
    return *this;
  }

  // Takes room for `bytes` and answers how long the caller has to wait before it moves them.
  Clock::duration take(std::uint64_t bytes, Clock::time_point now, int minute_of_day);
  // The same, now.
  Clock::duration take(std::uint64_t bytes);
  // Bytes a second at a minute of the day; 0: no limit.
  std::uint64_t rate_at(int minute_of_day) const;
  bool unlimited() const { return table_.empty(); }

private:
  std::vector<std::pair<int, std::uint64_t>> table_; // from this minute, this rate; in order
  std::mutex mutex_;                                 // guards free_at_
  Clock::time_point free_at_{};
};

} // namespace cairn::migrate
