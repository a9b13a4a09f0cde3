// The command line of `cairn`: the only file that knows its options is command_line.cpp.
#pragma once

#include "tools/context.h"
#include "tools/verbs.h"

#include <functional>
#include <optional>

namespace cairn::tools {

// A command line that was understood, or what to say and exit with instead.
struct CommandLine {
  Globals globals;
  std::function<int(Context&)> run; // empty: print `text` and exit with `exit_code`
  std::string text;                 // help, version or the complaint
  int exit_code = 0;
};

// Reads the command line; `environment` answers the value of a variable, or nullptr.
CommandLine parse_command_line(int argc, const char* const* argv,
                               const std::function<const char*(const char*)>& environment);

} // namespace cairn::tools
