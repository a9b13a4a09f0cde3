// Attributes and path arithmetic.
#include "migrate/entry.h"

#include <sys/sysmacros.h>

namespace cairn::migrate {

namespace {

// The length of the well-formed UTF-8 sequence at `at`, 0 when there is none.
std::size_t sequence_at(std::string_view text, std::size_t at) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char first = byte(at);
  if (first < 0x80) return 1;
  const std::size_t length = first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : 2;
  if (first < 0xC2 || first > 0xF4 || at + length > text.size()) return 0;
  for (std::size_t i = 1; i < length; ++i)
    if ((byte(at + i) & 0xC0U) != 0x80U) return 0;
  const unsigned char second = byte(at + 1);
  const bool overlong = (first == 0xE0 && second < 0xA0) || (first == 0xF0 && second < 0x90);
  const bool outside = (first == 0xED && second >= 0xA0) || (first == 0xF4 && second >= 0x90);
  return overlong || outside ? 0 : length;
}

bool is_control(std::string_view text, std::size_t at) {
  const auto byte = static_cast<unsigned char>(text[at]);
  return byte < 0x20 || byte == 0x7F;
}

} // namespace

Entry entry_of(const struct stat& status) {
  Entry out;
  out.type = static_cast<NodeType>((status.st_mode & S_IFMT) >> 12);
  out.mode = status.st_mode & 07777U;
  out.uid = status.st_uid;
  out.gid = status.st_gid;
  out.nlink = static_cast<std::uint32_t>(status.st_nlink);
  out.size = out.is_regular() ? static_cast<std::uint64_t>(status.st_size) : 0;
  out.blocks = static_cast<std::uint64_t>(status.st_blocks);
  out.device = status.st_dev;
  out.inode = status.st_ino;
  if (S_ISCHR(status.st_mode) || S_ISBLK(status.st_mode))
    out.rdev =
        std::uint64_t{::gnu_dev_major(status.st_rdev)} << 32 | ::gnu_dev_minor(status.st_rdev);
  out.mtime_s = status.st_mtim.tv_sec;
  out.mtime_ns = static_cast<std::uint32_t>(status.st_mtim.tv_nsec);
  out.ctime_s = status.st_ctim.tv_sec;
  out.ctime_ns = static_cast<std::uint32_t>(status.st_ctim.tv_nsec);
  return out;
}

std::string_view parent_of(std::string_view path) {
  const std::size_t slash = path.rfind('/');
  return slash == std::string_view::npos ? std::string_view() : path.substr(0, slash);
}

std::string_view name_of(std::string_view path) {
  const std::size_t slash = path.rfind('/');
  return slash == std::string_view::npos ? path : path.substr(slash + 1);
}

std::string join(std::string_view directory, std::string_view name) {
  std::string out(directory);
  if (!out.empty() && !name.empty()) out += '/';
  out += name;
  return out;
}

bool is_plain_text(std::string_view path) {
  for (std::size_t at = 0; at < path.size();) {
    const std::size_t length = sequence_at(path, at);
    if (length == 0 || is_control(path, at)) return false;
    at += length;
  }
  return true;
}

std::string printable(std::string_view path) {
  std::string out;
  for (std::size_t at = 0; at < path.size();) {
    const std::size_t length = sequence_at(path, at);
    if (length > 0 && !is_control(path, at) && path[at] != '\\') {
      out += path.substr(at, length);
      at += length;
      continue;
    }
    const auto byte = static_cast<unsigned char>(path[at++]);
    out += '\\';
    out += static_cast<char>('0' + (byte >> 6));
    out += static_cast<char>('0' + (byte >> 3 & 7));
    out += static_cast<char>('0' + (byte & 7));
  }
  return out;
}

} // namespace cairn::migrate
