// Access logs in the common and combined formats of nginx, Apache and HAProxy's front ends, read
// line by line in bounded memory.
#pragma once

#include "common/base/result.h"

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

namespace cairn::tools {

// One request. Views point into the line.
struct LogLine {
  std::string_view method;
  std::string_view target; // as sent; may be a full URL
  int status = 0;
  std::optional<std::uint64_t> bytes; // of the body; nullopt for "-"
  std::string_view referer;           // empty: none, or not in the log
};

// `1.2.3.4 - - [time] "GET /a HTTP/1.1" 200 123 "referer" "agent"`; what stands before the request
// is not looked at. Nullopt: no such line.
std::optional<LogLine> parse_log_line(std::string_view line);

// Calls `line` for each line of a file ("-": standard input), which may be compressed (gzip),
// without its end; lines over 64 KiB are cut there. Ends early when `line` answers false. Errors:
// not_found, io_error, corrupt (broken gzip).
Status for_each_line(const std::string& file, const std::function<bool(std::string_view)>& line);

// The shape of a path: digits by number ("\d{4}"), long hexadecimal texts, names of files by their
// extension. As a regular expression that matches the path, without anchors.
std::string shape_of(std::string_view path);

} // namespace cairn::tools
