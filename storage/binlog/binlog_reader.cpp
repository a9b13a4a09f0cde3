// Reads the binlog's segments in order.
#include "storage/binlog/binlog.h"
#include "storage/binlog/segment.h"

#include <fcntl.h>
#include <unistd.h>

namespace cairn::storage {

namespace {
constexpr std::size_t kReadSize = 256 * 1024;
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

Result<std::optional<LogRecord>> BinlogReader::next() {
  if (position_ >= committed_seen_) committed_seen_ = binlog_.committed_seq();
  if (position_ >= committed_seen_) return std::optional<LogRecord>();
  if (fd_ < 0) CAIRN_RETURN_IF_ERROR(open_for(position_));
  for (;;) {
    const wire::View ready = wire::View(buffer_).subspan(buffer_begin_);
    std::size_t size = 0;
    auto record = parse_record(ready, size);
    if (record && record->has_value()) {
      if ((*record)->seq > committed_seen_) return std::optional<LogRecord>();
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
      const ssize_t count =
          ::pread(fd_, buffer_.data() + have, kReadSize, static_cast<off_t>(offset_));
      if (count < 0) {
        buffer_.resize(have);
        return errno_error("read binlog", errno);
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
    const bool damaged = !record || !buffer_.empty();
    position_ = std::max(position_, next_segment - 1);
    CAIRN_RETURN_IF_ERROR(open_for(next_segment - 1));
    if (damaged)
      return Error{Errc::corrupt, "damaged binlog segment before " + segment_name(next_segment)};
  }
}

} // namespace cairn::storage
