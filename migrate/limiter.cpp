// A line that is free again when what was let through has had its time.
#include "migrate/limiter.h"

#include "common/base/text.h"

#include <algorithm>
#include <ctime>

namespace cairn::migrate {

namespace {

// So much may be let through at once after a pause.
constexpr std::chrono::milliseconds kBurst{200};

Result<std::uint64_t> parse_rate(std::string_view text) {
  if (text == "off" || text == "0") return std::uint64_t{0};
  return parse_size(text);
}

} // namespace

Result<Limiter> Limiter::parse(std::string_view text) {
  Limiter out;
  text = trim(text);
  if (text.empty()) return out;
  if (text.find(',') == std::string_view::npos) {
    CAIRN_TRY(rate, parse_rate(text));
    if (rate != 0) out.table_.emplace_back(0, rate);
    return out;
  }
  for (const std::string_view part : split(text, ' ')) {
    if (trim(part).empty()) continue;
    const auto pair = split(trim(part), ',');
    if (pair.size() != 2)
      return Error{Errc::invalid_argument,
                   "a timetable is HH:MM,RATE HH:MM,RATE …, not '" + std::string(text) + "'"};
    CAIRN_TRY(from, parse_time_of_day(pair[0]));
    CAIRN_TRY(rate, parse_rate(pair[1]));
    out.table_.emplace_back(static_cast<int>(from.count()), rate);
  }
  std::ranges::sort(out.table_);
  return out;
}

std::uint64_t Limiter::rate_at(int minute_of_day) const {
  if (table_.empty()) return 0;
  std::uint64_t rate = table_.back().second;
  for (const auto& [from, value] : table_)
    if (from <= minute_of_day) rate = value;
  return rate;
}

Limiter::Clock::duration Limiter::take(std::uint64_t bytes, Clock::time_point now,
                                       int minute_of_day) {
  const std::uint64_t rate = rate_at(minute_of_day);
  if (rate == 0) return {};
  const std::scoped_lock lock(mutex_);
  const std::chrono::duration<double> cost(static_cast<double>(bytes) / static_cast<double>(rate));
  free_at_ = std::max(free_at_, now - kBurst) + std::chrono::duration_cast<Clock::duration>(cost);
  return std::max(free_at_ - now, Clock::duration{});
}

Limiter::Clock::duration Limiter::take(std::uint64_t bytes) {
  if (table_.empty()) return {};
  const std::time_t now = std::time(nullptr);
  std::tm local{};
  ::localtime_r(&now, &local);
  return take(bytes, Clock::now(), local.tm_hour * 60 + local.tm_min);
}

} // namespace cairn::migrate
