// storage_ids.conf of FastDFS: which numeric ID is which storage server.
//
//   # <id> <group> <ip or host>[,<ip or host>][:<port>] [rw=none|read|write|both]
//   100001 group1  192.168.0.196
//   100002 group1  192.168.0.197,10.0.0.2:23000  rw=read
#pragma once

#include "common/base/result.h"

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace cairn::config {

struct StorageIdEntry {
  std::uint32_t id = 0; // 1 to kServerIdMax
  std::string group;
  std::vector<std::string> hosts; // one or two; IPv6 without brackets
  std::uint16_t port = 0;         // 0: not written
  bool readable = true;
  bool writable = true;

  friend bool operator==(const StorageIdEntry&, const StorageIdEntry&) = default;
};

// Reads a storage_ids.conf. invalid_argument with "file:line: …" for a malformed line, an ID that
// comes twice, or an address that comes twice within a group.
Result<std::vector<StorageIdEntry>> read_storage_ids(const std::filesystem::path& path);

// The same from text; `name` begins error lines.
Result<std::vector<StorageIdEntry>> parse_storage_ids(std::string_view text, std::string_view name);

} // namespace cairn::config
