// New files: names, staging and publishing.
#include "storage/store/store.h"

#include "common/base/crc32.h"
#include "common/base/text.h"

#include <ctime>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

namespace cairn::storage {

namespace {

// Creation stamp of a name that was used again after a delete (slaves, restored files).
constexpr const char* kXattr = "user.cairn";

// A name has 23 random bits and three random digits beside second, size and CRC32: the same name
// twice means the same content in the same second, and a new draw settles it.
constexpr int kNameAttempts = 10;
// New files up to this go into the journal; what is larger is cheaper to sync than to write twice.
constexpr std::size_t kCarriedMax = 64 * 1024;

Status write_all(int fd, wire::View bytes, std::uint64_t offset) {
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

} // namespace

void set_mtime(int fd, std::uint32_t time) {
  const timespec times[2] = {{static_cast<time_t>(time), 0}, {static_cast<time_t>(time), 0}};
  ::futimens(fd, times);
}

File::~File() {
  if (fd_ >= 0) ::close(fd_);
}

Status StagedFile::write(wire::View bytes) {
  CAIRN_RETURN_IF_ERROR(write_all(file_.get(), bytes, sums_.size()));
  sums_.append(bytes);
  return Status();
}

std::mutex& Store::lock_of(const RemoteName& name) const {
  const std::size_t hash = std::hash<std::string_view>()(name.true_name());
  return locks_[(hash ^ name.store_path()) % locks_.size()];
}

Status Store::make_directory(Path& path, std::string_view true_name) {
  const std::string high(true_name.substr(0, 2));
  const std::string low(true_name.substr(0, 5));
  for (const auto& directory : {high, low})
    if (::mkdirat(path.data_fd, directory.c_str(), 0755) != 0 && errno != EEXIST)
      return fail(path, "mkdir " + directory, errno);
  return Status();
}

Result<File> Store::unnamed(Path& path) {
  File file(::openat(path.data_fd, ".tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0644));
  if (!file) return fail(path, "create a file in " + path.root.string(), errno);
  return file;
}

Status Store::link_under(Path& path, int fd, const std::string& true_name) {
  const std::string from = "/proc/self/fd/" + std::to_string(fd);
  for (bool made = false;; made = true) {
    if (::linkat(AT_FDCWD, from.c_str(), path.data_fd, true_name.c_str(), AT_SYMLINK_FOLLOW) == 0) {
      path.dirty = true;
      return Status();
    }
    if (errno == EEXIST) return Error{Errc::exists, true_name};
    if (errno != ENOENT || made) return fail(path, "link " + true_name, errno);
    CAIRN_RETURN_IF_ERROR(make_directory(path, true_name));
  }
}

Status Store::replace_under(Path& path, int fd, const std::string& true_name) {
  char temporary[40];
  std::snprintf(temporary, sizeof temporary, ".tmp/%016llx",
                static_cast<unsigned long long>(random_u64()));
  const std::string from = "/proc/self/fd/" + std::to_string(fd);
  if (::linkat(AT_FDCWD, from.c_str(), path.data_fd, temporary, AT_SYMLINK_FOLLOW) != 0)
    return fail(path, "link " + true_name, errno);
  for (bool made = false;; made = true) {
    if (::renameat(path.data_fd, temporary, path.data_fd, true_name.c_str()) == 0) {
      path.dirty = true;
      return Status();
    }
    const int error = errno;
    if (error == ENOENT && !made && make_directory(path, true_name)) continue;
    ::unlinkat(path.data_fd, temporary, 0);
    return fail(path, "rename " + true_name, error);
  }
}

std::string Store::new_name(std::uint8_t store_path, Directory directory, FileKind kind,
                            std::uint64_t size, std::uint32_t crc32, std::uint32_t time,
                            const std::string& extension) const {
  const std::uint64_t random = random_u64();
  FileIdFields fields;
  fields.source = SourceRef::from_server_id(node_id_);
  fields.timestamp = time;
  fields.size_field = make_size_field(size, kind, random);
  fields.crc32 = crc32;
  return make_remote_name(store_path, directory.high, directory.low, fields,
                          extension_block(extension, random >> 24));
}

Result<std::uint64_t> Store::log(LogRecord record, const Origin& origin,
                                 std::optional<wire::View> content) {
  record.received = origin.id != 0;
  record.origin_id = origin.id != 0 ? origin.id : node_id_.load();
  record.origin_seq = origin.seq;
  if (content && content->size() > kCarriedMax) content.reset();
  return binlog_->append(record, content);
}

LogRecord Store::record_of_new(const std::string& name, std::uint64_t size, std::uint32_t crc32,
                               std::uint32_t time, std::string mark) {
  LogRecord record;
  record.kind = ChangeKind::put;
  record.name = name;
  record.stamp = clock_.now();
  record.mtime = time;
  record.total_size = size;
  record.length = size;
  record.crc32 = crc32;
  record.mark = std::move(mark);
  record.origin_id = node_id_;
  return record;
}

Result<Change> Store::log_new(Path& path, std::string name, std::uint64_t size, std::uint32_t crc32,
                              std::uint32_t time, std::string mark) {
  path.files.fetch_add(1, std::memory_order_relaxed);
  path.dirty = true;
  LogRecord record = record_of_new(name, size, crc32, time, std::move(mark));
  auto seq = binlog_->append(record);
  if (!seq) {
    // Without a record the file would be here and nowhere else.
    ::unlinkat(path.data_fd, name.c_str() + 4, 0);
    return std::move(seq).error();
  }
  return Change{std::move(name), *seq};
}

// Under its final name at once: nobody can know the name before the answer, and a rename would cost
// a fifth of the rate. What a crash leaves half-written was never acknowledged. Errors: exists.
Status Store::write_new(Path& path, const NewFile& file, const std::string& name,
                        wire::View content, std::uint32_t time) {
  const char* const true_name = name.c_str() + 4;
  constexpr int kFlags = O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC;
  File out(::openat(path.data_fd, true_name, kFlags, 0644));
  if (!out && errno == ENOENT) {
    CAIRN_RETURN_IF_ERROR(make_directory(path, true_name));
    out = File(::openat(path.data_fd, true_name, kFlags, 0644));
  }
  if (!out && errno == EEXIST) return Error{Errc::exists, name};
  if (!out) return fail(path, "create " + name, errno);
  if (auto written = write_all(out.get(), content, 0); !written) {
    ::unlinkat(path.data_fd, true_name, 0);
    return fail(path, std::move(written).error());
  }
  // Every copy has the time of the name. The file has it already, unless the second has turned.
  if (std::time(nullptr) != static_cast<std::time_t>(time)) set_mtime(out.get(), time);
  // The checksum of a small normal file is in its name.
  if (file.appender || content.size() > FileSums::kBlockSizeMin) {
    FileSums sums;
    sums.append(content);
    sums.note_change({0, sums.size()}, time);
    save_sums(true_name, path, out.get(), sums);
  }
  save_mark(true_name, path, out.get(), file.mark);
  note_written(out.get());
  path.files.fetch_add(1, std::memory_order_relaxed);
  path.dirty = true;
  return {};
}

Result<Change> Store::create(const NewFile& file, std::uint8_t store_path, wire::View content) {
  Path& path = *paths_[store_path];
  const Directory directory = next_directory(path);
  const std::uint32_t crc = crc32(0, content);
  const auto kind = file.appender ? FileKind::appender : FileKind::normal;
  const auto time = static_cast<std::uint32_t>(std::time(nullptr));
  // An appender file changes under its name: what the journal carries would not say what it is.
  std::optional<wire::View> carried;
  if (!file.appender && content.size() <= kCarriedMax) carried = content;
  for (int attempt = 0; attempt < kNameAttempts; ++attempt) {
    std::string name =
        new_name(store_path, directory, kind, content.size(), crc, time, file.extension);
    LogRecord record = record_of_new(name, content.size(), crc, time, file.mark);
    bool made = false;
    const auto make = [&] {
      Status written = write_new(path, file, name, content, time);
      made = static_cast<bool>(written);
      return written;
    };
    auto seq = binlog_->append_new(record, carried, make);
    if (seq) return Change{std::move(name), *seq};
    // Without a record the file would be here and nowhere else.
    if (made) ::unlinkat(path.data_fd, name.c_str() + 4, 0);
    if (made || seq.code() != Errc::exists) return std::move(seq).error();
  }
  return Error{Errc::busy, "no free name in " + path.root.string()};
}

Result<StagedFile> Store::stage(std::uint8_t store_path) {
  if (store_path >= paths_.size())
    return Error{Errc::invalid_argument, "store path index " + std::to_string(store_path)};
  CAIRN_TRY(file, unnamed(*paths_[store_path]));
  return StagedFile(store_path, std::move(file));
}

Result<Change> Store::publish(const NewFile& file, StagedFile staged) {
  Path& path = *paths_[staged.store_path()];
  const Directory directory = next_directory(path);
  const auto kind = file.appender ? FileKind::appender : FileKind::normal;
  const auto time = static_cast<std::uint32_t>(std::time(nullptr));
  for (int attempt = 0; attempt < kNameAttempts; ++attempt) {
    std::string name = new_name(staged.store_path(), directory, kind, staged.size(), staged.crc32(),
                                time, file.extension);
    if (file.appender || staged.size() > FileSums::kBlockSizeMin) {
      FileSums sums = staged.sums();
      sums.note_change({0, sums.size()}, time);
      save_sums(std::string_view(name).substr(4), path, staged.fd(), sums);
    }
    save_mark(std::string_view(name).substr(4), path, staged.fd(), file.mark);
    const Status linked = link_under(path, staged.fd(), name.substr(4));
    if (linked.code() == Errc::exists) continue;
    CAIRN_RETURN_IF_ERROR(linked);
    set_mtime(staged.fd(), time);
    note_written(staged.fd());
    return log_new(path, std::move(name), staged.size(), staged.crc32(), time, file.mark);
  }
  return Error{Errc::busy, "no free name in " + path.root.string()};
}

Result<Change> Store::put(const RemoteName& name, wire::View content, const Origin& origin,
                          bool replace) {
  CAIRN_RETURN_IF_ERROR(check(name));
  CAIRN_TRY(staged, stage(name.store_path()));
  if (auto written = staged.write(content); !written)
    return fail(path_of(name), std::move(written).error());
  // Only what its name describes can be put back without asking what became of it.
  const auto carried = name.kind() == FileKind::normal ? content : std::optional<wire::View>();
  return put_staged(name, std::move(staged), origin, replace, carried);
}

Result<Change> Store::put(const RemoteName& name, StagedFile staged, const Origin& origin,
                          bool replace) {
  return put_staged(name, std::move(staged), origin, replace, {});
}

Result<Change> Store::put_staged(const RemoteName& name, StagedFile staged, const Origin& origin,
                                 bool replace, std::optional<wire::View> content) {
  CAIRN_RETURN_IF_ERROR(check(name));
  Path& path = path_of(name);
  const std::string true_name(name.true_name());
  const std::uint64_t stamp = origin.id != 0 ? origin.stamp : clock_.now();
  clock_.observe(stamp);
  const std::uint32_t mtime =
      origin.mtime != 0 ? origin.mtime : static_cast<std::uint32_t>(std::time(nullptr));

  const std::lock_guard lock(lock_of(name));
  CAIRN_TRY(tombstone, tombstones_->find(name.canonical()));
  if (tombstone) {
    // Delete wins over every creation before it (G4); a slave name may be used again after it.
    if (origin.id != 0 && tombstone->stamp >= stamp)
      return Error{Errc::exists, name.canonical() + " was deleted"};
    CAIRN_RETURN_IF_ERROR(tombstones_->erase(name.canonical()));
  }
  set_mtime(staged.fd(), mtime);
  if (name.kind() == FileKind::slave || origin.restored)
    ::fsetxattr(staged.fd(), kXattr, &stamp, sizeof stamp, 0);
  // What a name does not say of its content.
  if (name.kind() != FileKind::normal || staged.size() > FileSums::kBlockSizeMin)
    save_sums(true_name, path, staged.fd(), staged.sums());
  save_mark(true_name, path, staged.fd(), origin.mark);
  if (replace) {
    CAIRN_RETURN_IF_ERROR(replace_under(path, staged.fd(), true_name));
  } else {
    CAIRN_RETURN_IF_ERROR(link_under(path, staged.fd(), true_name));
  }
  note_written(staged.fd());
  path.files.fetch_add(1, std::memory_order_relaxed);

  if (origin.restored) drop_from_trash(path, name);
  LogRecord record;
  record.kind = ChangeKind::put;
  record.name = name.canonical();
  if (origin.restored) record.extra = kRestoredMark;
  record.stamp = stamp;
  record.mtime = mtime;
  record.total_size = staged.size();
  record.length = staged.size();
  record.crc32 = staged.crc32();
  record.mark = origin.mark;
  CAIRN_TRY(seq, log(std::move(record), origin, content));
  return Change{name.canonical(), seq};
}

Result<Change> Store::link(const RemoteName& source, const std::string& extension,
                           const RemoteName* name, const Origin& origin) {
  CAIRN_RETURN_IF_ERROR(check(source));
  Path& path = path_of(source);
  if (source.fields() && source.fields()->is_appender())
    return Error{Errc::invalid_argument, "a link to an appender file would grow with it"};
  CAIRN_TRY(opened, open_file(source));
  // The link's name vouches for what is there now.
  CAIRN_RETURN_IF_ERROR(verify(source, opened, 0, opened.size));
  CAIRN_TRY(crc, content_crc32(source, false));
  const auto time =
      origin.mtime != 0 ? origin.mtime : static_cast<std::uint32_t>(std::time(nullptr));
  const std::uint64_t stamp = origin.id != 0 ? origin.stamp : clock_.now();
  clock_.observe(stamp);
  std::string linked_name;
  for (int attempt = 0;; ++attempt) {
    linked_name = name != nullptr ? name->canonical()
                                  : new_name(source.store_path(), next_directory(path),
                                             FileKind::normal, opened.size, crc, time, extension);
    if (name != nullptr) {
      CAIRN_TRY(tombstone, tombstones_->find(linked_name));
      if (tombstone && tombstone->stamp >= stamp)
        return Error{Errc::exists, linked_name + " was deleted"};
    }
    const Status linked = link_under(path, opened.file.get(), linked_name.substr(4));
    if (linked.code() == Errc::exists && name == nullptr && attempt < kNameAttempts) continue;
    CAIRN_RETURN_IF_ERROR(linked);
    break;
  }
  path.files.fetch_add(1, std::memory_order_relaxed);
  LogRecord record;
  record.kind = ChangeKind::link;
  record.name = linked_name;
  record.extra = source.canonical();
  record.stamp = stamp;
  record.mtime = time;
  record.total_size = opened.size;
  record.crc32 = crc;
  CAIRN_TRY(seq, log(std::move(record), origin));
  return Change{std::move(linked_name), seq};
}

} // namespace cairn::storage
