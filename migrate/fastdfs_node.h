// What the configuration and the log of a FastDFS storage daemon say of its directories. Reads
// only; how the files lie on the disk is told in common/base/file_id.h and fastdfs_trunk.h.
#pragma once

#include "common/base/result.h"

#include <compare>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace cairn::migrate {

// From storage.conf. Paths are as written there.
struct FastdfsNode {
  std::string group;
  std::filesystem::path base_path;
  std::vector<std::filesystem::path> store_paths; // by index
  std::uint32_t subdir_count = 256;               // of each of the two levels
  std::string bind_addr;                          // empty: all
  std::uint16_t port = 23000;
  std::vector<std::string> trackers;    // as written
  std::vector<std::string> allow_hosts; // as written
};

// Errors: invalid_argument (not a storage.conf, or one without what is needed), those of reading.
Result<FastdfsNode> read_fastdfs_conf(const std::filesystem::path& conf);

// The pid of the daemon that runs on this base_path; 0: none.
int running_fastdfs(const FastdfsNode& node);

// A line of the log that FastDFS replicates by (base_path/data/sync/binlog.NNN, or .gz).
struct FastdfsChange {
  std::int64_t time = 0; // unix seconds
  char op = 0;           // upper case: what this node was asked for; lower: what a peer sent
  std::string_view name; // "M00/…", as long as the call lasts
  std::string_view extra;
};

struct FastdfsLog {
  std::uint64_t files = 0;
  std::uint64_t lines = 0;
  std::uint64_t damaged = 0; // lines that are none
};

// Calls `visit` for every line, oldest first, until it answers an Error, which is passed on. A log
// that is not there has no lines. Errors: io_error.
Result<FastdfsLog> read_fastdfs_log(const FastdfsNode& node,
                                    const std::function<Status(const FastdfsChange&)>& visit);

// A place in the log, between two lines.
struct FastdfsPosition {
  std::uint64_t file = 0;   // N of binlog.N
  std::uint64_t offset = 0; // bytes, as they are when not compressed

  std::string text() const; // "3 1048576"
  friend auto operator<=>(const FastdfsPosition&, const FastdfsPosition&) = default;
};
// Errors: corrupt.
Result<FastdfsPosition> parse_fastdfs_position(std::string_view text);

// Where the log ends now. FastDFS writes it out once in `sync_binlog_buff_interval` seconds (60).
FastdfsPosition fastdfs_log_end(const FastdfsNode& node);

// Whether the log still has what follows `at`.
bool fastdfs_log_reaches(const FastdfsNode& node, const FastdfsPosition& at);

// As read_fastdfs_log(), from `at` on, which moves behind each line that was visited; a line that
// is not whole yet is left for the next time. Errors: also not_found (the log does not reach back
// to `at`, or ends before it).
Status follow_fastdfs_log(const FastdfsNode& node, FastdfsPosition& at,
                          const std::function<Status(const FastdfsChange&)>& visit);

} // namespace cairn::migrate
