// Slots.
#include "migrate/fastdfs_trunk.h"

#include "common/base/crc32.h"
#include "common/wire/codec.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <utility>

namespace cairn::migrate {

bool TrunkSlot::holds(const RemoteName& name) const {
  if ((type != 'F' && type != 'L') || !name.trunk() || !name.fields()) return false;
  return slot_size == name.trunk()->slot_size && file_size == name.fields()->size() &&
         crc32 == name.fields()->crc32 && mtime == name.fields()->timestamp &&
         name.leaf().ends_with(extension);
}

std::string trunk_leaf(std::uint32_t number) {
  char text[16];
  std::snprintf(text, sizeof text, "%06u", number);
  return text;
}

bool is_trunk_leaf(std::string_view leaf) {
  return leaf.size() >= 6 && leaf.size() <= 10 &&
         std::ranges::all_of(leaf, [](char c) { return c >= '0' && c <= '9'; });
}

Result<TrunkFile> TrunkFile::open(const std::filesystem::path& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
  if (fd < 0) return errno_error(path.string(), errno);
  TrunkFile out(fd, 0, path.string());
  struct stat status {};
  if (::fstat(fd, &status) != 0) return errno_error(path.string(), errno);
  if (!S_ISREG(status.st_mode)) return Error{Errc::corrupt, path.string() + " is no regular file"};
  out.size_ = static_cast<std::uint64_t>(status.st_size);
  return out;
}

TrunkFile::TrunkFile(TrunkFile&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)), size_(other.size_), path_(std::move(other.path_)) {}

TrunkFile& TrunkFile::operator=(TrunkFile&& other) noexcept {
  std::swap(fd_, other.fd_);
  std::swap(size_, other.size_);
  std::swap(path_, other.path_);
  return *this;
}

TrunkFile::~TrunkFile() {
  if (fd_ >= 0) ::close(fd_);
}

Status TrunkFile::read(std::uint64_t offset, std::byte* out, std::size_t count) const {
  while (count > 0) {
    const ssize_t got = ::pread(fd_, out, count, static_cast<off_t>(offset));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return errno_error(path_, errno);
    if (got == 0) return Error{Errc::corrupt, path_ + " ends at " + std::to_string(offset)};
    out += got;
    offset += static_cast<std::uint64_t>(got);
    count -= static_cast<std::size_t>(got);
  }
  return {};
}

Result<TrunkSlot> TrunkFile::slot(std::uint64_t offset) const {
  std::array<std::byte, kSlotHeaderSize> raw{};
  CAIRN_RETURN_IF_ERROR(read(offset, raw.data(), raw.size()));
  const auto number = [&raw](std::size_t at) {
    return static_cast<std::uint32_t>(wire::load_big_endian(raw.data() + at, 4));
  };
  TrunkSlot out;
  out.type = static_cast<char>(raw[0]);
  out.slot_size = number(1);
  out.file_size = number(5);
  out.crc32 = number(9);
  out.mtime = number(13);
  out.extension.assign(reinterpret_cast<const char*>(raw.data() + 17), kExtensionBlockSize);
  return out;
}

Result<std::vector<std::byte>> TrunkFile::content(std::uint64_t offset,
                                                  const TrunkSlot& slot) const {
  const std::string where = path_ + " at " + std::to_string(offset);
  // Checked before memory is taken: these numbers come from a disk.
  if (std::uint64_t{slot.file_size} + kSlotHeaderSize > slot.slot_size ||
      offset + slot.slot_size > size_)
    return Error{Errc::corrupt, where + ": a slot of impossible size"};
  std::vector<std::byte> out(slot.file_size);
  CAIRN_RETURN_IF_ERROR(read(offset + kSlotHeaderSize, out.data(), out.size()));
  if (crc32(0, out) != slot.crc32 && legacy_crc32(out) != slot.crc32)
    return Error{Errc::corrupt, where + ": the content is not what its checksum says"};
  return out;
}

} // namespace cairn::migrate
