// The trash: deleted files wait in data/.trash/<day of the delete>/ on every node that had them, by
// the day since 1970 so that expiry is the removal of whole directories.
//
//   data/.trash/20412/HH_LL_<name> and HH_LL_<name>-m
//
// A file in it is deleted: it has a tombstone, no reader finds it, no peer is sent it. To restore
// it is to use its name again after the delete, as a slave's name may be: with the time of that in
// its extended attribute, which travels with the file and which older deletes do not touch.
#include "common/base/crc32.h"
#include "storage/store/directory_names.h"
#include "storage/store/store.h"

#include <algorithm>
#include <ctime>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

namespace cairn::storage {

namespace {

constexpr const char* kTrash = ".trash";
constexpr const char* kCreatedXattr = "user.cairn"; // when a name was used again: hybrid clock
constexpr std::uint64_t kDaySeconds = 86'400;
constexpr std::size_t kLowDirectory = 2; // where flat() put the first '_'
constexpr std::size_t kLeaf = 5;         // and the second
constexpr std::size_t kMetadataMax = 1 << 20;

std::uint64_t seconds_of(std::uint64_t stamp) {
  return (stamp >> 16) / 1000;
}

std::string directory_of_day(std::uint64_t day) {
  return std::string(kTrash) + "/" + std::to_string(day);
}

// "HH/LL/leaf" as one name, and back.
std::string flat(std::string_view true_name) {
  std::string name(true_name);
  std::replace(name.begin(), name.end(), '/', '_');
  return name;
}
std::string unflat(std::string name) {
  if (name.size() > kLeaf) name[kLowDirectory] = name[kLeaf] = '/';
  return name;
}

// The days that have a directory, the latest first.
std::vector<std::uint64_t> days_of(int data_fd) {
  std::vector<std::uint64_t> days;
  for (const std::string& name : names_in(data_fd, kTrash)) {
    if (name.size() <= 8 &&
        std::all_of(name.begin(), name.end(), [](char c) { return c >= '0' && c <= '9'; }))
      days.push_back(std::stoull(name));
  }
  std::sort(days.rbegin(), days.rend());
  return days;
}

Result<std::uint32_t> crc_of(int fd, const std::string& name) {
  wire::Buffer buffer(256 * 1024);
  std::uint32_t crc = 0;
  for (off_t offset = 0;;) {
    const ssize_t count = ::pread(fd, buffer.data(), buffer.size(), offset);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return errno_error("read " + name, errno);
    if (count == 0) return crc;
    crc = crc32(crc, buffer.view().first(static_cast<std::size_t>(count)));
    offset += count;
  }
}

// A side file in the trash; empty: there is none.
std::string text_of(int base, const std::string& name) {
  const File file(::openat(base, name.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  std::string text(file ? kMetadataMax : 0, '\0');
  const ssize_t size = file ? ::pread(file.get(), text.data(), text.size(), 0) : 0;
  text.resize(size < 0 ? 0 : static_cast<std::size_t>(size));
  return text;
}

Status copy(int to, int from, std::uint64_t size) {
  off_t in = 0;
  off_t out = 0;
  while (static_cast<std::uint64_t>(in) < size) {
    const ssize_t count =
        ::copy_file_range(from, &in, to, &out, size - static_cast<std::uint64_t>(in), 0);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return errno_error("copy", errno);
    if (count == 0) return Error{Errc::io_error, "a file in the trash became shorter"};
  }
  return {};
}

Status make_hidden(int data_fd, const std::string& directory) {
  if (::mkdirat(data_fd, directory.c_str(), 0755) == 0 || errno == EEXIST) return {};
  return errno_error("mkdir " + directory, errno);
}

} // namespace

std::uint64_t Store::reused_stamp(int fd) {
  std::uint64_t stamp = 0;
  return ::fgetxattr(fd, kCreatedXattr, &stamp, sizeof stamp) == sizeof stamp ? stamp : 0;
}

Status Store::trash_away(Path& path, const RemoteName& name, std::uint64_t stamp) {
  const std::string day = directory_of_day(seconds_of(stamp) / kDaySeconds);
  CAIRN_RETURN_IF_ERROR(make_hidden(path.data_fd, kTrash));
  CAIRN_RETURN_IF_ERROR(make_hidden(path.data_fd, day));
  for (const char* const end : {"-m", ""}) {
    const std::string from = std::string(name.true_name()) + end;
    const std::string to = day + "/" + flat(from);
    if (::renameat(path.data_fd, from.c_str(), path.data_fd, to.c_str()) == 0) continue;
    if (errno != ENOENT) return fail(path, "move " + from + " to " + to, errno);
    // No metadata now: none of an earlier file of that name may be taken for it.
    ::unlinkat(path.data_fd, to.c_str(), 0);
  }
  return {};
}

std::string Store::find_in_trash(const Path& path, const RemoteName& name) const {
  for (const std::uint64_t day : days_of(path.data_fd)) {
    std::string file = directory_of_day(day) + "/" + flat(name.true_name());
    if (::faccessat(path.data_fd, file.c_str(), F_OK, AT_SYMLINK_NOFOLLOW) == 0) return file;
  }
  return {};
}

std::vector<TrashedFile> Store::list_trash(std::uint8_t store_path, const std::string& after,
                                           std::size_t limit) const {
  const Path& path = *paths_[store_path];
  std::vector<TrashedFile> files;
  char prefix[8];
  std::snprintf(prefix, sizeof prefix, "M%02X/", store_path);
  for (const std::uint64_t day : days_of(path.data_fd)) {
    const std::string directory = directory_of_day(day);
    for (const std::string& entry : names_in(path.data_fd, directory)) {
      const auto name = parse_remote_name(prefix + unflat(entry)); // a side file is none
      if (!name || name->canonical() <= after) continue;
      TrashedFile file;
      file.name = name->canonical();
      file.deleted_day = day;
      files.push_back(std::move(file));
    }
  }
  // Of a name that was deleted twice the latest.
  std::stable_sort(files.begin(), files.end(),
                   [](const TrashedFile& a, const TrashedFile& b) { return a.name < b.name; });
  files.erase(
      std::unique(files.begin(), files.end(),
                  [](const TrashedFile& a, const TrashedFile& b) { return a.name == b.name; }),
      files.end());
  if (files.size() > limit) files.resize(limit);
  for (TrashedFile& file : files) {
    const auto name = parse_remote_name(file.name);
    struct stat info {};
    const std::string entry = directory_of_day(file.deleted_day) + "/" + flat(name->true_name());
    if (::fstatat(path.data_fd, entry.c_str(), &info, AT_SYMLINK_NOFOLLOW) == 0)
      file.size = static_cast<std::uint64_t>(info.st_size);
    file.deleted = file.deleted_day * kDaySeconds;
    if (const auto tombstone = tombstones_->find(file.name); tombstone && *tombstone)
      file.deleted = seconds_of((*tombstone)->stamp);
  }
  return files;
}

Result<Change> Store::restore_from_trash(const RemoteName& name) {
  CAIRN_RETURN_IF_ERROR(check(name));
  CAIRN_TRY(restored, restore_content(name));
  if (!restored.metadata.empty()) {
    CAIRN_TRY(set, set_metadata(name, restored.metadata, false, Origin()));
    restored.change.seq = std::max(restored.change.seq, set.seq);
  }
  const std::lock_guard lock(lock_of(name));
  drop_from_trash(path_of(name), name);
  return restored.change;
}

// Gives the content its name back; the metadata follow as a change of their own.
Result<Store::Restored> Store::restore_content(const RemoteName& name) {
  Path& path = path_of(name);
  const std::string true_name(name.true_name());
  const std::lock_guard lock(lock_of(name));
  const std::string entry = find_in_trash(path, name);
  if (entry.empty()) return Error{Errc::not_found, name.canonical() + " is not in the trash"};
  if (exists(name)) return Error{Errc::exists, name.canonical() + " is there"};
  File file(::openat(path.data_fd, entry.c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW));
  if (!file) return fail(path, "open " + entry, errno);
  struct stat info {};
  if (::fstat(file.get(), &info) != 0) return fail(path, "stat " + entry, errno);
  const auto size = static_cast<std::uint64_t>(info.st_size);
  if (name.kind() == FileKind::normal && name.fields() && name.fields()->size() != size)
    return Error{Errc::corrupt, name.canonical() + " is damaged in the trash"};
  CAIRN_TRY(crc, crc_of(file.get(), entry));

  if (info.st_nlink > 1) {
    // What follows marks the inode, which is not this name's alone.
    CAIRN_TRY(own, unnamed(path));
    if (Status copied = copy(own.get(), file.get(), size); !copied)
      return fail(path, std::move(copied).error());
    const timespec times[2] = {info.st_atim, info.st_mtim};
    ::futimens(own.get(), times);
    file = std::move(own);
  }

  CAIRN_TRY(tombstone, tombstones_->find(name.canonical()));
  if (tombstone) clock_.observe(tombstone->stamp);
  const std::uint64_t stamp = clock_.now();
  if (::fsetxattr(file.get(), kCreatedXattr, &stamp, sizeof stamp, 0) != 0)
    return errno_error("extended attribute of " + entry, errno);
  // The tombstone goes last: a crash before that leaves a deleted file, which is removed again.
  CAIRN_RETURN_IF_ERROR(link_under(path, file.get(), true_name));
  CAIRN_RETURN_IF_ERROR(tombstones_->erase(name.canonical()));
  path.dirty = true;
  path.files.fetch_add(1, std::memory_order_relaxed);

  LogRecord record;
  record.kind = ChangeKind::put;
  record.name = name.canonical();
  record.extra = kRestoredMark;
  record.stamp = stamp;
  record.mtime = static_cast<std::uint32_t>(info.st_mtim.tv_sec);
  record.total_size = size;
  record.length = size;
  record.crc32 = crc;
  CAIRN_TRY(seq, log(std::move(record), Origin()));
  return Restored{Change{name.canonical(), seq}, text_of(path.data_fd, entry + "-m")};
}

Result<Change> Store::mark_reused(const RemoteName& name, const Origin& origin) {
  const std::lock_guard lock(lock_of(name));
  Path& path = path_of(name);
  const File file(
      ::openat(path.data_fd, name.true_name().data(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  if (!file) return Error{errc_of_errno(errno), name.canonical()};
  if (reused_stamp(file.get()) >= origin.stamp) return Change{name.canonical(), 0};
  CAIRN_TRY(crc, crc_of(file.get(), name.canonical()));
  if (::fsetxattr(file.get(), kCreatedXattr, &origin.stamp, sizeof origin.stamp, 0) != 0) {
    if (errno == ENOTSUP) return Change{name.canonical(), 0}; // the file system keeps no such thing
    return errno_error("extended attribute of " + name.canonical(), errno);
  }
  path.dirty = true;
  drop_from_trash(path, name);

  // The catalogue must know, so that this node tells others in its turn.
  struct stat info {};
  if (::fstat(file.get(), &info) != 0) return errno_error("stat " + name.canonical(), errno);
  LogRecord record;
  record.kind = ChangeKind::put;
  record.name = name.canonical();
  if (name.kind() != FileKind::slave) record.extra = kRestoredMark;
  record.stamp = origin.stamp;
  record.mtime = static_cast<std::uint32_t>(info.st_mtim.tv_sec);
  record.total_size = record.length = static_cast<std::uint64_t>(info.st_size);
  record.crc32 = crc;
  CAIRN_TRY(seq, log(std::move(record), origin));
  return Change{name.canonical(), seq};
}

bool Store::drop_from_trash(Path& path, const RemoteName& name) {
  bool found = false;
  for (const std::uint64_t day : days_of(path.data_fd)) {
    const std::string entry = directory_of_day(day) + "/" + flat(name.true_name());
    found = ::unlinkat(path.data_fd, entry.c_str(), 0) == 0 || found;
    ::unlinkat(path.data_fd, (entry + "-m").c_str(), 0);
  }
  if (found) path.dirty = true;
  return found;
}

bool Store::purge_from_trash(const RemoteName& name) {
  if (!check(name)) return false;
  const std::lock_guard lock(lock_of(name));
  return drop_from_trash(path_of(name), name);
}

std::uint64_t Store::empty_trash(std::uint64_t before) {
  std::uint64_t removed = 0;
  for (const auto& path : paths_) {
    for (const std::uint64_t day : days_of(path->data_fd)) {
      // The whole day must be over for so long.
      if ((day + 1) * kDaySeconds > before) continue;
      const std::string directory = directory_of_day(day);
      for (const std::string& entry : names_in(path->data_fd, directory)) {
        if (::unlinkat(path->data_fd, (directory + "/" + entry).c_str(), 0) == 0 &&
            !entry.ends_with("-m"))
          ++removed;
      }
      ::unlinkat(path->data_fd, directory.c_str(), AT_REMOVEDIR);
      path->dirty = true;
    }
  }
  return removed;
}

} // namespace cairn::storage
