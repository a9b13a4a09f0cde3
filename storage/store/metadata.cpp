// Metadata side files: canonical text, and reading and writing of "<name>-m".
//
// A side file of 0 bytes is the memory of metadata that was removed: its stamp (xattr user.cairn)
// keeps an older set-metadata that arrives later from bringing it back.
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <charconv>
#include <map>

#include "common/base/crc32.h"
#include "common/base/text.h"
#include "storage/store/store.h"

namespace cairn::storage {

namespace {

constexpr char kRecordEnd = '\x01';
constexpr char kNameEnd = '\x02';
constexpr std::size_t kNameMax = 64;
constexpr std::size_t kValueMax = 256;
constexpr const char* kXattr = "user.cairn";
// Far above what a metadata request can carry (it must fit a 64 KiB body).
constexpr std::size_t kMetadataMax = 128 * 1024;

using Records = std::map<std::string, std::string, std::less<>>;

void parse_into(std::string_view text, Records& records) {
  for (const std::string_view record : split(text, kRecordEnd)) {
    const std::size_t end = record.find(kNameEnd);
    if (end == std::string_view::npos || end == 0) continue;
    records.insert_or_assign(std::string(record.substr(0, std::min(end, kNameMax))),
                             std::string(record.substr(end + 1, kValueMax)));
  }
}

std::uint64_t stamp_of(int fd) {
  char text[32];
  const ssize_t size = ::fgetxattr(fd, kXattr, text, sizeof text);
  std::uint64_t stamp = 0;
  if (size > 0 && std::from_chars(text, text + size, stamp, 16).ec == std::errc()) return stamp;
  // A side file that FastDFS wrote, or a file system without xattrs: the time it was written.
  struct stat info {};
  if (::fstat(fd, &info) != 0) return 1;
  const auto ms = static_cast<std::uint64_t>(info.st_mtim.tv_sec) * 1000 +
                  static_cast<std::uint64_t>(info.st_mtim.tv_nsec) / 1'000'000;
  return ms << 16;
}

Result<std::string> read_text(int fd, const std::string& name) {
  std::string text(kMetadataMax, '\0');
  const ssize_t size = ::pread(fd, text.data(), text.size(), 0);
  if (size < 0) return errno_error("read metadata of " + name, errno);
  text.resize(static_cast<std::size_t>(size));
  return text;
}

} // namespace

std::string canonical_metadata(std::string_view text, std::string_view base) {
  Records records;
  parse_into(base, records);
  parse_into(text, records);
  std::string out;
  for (const auto& [name, value] : records) {
    if (!out.empty()) out.push_back(kRecordEnd);
    out.append(name).push_back(kNameEnd);
    out.append(value);
  }
  return out;
}

Result<std::string> Store::get_metadata(const RemoteName& name) const {
  CAIRN_RETURN_IF_ERROR(check(name));
  const std::string side = std::string(name.true_name()) + "-m";
  if (!exists(name)) return Error{Errc::not_found, std::string(name.text())};
  const File file(::openat(path_of(name).data_fd, side.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  if (!file) return errno_error("open " + side, errno);
  CAIRN_TRY(text, read_text(file.get(), side));
  // FastDFS may have left garbage at the end of the text; canonical form drops it.
  std::string canonical = canonical_metadata(text);
  if (canonical.empty()) return Error{Errc::not_found, side};
  return canonical;
}

std::uint64_t Store::metadata_stamp(const RemoteName& name) const {
  if (!check(name)) return 0;
  const std::string side = std::string(name.true_name()) + "-m";
  const File file(::openat(path_of(name).data_fd, side.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  return file ? stamp_of(file.get()) : 0;
}

Result<Change> Store::set_metadata(const RemoteName& name, std::string_view text, bool merge,
                                   const Origin& origin) {
  CAIRN_RETURN_IF_ERROR(check(name));
  Path& path = path_of(name);
  const std::string side = std::string(name.true_name()) + "-m";
  const std::lock_guard lock(lock_of(name));
  if (!exists(name)) return Error{Errc::not_found, std::string(name.text())};

  std::string present;
  if (const File old(::openat(path.data_fd, side.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW)); old) {
    // Of two changes that came from two nodes the later one stands, in whatever order they arrive.
    // The same stamp from two nodes, in the same millisecond, is settled by the text.
    if (origin.id != 0) {
      const std::uint64_t present_stamp = stamp_of(old.get());
      if (present_stamp > origin.stamp) return Change{name.canonical(), 0};
      if (present_stamp == origin.stamp) {
        CAIRN_TRY(old_text, read_text(old.get(), side));
        if (old_text >= canonical_metadata(text)) return Change{name.canonical(), 0};
      }
    }
    if (merge) {
      CAIRN_TRY(old_text, read_text(old.get(), side));
      present = std::move(old_text);
    }
  }
  if (merge && text.empty()) return Change{name.canonical(), 0};
  const std::string content = canonical_metadata(text, present);
  const std::uint64_t stamp = origin.id != 0 ? origin.stamp : clock_.now();
  clock_.observe(stamp);

  CAIRN_TRY(file, unnamed(path));
  if (::write(file.get(), content.data(), content.size()) != static_cast<ssize_t>(content.size()))
    return fail(path, "write metadata of " + name.canonical(), errno == 0 ? ENOSPC : errno);
  char stamp_text[32];
  const auto end = std::to_chars(stamp_text, stamp_text + sizeof stamp_text, stamp, 16).ptr;
  ::fsetxattr(file.get(), kXattr, stamp_text, static_cast<std::size_t>(end - stamp_text), 0);
  CAIRN_RETURN_IF_ERROR(replace_under(path, file.get(), side));

  LogRecord record;
  record.kind = ChangeKind::set_meta;
  record.name = name.canonical();
  record.stamp = stamp;
  record.length = content.size();
  record.crc32 = crc32(0, wire::as_view(content));
  CAIRN_TRY(seq, log(std::move(record), origin));
  return Change{name.canonical(), seq};
}

} // namespace cairn::storage
