// Text forms and random bytes.
#include "common/base/text.h"

#include <algorithm>
#include <arpa/inet.h>
#include <array>
#include <atomic>
#include <cerrno>
#include <charconv>
#include <pthread.h>
#include <random>
#include <sys/random.h>

namespace cairn {
namespace {

constexpr std::string_view kSpaces = " \t\r\n";

constexpr char lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

constexpr bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

// Text of unknown origin in an error line: printable and short.
std::string quoted(std::string_view text) {
  std::string result = "'";
  for (const char c : text.substr(0, 64)) result += c >= ' ' && c <= '~' ? c : '?';
  return result + (text.size() > 64 ? "…'" : "'");
}

Error bad(std::string_view text, std::string_view what) {
  return Error{Errc::invalid_argument, quoted(text) + " is not " + std::string(what)};
}

// Cuts the leading digits off `text`.
std::string_view take_digits(std::string_view& text) {
  const auto end = std::find_if_not(text.begin(), text.end(), is_digit);
  const auto count = static_cast<std::size_t>(end - text.begin());
  const std::string_view digits = text.substr(0, count);
  text.remove_prefix(count);
  return digits;
}

} // namespace

std::string_view trim(std::string_view text) {
  const std::size_t first = text.find_first_not_of(kSpaces);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kSpaces) - first + 1);
}

std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> pieces;
  for (;;) {
    const std::size_t at = text.find(separator);
    pieces.push_back(text.substr(0, at));
    if (at == std::string_view::npos) return pieces;
    text.remove_prefix(at + 1);
  }
}

std::string to_lower(std::string_view text) {
  std::string result(text);
  std::transform(result.begin(), result.end(), result.begin(), lower);
  return result;
}

bool equals_ignoring_case(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](char x, char y) { return lower(x) == lower(y); });
}

Result<std::uint64_t> parse_u64(std::string_view text) {
  std::uint64_t value = 0;
  const char* end = text.data() + text.size();
  // from_chars takes no sign for unsigned types, so what it accepts is digits only.
  const auto [stop, error] = std::from_chars(text.data(), end, value);
  if (error == std::errc::result_out_of_range) return bad(text, "a number below 2^64");
  if (text.empty() || error != std::errc() || stop != end) return bad(text, "a number");
  return value;
}

Result<std::uint64_t> parse_size(std::string_view text) {
  constexpr std::string_view kForm = "a size (digits and K, M, G or T)";
  std::string_view rest = text;
  const auto number = parse_u64(take_digits(rest));
  if (!number) return bad(text, kForm);
  if (rest.size() > 1 && rest.front() == ' ') rest.remove_prefix(1);

  const std::string suffix = to_lower(rest);
  unsigned shift = 0;
  if (!suffix.empty() && suffix != "b") {
    const std::size_t power = std::string_view("kmgt").find(suffix.front());
    const std::string_view tail = std::string_view(suffix).substr(1);
    if (power == std::string_view::npos || !(tail.empty() || tail == "b" || tail == "ib")) {
      return bad(text, kForm);
    }
    shift = static_cast<unsigned>(power + 1) * 10;
  }
  if (*number > (UINT64_MAX >> shift)) return bad(text, "a size below 2^64 bytes");
  return *number << shift;
}

std::string format_size(std::uint64_t bytes) {
  constexpr std::string_view kSuffixes = "KMGT";
  std::string suffix;
  for (std::size_t i = 0; i < kSuffixes.size() && bytes != 0 && bytes % 1024 == 0; ++i) {
    bytes /= 1024;
    suffix = kSuffixes[i];
  }
  return std::to_string(bytes) + suffix;
}

Result<bool> parse_bool(std::string_view text) {
  for (const std::string_view word : {"true", "yes", "on", "1"}) {
    if (equals_ignoring_case(text, word)) return true;
  }
  for (const std::string_view word : {"false", "no", "off", "0"}) {
    if (equals_ignoring_case(text, word)) return false;
  }
  return bad(text, "on or off");
}

Result<double> parse_percent(std::string_view text) {
  constexpr std::string_view kForm = "a percentage from 0% to 100%";
  std::string_view number = text;
  if (number.empty() || number.back() != '%') return bad(text, kForm);
  number = trim(number.substr(0, number.size() - 1));
  double value = 0;
  const char* end = number.data() + number.size();
  const auto [stop, error] = std::from_chars(number.data(), end, value, std::chars_format::fixed);
  // The negated comparison also refuses a NaN.
  if (number.empty() || error != std::errc() || stop != end || !(value >= 0 && value <= 100)) {
    return bad(text, kForm);
  }
  return value;
}

Result<std::chrono::minutes> parse_time_of_day(std::string_view text) {
  std::string_view rest = text;
  const std::string_view hours = take_digits(rest);
  const bool colon = !rest.empty() && rest.front() == ':';
  if (colon) rest.remove_prefix(1);
  const std::string_view minutes = take_digits(rest);
  if (!colon || !rest.empty() || hours.empty() || hours.size() > 2 || minutes.size() != 2) {
    return bad(text, "a time of day HH:MM");
  }
  const auto hour = parse_u64(hours);
  const auto minute = parse_u64(minutes);
  if (*hour > 23 || *minute > 59) return bad(text, "a time of day HH:MM");
  return std::chrono::hours(*hour) + std::chrono::minutes(*minute);
}

Result<std::chrono::seconds> parse_duration(std::string_view text) {
  constexpr std::string_view kForm = "a duration (seconds, or digits and s, m, h or d)";
  constexpr std::uint64_t kMax = std::uint64_t{100} * 365 * 86'400;
  std::string_view rest = text;
  const auto number = parse_u64(take_digits(rest));
  if (!number || rest.size() > 1) return bad(text, kForm);
  std::uint64_t unit = 1;
  switch (rest.empty() ? 's' : rest.front()) {
    case 's':
      break;
    case 'm':
      unit = 60;
      break;
    case 'h':
      unit = 3600;
      break;
    case 'd':
      unit = 86'400;
      break;
    default:
      return bad(text, kForm);
  }
  if (*number > kMax / unit) return bad(text, "a duration of at most 100 years");
  return std::chrono::seconds(*number * unit);
}

std::string format_duration(std::chrono::seconds duration) {
  const auto seconds = duration.count();
  struct Unit {
    std::int64_t size;
    char suffix;
  };
  for (const Unit unit : {Unit{86'400, 'd'}, Unit{3600, 'h'}, Unit{60, 'm'}, Unit{1, 's'}}) {
    if (seconds != 0 && seconds % unit.size == 0) {
      return std::to_string(seconds / unit.size) + unit.suffix;
    }
  }
  return "0";
}

std::string hex_encode(std::span<const std::byte> bytes) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string text;
  text.reserve(bytes.size() * 2);
  for (const std::byte byte : bytes) {
    const auto value = std::to_integer<unsigned>(byte);
    text += kDigits[value >> 4];
    text += kDigits[value & 15];
  }
  return text;
}

Result<std::vector<std::byte>> hex_decode(std::string_view text) {
  if (text.size() % 2 != 0) return bad(text, "hex: the number of digits is odd");
  std::vector<std::byte> bytes(text.size() / 2);
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    const int high = hex_digit(text[2 * i]);
    const int low = hex_digit(text[2 * i + 1]);
    if (high < 0 || low < 0) return bad(text, "hex");
    bytes[i] = static_cast<std::byte>(high * 16 + low);
  }
  return bytes;
}

namespace {

constexpr std::string_view kBase64 =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

constexpr std::array<std::int8_t, 256> kBase64Values = [] {
  std::array<std::int8_t, 256> values{};
  values.fill(-1);
  for (std::size_t i = 0; i < kBase64.size(); ++i) {
    values[static_cast<unsigned char>(kBase64[i])] = static_cast<std::int8_t>(i);
  }
  return values;
}();

constexpr std::size_t base64_size(std::size_t bytes) {
  return (bytes * 4 + 2) / 3;
}

} // namespace

void base64url_encode_to(std::span<const std::byte> bytes, std::span<char> out) {
  CAIRN_ASSERT(out.size() == base64_size(bytes.size()));
  std::uint32_t bits = 0; // the lowest `count` are not written yet
  unsigned count = 0;
  std::size_t at = 0;
  for (const std::byte byte : bytes) {
    bits = (bits << 8) | std::to_integer<std::uint32_t>(byte);
    for (count += 8; count >= 6; count -= 6) out[at++] = kBase64[(bits >> (count - 6)) & 63];
  }
  if (count > 0) out[at] = kBase64[(bits << (6 - count)) & 63];
}

std::string base64url_encode(std::span<const std::byte> bytes) {
  std::string text(base64_size(bytes.size()), '\0');
  base64url_encode_to(bytes, text);
  return text;
}

bool base64url_decode_to(std::string_view text, std::span<std::byte> out) {
  if (text.size() != base64_size(out.size())) return false;
  std::uint32_t bits = 0; // the lowest `count` are not used yet
  unsigned count = 0;
  std::size_t at = 0;
  for (const char c : text) {
    const int value = kBase64Values[static_cast<unsigned char>(c)];
    if (value < 0) return false;
    bits = (bits << 6) | static_cast<std::uint32_t>(value);
    count += 6;
    if (count >= 8) {
      count -= 8;
      out[at++] = static_cast<std::byte>((bits >> count) & 0xFF);
    }
  }
  return (bits & ((1U << count) - 1)) == 0;
}

Result<std::vector<std::byte>> base64url_decode(std::string_view text) {
  std::vector<std::byte> bytes(text.size() * 3 / 4);
  if (!base64url_decode_to(text, bytes)) return bad(text, "base64url");
  return bytes;
}

Result<std::string> percent_decode(std::string_view text) {
  std::string result;
  result.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      result += text[i];
      continue;
    }
    const int high = i + 2 < text.size() ? hex_digit(text[i + 1]) : -1;
    const int low = i + 2 < text.size() ? hex_digit(text[i + 2]) : -1;
    if (high < 0 || low < 0) return bad(text, "percent-encoded text: '%' needs two hex digits");
    result += static_cast<char>(high * 16 + low);
    i += 2;
  }
  return result;
}

std::string HostPort::text() const {
  const bool v6 = host.find(':') != std::string::npos;
  return (v6 ? "[" + host + "]" : host) + ":" + std::to_string(port);
}

bool is_ip_address(std::string_view text) {
  if (text.empty() || text.size() >= INET6_ADDRSTRLEN) return false;
  if (text.find('\0') != std::string_view::npos) return false;
  const std::string copy(text);
  in6_addr buffer{};
  return inet_pton(AF_INET, copy.c_str(), &buffer) == 1 ||
         inet_pton(AF_INET6, copy.c_str(), &buffer) == 1;
}

namespace {

bool is_host_name(std::string_view text) {
  if (text.empty() || text.size() > 253) return false;
  bool letter = false;
  for (const char c : text) {
    const bool alphabetic = lower(c) >= 'a' && lower(c) <= 'z';
    letter |= alphabetic;
    if (!alphabetic && !is_digit(c) && c != '-' && c != '_' && c != '.') return false;
  }
  // Digits and dots alone are a mistyped address, never a name.
  return (letter || is_ip_address(text)) && text.front() != '-' && text.front() != '.';
}

} // namespace

Result<HostPort> parse_host_port(std::string_view text, std::optional<std::uint16_t> default_port) {
  HostPort result;
  std::string_view port;
  bool has_port = false;
  if (!text.empty() && text.front() == '[') {
    const std::size_t close = text.find(']');
    if (close == std::string_view::npos) return bad(text, "host:port: ']' is missing");
    result.host = text.substr(1, close - 1);
    if (result.host.find(':') == std::string::npos || !is_ip_address(result.host)) {
      return bad(text, "host:port: no IPv6 address in the brackets");
    }
    port = text.substr(close + 1);
    has_port = !port.empty();
    if (has_port && port.front() != ':') return bad(text, "host:port");
    if (has_port) port.remove_prefix(1);
  } else if (std::count(text.begin(), text.end(), ':') > 1) {
    result.host = text;
    if (!is_ip_address(text)) return bad(text, "host:port");
  } else {
    const std::size_t colon = text.find(':');
    has_port = colon != std::string_view::npos;
    if (has_port) port = text.substr(colon + 1);
    result.host = text.substr(0, colon);
    if (!is_host_name(result.host)) return bad(text, "host:port");
  }

  if (!has_port) {
    if (!default_port) return bad(text, "host:port: the port is missing");
    result.port = *default_port;
    return result;
  }
  const auto number = parse_u64(port);
  if (!number || *number < 1 || *number > 65'535)
    return bad(text, "host:port: ports are 1 to 65535");
  result.port = static_cast<std::uint16_t>(*number);
  return result;
}

void random_bytes(std::span<std::byte> out) {
  while (!out.empty()) {
    const ssize_t got = getrandom(out.data(), out.size(), 0);
    CAIRN_ASSERT(got > 0 || errno == EINTR);
    if (got > 0) out = out.subspan(static_cast<std::size_t>(got));
  }
}

namespace {

// Counts forks, so that a child does not go on with its parent's numbers (file names would meet).
std::atomic<unsigned> fork_count{0};

struct Generator {
  std::mt19937_64 engine;
  unsigned seeded_at = UINT_MAX;
};

} // namespace

std::uint64_t random_u64() {
  [[maybe_unused]] static const int registered =
      pthread_atfork(nullptr, nullptr, [] { fork_count.fetch_add(1, std::memory_order_relaxed); });
  thread_local Generator generator;
  const unsigned now = fork_count.load(std::memory_order_relaxed);
  if (generator.seeded_at != now) {
    std::array<std::uint32_t, 8> words{};
    random_bytes(std::as_writable_bytes(std::span(words)));
    std::seed_seq seed(words.begin(), words.end());
    generator.engine.seed(seed);
    generator.seeded_at = now;
  }
  return generator.engine();
}

std::string uuid_v4() {
  std::array<std::byte, 16> bytes{};
  random_bytes(bytes);
  bytes[6] = (bytes[6] & std::byte{0x0F}) | std::byte{0x40}; // version 4
  bytes[8] = (bytes[8] & std::byte{0x3F}) | std::byte{0x80}; // the RFC 4122 variant
  std::string text = hex_encode(bytes);
  for (const std::size_t at : {8U, 13U, 18U, 23U}) text.insert(at, 1, '-');
  return text;
}

} // namespace cairn
