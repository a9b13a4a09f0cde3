// Reads the trackers' answers in all the layouts FastDFS versions use (16- and 46-byte address
// fields, several statistics structures). Pure functions over bytes.
#pragma once

#include "cairn/types.h"
#include "common/wire/bytes.h"

#include <cstdint>
#include <string>
#include <vector>

namespace cairn {

// Where an upload should go.
struct StorePlace {
  std::string group;
  Address address;
  std::uint8_t store_path = 0xFF; // 0xFF: the node decides
};

// The reply to 101 and 104: 40 or 70 bytes. Errors: invalid_argument.
Result<StorePlace> parse_store_one(wire::View reply);

// The reply to 106 and 107: the group's writable nodes. Errors: invalid_argument.
Result<std::vector<StorePlace>> parse_store_all(wire::View reply);

// The reply to 102 and 103: 39 or 69 bytes. Errors: invalid_argument.
Result<Address> parse_fetch_one(wire::View reply);

// The reply to 105 in its old and new layouts. Errors: invalid_argument.
Result<std::vector<Address>> parse_fetch_all(wire::View reply);

// The reply to 90 and 91. Errors: invalid_argument.
Result<std::vector<GroupInfo>> parse_groups(wire::View reply);

// The reply to 92. Errors: invalid_argument.
Result<std::vector<StorageInfo>> parse_storages(wire::View reply);

// The reply to 22: 40 or 70 bytes; `info.id` is left alone. Errors: invalid_argument.
Result<FileInfo> parse_file_info(wire::View reply);

// Metadata as it travels: records separated by byte 1, name and value by byte 2, sorted by name.
std::string metadata_text(const Metadata& metadata);
Metadata parse_metadata(std::string_view text);
// Errors: invalid_argument (a name or value that is too long or has one of the separators).
Status validate_metadata(const Metadata& metadata);

} // namespace cairn
