// What a directory of a store path holds.
#pragma once

#include <string>
#include <vector>

namespace cairn::storage {

// Names in `directory`, relative to the open directory `base`, in no order and without those that
// begin with a dot. Empty when it cannot be read. Blocks.
std::vector<std::string> names_in(int base, const std::string& directory);

} // namespace cairn::storage
