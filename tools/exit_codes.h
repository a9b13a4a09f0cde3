// Exit codes of all programs but the migrator; scripts rely on them.
#pragma once

#include "common/base/result.h"

namespace cairn::tools {

enum ExitCode : int {
  kGood = 0,
  kUsage = 1,
  kPartial = 2,
  kNotFound = 3,
  kDenied = 4,
  kConflict = 5,
  kUnavailable = 6, // or timeout
  kDegraded = 7,
  kVerifyFailed = 8,
};

// The exit code for a failure with `code`.
int exit_code(Errc code);

} // namespace cairn::tools
