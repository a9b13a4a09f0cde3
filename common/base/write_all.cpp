// The loop around write(2).
#include "common/base/write_all.h"

#include <cerrno>
#include <unistd.h>

namespace cairn {

Status write_all(int fd, std::span<const std::byte> bytes, const std::string& what) {
  while (!bytes.empty()) {
    const ssize_t count = ::write(fd, bytes.data(), bytes.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return errno_error(what, errno);
    bytes = bytes.subspan(static_cast<std::size_t>(count));
  }
  return {};
}

} // namespace cairn
