// What HTTP says about parts and validity, as pure functions: Range, conditional requests, dates,
// entity tags, Content-Disposition. After RFC 9110 (sections 5.6.7, 8.8, 13, 14) and RFC 6266.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace cairn {

// Bytes `first` to `last`, both included.
struct ByteRange {
  std::uint64_t first = 0;
  std::uint64_t last = 0;

  std::uint64_t length() const { return last - first + 1; }
  friend bool operator==(const ByteRange&, const ByteRange&) = default;
};

// More ranges than this in one request are answered with the whole file.
inline constexpr std::size_t kRangesMax = 64;

// What a Range header asks of a file.
struct RangeAnswer {
  enum class Kind : std::uint8_t {
    whole,         // no Range, or one that is ignored: 200
    partial,       // 206 with `ranges` in the order asked for, at least one
    unsatisfiable, // 416
  };
  Kind kind = Kind::whole;
  std::vector<ByteRange> ranges;
};

// `header` may be empty (no Range); `size` is that of the file. Ranges are clamped to the file and
// those beyond it dropped. Another unit than bytes is ignored, as RFC 9110 demands; a malformed
// bytes range is unsatisfiable, as nginx answers it. So that a small request cannot multiply a
// file, more than kRangesMax ranges, or ranges that together exceed the file, get the whole.
RangeAnswer parse_range(std::string_view header, std::uint64_t size);

// "bytes 0-99/1234".
std::string content_range(const ByteRange& range, std::uint64_t size);
// "bytes */1234", for 416.
std::string content_range_unsatisfied(std::uint64_t size);

// "Sun, 06 Nov 1994 08:49:37 GMT"; `time` is unix seconds.
std::string format_http_date(std::int64_t time);
// Reads the three forms that servers must accept: that one, "Sunday, 06-Nov-94 08:49:37 GMT" and
// "Sun Nov  6 08:49:37 1994". nullopt for anything else. A two-digit year is taken for the past or
// at most 50 years ahead of `now`.
std::optional<std::int64_t> parse_http_date(std::string_view text, std::int64_t now);

// What identifies the current state of a file.
struct Validators {
  std::string etag;                          // quoted, perhaps with W/; empty: none
  std::optional<std::int64_t> last_modified; // unix seconds
};

// The headers of a conditional request; empty when absent.
struct ConditionHeaders {
  std::string_view if_match;
  std::string_view if_none_match;
  std::string_view if_modified_since;
  std::string_view if_unmodified_since;
};

enum class Precondition : std::uint8_t {
  proceed,
  not_modified, // 304
  failed,       // 412
};

// Evaluates the conditions of a GET or HEAD for an existing file in the order of RFC 9110, 13.2.2:
// If-Match, else If-Unmodified-Since; then If-None-Match, else If-Modified-Since. Dates that do not
// parse are ignored. `now` is unix seconds.
Precondition evaluate_preconditions(const ConditionHeaders& headers, const Validators& validators,
                                    std::int64_t now);

// Whether a Range counts, given the If-Range header (empty: it does). A tag must match strongly; a
// date must be exactly Last-Modified, and that at least a second old, since the file could have
// changed twice within one.
bool if_range_holds(std::string_view header, const Validators& validators, std::int64_t now);

// A Content-Disposition value that makes browsers save under `name` (UTF-8, from a stranger):
// `attachment; filename="a.jpg"`, and with characters beyond ASCII also filename*=UTF-8''….
// Control characters are removed, and '/' and '\' become '_'.
std::string content_disposition(std::string_view name);

} // namespace cairn
