// What has changed in a local tree since a moment, as the kernel tells it: directories in which
// something was made, written, renamed or removed. Started before the first scan, so that nothing
// falls between the two. A network file system does not tell of changes made elsewhere: there only
// rescanning helps.
#pragma once

#include "common/base/result.h"

#include <chrono>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>

namespace cairn::migrate {

// --watch[=fanotify|inotify|rescan:TIME].
struct WatchOptions {
  enum class How : std::uint8_t { best, fanotify, inotify, rescan };
  How how = How::best;
  std::chrono::seconds rescan_every{300}; // rescan; and where nothing else works

  WatchOptions() {}
};
// Errors: invalid_argument.
Result<WatchOptions> parse_watch(std::string_view text);

struct JournalChanges {
  std::set<std::string> directories; // relative to the root
  bool everything = false;           // too much was lost or moved to say what
  std::optional<std::chrono::steady_clock::time_point> oldest; // of the events; nothing: none

  bool empty() const { return directories.empty() && !everything; }
};

class Journal {
public:
  virtual ~Journal() = default;

  // Begins now. The best that works here: fanotify (needs CAP_SYS_ADMIN: one mark for the file
  // system), else inotify (a watch for each directory), else rescanning. Errors: those of the one
  // that was asked for by name.
  static Result<std::unique_ptr<Journal>> start(const std::string& root,
                                                const WatchOptions& options);

  virtual std::string_view name() const = 0;
  // What has happened since the last time; waits up to `most` for something to happen.
  virtual JournalChanges take(std::chrono::milliseconds most) = 0;
};

} // namespace cairn::migrate
