// Reading the source.
#include "migrate/source_file.h"

#include "common/base/crc32.h"

#include <openssl/evp.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <fcntl.h>
#include <unistd.h>

namespace cairn::migrate {

namespace {

// A hole that is smaller costs more as a hole than as zeros.
constexpr std::uint64_t kHoleMin = 64 * 1024;
constexpr int kReadTries = 3;
// The coarsest time stamps that matter, NFS servers' and FAT's included.
constexpr std::chrono::seconds kCoarse{2};

} // namespace

Sha256::Sha256() : context_(::EVP_MD_CTX_new()) {
  CAIRN_ASSERT(context_ != nullptr);
  CAIRN_ASSERT(::EVP_DigestInit_ex(context_, ::EVP_sha256(), nullptr) == 1);
}

Sha256::~Sha256() {
  ::EVP_MD_CTX_free(context_);
}

void Sha256::update(std::span<const std::byte> bytes) {
  CAIRN_ASSERT(::EVP_DigestUpdate(context_, bytes.data(), bytes.size()) == 1);
}

void Sha256::update_zeros(std::uint64_t count) {
  static constexpr std::array<std::byte, 64 * 1024> kZeros{};
  while (count > 0) {
    const std::uint64_t now = std::min<std::uint64_t>(count, kZeros.size());
    update(std::span(kZeros).first(static_cast<std::size_t>(now)));
    count -= now;
  }
}

wire::Bytes Sha256::finish() {
  wire::Bytes out(32);
  CAIRN_ASSERT(
      ::EVP_DigestFinal_ex(context_, reinterpret_cast<unsigned char*>(out.data()), nullptr) == 1);
  return out;
}

Result<std::shared_ptr<SourceFile>> SourceFile::open(const std::string& path, bool follow) {
  // NONBLOCK: a FIFO that has taken the file's place must not hold us up.
  const int fd = ::open(path.c_str(),
                        O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY | (follow ? 0 : O_NOFOLLOW));
  if (fd < 0) {
    if (errno == ELOOP && !follow)
      return Error{Errc::is_directory, "a symlink has taken the file's place"};
    return errno_error("cannot open it", errno);
  }
  std::shared_ptr<SourceFile> out(new SourceFile(path, fd));
  struct stat status {};
  if (::fstat(fd, &status) != 0) return errno_error("cannot stat it", errno);
  if (!S_ISREG(status.st_mode)) return Error{Errc::is_directory, "no regular file any more"};
  out->entry_ = entry_of(status);
  return out;
}

SourceFile::~SourceFile() {
  ::close(fd_);
}

Status SourceFile::read(std::uint64_t offset, std::span<std::byte> out) const {
  while (!out.empty()) {
    const ssize_t count = ::pread(fd_, out.data(), out.size(), static_cast<off_t>(offset));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return errno_error("cannot read it", errno);
    if (count == 0) return Error{Errc::busy, "it became shorter while it was read"};
    offset += static_cast<std::uint64_t>(count);
    out = out.subspan(static_cast<std::size_t>(count));
  }
  return {};
}

Result<std::vector<Segment>> SourceFile::segments() const {
  std::vector<Segment> out;
  const std::uint64_t size = entry_.size;
  if (size == 0) return out;
  if (entry_.blocks * 512 >= size || size <= kHoleMin) {
    out.push_back({0, size});
    return out;
  }
  for (std::uint64_t at = 0; at < size;) {
    const off_t data = ::lseek(fd_, static_cast<off_t>(at), SEEK_DATA);
    if (data < 0 && errno == ENXIO) break; // a hole up to the end
    if (data < 0) {                        // a file system that does not know holes
      out.assign(1, {0, size});
      return out;
    }
    const off_t hole = ::lseek(fd_, data, SEEK_HOLE);
    if (hole < 0) return errno_error("cannot find its holes", errno);
    const auto from = static_cast<std::uint64_t>(data);
    const std::uint64_t to = std::min(static_cast<std::uint64_t>(hole), size);
    if (from >= to) break;
    if (!out.empty() && from - (out.back().offset + out.back().length) < kHoleMin)
      out.back().length = to - out.back().offset;
    else
      out.push_back({from, to - from});
    at = to;
  }
  return out;
}

Status SourceFile::check_unchanged() const {
  struct stat status {};
  if (::fstat(fd_, &status) != 0) return errno_error("cannot stat it", errno);
  if (entry_of(status).unchanged_since(entry_)) return {};
  // A name that came or went moves the change time too, and leaves the content alone.
  const Entry now = entry_of(status);
  if (now.nlink != entry_.nlink && now.size == entry_.size && now.mtime() == entry_.mtime())
    return {};
  return Error{Errc::busy, "it was changed while it was read"};
}

bool is_racy(const Entry& entry, std::chrono::system_clock::time_point read_at) {
  const auto changed = std::chrono::system_clock::from_time_t(entry.ctime_s);
  return changed + kCoarse >= read_at;
}

Result<WholeFile> read_whole(const std::string& path, bool follow, std::uint64_t size_max) {
  for (int tries = 1;; ++tries) {
    const auto now = std::chrono::system_clock::now();
    CAIRN_TRY(file, SourceFile::open(path, follow));
    WholeFile out;
    out.entry = file->entry();
    out.racy = is_racy(out.entry, now);
    if (out.entry.size > size_max) return out;
    out.bytes.resize(static_cast<std::size_t>(out.entry.size));
    Status done = file->read(0, out.bytes);
    if (done) done = file->check_unchanged();
    if (!done) {
      if (done.code() == Errc::busy && tries < kReadTries) continue;
      return std::move(done).error();
    }
    Sha256 hash;
    hash.update(out.bytes);
    out.sha256 = hash.finish();
    out.crc32 = crc32(0, out.bytes);
    return out;
  }
}

} // namespace cairn::migrate
