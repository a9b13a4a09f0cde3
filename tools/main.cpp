// The `cairn` command.
#include "tools/command_line.h"

#include <nlohmann/json.hpp>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <exception>

int main(int argc, char** argv) {
  // A closed pipe (`cairn … | head`) is an error of a write, not the end of the program in the
  // middle of a request.
  std::signal(SIGPIPE, SIG_IGN);
  try {
    cairn::tools::CommandLine line = cairn::tools::parse_command_line(
        argc, argv, [](const char* name) -> const char* { return std::getenv(name); });
    if (!line.run) {
      if (line.exit_code == 0) {
        std::fputs(line.text.c_str(), stdout);
      } else if (line.globals.json) {
        std::string message = line.text.substr(0, line.text.find('\n'));
        const nlohmann::json document{
            {"code", line.exit_code}, {"message", message}, {"hint", "cairn --help"}};
        std::fprintf(stderr, "%s\n", document.dump().c_str());
      } else {
        std::fprintf(stderr, "cairn: %s", line.text.c_str());
      }
      return line.exit_code;
    }
    cairn::tools::Context context(std::move(line.globals));
    return line.run(context);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "cairn: %s\n", error.what());
    return cairn::tools::kUnavailable;
  }
}
