// A file of a few kilobytes that is written whole: it is the old one or the new one after a crash,
// and a damaged one is recognised.
//
//   u32 crc32 of the rest | the rest      big-endian
#pragma once

#include "common/base/result.h"
#include "common/wire/bytes.h"

#include <filesystem>

namespace cairn::storage {

// Writes beside it, syncs, renames, syncs the directory. Blocks. Errors: io_error, no_space.
Status write_small_file(const std::filesystem::path& path, wire::View content);

// Errors: not_found, corrupt (short, or the checksum does not hold), io_error.
Result<wire::Bytes> read_small_file(const std::filesystem::path& path);

} // namespace cairn::storage
