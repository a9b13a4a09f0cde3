// Opening what is to be adopted (Store::adopt()).
#pragma once

#include "storage/store/store.h"

#include <filesystem>
#include <string>
#include <vector>

namespace cairn::storage {

// The regular file or directory `path` (absolute), if it lies below one of `directories`; no
// symbolic link below those is followed. Blocks. Errors: denied (it does not lie there, or a link
// is in the way), not_found, those of open.
Result<File> open_below(const std::vector<std::filesystem::path>& directories,
                        const std::string& path);

} // namespace cairn::storage
