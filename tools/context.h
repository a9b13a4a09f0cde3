// What every verb shares: the global options, the client made from them, and the ways to speak to
// people and to scripts.
#pragma once

#include "cairn/client.h"
#include "tools/exit_codes.h"

#include <nlohmann/json_fwd.hpp>

#include <chrono>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace cairn::tools {

// Options before or after the verb.
struct Globals {
  std::string trackers; // HOST:PORT[,…]; empty: those of `conf`
  std::filesystem::path conf;
  bool json = false;
  bool quiet = false;
  std::chrono::milliseconds timeout{0}; // 0: none was given
};

class Context {
public:
  explicit Context(Globals globals) : globals_(std::move(globals)) {}

  const Globals& globals() const { return globals_; }
  bool json() const { return globals_.json; }
  bool quiet() const { return globals_.quiet; }
  // The time of the whole command: --timeout, or `standard`.
  std::chrono::milliseconds timeout_or(std::chrono::milliseconds standard) const {
    return globals_.timeout.count() > 0 ? globals_.timeout : standard;
  }

  // The client's options by -t and --conf. Errors: invalid_argument (neither is given).
  Result<ClientOptions> client_options() const;
  // The one client, made when it is first asked for. Errors as client_options().
  Result<Client*> client();

  // A line on standard output; not with --quiet.
  void say(std::string_view line) const;
  // A line on standard output that is the answer itself: also with --quiet.
  void answer(std::string_view line) const;
  // A JSON document on standard output.
  void answer_json(const nlohmann::json& document) const;
  // A line on standard error; not with --quiet.
  void note(std::string_view line) const;
  // Shows an error on standard error, as a line or as {code,message,hint}, and answers its exit
  // code. `what` begins the message ("upload a.jpg"); `hint` says what to do.
  int fail(std::string_view what, const Error& error, std::string_view hint = {}) const;
  // The same for a wrong command line.
  int usage(std::string_view message, std::string_view hint = {}) const;

private:
  Globals globals_;
  std::unique_ptr<Client> client_;
};

// What a person can do about `error`; empty when there is nothing to say.
std::string hint_for(const Error& error);

// "1.5 GiB", "312 B": at most four digits.
std::string human_bytes(std::uint64_t bytes);
// "2025-11-22 03:33:45" in local time.
std::string human_time(std::int64_t unix_s);
// "3f9a12bc".
std::string hex32(std::uint32_t value);

// Lines of columns, padded to the widest cell of each. Cells that are all numbers are put right.
class Table {
public:
  explicit Table(std::vector<std::string> header) { rows_.push_back(std::move(header)); }
  void add(std::vector<std::string> row) { rows_.push_back(std::move(row)); }
  std::string text() const;

private:
  std::vector<std::vector<std::string>> rows_;
};

} // namespace cairn::tools
