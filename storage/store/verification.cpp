// Checksums of stored files: where they are kept, verifying a copy before it is served, keeping
// them right through changes, and putting a good copy in the place of a damaged one.
#include "common/base/coarse_clock.h"
#include "common/base/crc32.h"
#include "common/base/durable_file.h"
#include "common/wire/origin_mark.h"
#include "storage/store/store.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <cstdlib>
#include <ctime>
#include <dirent.h>
#include <fcntl.h>
#include <sstream>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

namespace cairn::storage {

namespace {

using Clock = std::chrono::steady_clock;

constexpr const char* kSumsXattr = "user.cairn.sums";
constexpr const char* kCreatedXattr = "user.cairn"; // creation stamp of a slave file
constexpr const char* kSums = ".sums";
constexpr const char* kMarkXattr = "user.cairn.origin";
constexpr const char* kMarkSuffix = ".origin"; // beside the file: no stored name has it
constexpr const char* kQuarantine = ".quarantine";
constexpr const char* kReturned = ".returned";
constexpr std::size_t kSumsMax = 8 * 1024;
constexpr std::size_t kReadSize = 256 * 1024;
// Reads past the page cache begin and end on these (the largest sector size in use).
constexpr std::size_t kDirectAlignment = 4096;
constexpr std::size_t kDirectSize = 1 << 20;

// Calls `take` with the bytes [from, to) piece by piece. Errors: corrupt (the file is shorter),
// io_error.
template <class Take>
Status read_span(int fd, std::uint64_t from, std::uint64_t to, Take take) {
  wire::Buffer buffer(static_cast<std::size_t>(std::min<std::uint64_t>(kReadSize, to - from)));
  while (from < to) {
    const auto wanted = static_cast<std::size_t>(std::min<std::uint64_t>(buffer.size(), to - from));
    const ssize_t count = ::pread(fd, buffer.data(), wanted, static_cast<off_t>(from));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return errno_error("read", errno);
    if (count == 0) return Error{Errc::corrupt, "the file ends at " + std::to_string(from)};
    take(buffer.view().first(static_cast<std::size_t>(count)));
    from += static_cast<std::uint64_t>(count);
  }
  return Status();
}

Result<std::uint32_t> crc_of(int fd, FileSums::Span span) {
  std::uint32_t crc = 0;
  CAIRN_RETURN_IF_ERROR(
      read_span(fd, span.from, span.to, [&](wire::View piece) { crc = crc32(crc, piece); }));
  return crc;
}

// Sets the checksums of the blocks that touch [from, to), from the bytes that are there, for a file
// that has `size` bytes now; of the block where the file ended or ends too.
Status refresh(int fd, FileSums& sums, std::uint64_t from, std::uint64_t to, std::uint64_t size) {
  const std::uint64_t before = sums.size();
  if (size != before) {
    const std::uint64_t kept = std::min(size, before);
    from = std::min(from, kept > 0 ? kept - 1 : 0);
    to = size > before ? size : to;
  }
  to = std::min(to, size);
  sums.resize(size);
  if (from >= to) return Status();
  const FileSums::Span blocks = sums.blocks_of(from, to - from);
  for (std::uint64_t block = blocks.from; block < blocks.to; ++block) {
    const auto index = static_cast<std::size_t>(block);
    CAIRN_TRY(crc, crc_of(fd, sums.span_of(index)));
    sums.set_block(index, crc);
  }
  return Status();
}

std::string side_name(std::string_view true_name) {
  return std::string(kSums) + "/" + std::string(true_name);
}

bool has_checksum_in_name(const RemoteName& name) {
  return name.kind() == FileKind::normal && name.fields().has_value();
}

CopyStamp stamp_now(int fd) {
  struct stat info {};
  return ::fstat(fd, &info) == 0 ? copy_stamp(info) : CopyStamp{};
}

// "HH/LL/leaf" as one name.
std::string flat(std::string_view true_name) {
  std::string name(true_name);
  std::replace(name.begin(), name.end(), '/', '_');
  return name;
}

Status make_hidden(int data_fd, const char* directory) {
  if (::mkdirat(data_fd, directory, 0755) == 0 || errno == EEXIST) return Status();
  return errno_error("mkdir " + std::string(directory), errno);
}

} // namespace

// --- where checksums are kept

Result<FileSums> Store::load_sums(const RemoteName& name, int fd) const {
  wire::Buffer record(kSumsMax);
  ssize_t size = ::fgetxattr(fd, kSumsXattr, record.data(), record.size());
  if (size < 0 && path_of(name).has_side_sums) {
    const std::string side = side_name(name.true_name());
    const File file(::openat(path_of(name).data_fd, side.c_str(), O_RDONLY | O_CLOEXEC));
    if (file) size = ::read(file.get(), record.data(), record.size());
  }
  if (size < 0) return Error{Errc::not_found, name.canonical() + " has no block checksums"};
  return FileSums::decode(record.view().first(static_cast<std::size_t>(size)));
}

// Failing is no error: what is missing is made anew by the next verification.
void Store::save_sums(std::string_view true_name, Path& path, int fd, const FileSums& sums) {
  const wire::Bytes record = sums.encode();
  if (::fsetxattr(fd, kSumsXattr, record.data(), record.size(), 0) == 0) return;
  save_beside(true_name, path, side_name(true_name), record, errno);
}

// A file system without extended attributes: beside the file.
void Store::save_beside(std::string_view true_name, Path& path, const std::string& side,
                        wire::View record, int cause) {
  path.has_side_sums = true;
  for (const std::string& directory : {std::string(kSums), side.substr(0, 8), side.substr(0, 11)})
    ::mkdirat(path.data_fd, directory.c_str(), 0755);
  const std::string fresh = side + ".new";
  const File file(
      ::openat(path.data_fd, fresh.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
  const bool written = file && ::write(file.get(), record.data(), record.size()) ==
                                   static_cast<ssize_t>(record.size());
  if (!written || ::renameat(path.data_fd, fresh.c_str(), path.data_fd, side.c_str()) != 0)
    spdlog::warn("what belongs to a file is not kept file={} cause={}", side,
                 errno_error("setxattr " + std::string(true_name), cause).detail);
}

void Store::drop_sums(Path& path, std::string_view true_name) {
  if (!path.has_side_sums) return;
  ::unlinkat(path.data_fd, side_name(true_name).c_str(), 0);
  ::unlinkat(path.data_fd, (side_name(true_name) + kMarkSuffix).c_str(), 0);
}

// --- origin marks

void Store::save_mark(std::string_view true_name, Path& path, int fd, const std::string& mark) {
  if (mark.empty() || ::fsetxattr(fd, kMarkXattr, mark.data(), mark.size(), 0) == 0) return;
  save_beside(true_name, path, side_name(true_name) + kMarkSuffix, wire::as_view(mark), errno);
}

std::string Store::mark_of(const RemoteName& name, int fd) const {
  std::string mark(wire::kOriginMarkMax, '\0');
  ssize_t size = ::fgetxattr(fd, kMarkXattr, mark.data(), mark.size());
  if (size < 0 && path_of(name).has_side_sums) {
    const std::string side = side_name(name.true_name()) + kMarkSuffix;
    const File file(::openat(path_of(name).data_fd, side.c_str(), O_RDONLY | O_CLOEXEC));
    if (file) size = ::read(file.get(), mark.data(), mark.size());
  }
  mark.resize(size < 0 ? 0 : static_cast<std::size_t>(size));
  return mark;
}

std::string Store::mark_of(const RemoteName& name) const {
  if (!check(name)) return {};
  const auto opened = open_file(name);
  return opened ? mark_of(name, opened->file.get()) : std::string();
}

Result<Change> Store::apply_mark(const RemoteName& name, const Origin& origin) {
  CAIRN_RETURN_IF_ERROR(check(name));
  const std::lock_guard lock(lock_of(name));
  CAIRN_TRY(opened, open_file(name));
  if (!mark_of(name, opened.file.get()).empty()) return Change{name.canonical(), 0};
  Path& path = path_of(name);
  save_mark(name.true_name(), path, opened.file.get(), origin.mark);
  path.dirty = true;
  LogRecord record;
  record.kind = ChangeKind::put;
  record.name = name.canonical();
  record.stamp = origin.stamp;
  record.mtime = opened.mtime;
  record.total_size = opened.size;
  record.length = opened.size;
  CAIRN_TRY(crc, content_crc32(name, false));
  record.crc32 = crc;
  record.mark = origin.mark;
  CAIRN_TRY(seq, log(std::move(record), origin));
  return Change{name.canonical(), seq};
}

Result<FileSums> Store::sums_of(const RemoteName& name) const {
  CAIRN_TRY(opened, open_file(name));
  return load_sums(name, opened.file.get());
}

std::optional<CopyStamp> Store::copy_of(const RemoteName& name) const {
  struct stat info {};
  if (!check(name) ||
      ::fstatat(path_of(name).data_fd, name.true_name().data(), &info, AT_SYMLINK_NOFOLLOW) != 0)
    return std::nullopt;
  return copy_stamp(info);
}

// The content was just written by us and its checksum computed on the way.
void Store::note_written(int fd) {
  verdicts_.note_good(stamp_now(fd), Clock::now());
}

// --- verifying

Verdict Store::verdict(const OpenedFile& opened, std::uint64_t offset, std::uint64_t length) const {
  return verdicts_.find(opened.stamp, offset, length, coarse_now());
}

Status Store::found_damaged(const RemoteName& name, const CopyStamp& copy, std::string why) {
  verdicts_.note_damaged(copy, Clock::now());
  Error error{Errc::corrupt, name.canonical() + ": " + std::move(why)};
  suspect(name, error.detail);
  return error;
}

Status Store::verify(const RemoteName& name, const OpenedFile& opened, std::uint64_t offset,
                     std::uint64_t length) {
  switch (verdict(opened, offset, length)) {
    case Verdict::good:
      return Status();
    case Verdict::damaged:
      suspect(name, name.canonical() + " is known to be damaged");
      return Error{Errc::corrupt, name.canonical() + " is damaged"};
    case Verdict::unknown:
      break;
  }
  if (has_checksum_in_name(name)) return verify_constant(name, opened, offset, length);
  // It may change while we read: each block is compared under the lock of the file.
  const std::uint64_t rest = opened.size > offset ? opened.size - offset : 0;
  const std::uint64_t end = offset + std::min(length, rest);
  for (;;) {
    const std::uint64_t before = offset;
    {
      const std::lock_guard lock(lock_of(name));
      CAIRN_RETURN_IF_ERROR(verify_block(name, opened.file.get(), offset));
    }
    // It does not move on where the file has become shorter meanwhile.
    if (offset >= end || offset <= before) return Status();
  }
}

// A file whose name tells its size (which was compared when it was opened) and checksum.
Status Store::verify_constant(const RemoteName& name, const OpenedFile& opened,
                              std::uint64_t offset, std::uint64_t length) {
  const int fd = opened.file.get();
  const std::uint32_t promised = name.fields()->crc32;
  if (opened.size > FileSums::kBlockSizeMin) {
    const auto sums = load_sums(name, fd);
    // Their combination must be what the name says: so damaged checksums are never believed.
    if (sums && sums->size() == opened.size && (sums->legacy_name || sums->crc32() == promised)) {
      const FileSums::Span blocks = sums->blocks_of(offset, length);
      for (std::uint64_t block = blocks.from; block < blocks.to; ++block) {
        const auto index = static_cast<std::size_t>(block);
        const FileSums::Span span = sums->span_of(index);
        if (verdict(opened, span.from, span.to - span.from) == Verdict::good) continue;
        auto crc = crc_of(fd, span);
        if (!crc && crc.code() != Errc::corrupt) return std::move(crc).error();
        if (!crc || *crc != sums->block(index))
          return found_damaged(name, opened.stamp,
                               "bytes " + std::to_string(span.from) + " to " +
                                   std::to_string(span.to) + " do not match their checksum");
      }
      verdicts_.note_good(opened.stamp, sums->block_size(), blocks, Clock::now());
      return Status();
    }
  }
  FileSums sums;
  auto read = read_span(fd, 0, opened.size, [&](wire::View piece) { sums.append(piece); });
  if (!read && read.code() != Errc::corrupt) return read;
  if (!read) return found_damaged(name, opened.stamp, read.error().detail);
  if (sums.crc32() != promised) {
    LegacyCrc32 legacy;
    CAIRN_RETURN_IF_ERROR(
        read_span(fd, 0, opened.size, [&](wire::View piece) { legacy.update(piece); }));
    if (legacy.value() != promised)
      return found_damaged(name, opened.stamp,
                           "the content does not match the checksum in its name");
    sums.legacy_name = true;
  }
  CopyStamp copy = opened.stamp;
  if (opened.size > FileSums::kBlockSizeMin && stamp_now(fd) == copy) {
    // The next range costs its blocks only. Keeping them moves the change time.
    save_sums(name.true_name(), path_of(name), fd, sums);
    copy = stamp_now(fd);
  }
  verdicts_.note_good(copy, Clock::now());
  return Status();
}

// The block checksums of a file that can change, made right if a crash interrupted a change and
// made anew if there are none. With the lock of the file held. Errors: corrupt, io_error.
Result<FileSums> Store::settled_sums(const RemoteName& name, int fd, std::uint64_t size) {
  auto sums = load_sums(name, fd);
  if (!sums) {
    // From FastDFS, or from a time before checksums: what is there now is what it will stay.
    FileSums fresh;
    CAIRN_RETURN_IF_ERROR(read_span(fd, 0, size, [&](wire::View piece) { fresh.append(piece); }));
    save_sums(name.true_name(), path_of(name), fd, fresh);
    return fresh;
  }
  if (!sums->pending) return sums;
  spdlog::warn("a crash interrupted a change, its bytes are taken as they are file={}",
               name.canonical());
  CAIRN_RETURN_IF_ERROR(refresh(fd, *sums, sums->pending->from, sums->pending->to, size));
  sums->pending.reset();
  save_sums(name.true_name(), path_of(name), fd, *sums);
  return sums;
}

// Whether a power loss can explain that these bytes do not match: they were changed shortly before
// a stop that was no clean one, and the file was not touched since the start after it.
bool Store::may_be_cut(const FileSums& sums, const CopyStamp& copy, std::uint64_t from,
                       std::uint64_t to) const {
  const auto changed = static_cast<std::uint64_t>(copy.change_ns / 1'000'000'000);
  return sums.recent_time >= unclean_since_ && sums.recent_time <= unclean_until_ &&
         changed <= unclean_until_ && from < sums.recent.to && to > sums.recent.from;
}

// The bytes that were changed lately are right whatever they are. With the lock held.
Status Store::take_as_it_is(const RemoteName& name, int fd, FileSums& sums, std::uint64_t size) {
  spdlog::warn("a crash took back a part of the last changes file={} size={} was={}",
               name.canonical(), size, sums.size());
  CAIRN_RETURN_IF_ERROR(refresh(fd, sums, sums.recent.from, sums.recent.to, size));
  save_sums(name.true_name(), path_of(name), fd, sums);
  return Status();
}

void Store::note_unclean_stop(std::uint64_t since, std::uint64_t until) {
  unclean_since_ = since;
  unclean_until_ = until;
  const std::string text = std::to_string(since) + " " + std::to_string(until) + "\n";
  if (auto kept = durable_write_file(unclean_file(), text); !kept)
    spdlog::warn("time of the unclean stop is not kept: {}", kept.error().text());
}

void Store::read_unclean_stop() {
  const auto text = read_small_file(unclean_file());
  if (!text) return;
  std::istringstream in(*text);
  std::uint64_t since = 0;
  std::uint64_t until = 0;
  if (in >> since >> until) {
    unclean_since_ = since;
    unclean_until_ = until;
  }
}

std::filesystem::path Store::unclean_file() const {
  return config_.base_path / "data" / "unclean_stop";
}

// Verifies the block at `offset`, which becomes the end of that block; `anew`: even if it is known
// to be right. With the lock held.
Status Store::verify_block(const RemoteName& name, int fd, std::uint64_t& offset, bool anew) {
  CopyStamp copy = stamp_now(fd);
  CAIRN_TRY(sums, settled_sums(name, fd, copy.size));
  copy = stamp_now(fd); // making them anew moved the change time
  if (sums.size() != copy.size &&
      may_be_cut(sums, copy, std::min(sums.size(), copy.size), std::max(sums.size(), copy.size))) {
    CAIRN_RETURN_IF_ERROR(take_as_it_is(name, fd, sums, copy.size));
    copy = stamp_now(fd);
  }
  if (sums.size() != copy.size)
    return found_damaged(
        name, copy,
        "has " + std::to_string(copy.size) + " bytes, should have " + std::to_string(sums.size()));
  const FileSums::Span blocks = sums.blocks_of(offset, 1);
  const std::uint64_t begin = offset;
  offset = sums.size();
  if (blocks.from < blocks.to) {
    const auto index = static_cast<std::size_t>(blocks.from);
    const FileSums::Span span = sums.span_of(index);
    offset = span.to;
    if (!anew && verdicts_.find(copy, begin, 1, Clock::now()) == Verdict::good) return Status();
    auto crc = crc_of(fd, span);
    if (!crc && crc.code() != Errc::corrupt) return std::move(crc).error();
    if (crc && *crc != sums.block(index) && may_be_cut(sums, copy, span.from, span.to))
      return take_as_it_is(name, fd, sums, copy.size);
    if (!crc || *crc != sums.block(index))
      return found_damaged(name, copy,
                           "bytes " + std::to_string(span.from) + " to " + std::to_string(span.to) +
                               " do not match their checksum");
  }
  if (sums.block_count() <= 1)
    verdicts_.note_good(copy, Clock::now());
  else
    verdicts_.note_good(copy, sums.block_size(), blocks, Clock::now());
  return Status();
}

Status Store::scrub(const RemoteName& name, const std::function<bool(std::uint64_t)>& paced) {
  CAIRN_TRY(opened, open_file(name));
  const Error stopped{Errc::unavailable, "stopped"};
  if (!has_checksum_in_name(name)) {
    std::uint64_t offset = 0;
    do {
      const std::uint64_t before = offset;
      {
        const std::lock_guard lock(lock_of(name));
        CAIRN_RETURN_IF_ERROR(verify_block(name, opened.file.get(), offset, true));
      }
      if (offset <= before) break; // it became shorter meanwhile
      if (!paced(offset - before)) return stopped;
    } while (offset < opened.size);
    return Status();
  }
  // What is on the disk counts, not what is in memory.
  const std::string path = "/proc/self/fd/" + std::to_string(opened.file.get());
  const File direct(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_DIRECT));
  const int fd = direct ? direct.get() : opened.file.get();
  struct Free {
    void operator()(void* memory) const { std::free(memory); }
  };
  // No larger than the file: the kernel fills what is asked for behind its end with zeros.
  const std::size_t size =
      std::min<std::uint64_t>(kDirectSize, (opened.size / kDirectAlignment + 1) * kDirectAlignment);
  const std::unique_ptr<void, Free> memory(std::aligned_alloc(kDirectAlignment, size));
  if (!memory) return Error{Errc::out_of_memory, "no buffer to scrub with"};
  std::uint32_t crc = 0;
  for (std::uint64_t offset = 0; offset < opened.size;) {
    const ssize_t count = ::pread(fd, memory.get(), size, static_cast<off_t>(offset));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0)
      return found_damaged(name, opened.stamp, errno_error("cannot be read", errno).detail);
    if (count == 0) break;
    const std::span<const std::byte> piece(static_cast<const std::byte*>(memory.get()),
                                           static_cast<std::size_t>(count));
    crc = crc32(crc, piece);
    offset += piece.size();
    if (!paced(piece.size())) return stopped;
  }
  if (crc != name.fields()->crc32) {
    LegacyCrc32 legacy;
    CAIRN_RETURN_IF_ERROR(read_span(opened.file.get(), 0, opened.size,
                                    [&](wire::View piece) { legacy.update(piece); }));
    if (legacy.value() != name.fields()->crc32)
      return found_damaged(name, opened.stamp,
                           "the content does not match the checksum in its name");
  }
  verdicts_.note_good(opened.stamp, Clock::now());
  return Status();
}

// --- through changes

Result<Store::Mutation> Store::begin_change(const RemoteName& name, int fd, std::uint64_t from,
                                            std::uint64_t to, std::uint64_t new_size) {
  Mutation change;
  CopyStamp copy = stamp_now(fd);
  change.was_good = verdicts_.find(copy, 0, copy.size, Clock::now()) == Verdict::good;
  change.from = from;
  change.to = to;
  change.new_size = new_size;
  if (has_checksum_in_name(name)) return change; // a copy of another store: nothing is known of it
  CAIRN_TRY(sums, settled_sums(name, fd, copy.size));
  if (sums.size() != copy.size &&
      may_be_cut(sums, copy, std::min(sums.size(), copy.size), std::max(sums.size(), copy.size)))
    CAIRN_RETURN_IF_ERROR(take_as_it_is(name, fd, sums, copy.size));
  if (sums.size() != copy.size)
    return found_damaged(name, copy,
                         "has " + std::to_string(copy.size) + " bytes, should have " +
                             std::to_string(sums.size()))
        .error();
  // Blocks of which a part stays: their new checksum must not vouch for damage in it.
  const auto check_block = [&](std::uint64_t at) -> Status {
    if (at >= copy.size || at % sums.block_size() == 0) return Status();
    return verify_block(name, fd, at);
  };
  CAIRN_RETURN_IF_ERROR(check_block(from));
  CAIRN_RETURN_IF_ERROR(check_block(to));
  CAIRN_RETURN_IF_ERROR(check_block(new_size));
  // A last block that is short grows.
  if (new_size > copy.size && copy.size % sums.block_size() > 1)
    CAIRN_RETURN_IF_ERROR(check_block(copy.size - 1));
  const FileSums::Span touched{std::min({from, new_size, copy.size}),
                               std::max({to, new_size, copy.size})};
  sums.note_change(touched, static_cast<std::uint64_t>(std::time(nullptr)));
  sums.pending = FileSums::Span{std::min(from, new_size), std::max({to, new_size, copy.size}) + 1};
  save_sums(name.true_name(), path_of(name), fd, sums);
  change.sums = std::move(sums);
  return change;
}

Status Store::end_change(const RemoteName& name, int fd, Mutation change, wire::View appended) {
  if (has_checksum_in_name(name)) return Status();
  if (!appended.empty())
    change.sums.append(appended);
  else
    CAIRN_RETURN_IF_ERROR(refresh(fd, change.sums, change.from, change.to, change.new_size));
  change.sums.pending.reset();
  save_sums(name.true_name(), path_of(name), fd, change.sums);
  if (change.was_good) note_written(fd);
  return Status();
}

// --- replacing

Result<Change> Store::replace_copy(const RemoteName& name, StagedFile staged,
                                   const std::optional<CopyStamp>& damaged, const Origin& origin) {
  CAIRN_RETURN_IF_ERROR(check(name));
  Path& path = path_of(name);
  const std::string true_name(name.true_name());
  const std::lock_guard lock(lock_of(name));
  CAIRN_TRY(tombstone, tombstones_->find(name.canonical()));
  const bool outlived = tombstone && origin.restored && tombstone->stamp < origin.stamp;
  if (tombstone && !outlived) return Error{Errc::exists, name.canonical() + " was deleted"};
  if (outlived) CAIRN_RETURN_IF_ERROR(tombstones_->erase(name.canonical()));

  const File present(
      ::openat(path.data_fd, true_name.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
  // Another copy than the one that was looked at: sync, or a client, was faster.
  if (present && (!damaged || stamp_now(present.get()) != *damaged))
    return Change{name.canonical(), 0};

  const timespec times[2] = {{static_cast<time_t>(origin.mtime), 0},
                             {static_cast<time_t>(origin.mtime), 0}};
  ::futimens(staged.fd(), times);
  if (name.kind() == FileKind::slave || origin.restored)
    ::fsetxattr(staged.fd(), kCreatedXattr, &origin.stamp, sizeof origin.stamp, 0);
  if (name.kind() != FileKind::normal || staged.size() > FileSums::kBlockSizeMin)
    save_sums(true_name, path, staged.fd(), staged.sums());
  const std::string mark =
      origin.mark.empty() && present ? mark_of(name, present.get()) : origin.mark;
  save_mark(true_name, path, staged.fd(), mark);
  if (::fdatasync(staged.fd()) != 0) return fail(path, "sync " + name.canonical(), errno);
  if (present) {
    // It keeps a second name; the first one never stops to name a file.
    CAIRN_RETURN_IF_ERROR(make_hidden(path.data_fd, kQuarantine));
    const std::string kept =
        std::string(kQuarantine) + "/" + flat(true_name) + "." + std::to_string(std::time(nullptr));
    if (::linkat(path.data_fd, true_name.c_str(), path.data_fd, kept.c_str(), 0) != 0 &&
        errno != EEXIST)
      return fail(path, "link " + kept, errno);
  }
  CAIRN_RETURN_IF_ERROR(replace_under(path, staged.fd(), true_name));
  note_written(staged.fd());

  LogRecord record;
  record.kind = ChangeKind::put;
  record.name = name.canonical();
  record.stamp = origin.stamp;
  record.mtime = origin.mtime;
  record.total_size = staged.size();
  record.length = staged.size();
  record.crc32 = staged.crc32();
  record.mark = mark;
  CAIRN_TRY(seq, log(std::move(record), origin));
  return Change{name.canonical(), seq};
}

std::uint64_t Store::prune_quarantine(std::uint32_t before) {
  std::uint64_t left = 0;
  for (const auto& path : paths_) {
    const int fd =
        ::openat(path->data_fd, kQuarantine, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0) continue;
    DIR* const directory = ::fdopendir(fd);
    if (directory == nullptr) {
      ::close(fd);
      continue;
    }
    while (const dirent* entry = ::readdir(directory)) {
      if (entry->d_name[0] == '.') continue;
      // The time of quarantine ends the name.
      const std::string_view text(entry->d_name);
      const std::string time(text.substr(std::min(text.size(), text.rfind('.') + 1)));
      if (std::strtoull(time.c_str(), nullptr, 10) < before)
        ::unlinkat(fd, entry->d_name, 0);
      else
        ++left;
    }
    ::closedir(directory);
  }
  return left;
}

Status Store::move_to_returned(const RemoteName& name) {
  CAIRN_RETURN_IF_ERROR(check(name));
  Path& path = path_of(name);
  const std::lock_guard lock(lock_of(name));
  CAIRN_RETURN_IF_ERROR(make_hidden(path.data_fd, kReturned));
  for (const char* const end : {"-m", ""}) {
    const std::string from = std::string(name.true_name()) + end;
    const std::string to = std::string(kReturned) + "/" + flat(from);
    if (::renameat(path.data_fd, from.c_str(), path.data_fd, to.c_str()) != 0 && errno != ENOENT)
      return fail(path, "move " + from + " to " + to, errno);
  }
  path.dirty = true;
  LogRecord record;
  record.kind = ChangeKind::remove;
  record.name = name.canonical();
  Origin origin;
  origin.id = node_id_; // as if received: it is no delete that others should follow
  CAIRN_TRY(seq, log(std::move(record), origin));
  (void)seq;
  return Status();
}

} // namespace cairn::storage
