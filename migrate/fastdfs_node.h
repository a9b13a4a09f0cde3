// What the configuration and the log of a FastDFS storage daemon say of its directories. Reads
// only; how the files lie on the disk is told in common/base/file_id.h and fastdfs_trunk.h.
#pragma once

#include "common/base/result.h"

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

} // namespace cairn::migrate
