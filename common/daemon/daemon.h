// What the main() of every daemon does: command line, logging, limits, signals, and the claim on
// its data directory. The daemon itself is three callbacks.
#pragma once

#include "common/base/result.h"
#include "common/config/server_config.h"
#include "common/net/connection_gauge.h"

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

namespace cairn {

// One daemon, as daemon_main() sees it.
struct DaemonProgram {
  std::string name;        // "cairn-tracker"
  std::string description; // one sentence for --help
  // Reads and validates a configuration file; answers notes for the operator, a line each.
  std::function<Result<std::vector<std::string>>(const std::filesystem::path& conf)> check;
  // The commented sample configuration.
  std::function<std::string()> sample;
  // Reads the configuration and serves until wait_for_stop() returns. An Error becomes one line on
  // stderr and exit code 1.
  std::function<Status(const std::filesystem::path& conf)> run;
};

// The command line: PROGRAM CONF | --check CONF | --sample | --help | --version. Sets up what a
// daemon process needs (umask 022, SIGPIPE ignored, open files raised to the hard limit, stop
// signals blocked for wait_for_stop()) and runs it. Call first in main(), before any thread
// exists. Answers the exit code: 0 or 1.
int daemon_main(int argc, char** argv, const DaemonProgram& program);

// Sets spdlog's default logger to stderr with this level and format (log_line.h), also for loggers
// made by name before. May be called again on reload.
void setup_logging(config::LogLevel level, config::LogFormat format);

// Waits in the main thread for SIGTERM or SIGINT (or request_stop()), then returns; each SIGHUP
// calls `reload` first and goes on. After it has returned, a second SIGINT ends the process at
// once.
void wait_for_stop(const std::function<void()>& reload);

// Makes wait_for_stop() return: for a daemon that cannot go on. Any thread.
void request_stop();

// How many files this process may open (after daemon_main() raised the limit).
std::size_t open_files_limit();

// What max_connections and its relatives allow on one port: at most three quarters of the open
// files this process may have, because requests, logs and databases need theirs. Warns (once a
// port) when that is less than what was configured.
ConnectionLimits connection_limits(const config::ServerConfig& config);

// The claim of this process on `base_path`/data: a lock that lives as long as the object and ends
// with the process, however that dies.
class DataLock {
public:
  // Makes base_path/data if it is missing and locks it. Errors: busy with one line that names the
  // process that has it; that of mkdir and open. Touches nothing when the lock is taken.
  static Result<DataLock> take(const std::filesystem::path& base_path);

  DataLock(DataLock&& other) noexcept;
  DataLock& operator=(DataLock&& other) noexcept;
  ~DataLock();

private:
  explicit DataLock(int fd) : fd_(fd) {}
  int fd_ = -1;
};

// The node's UUID, from base_path/data/node.uuid; made (random, durable, 0644) when there is none.
// Hold the DataLock. Errors: those of reading and writing; corrupt when the file holds no UUID.
Result<std::string> node_uuid(const std::filesystem::path& base_path);

} // namespace cairn
