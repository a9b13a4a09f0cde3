// Whole reads, and those that do not wait.
#include "common/leveldb/table_file.h"

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <sys/uio.h>
#include <unistd.h>

namespace cairn {

leveldb::Status TableFile::open(const std::string& name, std::unique_ptr<TableFile>& file) {
  const int fd = ::open(name.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0)
    return errno == ENOENT ? leveldb::Status::NotFound(name, std::strerror(errno))
                           : leveldb::Status::IOError(name, std::strerror(errno));
  file.reset(new TableFile(name, fd));
  return leveldb::Status::OK();
}

TableFile::~TableFile() {
  ::close(fd_);
}

leveldb::Status TableFile::Read(std::uint64_t offset, std::size_t size, leveldb::Slice* result,
                                char* scratch) const {
  std::size_t have = 0;
  while (have < size) {
    const ssize_t count =
        ::pread(fd_, scratch + have, size - have, static_cast<off_t>(offset + have));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return leveldb::Status::IOError(name_, std::strerror(errno));
    if (count == 0) break;
    have += static_cast<std::size_t>(count);
  }
  *result = leveldb::Slice(scratch, have);
  return leveldb::Status::OK();
}

bool TableFile::read_cached(std::uint64_t offset, std::size_t size, char* scratch) const {
  const iovec piece{scratch, size};
  return ::preadv2(fd_, &piece, 1, static_cast<off_t>(offset), RWF_NOWAIT) ==
         static_cast<ssize_t>(size);
}

} // namespace cairn
