// Parsing and formatting only: no sockets, no clock.
#include "common/net/http_range.h"

#include "common/base/text.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <limits>

namespace cairn {

namespace {

constexpr std::array<std::string_view, 7> kDays{"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
constexpr std::array<std::string_view, 7> kLongDays{"Sunday",   "Monday", "Tuesday", "Wednesday",
                                                    "Thursday", "Friday", "Saturday"};
constexpr std::array<std::string_view, 12> kMonths{"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                                   "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

// Takes a decimal number off the front; nullopt when there is no digit. Larger numbers than 64 bits
// become the largest one: positions beyond every file.
std::optional<std::uint64_t> take_number(std::string_view& text) {
  std::size_t count = 0;
  while (count < text.size() && is_digit(text[count])) ++count;
  if (count == 0) return std::nullopt;
  std::uint64_t value = 0;
  if (std::from_chars(text.data(), text.data() + count, value).ec != std::errc())
    value = std::numeric_limits<std::uint64_t>::max();
  text.remove_prefix(count);
  return value;
}

// One entity tag of a list.
struct Tag {
  bool weak = false;
  std::string_view opaque; // with its quotes
};

// Takes a tag off the front; nullopt when there is none.
std::optional<Tag> take_tag(std::string_view& text) {
  Tag tag;
  std::string_view rest = text;
  if (rest.starts_with("W/")) {
    tag.weak = true;
    rest.remove_prefix(2);
  }
  if (!rest.starts_with('"')) return std::nullopt;
  const std::size_t end = rest.find('"', 1);
  if (end == std::string_view::npos) return std::nullopt;
  tag.opaque = rest.substr(0, end + 1);
  text = rest.substr(end + 1);
  return tag;
}

// Whether a list of tags ("*" included) has `etag`. A malformed list matches nothing from its first
// fault on.
bool list_has(std::string_view list, const std::string& etag, bool strong) {
  list = trim(list);
  if (list == "*") return true;
  std::string_view own_text = etag;
  const auto own = take_tag(own_text);
  if (!own || (strong && own->weak)) return false;
  while (!list.empty()) {
    if (list.front() == ',') {
      list = trim(list.substr(1));
      continue;
    }
    const auto tag = take_tag(list);
    if (!tag) return false;
    if (tag->opaque == own->opaque && !(strong && tag->weak)) return true;
    list = trim(list);
  }
  return false;
}

template <std::size_t N>
std::optional<unsigned> index_of(const std::array<std::string_view, N>& names,
                                 std::string_view name) {
  const auto found = std::find(names.begin(), names.end(), name);
  if (found == names.end()) return std::nullopt;
  return static_cast<unsigned>(found - names.begin());
}

// Reads a text by a pattern of its parts; every step fails once one has.
class DateReader {
public:
  explicit DateReader(std::string_view text) : text_(text) {}

  void literal(std::string_view expected) {
    if (!text_.starts_with(expected)) return fail();
    text_.remove_prefix(expected.size());
  }
  // Exactly `digits` digits; with `padded` the first may be a space.
  int number(std::size_t digits, bool padded = false) {
    if (text_.size() < digits) return fail(), 0;
    int value = 0;
    for (std::size_t i = 0; i < digits; ++i) {
      const char c = text_[i];
      if (padded && i == 0 && c == ' ') continue;
      if (!is_digit(c)) return fail(), 0;
      value = value * 10 + (c - '0');
    }
    text_.remove_prefix(digits);
    return value;
  }
  // A word up to `end`, which is taken too.
  std::string_view word(char end) {
    const std::size_t size = text_.find(end);
    if (size == std::string_view::npos) return fail(), std::string_view();
    const std::string_view word = text_.substr(0, size);
    text_.remove_prefix(size + 1);
    return word;
  }
  unsigned month(std::string_view name) {
    const auto index = index_of(kMonths, name);
    if (!index) return fail(), 0U;
    return *index + 1;
  }
  void time(int& seconds) {
    const int hours = number(2);
    literal(":");
    const int minutes = number(2);
    literal(":");
    const int second = number(2);
    if (hours > 23 || minutes > 59 || second > 60) fail(); // 60: a leap second
    seconds = hours * 3600 + minutes * 60 + second;
  }
  void require(bool condition) {
    if (!condition) fail();
  }
  bool ok() const { return !failed_ && text_.empty(); }

private:
  void fail() { failed_ = true; }

  std::string_view text_;
  bool failed_ = false;
};

std::optional<std::int64_t> unix_time(int year, unsigned month, int day, int seconds) {
  const std::chrono::year_month_day date{std::chrono::year(year), std::chrono::month(month),
                                         std::chrono::day(static_cast<unsigned>(day))};
  if (!date.ok()) return std::nullopt;
  const auto days = std::chrono::sys_days(date).time_since_epoch();
  return std::chrono::duration_cast<std::chrono::seconds>(days).count() + seconds;
}

int year_of(std::int64_t time) {
  const std::chrono::sys_days day =
      std::chrono::floor<std::chrono::days>(std::chrono::sys_seconds(std::chrono::seconds(time)));
  return static_cast<int>(std::chrono::year_month_day(day).year());
}

bool is_utf8(std::string_view text) {
  for (std::size_t i = 0; i < text.size();) {
    const auto first = static_cast<unsigned char>(text[i]);
    const std::size_t more = first < 0x80                     ? 0
                             : first >= 0xC2 && first <= 0xDF ? 1
                             : (first & 0xF0U) == 0xE0        ? 2
                             : first >= 0xF0 && first <= 0xF4 ? 3
                                                              : 4;
    if (more == 4 || text.size() - i <= more) return false;
    for (std::size_t j = 1; j <= more; ++j)
      if ((static_cast<unsigned char>(text[i + j]) & 0xC0U) != 0x80) return false;
    i += more + 1;
  }
  return true;
}

} // namespace

RangeAnswer parse_range(std::string_view header, std::uint64_t size) {
  RangeAnswer answer;
  header = trim(header);
  const std::size_t equals = header.find('=');
  if (equals == std::string_view::npos ||
      !equals_ignoring_case(trim(header.substr(0, equals)), "bytes"))
    return answer;

  RangeAnswer unsatisfiable;
  unsatisfiable.kind = RangeAnswer::Kind::unsatisfiable;
  std::string_view rest = header.substr(equals + 1);
  std::size_t specs = 0;
  std::uint64_t total = 0;
  for (bool last_spec = false; !last_spec;) {
    const std::size_t comma = rest.find(',');
    std::string_view spec = trim(rest.substr(0, comma));
    last_spec = comma == std::string_view::npos;
    if (!last_spec) rest.remove_prefix(comma + 1);
    if (spec.empty()) continue; // empty list elements are allowed
    if (++specs > kRangesMax) return RangeAnswer();

    const auto first = take_number(spec);
    if (!spec.starts_with('-')) return unsatisfiable;
    spec.remove_prefix(1);
    const auto last = take_number(spec);
    if (!spec.empty() || (!first && !last) || (first && last && *last < *first))
      return unsatisfiable;

    ByteRange range;
    if (!first) {
      if (*last == 0) continue;            // "-0" asks for nothing
      if (size == 0) return RangeAnswer(); // the last bytes of nothing are all of it
      range.first = *last >= size ? 0 : size - *last;
      range.last = size - 1;
    } else {
      if (*first >= size) continue;
      range.first = *first;
      range.last = std::min(last.value_or(size - 1), size - 1);
    }
    answer.ranges.push_back(range);
    if (range.length() > size - total) return RangeAnswer();
    total += range.length();
  }
  if (answer.ranges.empty()) return unsatisfiable;
  answer.kind = RangeAnswer::Kind::partial;
  return answer;
}

std::string content_range(const ByteRange& range, std::uint64_t size) {
  return "bytes " + std::to_string(range.first) + "-" + std::to_string(range.last) + "/" +
         std::to_string(size);
}

std::string content_range_unsatisfied(std::uint64_t size) {
  return "bytes */" + std::to_string(size);
}

std::string format_http_date(std::int64_t time) {
  const std::chrono::sys_seconds instant{std::chrono::seconds(time)};
  const auto day = std::chrono::floor<std::chrono::days>(instant);
  const std::chrono::year_month_day date(day);
  const std::chrono::hh_mm_ss clock(instant - day);
  std::string out;
  out.reserve(29);
  const auto two = [&out](long number) {
    out.push_back(static_cast<char>('0' + number / 10));
    out.push_back(static_cast<char>('0' + number % 10));
  };
  const int year = static_cast<int>(date.year());
  out.append(kDays[std::chrono::weekday(day).c_encoding()]).append(", ");
  two(static_cast<long>(static_cast<unsigned>(date.day())));
  out.append(" ").append(kMonths[static_cast<unsigned>(date.month()) - 1]).append(" ");
  two(year / 100);
  two(year % 100);
  out.append(" ");
  two(clock.hours().count());
  out.append(":");
  two(clock.minutes().count());
  out.append(":");
  two(clock.seconds().count());
  out.append(" GMT");
  return out;
}

std::optional<std::int64_t> parse_http_date(std::string_view text, std::int64_t now) {
  text = trim(text);
  const std::size_t comma = text.find(',');
  DateReader reader(text);
  int year = 0;
  unsigned month = 1;
  int day = 0;
  int seconds = 0;
  if (comma == 3) { // Sun, 06 Nov 1994 08:49:37 GMT
    reader.require(index_of(kDays, reader.word(',')).has_value());
    reader.literal(" ");
    day = reader.number(2);
    reader.literal(" ");
    month = reader.month(reader.word(' '));
    year = reader.number(4);
    reader.literal(" ");
    reader.time(seconds);
    reader.literal(" GMT");
  } else if (comma != std::string_view::npos) { // Sunday, 06-Nov-94 08:49:37 GMT
    reader.require(index_of(kLongDays, reader.word(',')).has_value());
    reader.literal(" ");
    day = reader.number(2);
    reader.literal("-");
    month = reader.month(reader.word('-'));
    const int this_year = year_of(now);
    year = this_year - this_year % 100 + reader.number(2);
    if (year > this_year + 50) year -= 100;
    reader.literal(" ");
    reader.time(seconds);
    reader.literal(" GMT");
  } else { // Sun Nov  6 08:49:37 1994
    reader.require(index_of(kDays, reader.word(' ')).has_value());
    month = reader.month(reader.word(' '));
    day = reader.number(2, /*padded=*/true);
    reader.literal(" ");
    reader.time(seconds);
    reader.literal(" ");
    year = reader.number(4);
  }
  if (!reader.ok()) return std::nullopt;
  return unix_time(year, month, day, seconds);
}

Precondition evaluate_preconditions(const ConditionHeaders& headers, const Validators& validators,
                                    std::int64_t now) {
  if (!headers.if_match.empty()) {
    if (!list_has(headers.if_match, validators.etag, /*strong=*/true)) return Precondition::failed;
  } else if (!headers.if_unmodified_since.empty() && validators.last_modified) {
    const auto date = parse_http_date(headers.if_unmodified_since, now);
    if (date && *validators.last_modified > *date) return Precondition::failed;
  }
  if (!headers.if_none_match.empty()) {
    if (list_has(headers.if_none_match, validators.etag, /*strong=*/false))
      return Precondition::not_modified;
  } else if (!headers.if_modified_since.empty() && validators.last_modified) {
    const auto date = parse_http_date(headers.if_modified_since, now);
    if (date && *validators.last_modified <= *date) return Precondition::not_modified;
  }
  return Precondition::proceed;
}

bool if_range_holds(std::string_view header, const Validators& validators, std::int64_t now) {
  header = trim(header);
  if (header.empty()) return true;
  if (header.front() == '"') return list_has(header, validators.etag, /*strong=*/true);
  const auto date = parse_http_date(header, now);
  return date && validators.last_modified && *date == *validators.last_modified &&
         *validators.last_modified < now;
}

std::string content_disposition(std::string_view name) {
  std::string clean;
  bool ascii = true;
  for (const char c : name) {
    const auto code = static_cast<unsigned char>(c);
    if (code < 0x20 || code == 0x7f) continue;
    ascii = ascii && code < 0x80;
    clean.push_back(c == '/' || c == '\\' ? '_' : c);
  }
  std::string out = "attachment; filename=\"";
  for (const char c : clean) {
    const auto code = static_cast<unsigned char>(c);
    if (c == '"') {
      out.append("\\\"");
    } else if (code < 0x80) {
      out.push_back(c);
    } else if (code >= 0xC0) {
      out.push_back('_'); // one for each character beyond ASCII
    }
  }
  out.push_back('"');
  if (!ascii && is_utf8(clean)) {
    static constexpr std::string_view kHex = "0123456789ABCDEF";
    static constexpr std::string_view kPlain = "!#$&+-.^_`|~"; // attr-char of RFC 8187
    out.append("; filename*=UTF-8''");
    for (const char c : clean) {
      const auto code = static_cast<unsigned char>(c);
      if (is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
          kPlain.find(c) != std::string_view::npos) {
        out.push_back(c);
      } else {
        out.push_back('%');
        out.push_back(kHex[code >> 4U]);
        out.push_back(kHex[code & 15U]);
      }
    }
  }
  return out;
}

} // namespace cairn
