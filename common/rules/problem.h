// Where in a rules file something stands, and what is wrong with it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace cairn::rules {

// Lines and columns count from 1; columns are bytes.
struct Position {
  std::string file;
  std::uint32_t line = 0;
  std::uint32_t column = 0;

  // "legacy.rules:12:5".
  std::string text() const {
    return file + ":" + std::to_string(line) + ":" + std::to_string(column);
  }
  friend bool operator==(const Position&, const Position&) = default;
};

enum class Severity : std::uint8_t {
  error,   // the file is refused
  warning, // it is taken, and hardly does what its author meant
};

struct Problem {
  Severity severity = Severity::error;
  Position where;
  std::string message; // one line, for people

  // "legacy.rules:12:5: error: unknown directive 'hots'".
  std::string text() const {
    return where.text() + (severity == Severity::error ? ": error: " : ": warning: ") + message;
  }
};

// In the order in which they were found.
using Problems = std::vector<Problem>;

// Whether any of them refuses the file.
inline bool has_errors(const Problems& problems) {
  for (const Problem& problem : problems)
    if (problem.severity == Severity::error) return true;
  return false;
}

} // namespace cairn::rules
