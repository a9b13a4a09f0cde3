// Changes to stored files: append, modify, truncate, regenerate, delete, and their copies on peers.
#include "common/base/crc32.h"
#include "storage/store/store.h"

#include <ctime>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

namespace cairn::storage {

namespace {

std::uint32_t unix_now() {
  return static_cast<std::uint32_t>(std::time(nullptr));
}

Status write_at(int fd, std::uint64_t offset, wire::View bytes) {
  while (!bytes.empty()) {
    const ssize_t count = ::pwrite(fd, bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (count < 0) {
      if (errno == EINTR) continue;
      return errno_error("write", errno);
    }
    bytes = bytes.subspan(static_cast<std::size_t>(count));
    offset += static_cast<std::uint64_t>(count);
  }
  return Status();
}

Status copy_at(int fd, std::uint64_t offset, const StagedFile& from) {
  auto in = off_t{0};
  auto out = static_cast<off_t>(offset);
  while (static_cast<std::uint64_t>(in) < from.size()) {
    const ssize_t count = ::copy_file_range(from.fd(), &in, fd, &out,
                                            from.size() - static_cast<std::uint64_t>(in), 0);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return errno_error("copy", errno);
    if (count == 0) return Error{Errc::io_error, "staged content is shorter than it was"};
  }
  return Status();
}

std::uint64_t size_of_file(int fd) {
  struct stat info {};
  return ::fstat(fd, &info) == 0 ? static_cast<std::uint64_t>(info.st_size) : 0;
}

} // namespace

Result<File> Store::open_appender(const RemoteName& name) const {
  CAIRN_RETURN_IF_ERROR(check(name));
  File file(
      ::openat(path_of(name).data_fd, name.true_name().data(), O_RDWR | O_CLOEXEC | O_NOFOLLOW));
  if (!file) return Error{errc_of_errno(errno), name.canonical()};
  // Asked after the file was found: FastDFS answers "no such file" before "not an appender".
  if (!name.fields() || !name.fields()->is_appender())
    return Error{Errc::invalid_argument, name.canonical() + " is not an appender file"};
  return file;
}

Result<Change> Store::write_range(const RemoteName& name, std::optional<std::uint64_t> offset,
                                  wire::View content, const StagedFile* staged) {
  const std::uint64_t length = staged != nullptr ? staged->size() : content.size();
  const std::lock_guard lock(lock_of(name));
  CAIRN_TRY(file, open_appender(name));
  Path& path = path_of(name);
  const std::uint64_t size = size_of_file(file.get());
  const std::uint64_t start = offset.value_or(size);
  if (start > size)
    return Error{Errc::invalid_argument, "offset " + std::to_string(start) + " is beyond the " +
                                             std::to_string(size) + " bytes of " +
                                             name.canonical()};
  if (length == 0) return Change{name.canonical(), 0};
  CAIRN_TRY(change,
            begin_change(name, file.get(), start, start + length, std::max(size, start + length)));
  Status written = staged != nullptr ? copy_at(file.get(), start, *staged)
                                     : write_at(file.get(), start, content);
  path.dirty = true;
  if (!written) {
    // What was appended half is cut again; bytes that were overwritten stay as far as they came.
    if (size_of_file(file.get()) > size && ::ftruncate(file.get(), static_cast<off_t>(size)) != 0)
      return fail(path, "cut " + name.canonical(), errno);
    return fail(path, std::move(written).error());
  }
  const bool appended = staged == nullptr && start == size;
  CAIRN_RETURN_IF_ERROR(
      end_change(name, file.get(), std::move(change), appended ? content : wire::View()));
  LogRecord record;
  record.kind = ChangeKind::range;
  record.name = name.canonical();
  record.stamp = clock_.now();
  record.mtime = unix_now();
  record.total_size = std::max(size, start + length);
  record.offset = start;
  record.length = length;
  CAIRN_TRY(seq, log(std::move(record), Origin()));
  return Change{name.canonical(), seq};
}

Result<Change> Store::append(const RemoteName& name, wire::View content) {
  return write_range(name, std::nullopt, content, nullptr);
}
Result<Change> Store::append(const RemoteName& name, const StagedFile& content) {
  return write_range(name, std::nullopt, {}, &content);
}
Result<Change> Store::modify(const RemoteName& name, std::uint64_t offset, wire::View content) {
  return write_range(name, offset, content, nullptr);
}
Result<Change> Store::modify(const RemoteName& name, std::uint64_t offset,
                             const StagedFile& content) {
  return write_range(name, offset, {}, &content);
}

Result<Change> Store::truncate(const RemoteName& name, std::uint64_t size) {
  const std::lock_guard lock(lock_of(name));
  CAIRN_TRY(file, open_appender(name));
  Path& path = path_of(name);
  const std::uint64_t before = size_of_file(file.get());
  if (before == size) return Change{name.canonical(), 0};
  CAIRN_TRY(change,
            begin_change(name, file.get(), std::min(before, size), std::max(before, size), size));
  if (::ftruncate(file.get(), static_cast<off_t>(size)) != 0)
    return fail(path, "truncate " + name.canonical(), errno);
  path.dirty = true;
  CAIRN_RETURN_IF_ERROR(end_change(name, file.get(), std::move(change), {}));
  LogRecord record;
  record.kind = ChangeKind::range;
  record.name = name.canonical();
  record.stamp = clock_.now();
  record.mtime = unix_now();
  record.total_size = size;
  record.offset = std::min(before, size);
  record.length = std::max(before, size) - record.offset;
  CAIRN_TRY(seq, log(std::move(record), Origin()));
  return Change{name.canonical(), seq};
}

Result<Change> Store::regenerate(const RemoteName& name) {
  const std::lock_guard lock(lock_of(name));
  CAIRN_TRY(file, open_appender(name));
  Path& path = path_of(name);
  const std::uint64_t size = size_of_file(file.get());
  // The new name will vouch for the content: that has to be right.
  for (std::uint64_t offset = 0; offset < size;)
    CAIRN_RETURN_IF_ERROR(verify_block(name, file.get(), offset));
  CAIRN_TRY(crc, content_crc32(name, true));
  FileIdFields fields;
  fields.source = SourceRef::from_server_id(node_id_);
  fields.timestamp = unix_now();
  fields.crc32 = crc;
  std::string renamed;
  for (;;) {
    fields.size_field = make_size_field(size, FileKind::normal, clock_.now());
    CAIRN_TRY(candidate, regenerated_name(name, fields));
    const Status linked = link_under(path, file.get(), candidate.substr(4));
    renamed = std::move(candidate);
    if (linked.code() == Errc::exists) continue;
    CAIRN_RETURN_IF_ERROR(linked);
    break;
  }
  set_mtime(file.get(), fields.timestamp);
  const std::string old_side = std::string(name.true_name()) + "-m";
  ::renameat(path.data_fd, old_side.c_str(), path.data_fd, (renamed.substr(4) + "-m").c_str());
  const std::uint64_t stamp = clock_.now();
  CAIRN_RETURN_IF_ERROR(tombstones_->put(name.canonical(), Tombstone{stamp, node_id_, unix_now()}));
  if (::unlinkat(path.data_fd, name.true_name().data(), 0) != 0)
    return fail(path, "unlink " + name.canonical(), errno);
  LogRecord record;
  record.kind = ChangeKind::rename;
  record.name = renamed;
  record.extra = name.canonical();
  record.stamp = stamp;
  record.mtime = fields.timestamp;
  record.total_size = size;
  record.length = 0; // the bytes are at the peers already, as a rule
  record.crc32 = crc;
  CAIRN_TRY(seq, log(std::move(record), Origin()));
  return Change{std::move(renamed), seq};
}

Result<Change> Store::remove(const RemoteName& name, const Origin& origin, bool force) {
  CAIRN_RETURN_IF_ERROR(check(name));
  Path& path = path_of(name);
  const char* const true_name = name.true_name().data();
  const std::lock_guard lock(lock_of(name));
  const bool present = exists(name);
  if (!present && !force && origin.id == 0) return Error{Errc::not_found, name.canonical()};

  const std::uint64_t stamp = origin.id != 0 ? origin.stamp : clock_.now();
  clock_.observe(stamp);
  if (present && origin.id != 0) {
    // The name of a slave, or of a restored file, may have been used again since that delete.
    std::string full = (path.root / "data" / true_name).string();
    std::uint64_t created = 0;
    if (::getxattr(full.c_str(), "user.cairn", &created, sizeof created) == sizeof created &&
        created > stamp)
      return Change{name.canonical(), 0};
  }
  // The tombstone first: a crash in between leaves a file that is deleted again, never one that
  // comes back.
  const Tombstone tombstone{stamp, origin.id != 0 ? origin.id : node_id_.load(), unix_now()};
  CAIRN_RETURN_IF_ERROR(tombstones_->put(name.canonical(), tombstone));
  if (present && origin.to_trash && config_.trash_days != 0) {
    drop_sums(path, true_name);
    CAIRN_RETURN_IF_ERROR(trash_away(path, name, stamp));
    path.dirty = true;
  } else if (present) {
    const std::string side = std::string(name.true_name()) + "-m";
    ::unlinkat(path.data_fd, side.c_str(), 0);
    drop_sums(path, true_name);
    if (::unlinkat(path.data_fd, true_name, 0) != 0 && errno != ENOENT)
      return fail(path, "unlink " + name.canonical(), errno);
    path.dirty = true;
  }
  LogRecord record;
  record.kind = ChangeKind::remove;
  record.name = name.canonical();
  record.stamp = stamp;
  if (origin.to_trash) record.extra = kTrashMark;
  CAIRN_TRY(seq, log(std::move(record), origin));
  return Change{name.canonical(), seq};
}

Result<Change> Store::apply_range(const RemoteName& name, std::uint64_t offset, wire::View content,
                                  std::uint64_t total_size, const Origin& origin) {
  CAIRN_RETURN_IF_ERROR(check(name));
  Path& path = path_of(name);
  clock_.observe(origin.stamp);
  const std::lock_guard lock(lock_of(name));
  const File file(::openat(path.data_fd, name.true_name().data(), O_RDWR | O_CLOEXEC | O_NOFOLLOW));
  if (!file) return Error{errc_of_errno(errno), name.canonical()};
  // Bytes between what is here and `offset` are missing: only the whole file can help.
  if (offset > size_of_file(file.get()) && !content.empty())
    return Error{Errc::not_found, name.canonical() + " is shorter here than the change assumes"};
  auto change = begin_change(name, file.get(), offset, offset + content.size(), total_size);
  if (change.code() == Errc::corrupt)
    return Error{Errc::not_found, change.error().detail + "; the whole file is needed"};
  if (!change) return std::move(change).error();
  if (auto written = write_at(file.get(), offset, content); !written)
    return fail(path, std::move(written).error());
  if (::ftruncate(file.get(), static_cast<off_t>(total_size)) != 0)
    return fail(path, "truncate " + name.canonical(), errno);
  set_mtime(file.get(), origin.mtime);
  path.dirty = true;
  CAIRN_RETURN_IF_ERROR(end_change(name, file.get(), *std::move(change), {}));
  LogRecord record;
  record.kind = ChangeKind::range;
  record.name = name.canonical();
  record.stamp = origin.stamp;
  record.mtime = origin.mtime;
  record.total_size = total_size;
  record.offset = offset;
  record.length = content.size();
  CAIRN_TRY(seq, log(std::move(record), origin));
  return Change{name.canonical(), seq};
}

Result<Change> Store::apply_rename(const RemoteName& from, const RemoteName& to,
                                   const Origin& origin) {
  CAIRN_RETURN_IF_ERROR(check(from));
  CAIRN_RETURN_IF_ERROR(check(to));
  Path& path = path_of(from);
  clock_.observe(origin.stamp);
  const std::lock_guard lock(lock_of(from));
  // A listing may have brought the new name first: then only the former one has to go.
  const bool arrived = exists(to);
  if (arrived && !exists(from)) return Change{to.canonical(), 0};
  CAIRN_TRY(tombstone, tombstones_->find(to.canonical()));
  if (tombstone && tombstone->stamp >= origin.stamp)
    return Error{Errc::exists, to.canonical() + " was deleted"};
  const File file(::openat(path.data_fd, from.true_name().data(), O_RDWR | O_CLOEXEC | O_NOFOLLOW));
  if (!file) return Error{errc_of_errno(errno), from.canonical()};
  CAIRN_TRY(crc, content_crc32(arrived ? to : from, true));
  const std::uint64_t size = to.fields() ? to.fields()->size() : 0;
  if (!arrived) {
    // Changes just before the rename may have been passed over, as their file was gone: the new
    // name says what the content must be.
    if (!to.fields() || to.fields()->crc32 != crc || size != size_of_file(file.get()))
      return Error{Errc::not_found, from.canonical() + " is not yet what its new name says"};
    CAIRN_RETURN_IF_ERROR(link_under(path, file.get(), std::string(to.true_name())));
    set_mtime(file.get(), origin.mtime);
  }
  // The metadata does not move along here: what was set at other nodes and had not reached the
  // owner when it renamed is lost there, so it must be lost here too. The owner sends what it has.
  ::unlinkat(path.data_fd, (std::string(from.true_name()) + "-m").c_str(), 0);
  CAIRN_RETURN_IF_ERROR(
      tombstones_->put(from.canonical(), Tombstone{origin.stamp, origin.id, unix_now()}));
  ::unlinkat(path.data_fd, from.true_name().data(), 0);
  LogRecord record;
  record.kind = ChangeKind::rename;
  record.name = to.canonical();
  record.extra = from.canonical();
  record.stamp = origin.stamp;
  record.mtime = origin.mtime;
  record.total_size = size;
  record.crc32 = crc;
  CAIRN_TRY(seq, log(std::move(record), origin));
  return Change{to.canonical(), seq};
}

} // namespace cairn::storage
