// The command line of cairn-migrate.
#pragma once

#include "migrate/verbs.h"

namespace cairn::migrate {

// Parses and runs; answers the exit status.
int run_command_line(int argc, char** argv);

} // namespace cairn::migrate
