// Output, errors and the client of a command.
#include "tools/context.h"

#include "client/command_options.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <array>
#include <cstdio>
#include <ctime>

namespace cairn::tools {

int exit_code(Errc code) {
  switch (code) {
    case Errc::ok:
      return kGood;
    case Errc::not_found:
      return kNotFound;
    case Errc::denied:
    case Errc::not_permitted:
      return kDenied;
    case Errc::exists:
    case Errc::busy:
    case Errc::already:
      return kConflict;
    case Errc::corrupt:
      return kVerifyFailed;
    case Errc::invalid_argument:
    case Errc::name_too_long:
    case Errc::is_directory:
    case Errc::unsupported:
      return kUsage;
    case Errc::io_error:
    case Errc::unavailable:
    case Errc::out_of_memory:
    case Errc::no_space:
    case Errc::no_net:
    case Errc::closed:
    case Errc::timeout:
      return kUnavailable;
  }
  return kUnavailable;
}

std::string hint_for(const Error& error) {
  if (error.outcome_unknown)
    return "look whether it happened before you repeat it: the answer was lost, not the request";
  switch (error.code) {
    case Errc::denied:
      return "this machine must be in allow_hosts of the daemon and in the --clients of an export, "
             "if any; administration needs the cluster's secret (--conf)";
    case Errc::no_space:
      return "no node has room: see `cairn status`";
    case Errc::unavailable:
    case Errc::timeout:
    case Errc::closed:
      return "see `cairn status`; -t or --conf names the trackers";
    case Errc::corrupt:
      return "`cairn where ID` shows which copy is damaged";
    default:
      return {};
  }
}

Result<ClientOptions> Context::client_options() const {
  CAIRN_TRY(options, command_options(globals_.conf, globals_.trackers));
  if (globals_.timeout.count() > 0) {
    options.operation_timeout = globals_.timeout;
    options.connect_timeout = std::min(options.connect_timeout, globals_.timeout);
  }
  return options;
}

Result<Client*> Context::client() {
  if (!client_) {
    CAIRN_TRY(options, client_options());
    client_ = std::make_unique<Client>(std::move(options));
  }
  return client_.get();
}

void Context::say(std::string_view line) const {
  if (!quiet()) answer(line);
}

void Context::answer(std::string_view line) const {
  std::fwrite(line.data(), 1, line.size(), stdout);
  std::fputc('\n', stdout);
  std::fflush(stdout);
}

void Context::answer_json(const nlohmann::json& document) const {
  // File names need not be UTF-8: what is not becomes a replacement character.
  answer(document.dump(2, ' ', false, nlohmann::json::error_handler_t::replace));
}

void Context::note(std::string_view line) const {
  if (quiet()) return;
  std::fprintf(stderr, "%.*s\n", static_cast<int>(line.size()), line.data());
}

int Context::fail(std::string_view what, const Error& error, std::string_view hint) const {
  const int code = exit_code(error.code);
  std::string message(what);
  if (!message.empty()) message += ": ";
  message += error.text();
  const std::string advice = hint.empty() ? hint_for(error) : std::string(hint);
  if (json()) {
    nlohmann::json document{{"code", code}, {"message", message}, {"hint", advice}};
    if (error.outcome_unknown) document["outcome_unknown"] = true;
    const std::string text =
        document.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
    std::fprintf(stderr, "%s\n", text.c_str());
  } else {
    if (!advice.empty()) message += "; " + advice;
    std::fprintf(stderr, "cairn: %s\n", message.c_str());
  }
  return code;
}

int Context::usage(std::string_view message, std::string_view hint) const {
  if (json()) {
    const nlohmann::json document{
        {"code", kUsage}, {"message", std::string(message)}, {"hint", std::string(hint)}};
    std::fprintf(stderr, "%s\n", document.dump().c_str());
  } else {
    std::fprintf(stderr, "cairn: %.*s%s%.*s\n", static_cast<int>(message.size()), message.data(),
                 hint.empty() ? "" : "; ", static_cast<int>(hint.size()), hint.data());
  }
  return kUsage;
}

std::string human_bytes(std::uint64_t bytes) {
  static constexpr std::array<const char*, 6> kUnits{"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
  if (bytes < 1024) return std::to_string(bytes) + " B";
  double value = static_cast<double>(bytes);
  std::size_t unit = 0;
  for (value /= 1024; value >= 1024 && unit + 1 < kUnits.size(); ++unit) value /= 1024;
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), value < 100 ? "%.1f %s" : "%.0f %s", value, kUnits[unit]);
  return text.data();
}

std::string human_time(std::int64_t unix_s) {
  const std::time_t time = unix_s;
  std::tm parts{};
  localtime_r(&time, &parts);
  std::array<char, 32> text{};
  std::strftime(text.data(), text.size(), "%Y-%m-%d %H:%M:%S", &parts);
  return text.data();
}

std::string hex32(std::uint32_t value) {
  std::array<char, 16> text{};
  std::snprintf(text.data(), text.size(), "%08x", value);
  return text.data();
}

namespace {

// "12", "1.5 GiB", "3/4", "7 (2 s)", "-": what stands right in a column. Addresses do not.
bool is_number(const std::string& cell) {
  if (cell == "-") return true;
  if (cell.empty() || cell[0] < '0' || cell[0] > '9') return false;
  return cell.find(':') == std::string::npos && std::count(cell.begin(), cell.end(), '.') < 2;
}

} // namespace

std::string Table::text() const {
  std::vector<std::size_t> widths;
  for (const auto& row : rows_) {
    if (row.size() > widths.size()) widths.resize(row.size());
    for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  }
  std::vector<bool> right(widths.size(), rows_.size() > 1);
  for (std::size_t r = 1; r < rows_.size(); ++r) {
    for (std::size_t i = 0; i < rows_[r].size(); ++i) {
      right[i] = right[i] && is_number(rows_[r][i]);
    }
  }
  std::string out;
  for (const auto& row : rows_) {
    std::string line;
    for (std::size_t i = 0; i < row.size(); ++i) {
      if (i > 0) line += "  ";
      const std::string padding(widths[i] - row[i].size(), ' ');
      line += right[i] ? padding + row[i] : row[i] + padding;
    }
    line.erase(line.find_last_not_of(' ') + 1);
    if (!out.empty()) out += '\n';
    out += line;
  }
  return out;
}

} // namespace cairn::tools
