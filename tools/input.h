// Local files as sources of uploads; standard input included.
#pragma once

#include "cairn/types.h"

#include <string>

namespace cairn::tools {

// The file `name`, or standard input for "-": the protocol wants the size first, so what is not a
// regular file is first written to an unnamed temporary file. Blocks. Errors: those of
// Source::file; no_space.
Result<Source> open_input(const std::string& name);

} // namespace cairn::tools
