// Daemons as processes of their own: start, find again, signal. And the small files around them.
#pragma once

#include "common/base/result.h"

#include <chrono>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <sys/types.h>

namespace cairn::tools {

// A process that is told apart from a later one with the same number by its start time.
struct ProcessRef {
  pid_t pid = 0;
  std::uint64_t start_ticks = 0; // field 22 of /proc/PID/stat

  friend bool operator==(const ProcessRef&, const ProcessRef&) = default;
};

// "4711 123456".
std::string pid_text(const ProcessRef& process);
// nullopt: not the text of a pid file.
std::optional<ProcessRef> parse_pid_text(std::string_view text);

// Start time and state from the text of /proc/PID/stat; nullopt when it is malformed. The command
// in it may hold spaces and brackets.
struct ProcessStat {
  char state = '?';
  std::uint64_t start_ticks = 0;
};
std::optional<ProcessStat> parse_process_stat(std::string_view text);

// True while exactly this process runs (a zombie does not).
bool is_running(const ProcessRef& process);

// The process a pid file names, if it runs.
std::optional<ProcessRef> running_process(const std::filesystem::path& pid_file);

// Starts `program` with one argument in a session of its own: standard input /dev/null, output and
// errors appended to `log_file`, no other descriptor of ours, working directory /. Errors: those of
// the exec or the log file.
Result<ProcessRef> start_daemon(const std::filesystem::path& program, const std::string& argument,
                                const std::filesystem::path& log_file);

// Sends `signal` if exactly this process still runs.
void signal_process(const ProcessRef& process, int signal);
// Waits until it is gone; false when `time` is over first. Reaps it if it is our child.
bool wait_gone(const ProcessRef& process, std::chrono::milliseconds time);
// SIGTERM, then SIGKILL when it is not gone after `patience`. True: it went by itself.
bool stop_process(const ProcessRef& process, std::chrono::milliseconds patience);

// The daemon `name`: beside this program, else in $PATH. Errors: not_found.
Result<std::filesystem::path> find_program(const std::string& name);

// The last `count` lines of a file, each indented; empty when there are none.
std::string last_lines(const std::filesystem::path& file, std::size_t count);

// A file of at most 1 MiB. Errors: those of open and read.
Result<std::string> read_small_file(const std::filesystem::path& file);
// Writes a temporary file beside it and renames.
Status write_small_file(const std::filesystem::path& file, std::string_view text, mode_t mode);

// True when a TCP socket can listen there now.
bool can_listen(const std::string& address, std::uint16_t port);

} // namespace cairn::tools
