// The two forms of a log line. A message is an event and its facts, "peer joined group=g1 node=7";
// both forms take it apart, so that log collectors get fields instead of prose.
//
//   logfmt  time=2024-05-01T12:00:00.123Z level=info logger=storage.sync msg="peer joined" group=g1
//   json    {"time":"…","level":"info","logger":"storage.sync","msg":"peer joined","group":"g1"}
#pragma once

#include <chrono>
#include <string>
#include <string_view>

namespace cairn {

// One event before it is written.
struct LogEvent {
  std::chrono::system_clock::time_point time;
  std::string_view level;  // "info"
  std::string_view logger; // may be empty
  std::string_view message;
};

// Appends one line, newline included. Line breaks and control characters of the message are
// escaped: what a peer sends cannot forge a line.
void append_logfmt(const LogEvent& event, std::string& out);
void append_json(const LogEvent& event, std::string& out);

} // namespace cairn
