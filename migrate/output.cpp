// Lines.
#include "migrate/output.h"

#include "common/base/text.h"
#include "migrate/entry.h"

#include <nlohmann/json.hpp>

#include <array>
#include <cerrno>
#include <cmath>
#include <ctime>
#include <unistd.h>

namespace cairn::migrate {

namespace {

constexpr std::uint64_t kProblemsShown = 100;

std::string dumped(const nlohmann::json& object) {
  return object.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

} // namespace

Result<std::unique_ptr<Output>> Output::open(OutputOptions options) {
  std::unique_ptr<Output> out(new Output(std::move(options)));
  if (!out->options_.log_file.empty()) {
    out->log_ = std::fopen(out->options_.log_file.c_str(), "ae");
    if (out->log_ == nullptr) return errno_error(out->options_.log_file.string(), errno);
  }
  out->terminal_ = ::isatty(STDERR_FILENO) == 1;
  return out;
}

Output::~Output() {
  if (line_shown_) std::fputs("\r\033[K", stderr);
  if (log_ != nullptr) std::fclose(log_);
}

void Output::print(std::FILE* to, std::string_view line) {
  if (line_shown_) std::fputs("\r\033[K", stderr);
  line_shown_ = false;
  std::fwrite(line.data(), 1, line.size(), to);
  std::fputc('\n', to);
  if (to == stdout && terminal_) std::fflush(to);
}

void Output::log(std::string_view line) {
  if (log_ == nullptr) return;
  const std::string when = human_time(std::time(nullptr));
  std::fprintf(log_, "%s %.*s\n", when.c_str(), static_cast<int>(line.size()), line.data());
  std::fflush(log_);
}

void Output::item(const std::string& letters, const std::string& path, const std::string& more) {
  const bool wanted = (options_.itemize || options_.verbose) && !options_.quiet;
  if (!wanted && log_ == nullptr) return;
  const std::string line = letters + " " + printable(path) + printable(more);
  const std::scoped_lock lock(mutex_);
  log(line);
  if (!wanted) return;
  if (options_.json) {
    nlohmann::json object{{"event", "item"}, {"change", letters}};
    add_path(object, path);
    print(stdout, dumped(object));
  } else {
    print(stdout, options_.itemize ? line : printable(path) + printable(more));
  }
}

void Output::problem(const std::string& path, const Error& error) {
  const std::string line = (path.empty() ? "" : printable(path) + ": ") + error.text();
  const std::scoped_lock lock(mutex_);
  log(line);
  if (options_.json) {
    nlohmann::json object{{"event", "problem"}, {"error", error.text()}};
    add_path(object, path);
    print(stdout, dumped(object));
    return;
  }
  if (++problems_ > kProblemsShown) return;
  print(stderr, "cairn-migrate: " + line);
  if (problems_ == kProblemsShown)
    print(stderr, "cairn-migrate: further problems are only counted; `report` lists them all");
}

void Output::say(std::string_view line) {
  const std::scoped_lock lock(mutex_);
  log(line);
  if (!options_.quiet && !options_.json) print(stdout, line);
}

void Output::event(const nlohmann::json& object) {
  const std::scoped_lock lock(mutex_);
  if (!options_.json) return;
  print(stdout, dumped(object));
  std::fflush(stdout);
}

bool Output::wants_progress() const {
  return !options_.quiet && (options_.json || options_.progress || terminal_);
}

void Output::progress_line(const std::string& line) {
  const std::scoped_lock lock(mutex_);
  if (terminal_) {
    std::fprintf(stderr, "\r%s\033[K", line.c_str());
    std::fflush(stderr);
    line_shown_ = true;
  } else {
    print(stderr, line);
  }
}

void add_path(nlohmann::json& object, const std::string& path) {
  object["path"] = is_plain_text(path) ? path : printable(path);
  if (!is_plain_text(path)) {
    const std::string_view bytes = path;
    object["path_hex"] = hex_encode(std::as_bytes(std::span(bytes.data(), bytes.size())));
  }
}

std::string human_bytes(double bytes) {
  static constexpr std::array<const char*, 6> kUnits = {"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
  std::size_t unit = 0;
  while (bytes >= 1024 && unit + 1 < kUnits.size()) {
    bytes /= 1024;
    ++unit;
  }
  char text[32];
  std::snprintf(text, sizeof text, unit == 0 || bytes >= 100 ? "%.0f %s" : "%.1f %s", bytes,
                kUnits[unit]);
  return text;
}

std::string human_duration(double seconds) {
  const auto all = static_cast<long long>(std::llround(std::max(seconds, 0.0)));
  char text[40];
  if (all >= 3600)
    std::snprintf(text, sizeof text, "%lld:%02lld:%02lld", all / 3600, all / 60 % 60, all % 60);
  else
    std::snprintf(text, sizeof text, "%lld:%02lld", all / 60, all % 60);
  return text;
}

std::string human_time(std::int64_t unix_s) {
  const auto when = static_cast<std::time_t>(unix_s);
  std::tm local{};
  ::localtime_r(&when, &local);
  char text[40];
  std::strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S", &local);
  return text;
}

} // namespace cairn::migrate
