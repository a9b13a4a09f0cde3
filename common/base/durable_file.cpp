// Durable replacement of small files.
#include "common/base/durable_file.h"

#include "common/base/write_all.h"

#include <array>
#include <cerrno>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <utility>

namespace cairn {

namespace {

class Descriptor {
public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;

  int get() const { return fd_; }
  bool is_open() const { return fd_ >= 0; }
  // Errors of close() matter after writing: NFS reports a full disk there.
  int close_now() { return ::close(std::exchange(fd_, -1)); }

private:
  int fd_;
};

Error failed(const char* call, const std::filesystem::path& path) {
  const int error = errno;
  return errno_error(std::string(call) + " " + path.string(), error);
}

Status write_and_sync(const std::filesystem::path& path, std::string_view content) {
  Descriptor file(
      ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644));
  if (!file.is_open()) return failed("open", path);
  if (::fchmod(file.get(), 0644) != 0) return failed("chmod", path);
  CAIRN_RETURN_IF_ERROR(
      write_all(file.get(), std::as_bytes(std::span(content)), "write " + path.string()));
  if (::fsync(file.get()) != 0) return failed("fsync", path);
  if (file.close_now() != 0) return failed("close", path);
  return {};
}

} // namespace

Status durable_write_file(const std::filesystem::path& path, std::string_view content) {
  std::filesystem::path temporary = path;
  temporary += ".tmp";
  if (auto written = write_and_sync(temporary, content); !written) {
    ::unlink(temporary.c_str());
    return written;
  }
  if (::rename(temporary.c_str(), path.c_str()) != 0) {
    Error error = failed("rename", temporary);
    ::unlink(temporary.c_str());
    return error;
  }
  return sync_directory(path.has_parent_path() ? path.parent_path() : std::filesystem::path("."));
}

Status sync_directory(const std::filesystem::path& directory) {
  const Descriptor fd(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd.is_open()) return failed("open", directory);
  if (::fsync(fd.get()) != 0) return failed("fsync", directory);
  return {};
}

Result<std::string> read_small_file(const std::filesystem::path& path, std::size_t size_max) {
  const Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file.is_open()) return failed("open", path);
  std::string content;
  std::array<char, 4096> piece{};
  for (;;) {
    const ssize_t count = ::read(file.get(), piece.data(), piece.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return failed("read", path);
    if (count == 0) return content;
    content.append(piece.data(), static_cast<std::size_t>(count));
    if (content.size() > size_max)
      return Error{Errc::invalid_argument, path.string() + " is too long"};
  }
}

} // namespace cairn
