// Writing all of some bytes to a descriptor: what write(2) may do in pieces.
#pragma once

#include "common/base/result.h"

#include <cstddef>
#include <span>
#include <string>

namespace cairn {

// Writes all of `bytes` to `fd` (a file at its position, a pipe, a device; blocking). Goes on after
// signals and short writes. Errors: those of write(2); the text begins with `what`, which names the
// action and the file.
Status write_all(int fd, std::span<const std::byte> bytes, const std::string& what);

} // namespace cairn
