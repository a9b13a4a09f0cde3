// Files that are whole or absent, whatever happens: write beside, sync, rename, sync the directory.
#pragma once

#include "common/base/result.h"

#include <filesystem>
#include <string>
#include <string_view>

namespace cairn {

// Replaces `path` by a file with `content`, mode 0644 whatever the umask. After success the new
// content survives a power loss; after an error or a crash the former file is still there. The
// parent directory must exist. One writer per path: the temporary name is "<path>.tmp". Blocks.
// Errors: those of open, write, fsync and rename, with the path.
Status durable_write_file(const std::filesystem::path& path, std::string_view content);

// Makes entries of `directory` (created, renamed, removed names) survive a power loss. Blocks.
Status sync_directory(const std::filesystem::path& directory);

// The whole content of a small file. Blocks. Errors: not_found, those of open and read, and
// invalid_argument when it is longer than `size_max` bytes.
Result<std::string> read_small_file(const std::filesystem::path& path,
                                    std::size_t size_max = std::size_t{1} << 20);

} // namespace cairn
