// Puts a backup of the metadata in the place of what a tracker had. The tracker must not run.
#pragma once

#include "common/base/result.h"

#include <filesystem>
#include <string>

namespace cairn::tracker {

// Reads the backup `file` (common/wire/namespace_backup.h), checks every byte and every table of
// it, and makes it the store of the tracker that `conf` describes. With `replace` a store that is
// there is kept beside it; else it is an error. Nothing is touched until all is checked. The
// sessions of the backup end with it, and numbers of inodes and sessions go on far behind it, so
// that what was made after the backup is not taken for something else. Answers a line for people.
// Errors: exists, busy (the tracker runs), corrupt, invalid_argument, io_error, no_space.
Result<std::string> restore_metadata(const std::filesystem::path& file,
                                     const std::filesystem::path& conf, bool replace);

} // namespace cairn::tracker
