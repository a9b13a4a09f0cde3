// Opening stored files.
#include "common/base/crc32.h"
#include "storage/store/store.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace cairn::storage {

namespace {

constexpr std::size_t kReadSize = 256 * 1024;

// openat2: nothing below data/ can lead out of it, and no symbolic link is followed.
int open_beneath(int directory, const char* name, std::uint64_t resolve) {
  open_how how{};
  how.flags = O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK;
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | resolve;
  return static_cast<int>(::syscall(SYS_openat2, directory, name, &how, sizeof how));
}

} // namespace

Result<OpenedFile> Store::finish_open(const RemoteName& name, File file) const {
  struct stat info {};
  if (::fstat(file.get(), &info) != 0) return errno_error("stat " + name.canonical(), errno);
  if (!S_ISREG(info.st_mode)) return Error{Errc::is_directory, name.canonical()};
  OpenedFile opened;
  opened.size = static_cast<std::uint64_t>(info.st_size);
  opened.mtime = static_cast<std::uint32_t>(info.st_mtim.tv_sec);
  opened.stamp = copy_stamp(info);
  if (name.kind() == FileKind::normal && name.fields()) {
    // A normal file never changes: another size than its name says is a damaged copy. (FastDFS 3.x
    // set the flag bits by chance; those names say appender and are not checked.)
    if (opened.size != name.fields()->size()) {
      Error error{Errc::corrupt, name.canonical() + " has " + std::to_string(opened.size) +
                                     " bytes, its name says " +
                                     std::to_string(name.fields()->size())};
      suspect(name, error.detail);
      return error;
    }
    opened.mtime = name.fields()->timestamp;
  }
  opened.file = std::move(file);
  return opened;
}

Result<OpenedFile> Store::open_file(const RemoteName& name) const {
  CAIRN_RETURN_IF_ERROR(check(name));
  File file(open_beneath(path_of(name).data_fd, name.true_name().data(), 0));
  if (!file) {
    if (errno == ELOOP) return Error{Errc::is_directory, name.canonical() + " is a symbolic link"};
    return Error{errc_of_errno(errno), name.canonical()};
  }
  return finish_open(name, std::move(file));
}

std::optional<Result<OpenedFile>> Store::open_cached(const RemoteName& name) const {
  if (auto good = check(name); !good) return Result<OpenedFile>(std::move(good).error());
  File file(open_beneath(path_of(name).data_fd, name.true_name().data(), RESOLVE_CACHED));
  if (!file) {
    // EAGAIN: the disk would be needed. Everything else is told by the slow way too.
    return std::nullopt;
  }
  return finish_open(name, std::move(file));
}

bool Store::exists(const RemoteName& name) const {
  if (!check(name)) return false;
  struct stat info {};
  return ::fstatat(path_of(name).data_fd, name.true_name().data(), &info, AT_SYMLINK_NOFOLLOW) ==
             0 &&
         S_ISREG(info.st_mode);
}

Result<std::uint32_t> Store::content_crc32(const RemoteName& name, bool read) const {
  CAIRN_TRY(opened, open_file(name));
  if (!read && name.kind() == FileKind::normal && name.fields()) return name.fields()->crc32;
  wire::Buffer buffer(kReadSize);
  std::uint32_t crc = 0;
  for (std::uint64_t offset = 0;;) {
    const ssize_t count =
        ::pread(opened.file.get(), buffer.data(), buffer.size(), static_cast<off_t>(offset));
    if (count < 0) return errno_error("read " + name.canonical(), errno);
    if (count == 0) return crc;
    crc = crc32(crc, buffer.view().first(static_cast<std::size_t>(count)));
    offset += static_cast<std::uint64_t>(count);
  }
}

} // namespace cairn::storage
