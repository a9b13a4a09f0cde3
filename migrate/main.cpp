// cairn-migrate: brings legacy trees into the namespace, and proves that they are there.
#include "migrate/command_line.h"

#include <csignal>
#include <cstdio>
#include <exception>

namespace {

void on_signal(int) {
  // The second one does not wait.
  if (cairn::migrate::stop_requested()) std::signal(SIGINT, SIG_DFL);
  cairn::migrate::request_stop();
}

} // namespace

int main(int argc, char** argv) {
  std::signal(SIGPIPE, SIG_IGN);
  std::signal(SIGINT, &on_signal);
  std::signal(SIGTERM, &on_signal);
  try {
    return cairn::migrate::run_command_line(argc, argv);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "cairn-migrate: %s\n", error.what());
    return 12;
  }
}
