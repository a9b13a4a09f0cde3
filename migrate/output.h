// How a run speaks: lines on standard output, errors on standard error, progress on a terminal or
// as JSON lines, all of it also into a log file. Any thread.
#pragma once

#include "common/base/result.h"

#include <nlohmann/json_fwd.hpp>

#include <atomic>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>

namespace cairn::migrate {

struct OutputOptions {
  bool json = false;     // one object a line; the last one is the summary
  bool quiet = false;    // errors only
  bool verbose = false;  // names of what is changed
  bool itemize = false;  // with rsync's letters
  bool progress = false; // also where there is no terminal
  bool stats = false;    // a longer summary
  std::filesystem::path log_file;

  OutputOptions() {}
};

class Output {
public:
  // Errors: those of opening the log file.
  static Result<std::unique_ptr<Output>> open(OutputOptions options);
  ~Output();
  Output(const Output&) = delete;
  Output& operator=(const Output&) = delete;

  const OutputOptions& options() const { return options_; }
  // A change: "<f+++++++++ a/b.jpg".
  void item(const std::string& letters, const std::string& path, const std::string& more);
  // Something that could not be copied. On standard error the first hundred are shown.
  void problem(const std::string& path, const Error& error);
  // A line for people; not with --quiet or --json.
  void say(std::string_view line);
  // An object for machines; with --json only.
  void event(const nlohmann::json& object);
  // A line that takes the place of the last one of these, on a terminal.
  void progress_line(const std::string& line);
  bool wants_progress() const;
  bool on_terminal() const { return terminal_; }

private:
  explicit Output(OutputOptions options) : options_(std::move(options)) {}
  void print(std::FILE* to, std::string_view line);
  void log(std::string_view line);

  OutputOptions options_;
  std::mutex mutex_; // guards what follows and the order of lines
  std::FILE* log_ = nullptr;
  bool terminal_ = false;
  bool line_shown_ = false;
  std::uint64_t problems_ = 0;
};

// "path", and its bytes where they are no plain UTF-8.
void add_path(nlohmann::json& object, const std::string& path);

// "1.5 GiB", "312 B".
std::string human_bytes(double bytes);
// "1:02:03", "4:05".
std::string human_duration(double seconds);
// "2025-11-22 03:33:45" in local time.
std::string human_time(std::int64_t unix_s);

} // namespace cairn::migrate
