// Small files, written atomically.
#include "storage/sync/small_file.h"

#include "common/base/crc32.h"
#include "common/base/write_all.h"
#include "common/wire/codec.h"
#include "storage/store/store.h"

#include <cerrno>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace cairn::storage {

namespace {

constexpr std::size_t kChecksumSize = 4;

} // namespace

Status write_small_file(const std::filesystem::path& path, wire::View content) {
  const std::filesystem::path temporary = path.string() + ".new";
  {
    const File file(::open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
    if (!file) return errno_error("open " + temporary.string(), errno);
    wire::Bytes head;
    wire::Writer(head).integer(crc32(0, content), kChecksumSize);
    const std::string what = "write " + temporary.string();
    CAIRN_RETURN_IF_ERROR(write_all(file.get(), head, what));
    CAIRN_RETURN_IF_ERROR(write_all(file.get(), content, what));
    if (::fdatasync(file.get()) != 0) return errno_error("sync " + temporary.string(), errno);
  }
  if (::rename(temporary.c_str(), path.c_str()) != 0)
    return errno_error("rename " + temporary.string(), errno);
  const File directory(::open(path.parent_path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!directory || ::fsync(directory.get()) != 0)
    return errno_error("sync " + path.parent_path().string(), errno);
  return {};
}

Result<wire::Bytes> read_small_file(const std::filesystem::path& path) {
  const File file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file) return errno_error("open " + path.string(), errno);
  wire::Bytes bytes;
  std::size_t used = 0;
  for (;;) {
    bytes.resize(used + 64 * 1024);
    const ssize_t count = ::read(file.get(), bytes.data() + used, bytes.size() - used);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return errno_error("read " + path.string(), errno);
    if (count == 0) break;
    used += static_cast<std::size_t>(count);
  }
  bytes.resize(used);
  if (used < kChecksumSize) return Error{Errc::corrupt, path.string() + " is too short"};
  const wire::View content = wire::View(bytes).subspan(kChecksumSize);
  if (wire::load_big_endian(bytes.data(), kChecksumSize) != crc32(0, content))
    return Error{Errc::corrupt, path.string() + " does not match its checksum"};
  bytes.erase(bytes.begin(), bytes.begin() + kChecksumSize);
  return bytes;
}

} // namespace cairn::storage
