// Table files by pread(2).
#include "migrate/ledger_env.h"

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <unistd.h>

namespace cairn::migrate {

namespace {

class TableFile final : public leveldb::RandomAccessFile {
public:
  TableFile(std::string name, int fd) : name_(std::move(name)), fd_(fd) {}
  ~TableFile() override { ::close(fd_); }

  leveldb::Status Read(std::uint64_t offset, std::size_t size, leveldb::Slice* result,
                       char* scratch) const override {
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

private:
  std::string name_;
  int fd_;
};

} // namespace

leveldb::Status LedgerEnv::NewRandomAccessFile(const std::string& name,
                                               leveldb::RandomAccessFile** result) {
  *result = nullptr;
  const int fd = ::open(name.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0)
    return errno == ENOENT ? leveldb::Status::NotFound(name, std::strerror(errno))
                           : leveldb::Status::IOError(name, std::strerror(errno));
  *result = new TableFile(name, fd);
  return leveldb::Status::OK();
}

} // namespace cairn::migrate
