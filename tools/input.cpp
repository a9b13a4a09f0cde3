// Sources of uploads.
#include "tools/input.h"

#include <array>
#include <cerrno>
#include <cstdio>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace cairn::tools {

namespace {

constexpr std::size_t kPiece = 256 * 1024;

Error failed(const std::string& what) {
  return errno_error(what, errno);
}

Status copy_to(int from, std::FILE* to) {
  std::vector<char> buffer(kPiece);
  for (;;) {
    const ssize_t count = ::read(from, buffer.data(), buffer.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return failed("read standard input");
    if (count == 0) break;
    if (std::fwrite(buffer.data(), 1, static_cast<std::size_t>(count), to) !=
        static_cast<std::size_t>(count))
      return failed("write a temporary file");
  }
  if (std::fflush(to) != 0) return failed("write a temporary file");
  return {};
}

} // namespace

Result<Source> open_input(const std::string& name) {
  if (name != "-") return Source::file(name);
  struct stat status {};
  if (::fstat(STDIN_FILENO, &status) == 0 && S_ISREG(status.st_mode) &&
      ::lseek(STDIN_FILENO, 0, SEEK_CUR) == 0)
    return Source::file("/proc/self/fd/0");
  std::FILE* spool = std::tmpfile();
  if (spool == nullptr) return failed("make a temporary file for standard input");
  const Status copied = copy_to(STDIN_FILENO, spool);
  if (!copied) {
    std::fclose(spool);
    return copied.error();
  }
  // Opened once more by its descriptor: the source has one of its own, and the name is gone
  // already.
  auto source = Source::file("/proc/self/fd/" + std::to_string(::fileno(spool)));
  std::fclose(spool);
  return source;
}

} // namespace cairn::tools
