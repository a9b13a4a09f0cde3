// Metadata side files: canonical text, and reading and writing of "<name>-m".
//
// The stamp of the last change is kept with the side file (xattr user.cairn), or with the data file
// when that change removed the metadata: an older set-metadata that arrives later must not bring it
// back.
#include "common/base/crc32.h"
#include "common/base/text.h"
#include "storage/store/store.h"

#include <charconv>
#include <fcntl.h>
#include <map>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

namespace cairn::storage {

namespace {

constexpr char kRecordEnd = '\x01';
constexpr char kNameEnd = '\x02';
constexpr std::size_t kNameMax = 64;
constexpr std::size_t kValueMax = 256;
constexpr const char* kXattr = "user.cairn";
constexpr const char* kRemovedXattr = "user.cairn.unset"; // on the data file
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

std::optional<std::uint64_t> read_stamp(int fd, const char* attribute) {
  char text[32];
  const ssize_t size = ::fgetxattr(fd, attribute, text, sizeof text);
  std::uint64_t stamp = 0;
  if (size > 0 && std::from_chars(text, text + size, stamp, 16).ec == std::errc()) return stamp;
  return std::nullopt;
}

// `crc`: CRC32 of the text, which follows the stamp after a '-'.
void write_stamp(int fd, const char* attribute, std::uint64_t stamp,
                 std::optional<std::uint32_t> crc = std::nullopt) {
  char text[32];
  char* end = std::to_chars(text, text + sizeof text, stamp, 16).ptr;
  if (crc) {
    *end++ = '-';
    end = std::to_chars(end, text + sizeof text, *crc, 16).ptr;
  }
  ::fsetxattr(fd, attribute, text, static_cast<std::size_t>(end - text), 0);
}

// The checksum that was kept with a side file; nullopt: it came without.
std::optional<std::uint32_t> read_text_crc(int fd) {
  char text[32];
  const ssize_t size = ::fgetxattr(fd, kXattr, text, sizeof text);
  if (size <= 0) return std::nullopt;
  const std::string_view all(text, static_cast<std::size_t>(size));
  const std::size_t dash = all.find('-');
  std::uint32_t crc = 0;
  if (dash == std::string_view::npos ||
      std::from_chars(text + dash + 1, text + size, crc, 16).ec != std::errc())
    return std::nullopt;
  return crc;
}

std::uint64_t stamp_of(int fd) {
  if (const auto stamp = read_stamp(fd, kXattr)) return *stamp;
  // A side file that FastDFS wrote, or a file system without xattrs: the time it was written.
  struct stat info {};
  if (::fstat(fd, &info) != 0) return 1;
  const auto ms = static_cast<std::uint64_t>(info.st_mtim.tv_sec) * 1000 +
                  static_cast<std::uint64_t>(info.st_mtim.tv_nsec) / 1'000'000;
  return ms << 16;
}

// Errors: corrupt (not what was written), io_error.
Result<std::string> read_text(int fd, const std::string& name) {
  std::string text(kMetadataMax, '\0');
  const ssize_t size = ::pread(fd, text.data(), text.size(), 0);
  if (size < 0) return errno_error("read metadata of " + name, errno);
  text.resize(static_cast<std::size_t>(size));
  const auto kept = read_text_crc(fd);
  // Rests behind the text, as FastDFS leaves them, do no harm.
  const auto matches = [&](const std::string& form) {
    return crc32(0, wire::as_view(form)) == *kept;
  };
  if (kept && !matches(text) && !matches(canonical_metadata(text)))
    return Error{Errc::corrupt, name + " does not match its checksum"};
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
  auto read = read_text(file.get(), side);
  if (read.code() == Errc::corrupt) suspect(name, read.error().detail);
  CAIRN_TRY(text, std::move(read));
  // FastDFS may have left garbage at the end of the text; canonical form drops it.
  std::string canonical = canonical_metadata(text);
  if (canonical.empty()) return Error{Errc::not_found, side};
  return canonical;
}

std::uint64_t Store::metadata_stamp(const RemoteName& name) const {
  if (!check(name)) return 0;
  const std::string side = std::string(name.true_name()) + "-m";
  const File file(::openat(path_of(name).data_fd, side.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  if (file) return stamp_of(file.get());
  const File data(::openat(path_of(name).data_fd, name.true_name().data(),
                           O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
  return data ? read_stamp(data.get(), kRemovedXattr).value_or(0) : 0;
}

Result<Change> Store::set_metadata(const RemoteName& name, std::string_view text, bool merge,
                                   const Origin& origin) {
  CAIRN_RETURN_IF_ERROR(check(name));
  Path& path = path_of(name);
  const std::string side = std::string(name.true_name()) + "-m";
  const std::lock_guard lock(lock_of(name));
  if (!exists(name)) return Error{Errc::not_found, std::string(name.text())};

  std::string present;
  bool had = false;
  if (origin.id != 0) {
    // Of two changes that came from two nodes the later one stands, in whatever order they arrive.
    const std::uint64_t stamp = metadata_stamp(name);
    if (stamp > origin.stamp) return Change{name.canonical(), 0};
  }
  if (const File old(::openat(path.data_fd, side.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
      old) {
    had = true;
    // The same stamp from two nodes, in the same millisecond, is settled by the text.
    if (origin.id != 0 && stamp_of(old.get()) == origin.stamp) {
      const auto old_text = read_text(old.get(), side); // a damaged one gives way
      if (old_text && *old_text >= canonical_metadata(text)) return Change{name.canonical(), 0};
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

  if (content.empty()) {
    const File data(::openat(path.data_fd, name.true_name().data(),
                             O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
    if (data) write_stamp(data.get(), kRemovedXattr, stamp);
    if (::unlinkat(path.data_fd, side.c_str(), 0) != 0 && errno != ENOENT)
      return fail(path, "unlink " + side, errno);
    path.dirty = true;
  } else {
    CAIRN_TRY(file, unnamed(path));
    if (::write(file.get(), content.data(), content.size()) != static_cast<ssize_t>(content.size()))
      return fail(path, "write metadata of " + name.canonical(), errno == 0 ? ENOSPC : errno);
    write_stamp(file.get(), kXattr, stamp, crc32(0, wire::as_view(content)));
    // Those it replaces may be acknowledged: they must not give way to what a power loss can take.
    const bool durable = config_.durability == config::Durability::durable;
    if (had && durable && ::fdatasync(file.get()) != 0) return fail(path, "sync " + side, errno);
    CAIRN_RETURN_IF_ERROR(replace_under(path, file.get(), side));
  }

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
