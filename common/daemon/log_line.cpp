// Taking a message apart, and writing it as logfmt or JSON.
#include "common/daemon/log_line.h"

#include <array>
#include <cstdio>
#include <ctime>
#include <utility>
#include <vector>

namespace cairn {

namespace {

using Pair = std::pair<std::string_view, std::string_view>;

bool is_key(std::string_view text) {
  if (text.empty() || text.front() < 'a' || text.front() > 'z') return false;
  for (const char c : text) {
    if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '.')) return false;
  }
  return true;
}

// The start of the next " key=" at or after `from`, or npos; `from` itself counts as after a space
// when it is 0.
std::size_t find_pair(std::string_view message, std::size_t from) {
  while (from < message.size()) {
    const std::size_t equals = message.find('=', from);
    if (equals == std::string_view::npos) return std::string_view::npos;
    const std::size_t space = message.substr(0, equals).rfind(' ');
    const std::size_t start = space == std::string_view::npos ? 0 : space + 1;
    if (start >= from && is_key(message.substr(start, equals - start))) return start;
    from = equals + 1;
  }
  return std::string_view::npos;
}

std::string_view without_trailing_space(std::string_view text) {
  while (!text.empty() && text.back() == ' ') text.remove_suffix(1);
  return text;
}

// {"peer joined", {{"group", "g1"}, {"node", "7"}}}; a value goes on to the next key.
std::pair<std::string_view, std::vector<Pair>> take_apart(std::string_view message) {
  std::size_t start = find_pair(message, 0);
  const std::string_view what = without_trailing_space(message.substr(0, start));
  std::vector<Pair> pairs;
  while (start != std::string_view::npos) {
    const std::size_t equals = message.find('=', start);
    const std::size_t next = find_pair(message, equals + 1);
    const std::size_t end = next == std::string_view::npos ? message.size() : next;
    pairs.emplace_back(message.substr(start, equals - start),
                       without_trailing_space(message.substr(equals + 1, end - equals - 1)));
    start = next;
  }
  return {what, std::move(pairs)};
}

void append_escaped(std::string_view text, std::string& out) {
  for (const char c : text) {
    switch (c) {
      case '"':
        out += "\\\"";
        break;
      case '\\':
        out += "\\\\";
        break;
      case '\n':
        out += "\\n";
        break;
      case '\r':
        out += "\\r";
        break;
      case '\t':
        out += "\\t";
        break;
      default:
        if (static_cast<unsigned char>(c) < 0x20 || c == 0x7F) {
          std::array<char, 8> hex{};
          std::snprintf(hex.data(), hex.size(), "\\u%04x", static_cast<unsigned>(c));
          out += hex.data();
        } else {
          out += c;
        }
    }
  }
}

void append_quoted(std::string_view text, std::string& out) {
  out += '"';
  append_escaped(text, out);
  out += '"';
}

void append_value(std::string_view text, std::string& out) {
  bool plain = !text.empty();
  for (const char c : text) {
    if (static_cast<unsigned char>(c) <= 0x20 || c == '"' || c == '\\' || c == '=' || c == 0x7F)
      plain = false;
  }
  if (plain)
    out += text;
  else
    append_quoted(text, out);
}

void append_time(std::chrono::system_clock::time_point time, std::string& out) {
  const auto since = std::chrono::duration_cast<std::chrono::milliseconds>(time.time_since_epoch());
  const std::time_t seconds = static_cast<std::time_t>(since.count() / 1000);
  std::tm parts{};
  gmtime_r(&seconds, &parts);
  std::array<char, 80> text{};
  std::snprintf(text.data(), text.size(), "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ",
                parts.tm_year + 1900, parts.tm_mon + 1, parts.tm_mday, parts.tm_hour, parts.tm_min,
                parts.tm_sec, static_cast<int>(since.count() % 1000));
  out += text.data();
}

} // namespace

void append_logfmt(const LogEvent& event, std::string& out) {
  const auto [what, pairs] = take_apart(event.message);
  out += "time=";
  append_time(event.time, out);
  out += " level=";
  out += event.level;
  if (!event.logger.empty()) {
    out += " logger=";
    append_value(event.logger, out);
  }
  out += " msg=";
  append_quoted(what, out);
  for (const auto& [key, value] : pairs) {
    out += ' ';
    out += key;
    out += '=';
    append_value(value, out);
  }
  out += '\n';
}

void append_json(const LogEvent& event, std::string& out) {
  const auto [what, pairs] = take_apart(event.message);
  out += "{\"time\":\"";
  append_time(event.time, out);
  out += "\",\"level\":";
  append_quoted(event.level, out);
  if (!event.logger.empty()) {
    out += ",\"logger\":";
    append_quoted(event.logger, out);
  }
  out += ",\"msg\":";
  append_quoted(what, out);
  for (const auto& [key, value] : pairs) {
    out += ',';
    append_quoted(key, out);
    out += ':';
    append_quoted(value, out);
  }
  out += "}\n";
}

} // namespace cairn
