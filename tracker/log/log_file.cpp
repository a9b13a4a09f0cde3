// Zeros ahead, and what a crash leaves in them.
#include "tracker/log/log_file.h"

#include <boost/crc.hpp>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <fstream>
#include <iterator>
#include <optional>
#include <system_error>
#include <unistd.h>
#include <vector>

namespace cairn::tracker {

namespace {

// A quarter of a millisecond's writing, once in a few hundred records.
constexpr std::size_t kAhead = 256 * 1024;
constexpr std::size_t kBlock = 32 * 1024;
constexpr std::size_t kHeader = 7;
constexpr std::size_t kSector = 512; // what a disk writes whole or not at all

enum Kind : unsigned { kNothing = 0, kWhole = 1, kFirst = 2, kMiddle = 3, kLast = 4 };

using Crc32c = boost::crc_optimal<32, 0x1EDC6F41, 0xFFFFFFFF, 0xFFFFFFFF, true, true>;

leveldb::Status failed(const std::string& name, int error) {
  return leveldb::Status::IOError(name, std::strerror(error));
}

int write_at(int fd, std::string_view bytes, std::uint64_t offset) {
  while (!bytes.empty()) {
    const ssize_t count = ::pwrite(fd, bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return errno;
    bytes.remove_prefix(static_cast<std::size_t>(count));
    offset += static_cast<std::uint64_t>(count);
  }
  return 0;
}

// A fragment that is whole and fits into its block.
struct Fragment {
  unsigned kind = kNothing;
  std::size_t size = 0; // header included
};
std::optional<Fragment> fragment_at(std::span<const std::byte> log, std::size_t at) {
  const std::size_t left = std::min(kBlock - at % kBlock, log.size() - at);
  if (left < kHeader) return std::nullopt;
  const auto byte = [&](std::size_t i) { return std::to_integer<std::uint32_t>(log[at + i]); };
  Fragment out;
  const std::size_t length = byte(4) | byte(5) << 8U;
  out.kind = byte(6);
  out.size = kHeader + length;
  if (out.kind < kWhole || out.kind > kLast || out.size > left) return std::nullopt;
  const std::uint32_t masked = byte(0) | byte(1) << 8U | byte(2) << 16U | byte(3) << 24U;
  const std::uint32_t turned = masked - 0xA282EAD8U;
  Crc32c crc;
  crc.process_bytes(&log[at + 6], length + 1);
  if (crc.checksum() != (turned >> 17U | turned << 15U)) return std::nullopt;
  return out;
}

bool all_zero(std::span<const std::byte> bytes) {
  return std::ranges::all_of(bytes, [](std::byte byte) { return byte == std::byte{0}; });
}

// Whether what is at `at`, no whole fragment, can be what a crash has left of one: its end or a
// sector of it is still zeros. Otherwise all of it was written, and is damaged.
bool can_be_torn(std::span<const std::byte> log, std::size_t at) {
  if (log.size() - at < kHeader) return true;
  const std::size_t length =
      std::to_integer<std::size_t>(log[at + 4]) | std::to_integer<std::size_t>(log[at + 5]) << 8U;
  const std::size_t end = at + kHeader + length;
  if (length == 0 || end > log.size() || end > (at / kBlock + 1) * kBlock) return true;
  if (log[end - 1] == std::byte{0}) return true;
  for (std::size_t next = at; next < end;) {
    const std::size_t sector_end = std::min(end, (next / kSector + 1) * kSector);
    if (all_zero(log.subspan(next, sector_end - next))) return true;
    next = sector_end;
  }
  return false;
}

} // namespace

leveldb::Status LogFile::make(const std::string& name, leveldb::WritableFile** file) {
  *file = nullptr;
  const int fd = ::open(name.c_str(), O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0644);
  if (fd < 0) return failed(name, errno);
  *file = new LogFile(fd, name);
  return leveldb::Status::OK();
}

LogFile::~LogFile() {
  static_cast<void>(Close());
}

leveldb::Status LogFile::Append(const leveldb::Slice& data) {
  buffer_.append(data.data(), data.size());
  return leveldb::Status::OK();
}

leveldb::Status LogFile::Flush() {
  if (buffer_.empty()) return leveldb::Status::OK();
  const std::uint64_t end = size_ + buffer_.size();
  if (end > zeros_) {
    static const std::string zeros(kAhead, '\0');
    // On a full disk the record itself may still fit.
    if (write_at(fd_, zeros, end) == 0) zeros_ = end + zeros.size();
  }
  if (const int error = write_at(fd_, buffer_, size_); error != 0) return failed(name_, error);
  size_ = end;
  buffer_.clear();
  return leveldb::Status::OK();
}

leveldb::Status LogFile::Sync() {
  if (auto flushed = Flush(); !flushed.ok()) return flushed;
  if (::fdatasync(fd_) != 0) return failed(name_, errno);
  return leveldb::Status::OK();
}

leveldb::Status LogFile::Close() {
  if (fd_ < 0) return leveldb::Status::OK();
  auto result = Flush();
  if (::ftruncate(fd_, static_cast<off_t>(size_)) != 0 && result.ok())
    result = failed(name_, errno);
  if (::close(fd_) != 0 && result.ok()) result = failed(name_, errno);
  fd_ = -1;
  return result;
}

std::size_t end_of_log(std::span<const std::byte> log) {
  std::size_t at = 0;
  std::size_t end = 0; // of the last whole record
  bool inside = false; // a record has begun
  while (at < log.size()) {
    const std::size_t left = kBlock - at % kBlock;
    if (left < kHeader) {
      at += left;
      continue;
    }
    const auto fragment = fragment_at(log, at);
    if (!fragment) break;
    const bool begins = fragment->kind == kWhole || fragment->kind == kFirst;
    if (begins == inside) break;
    at += fragment->size;
    inside = fragment->kind == kFirst || fragment->kind == kMiddle;
    if (!inside) end = at;
  }
  if (end >= log.size() || all_zero(log.subspan(end))) return log.size();
  for (std::size_t next = end + 1; next < log.size(); ++next) {
    const auto fragment = fragment_at(log, next);
    if (fragment && (fragment->kind == kWhole || fragment->kind == kFirst)) return log.size();
  }
  return can_be_torn(log, at) ? end : log.size();
}

Result<int> mend_logs(const std::filesystem::path& store) {
  int torn = 0;
  std::error_code failure;
  for (std::filesystem::directory_iterator at(store, failure), last; !failure && at != last;
       at.increment(failure)) {
    const std::filesystem::path& path = at->path();
    if (path.extension() != ".log") continue;
    std::ifstream in(path, std::ios::binary);
    const std::vector<char> bytes((std::istreambuf_iterator<char>(in)),
                                  std::istreambuf_iterator<char>());
    if (in.bad()) return errno_error("read " + path.string(), EIO);
    const std::size_t end = end_of_log(std::as_bytes(std::span(bytes)));
    if (end == bytes.size()) continue;
    std::filesystem::resize_file(path, end, failure);
    if (failure) break;
    ++torn;
  }
  if (failure) return errno_error("mend the logs in " + store.string(), failure.value());
  return torn;
}

} // namespace cairn::tracker
