// The storage_ids.conf of FastDFS's trackers, as far as one storage daemon needs it: which number
// its trackers know it by.
#pragma once

#include "common/base/result.h"
#include "common/config/storage_ids.h"
#include "migrate/fastdfs_node.h"

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

namespace cairn::migrate {

struct FastdfsIds {
  std::filesystem::path file;                   // empty: there is none
  std::uint32_t own = 0;                        // of the node; 0: not to be told
  std::map<std::string, std::string> addresses; // of the group: number -> address
};

// Reads `file`; without one the storage_ids.conf beside the node's storage.conf, if there is one.
// The node is the line of its group that has its bind_addr, else one of `own_addresses` (of this
// machine); where several fit, the one with its port. Errors: not_found (a file that was named),
// invalid_argument (FILE:LINE: …).
Result<FastdfsIds> read_fastdfs_ids(const FastdfsNode& node, const std::filesystem::path& conf,
                                    const std::filesystem::path& file,
                                    const std::vector<std::string>& own_addresses);

// The addresses of this machine but for loopback, as text. Empty when they cannot be listed.
std::vector<std::string> addresses_of_this_machine();

} // namespace cairn::migrate
