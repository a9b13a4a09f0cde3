// Small text forms used everywhere: numbers, sizes, durations, hex, base64url, percent escapes,
// host:port, and random bytes. Every parse_* takes the whole text (no surrounding spaces) and
// answers invalid_argument with one line for people.
#pragma once

#include "common/base/result.h"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace cairn {

// `text` without spaces, tabs, CR and LF at both ends.
std::string_view trim(std::string_view text);

// The pieces of `text` between `separator`s, untrimmed and including empty ones; one (empty) piece
// for an empty text. The views point into `text`.
std::vector<std::string_view> split(std::string_view text, char separator);

// ASCII letters only, whatever the locale.
std::string to_lower(std::string_view text);
bool equals_ignoring_case(std::string_view a, std::string_view b);

// Decimal digits only, no sign; more than 64 bits is an error.
Result<std::uint64_t> parse_u64(std::string_view text);

// Bytes: digits with an optional suffix K, M, G, T (or KB, KiB …, any case, one space allowed
// before it). Powers of 1024, as FastDFS reads "256KB" and "64 MB". A bare B is bytes.
Result<std::uint64_t> parse_size(std::string_view text);

// The shortest exact form that parse_size reads back: "64M", "1500".
std::string format_size(std::uint64_t bytes);

// true/false, yes/no, on/off, 1/0 in any case. Unlike FastDFS anything else is an error, not false.
Result<bool> parse_bool(std::string_view text);

// "20%", "12.5 %": percent from 0 to 100. The sign is required.
Result<double> parse_percent(std::string_view text);

// "HH:MM", 00:00 to 23:59, as minutes since midnight.
Result<std::chrono::minutes> parse_time_of_day(std::string_view text);

// "30s", "5m", "24h", "90d", or plain seconds. At most 100 years.
Result<std::chrono::seconds> parse_duration(std::string_view text);

// The shortest exact form that parse_duration reads back: "90d", "10s", "0".
std::string format_duration(std::chrono::seconds duration);

// Lower-case hex, two digits a byte.
std::string hex_encode(std::span<const std::byte> bytes);

// Either case; an odd number of digits is an error.
Result<std::vector<std::byte>> hex_decode(std::string_view text);

// The value of one hex digit, or -1.
constexpr int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

// Base64 with the alphabet A-Z a-z 0-9 - _ and no padding, as in FastDFS file names (and RFC 4648
// base64url). n bytes give ceil(n * 4 / 3) characters.
std::string base64url_encode(std::span<const std::byte> bytes);

// As above into `out`, which must hold exactly the characters of `bytes`; no allocation.
void base64url_encode_to(std::span<const std::byte> bytes, std::span<char> out);

// Accepts only what base64url_encode makes: no padding, and no spare bits set in the last
// character, so that a text that decodes also encodes back to itself.
Result<std::vector<std::byte>> base64url_decode(std::string_view text);

// As above into `out`; false when `text` is not canonical or does not fill `out` exactly. No
// allocation.
bool base64url_decode_to(std::string_view text, std::span<std::byte> out);

// Decodes %HH once ("%252e" gives "%2e"). '+' stays. A '%' without two hex digits is an error. The
// result may hold any byte, NUL and '/' included: the caller refuses what it cannot take.
Result<std::string> percent_decode(std::string_view text);

// A host (name or numeric address, an IPv6 one without brackets) and a TCP port.
struct HostPort {
  std::string host;
  std::uint16_t port = 0;

  // "10.0.0.1:22122", "[::1]:22122".
  std::string text() const;
  friend bool operator==(const HostPort&, const HostPort&) = default;
};

// "10.0.0.1:23000", "[2001:db8::1]:23000", "name.example:23000"; without a port (then a bare IPv6
// address needs no brackets) `default_port`, or an error when there is none. Port 0 is refused.
// Host names are letters, digits, '-', '_' and '.'; nothing is resolved.
Result<HostPort> parse_host_port(std::string_view text,
                                 std::optional<std::uint16_t> default_port = std::nullopt);

// True for a numeric IPv4 ("10.0.0.1", four decimal parts) or IPv6 address (no brackets, no zone).
bool is_ip_address(std::string_view text);

// Fills `out` from the kernel's generator (getrandom): for keys, nonces, UUIDs. Aborts if the
// kernel has none, which it always has after boot.
void random_bytes(std::span<std::byte> out);

// A random number from a generator per thread, seeded by the kernel (also after fork). Cheap, any
// thread; predictable to one who sees many: never for secrets.
std::uint64_t random_u64();

// A random (version 4) UUID as 36 lower-case characters.
std::string uuid_v4();

} // namespace cairn
