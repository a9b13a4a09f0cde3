// Reads the binlog's segments in order.
#include "storage/binlog/binlog.h"
#include "storage/binlog/segment.h"

#include <algorithm>
#include <fcntl.h>
#include <span>
#include <sys/uio.h>
#include <unistd.h>

namespace cairn::storage {

namespace {
// Cleared before each read, which at the end of the log gives a record or two.
constexpr std::size_t kReadSize = 32 * 1024;

// As pread(); `cached_only`: EAGAIN if that would wait for the disk.
ssize_t read_at(int fd, std::span<std::byte> out, std::uint64_t offset, bool cached_only) {
  iovec piece{out.data(), out.size()};
  return ::preadv2(fd, &piece, 1, static_cast<off_t>(offset), cached_only ? RWF_NOWAIT : 0);
}
} // namespace

BinlogReader::BinlogReader(Binlog& binlog, std::uint64_t after_seq)
    : binlog_(binlog), position_(after_seq) {}

BinlogReader::~BinlogReader() {
  if (fd_ >= 0) ::close(fd_);
}

// Opens the segment in which the record after `after_seq` would be.
Status BinlogReader::open_for(std::uint64_t after_seq) {
  std::filesystem::path file;
  {
    const std::lock_guard lock(binlog_.append_mutex_);
    auto after = binlog_.segments_.upper_bound(after_seq + 1);
    if (after == binlog_.segments_.begin()) {
      if (after_seq != 0)
        return Error{Errc::not_found, "the binlog does not reach back to that position"};
      CAIRN_ASSERT(after != binlog_.segments_.end());
    } else {
      --after;
    }
    segment_ = after->first;
    file = after->second;
  }
  const int fd = ::open(file.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return errno_error("open " + file.string(), errno);
  if (fd_ >= 0) ::close(fd_);
  fd_ = fd;
  offset_ = 0;
  buffer_.clear();
  buffer_begin_ = 0;
  return Status();
}

Result<std::optional<LogRecord>> BinlogReader::next(std::uint64_t ahead) {
  return read(ahead, /*cached_only=*/false);
}

Result<std::optional<LogRecord>> BinlogReader::next_cached(std::uint64_t ahead) {
  return read(ahead, /*cached_only=*/true);
}

Result<std::optional<LogRecord>> BinlogReader::read(std::uint64_t ahead, bool cached_only) {
  needs_disk_ = false;
  if (position_ >= end_seen_)
    end_seen_ = std::max(binlog_.committed_seq(), std::min(ahead, binlog_.end_seq()));
  if (position_ >= end_seen_) return std::optional<LogRecord>();
  const auto later = [this] {
    needs_disk_ = true;
    return std::optional<LogRecord>();
  };
  if (fd_ < 0 && cached_only) return later();
  if (fd_ < 0) CAIRN_RETURN_IF_ERROR(open_for(position_));
  for (;;) {
    const wire::View ready = wire::View(buffer_).subspan(buffer_begin_);
    std::size_t size = 0;
    auto record = parse_record(ready, size);
    if (record && record->has_value()) {
      if ((*record)->seq > end_seen_) return std::optional<LogRecord>();
      buffer_begin_ += size;
      if ((*record)->seq <= position_) continue; // before where we began
      position_ = (*record)->seq;
      return record;
    }
    std::size_t arrived = 0;
    if (record) {
      buffer_.erase(buffer_.begin(), buffer_.begin() + static_cast<std::ptrdiff_t>(buffer_begin_));
      buffer_begin_ = 0;
      const std::size_t have = buffer_.size();
      buffer_.resize(have + kReadSize);
      const ssize_t count = read_at(fd_, std::span(buffer_).subspan(have), offset_, cached_only);
      if (count < 0) {
        const int error = errno;
        buffer_.resize(have);
        // EOPNOTSUPP: the file system does not say what it has in memory.
        if (cached_only && (error == EAGAIN || error == EOPNOTSUPP)) return later();
        return errno_error("read binlog", error);
      }
      arrived = static_cast<std::size_t>(count);
      buffer_.resize(have + arrived);
      offset_ += arrived;
    }
    if (arrived > 0) continue;

    // The end of this segment, or damage in it: go on with the next one, if there is one.
    std::uint64_t next_segment = 0;
    {
      const std::lock_guard lock(binlog_.append_mutex_);
      const auto after = binlog_.segments_.upper_bound(segment_);
      if (after != binlog_.segments_.end()) next_segment = after->first;
    }
    if (next_segment == 0) {
      if (!record) return std::move(record).error();
      return std::optional<LogRecord>();
    }
    if (cached_only) return later();
    const bool damaged = !record || !buffer_.empty();
    position_ = std::max(position_, next_segment - 1);
    CAIRN_RETURN_IF_ERROR(open_for(next_segment - 1));
    if (damaged)
      return Error{Errc::corrupt, "damaged binlog segment before " + segment_name(next_segment)};
  }
}

} // namespace cairn::storage
