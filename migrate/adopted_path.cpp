// Directories, links and the list.
#include "migrate/adopted_path.h"

#include "common/base/durable_file.h"
#include "common/base/text.h"
#include "common/base/write_all.h"
#include "migrate/entry.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <dirent.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <memory>
#include <optional>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <zlib.h>

namespace cairn::migrate {

namespace {

namespace fs = std::filesystem;

constexpr std::size_t kCopyPiece = 1 << 20;

bool is_directory_name(std::string_view name) {
  return name.size() == 2 && name.find_first_not_of("0123456789ABCDEF") == std::string_view::npos;
}

// Names in a directory below `base`, sorted.
Result<std::vector<std::string>> names_in(int base, const std::string& below) {
  const int fd = ::openat(base, below.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
  if (fd < 0) return errno_error("cannot list " + below, errno);
  const std::unique_ptr<DIR, int (*)(DIR*)> directory(::fdopendir(fd), &::closedir);
  std::vector<std::string> out;
  for (;;) {
    errno = 0;
    const dirent* entry = ::readdir(directory.get());
    if (entry == nullptr && errno != 0) return errno_error("cannot list " + below, errno);
    if (entry == nullptr) break;
    if (entry->d_name[0] != '.') out.emplace_back(entry->d_name);
  }
  std::ranges::sort(out);
  return out;
}

// Gives an unnamed file its name.
Status name_it(int fd, int base, const std::string& below) {
  const std::string self = "/proc/self/fd/" + std::to_string(fd);
  if (::linkat(AT_FDCWD, self.c_str(), base, below.c_str(), AT_SYMLINK_FOLLOW) != 0)
    return errno_error(below, errno);
  return {};
}

Result<Handle> unnamed_in(const fs::path& folder) {
  Handle file(::open(folder.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0644));
  if (!file)
    return errno == EOPNOTSUPP || errno == EISDIR
               ? Error{Errc::unsupported, folder.string() +
                                              ": the file system has no unnamed files "
                                              "(O_TMPFILE), which Cairn needs"}
               : errno_error(folder.string(), errno);
  return file;
}

} // namespace

Handle& Handle::operator=(Handle&& other) noexcept {
  std::swap(fd_, other.fd_);
  return *this;
}

Handle::~Handle() {
  if (fd_ >= 0) ::close(fd_);
}

// --- the directories -----------------------------------------------------------------------------

Result<AdoptedPath> AdoptedPath::open(std::uint8_t index, const fs::path& root, bool lock) {
  fs::path data = root / "data";
  Handle fd(::open(data.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd) return errno_error(data.string(), errno);
  if (lock && ::flock(fd.get(), LOCK_EX | LOCK_NB) != 0)
    return Error{Errc::busy,
                 "a storage node of Cairn runs on " + root.string() + "; stop it first"};
  return AdoptedPath(index, std::move(data), std::move(fd));
}

std::string AdoptedPath::remote(std::string_view below) const {
  char prefix[8];
  std::snprintf(prefix, sizeof prefix, "M%02X/", static_cast<unsigned>(index_));
  return prefix + std::string(below);
}

Status AdoptedPath::each_directory(
    const std::function<Status(const std::string&, std::vector<DiskName>&)>& visit) const {
  CAIRN_TRY(highs, names_in(fd_.get(), "."));
  for (const std::string& high : highs) {
    if (!is_directory_name(high)) continue;
    CAIRN_TRY(lows, names_in(fd_.get(), high));
    for (const std::string& low : lows) {
      if (!is_directory_name(low)) continue;
      const std::string directory = high + "/" + low;
      CAIRN_TRY(names, names_in(fd_.get(), directory));
      std::vector<DiskName> entries;
      entries.reserve(names.size());
      for (std::string& name : names) {
        DiskName entry;
        const std::string below = directory + "/" + name;
        if (::fstatat(fd_.get(), below.c_str(), &entry.status, AT_SYMLINK_NOFOLLOW) != 0) {
          if (errno == ENOENT) continue;
          return errno_error(below, errno);
        }
        entry.name = std::move(name);
        entries.push_back(std::move(entry));
      }
      CAIRN_RETURN_IF_ERROR(visit(directory, entries));
    }
  }
  return {};
}

fs::path AdoptedPath::saved_link(std::string_view below) const {
  std::string flat(below);
  std::ranges::replace(flat, '/', '_'); // two of them, at known places
  return folder() / "links" / flat;
}

std::vector<std::string> AdoptedPath::saved_links() const {
  std::vector<std::string> out;
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(folder() / "links", ignored)) {
    std::string below = entry.path().filename().string();
    if (below.size() < 7) continue;
    below[2] = below[5] = '/';
    out.push_back(std::move(below));
  }
  std::ranges::sort(out);
  return out;
}

Status AdoptedPath::make_folder() const {
  std::error_code failure;
  fs::create_directories(folder() / "links", failure);
  if (failure) return errno_error("cannot make " + folder().string(), failure.value());
  return {};
}

Status AdoptedPath::put(const std::string& below, std::span<const std::byte> bytes,
                        std::uint32_t mtime, const struct stat& like) const {
  CAIRN_TRY(file, unnamed_in(folder()));
  CAIRN_RETURN_IF_ERROR(write_all(file.get(), bytes, "write"));
  static_cast<void>(!::fchown(file.get(), like.st_uid, like.st_gid)); // as well as we may
  static_cast<void>(!::fchmod(file.get(), 0644));
  timespec times[2] = {};
  times[0].tv_sec = times[1].tv_sec = static_cast<time_t>(mtime);
  static_cast<void>(!::futimens(file.get(), times));
  return name_it(file.get(), fd_.get(), below);
}

Status AdoptedPath::link(const fs::path& target, const std::string& below) const {
  const Handle source(::open(target.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
  struct stat status {};
  if (!source || ::fstat(source.get(), &status) != 0 || !S_ISREG(status.st_mode))
    return Error{Errc::not_found, target.string()};
  if (::linkat(AT_FDCWD, target.c_str(), fd_.get(), below.c_str(), 0) == 0) return {};
  if (errno != EXDEV && errno != EMLINK && errno != EPERM) return errno_error(below, errno);
  CAIRN_TRY(file, unnamed_in(folder()));
  if (::ioctl(file.get(), FICLONE, source.get()) != 0) {
    std::vector<std::byte> buffer(kCopyPiece);
    for (;;) {
      const ssize_t count = ::read(source.get(), buffer.data(), buffer.size());
      if (count < 0 && errno == EINTR) continue;
      if (count < 0) return errno_error(target.string(), errno);
      if (count == 0) break;
      CAIRN_RETURN_IF_ERROR(
          write_all(file.get(), std::span(buffer).first(static_cast<std::size_t>(count)), "write"));
    }
  }
  static_cast<void>(!::fchown(file.get(), status.st_uid, status.st_gid));
  static_cast<void>(!::fchmod(file.get(), 0644));
  const timespec times[2] = {status.st_mtim, status.st_mtim};
  static_cast<void>(!::futimens(file.get(), times));
  return name_it(file.get(), fd_.get(), below);
}

// --- the list ------------------------------------------------------------------------------------

AdoptedName adopted_name(char type, std::string_view below, const struct stat& status) {
  AdoptedName out;
  out.type = type;
  out.size = static_cast<std::uint64_t>(status.st_size);
  out.mtime_s = status.st_mtim.tv_sec;
  out.mtime_ns = static_cast<std::uint32_t>(status.st_mtim.tv_nsec);
  out.below = printable(below);
  return out;
}

bool AdoptedName::is_as_before(const struct stat& now) const {
  return size == static_cast<std::uint64_t>(now.st_size) && mtime_s == now.st_mtim.tv_sec &&
         mtime_ns == static_cast<std::uint32_t>(now.st_mtim.tv_nsec);
}

Result<AdoptedListWriter> AdoptedListWriter::open(const AdoptedPath& path) {
  const std::string name = path.list_file().string() + ".new";
  const gzFile file = ::gzopen(name.c_str(), "wbe3"); // fast, and small enough
  if (file == nullptr) return errno_error(name, errno);
  return AdoptedListWriter(path, file);
}

AdoptedListWriter::AdoptedListWriter(AdoptedListWriter&& other) noexcept
    : path_(other.path_), file_(std::exchange(other.file_, nullptr)) {}

AdoptedListWriter::~AdoptedListWriter() {
  if (file_ != nullptr) ::gzclose(file_);
}

Status AdoptedListWriter::add(const AdoptedName& name) {
  const int written = ::gzprintf(
      file_, "%c %llu %lld %u %s\n", name.type, static_cast<unsigned long long>(name.size),
      static_cast<long long>(name.mtime_s), name.mtime_ns, name.below.c_str());
  if (written <= 0) return errno_error(path_->list_file().string(), errno);
  return {};
}

Status AdoptedListWriter::finish() {
  const std::string name = path_->list_file().string() + ".new";
  if (::gzclose(std::exchange(file_, nullptr)) != Z_OK) return errno_error(name, errno);
  // All that was done before it is made durable first: the list says that it was.
  if (::syncfs(path_->fd()) != 0) return errno_error("syncfs " + path_->data().string(), errno);
  if (::rename(name.c_str(), path_->list_file().c_str()) != 0) return errno_error(name, errno);
  return sync_directory(path_->folder());
}

Result<AdoptedListReader> AdoptedListReader::open(const AdoptedPath& path) {
  const gzFile file = ::gzopen(path.list_file().c_str(), "rbe");
  if (file == nullptr) return errno_error(path.list_file().string(), errno);
  return AdoptedListReader(file);
}

AdoptedListReader::AdoptedListReader(AdoptedListReader&& other) noexcept
    : file_(std::exchange(other.file_, nullptr)) {}

AdoptedListReader::~AdoptedListReader() {
  if (file_ != nullptr) ::gzclose(file_);
}

Result<std::optional<AdoptedName>> AdoptedListReader::next() {
  const Error damaged(Errc::corrupt, "the list of what was adopted is damaged");
  std::array<char, 2048> buffer{};
  if (::gzgets(file_, buffer.data(), static_cast<int>(buffer.size())) == nullptr) {
    int code = Z_OK;
    ::gzerror(file_, &code);
    if (code != Z_OK) return damaged;
    return std::optional<AdoptedName>();
  }
  std::string_view rest(buffer.data());
  if (!rest.ends_with('\n')) return damaged;
  rest.remove_suffix(1);
  std::array<std::string_view, 4> fields;
  for (std::string_view& field : fields) {
    field = rest.substr(0, rest.find(' '));
    if (field.empty() || field.size() == rest.size()) return damaged;
    rest.remove_prefix(field.size() + 1);
  }
  AdoptedName out;
  out.type = fields[0].front();
  CAIRN_TRY(size, parse_u64(fields[1]));
  const bool before_1970 = fields[2].starts_with('-');
  CAIRN_TRY(seconds, parse_u64(fields[2].substr(before_1970 ? 1 : 0)));
  CAIRN_TRY(nanoseconds, parse_u64(fields[3]));
  out.size = size;
  out.mtime_s = static_cast<std::int64_t>(seconds) * (before_1970 ? -1 : 1);
  out.mtime_ns = static_cast<std::uint32_t>(nanoseconds);
  out.below = rest;
  return std::optional<AdoptedName>(std::move(out));
}

} // namespace cairn::migrate
