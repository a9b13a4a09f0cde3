// What a crash left between a file and its log record.
#include "common/base/crc32.h"
#include "storage/store/directory_names.h"
#include "storage/store/store.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <ctime>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

namespace cairn::storage {

namespace {

// The last changes of a busy node within this much of log; uploads in flight at a crash are a few
// hundred.
constexpr std::uint64_t kLogTail = 32 << 20;
// A file is written before its record: at most this long before, unless the disk stood still.
constexpr std::uint32_t kSlack = 60;

bool changed_since(int base, const std::string& name, std::uint32_t since) {
  struct stat info {};
  return ::fstatat(base, name.c_str(), &info, AT_SYMLINK_NOFOLLOW) == 0 &&
         static_cast<std::uint64_t>(info.st_ctim.tv_sec) >= since;
}

// When this node began to use a store path, unix seconds; 0: unknown. What was there before came
// from FastDFS, or with a disk, and no crash of ours has touched it.
std::uint32_t first_use_of(int data_fd) {
  struct stat info {};
  if (::fstatat(data_fd, ".mark", &info, AT_SYMLINK_NOFOLLOW) != 0) return 0;
  return static_cast<std::uint32_t>(std::max<time_t>(info.st_mtim.tv_sec, 0));
}

// Whether LogRecord::total_size of it is the size of the file.
bool has_total_size(const LogRecord& record) {
  return record.kind == ChangeKind::put || record.kind == ChangeKind::range;
}

// Names hold one of two checksums, see LegacyCrc32.
bool has_legacy_checksum(int fd, std::uint32_t expected) {
  LegacyCrc32 legacy;
  wire::Buffer buffer(256 * 1024);
  for (off_t at = 0;;) {
    const ssize_t count = ::pread(fd, buffer.data(), buffer.size(), at);
    if (count < 0) return false;
    if (count == 0) return legacy.value() == expected;
    legacy.update(buffer.view().first(static_cast<std::size_t>(count)));
    at += count;
  }
}

} // namespace

bool Store::is_own_appender(const RemoteName& name) const {
  return name.kind() == FileKind::appender && name.fields() &&
         name.fields()->source == SourceRef::from_server_id(node_id_);
}

// Cuts off what an append without an answer has left behind the `committed` bytes of one of this
// node's appender files.
Status Store::cut_unanswered(const RemoteName& name, std::uint64_t committed) {
  const std::lock_guard lock(lock_of(name));
  auto opened = open_appender(name);
  if (opened.code() == Errc::not_found) return {}; // deleted since
  if (!opened) return std::move(opened).error();
  const File file = *std::move(opened);
  struct stat info {};
  if (::fstat(file.get(), &info) != 0) return errno_error("stat " + name.canonical(), errno);
  const auto size = static_cast<std::uint64_t>(info.st_size);
  if (size <= committed) return {};
  // Not begin_change(): it would look at the bytes that go.
  if (::ftruncate(file.get(), static_cast<off_t>(committed)) != 0)
    return fail(path_of(name), "truncate " + name.canonical(), errno);
  path_of(name).dirty = true;
  if (auto sums = load_sums(name, file.get()); sums) {
    sums->pending.reset();
    if (sums->size() == committed) // still those of before the append
      save_sums(name.true_name(), path_of(name), file.get(), *sums);
    else
      CAIRN_RETURN_IF_ERROR(take_as_it_is(name, file.get(), *sums, committed));
  }
  LogRecord record; // the log may speak of what was cut
  record.kind = ChangeKind::range;
  record.name = name.canonical();
  record.stamp = clock_.now();
  record.mtime = static_cast<std::uint32_t>(std::time(nullptr));
  record.total_size = committed;
  record.offset = committed;
  record.length = size - committed;
  CAIRN_TRY(seq, log(std::move(record), Origin()));
  spdlog::info(
      "cut an append off that had no answer when a crash came file={} size={} was={} "
      "seq={}",
      name.canonical(), committed, size, seq);
  return {};
}

Result<bool> Store::recover_file(Path& path, const std::string& text) {
  auto name = parse_remote_name(text);
  // Trunk files of FastDFS, and what somebody has put there.
  if (!name || !name->fields()) return false;
  CAIRN_TRY(tombstone, tombstones_->find(name->canonical()));
  auto opened = open_file(*name);
  auto crc = content_crc32(*name, true);
  const bool promised = name->kind() == FileKind::normal || name->kind() == FileKind::appender;
  bool whole = opened && crc &&
               (!promised || name->fields()->crc32 == *crc ||
                has_legacy_checksum(opened->file.get(), name->fields()->crc32));
  if (!whole && !tombstone && opened && crc && name->kind() == FileKind::appender) {
    // Once it was changed, its name does not say what it holds. Records that are older than what
    // was read of the log, or were lost with it, may well have been acknowledged.
    const auto sums = load_sums(*name, opened->file.get());
    whole = sums && sums->crc32() == *crc;
    const bool may_be_new = unclean_since_ != 0 && name->fields()->timestamp >= unclean_since_;
    if (sums && !whole && !may_be_new) {
      spdlog::warn("a change was interrupted by a crash file={}", name->canonical());
      return false;
    }
  }
  // Cairn writes storage IDs into names: one with an address was stored by FastDFS, whole or not.
  if (!whole && !tombstone && !name->fields()->source.is_server_id()) {
    spdlog::warn("a damaged file without record is left as it is file={}", name->canonical());
    return false;
  }
  if (tombstone || !whole) {
    spdlog::warn("removed a file that a crash left file={} cause={}", name->canonical(),
                 tombstone ? "deleted" : "incomplete");
    ::unlinkat(path.data_fd, name->true_name().data(), 0);
    return false;
  }
  LogRecord record;
  record.kind = ChangeKind::put;
  record.name = name->canonical();
  record.stamp = clock_.now();
  record.mtime = opened->mtime;
  record.total_size = opened->size;
  record.length = opened->size;
  record.crc32 = *crc;
  record.mark = mark_of(*name, opened->file.get());
  CAIRN_TRY(seq, log(std::move(record), Origin()));
  spdlog::info("logged a file that a crash left without record file={} seq={}", name->canonical(),
               seq);
  return true;
}

Status Store::restore(const LogRecord& record, wire::View content) {
  clock_.observe(record.stamp);
  const auto name = parse_remote_name(record.name);
  if (!name || name->kind() != FileKind::normal || !check(*name)) return {};
  CAIRN_TRY(tombstone, tombstones_->find(name->canonical()));
  if (tombstone && tombstone->stamp >= record.stamp) return {};
  const auto there = content_crc32(*name, true);
  Path& path = path_of(*name);
  if (auto whole = open_file(*name); there && *there == record.crc32 && whole) {
    if (!record.mark.empty() && mark_of(*name, whole->file.get()).empty())
      save_mark(name->true_name(), path, whole->file.get(), record.mark);
    return {};
  }
  CAIRN_TRY(staged, stage(name->store_path()));
  CAIRN_RETURN_IF_ERROR(staged.write(content));
  set_mtime(staged.fd(), record.mtime);
  save_mark(name->true_name(), path, staged.fd(), record.mark);
  CAIRN_RETURN_IF_ERROR(replace_under(path, staged.fd(), std::string(name->true_name())));
  spdlog::info("put a file back that the power loss took file={}", record.name);
  return {};
}

Result<bool> Store::recover_metadata(const RemoteName& name, const LoggedMetadata& logged) {
  const std::uint64_t stamp = metadata_stamp(name);
  if (stamp == 0 || stamp <= logged.committed) return false;
  auto text = get_metadata(name);
  if (text.code() == Errc::corrupt) {
    // Those that replace others are synced before they do, so these are the first. (Else they were
    // damaged in another way, which get_metadata() has told to on_suspect().)
    const bool is_new = HybridClock::unix_ms_of(stamp) / 1000 >= unclean_since_;
    if (!is_new || !binlog_->committed_at_open()) return false;
    spdlog::info("removed metadata that a crash left incomplete file={}", name.canonical());
    const std::string side = std::string(name.true_name()) + "-m";
    if (::unlinkat(path_of(name).data_fd, side.c_str(), 0) != 0)
      return fail(path_of(name), "unlink " + side, errno);
    return false;
  }
  if (stamp <= logged.any) return false;
  if (!text && text.code() != Errc::not_found) return std::move(text).error();
  if (!text && !exists(name)) return false; // the side file of a file that was being deleted
  const std::string content = text ? *std::move(text) : std::string(); // empty: it was removed
  LogRecord record;
  record.kind = ChangeKind::set_meta;
  record.name = name.canonical();
  record.stamp = stamp;
  record.length = content.size();
  record.crc32 = crc32(0, wire::as_view(content));
  CAIRN_TRY(seq, log(std::move(record), Origin()));
  spdlog::info("logged metadata that a crash left without record file={} seq={}", name.canonical(),
               seq);
  return true;
}

Result<bool> Store::recover_delete(const std::string& text, const Tombstone& tombstone,
                                   bool has_record) {
  auto name = parse_remote_name(text);
  if (!name || !check(*name)) return false;
  Path& path = path_of(*name);
  clock_.observe(tombstone.stamp);
  const char* const true_name = name->true_name().data();
  // The tombstone comes first and the log may be synced before the directory, so the file may still
  // be there. (The name of a slave can be used again, but its tombstone goes before that.)
  ::unlinkat(path.data_fd, (std::string(name->true_name()) + "-m").c_str(), 0);
  if (::unlinkat(path.data_fd, true_name, 0) != 0 && errno != ENOENT)
    return fail(path, "unlink " + text, errno);
  path.dirty = true;
  if (has_record) return false;
  LogRecord record;
  record.kind = ChangeKind::remove;
  record.name = name->canonical();
  record.stamp = tombstone.stamp;
  CAIRN_TRY(seq, log(std::move(record), Origin()));
  spdlog::info("logged a delete that a crash left without record file={} seq={}", text, seq);
  return true;
}

// An append goes to the end of its file before its record is committed: what the log says was
// committed is what stays of files that were changed lately. `sizes` has what the tail of the log
// says of this node's appender files (nullopt: nothing before the changes that were not committed).
Status Store::cut_unanswered_appends(CommittedSizes sizes, std::uint64_t committed,
                                     std::uint32_t since) {
  const auto look_at = [&](Path& path, const std::string& prefix, const std::string& directory,
                           std::uint32_t from) -> Status {
    for (const std::string& leaf : names_in(path.data_fd, directory)) {
      const std::string true_name = directory + "/" + leaf;
      const auto name = parse_remote_name(prefix + true_name);
      if (name && is_own_appender(*name) && changed_since(path.data_fd, true_name, from))
        sizes.emplace(name->canonical(), std::nullopt);
    }
    return {};
  };
  CAIRN_RETURN_IF_ERROR(each_changed_directory(since, look_at));
  const auto is_unknown = [](const auto& entry) { return !entry.second; };
  if (std::any_of(sizes.begin(), sizes.end(), is_unknown)) {
    BinlogReader reader(*binlog_, binlog_->begin_seq());
    for (;;) {
      auto record = reader.next();
      if (!record && record.code() == Errc::corrupt) continue; // the reader is behind the damage
      if (!record) return std::move(record).error();
      if (!record->has_value() || (*record)->seq > committed) break;
      if (!has_total_size(**record)) continue;
      const auto found = sizes.find((*record)->name);
      if (found != sizes.end()) found->second = (*record)->total_size;
    }
  }
  for (const auto& [name, size] : sizes)
    if (size) CAIRN_RETURN_IF_ERROR(cut_unanswered(*parse_remote_name(name), *size));
  return {};
}

// Calls `look_at` for the directories of files that may have changed since `since` (the time for
// each store path: what was there before its first use is not looked at).
Status Store::each_changed_directory(std::uint32_t since, const LookAt& look_at) {
  for (std::size_t i = 0; i < paths_.size(); ++i) {
    Path& path = *paths_[i];
    const std::uint32_t from = std::max(since, first_use_of(path.data_fd));
    char prefix[8];
    std::snprintf(prefix, sizeof prefix, "M%02X/", static_cast<unsigned>(i));
    for (const std::string& high : names_in(path.data_fd, ".")) {
      if (high.size() != 2) continue;
      for (const std::string& low : names_in(path.data_fd, high)) {
        const std::string directory = high + "/" + low;
        if (low.size() == 2 && changed_since(path.data_fd, directory, from))
          CAIRN_RETURN_IF_ERROR(look_at(path, prefix, directory, from));
      }
    }
  }
  return {};
}

Result<std::uint64_t> Store::recover_after_crash() {
  const auto committed = binlog_->committed_at_open();
  CommittedSizes sizes;
  std::unordered_set<std::string> overtaken; // own appender files with records that do not count
  std::unordered_set<std::string> known;
  std::unordered_map<std::string, std::uint64_t> removed; // name -> stamp
  std::unordered_map<std::string, LoggedMetadata> described;
  std::uint32_t last = 0;
  BinlogReader reader(*binlog_, binlog_->position_before(kLogTail));
  for (;;) {
    auto record = reader.next();
    if (!record && record.code() == Errc::corrupt) continue; // the reader is behind the damage
    if (!record) return std::move(record).error();
    if (!record->has_value()) break;
    const LogRecord& one = **record;
    // A record that came to the disk before its file did: the file is looked at like one without.
    const bool counts = !committed || one.seq <= *committed;
    if (counts) known.insert(one.name);
    const auto note = [&one](auto& stamps, const std::string& name) {
      std::uint64_t& stamp = stamps[name];
      stamp = std::max(stamp, one.stamp);
    };
    if (one.kind == ChangeKind::remove) note(removed, one.name);
    if (one.kind == ChangeKind::rename) note(removed, one.extra);
    if (one.kind == ChangeKind::set_meta) {
      LoggedMetadata& metadata = described[one.name];
      metadata.any = std::max(metadata.any, one.stamp);
      if (counts) metadata.committed = std::max(metadata.committed, one.stamp);
    }
    if (has_total_size(one) && committed)
      if (const auto name = parse_remote_name(one.name); name && is_own_appender(*name)) {
        auto& size = sizes[one.name];
        if (counts)
          size = one.total_size;
        else
          overtaken.insert(one.name);
      }
    last = one.time;
  }
  const std::uint32_t since = last > kSlack ? last - kSlack : 0;
  note_unclean_stop(since, static_cast<std::uint64_t>(std::time(nullptr)));
  if (committed) CAIRN_RETURN_IF_ERROR(cut_unanswered_appends(std::move(sizes), *committed, since));
  std::uint64_t logged = 0;
  // From now on those records count as well: the sizes they say must not be the last word.
  for (const std::string& text : overtaken) {
    const auto opened = open_file(*parse_remote_name(text));
    if (!opened) continue; // deleted since, or not to be read
    LogRecord record;
    record.kind = ChangeKind::range;
    record.name = text;
    record.stamp = clock_.now();
    record.mtime = opened->mtime;
    record.total_size = record.offset = opened->size;
    CAIRN_RETURN_IF_ERROR(log(std::move(record), Origin()));
    ++logged;
  }

  std::vector<std::pair<std::string, Tombstone>> deletes;
  CAIRN_RETURN_IF_ERROR(
      tombstones_->scan("", [&](const std::string& name, const Tombstone& tombstone) {
        if (tombstone.time >= since) deletes.emplace_back(name, tombstone);
        return true;
      }));
  for (const auto& [name, tombstone] : deletes) {
    const auto found = removed.find(name);
    const bool has_record = found != removed.end() && found->second >= tombstone.stamp;
    CAIRN_TRY(is_logged, recover_delete(name, tombstone, has_record));
    if (is_logged) ++logged;
  }

  const auto look_at = [&](Path& path, const std::string& prefix, const std::string& directory,
                           std::uint32_t from) -> Status {
    for (const std::string& leaf : names_in(path.data_fd, directory)) {
      const std::string true_name = directory + "/" + leaf;
      if (!changed_since(path.data_fd, true_name, from)) continue;
      const bool is_side = leaf.ends_with("-m");
      if (!is_side && !known.contains(prefix + true_name)) {
        CAIRN_TRY(is_logged, recover_file(path, prefix + true_name));
        if (is_logged) ++logged;
      }
      // Of the file itself too: it says when metadata was removed.
      const std::string base = is_side ? true_name.substr(0, true_name.size() - 2) : true_name;
      const auto name = parse_remote_name(prefix + base);
      if (!name) continue;
      LoggedMetadata& known_of = described[name->canonical()];
      CAIRN_TRY(is_logged, recover_metadata(*name, known_of));
      if (!is_logged) continue;
      ++logged;
      known_of.any = known_of.committed = metadata_stamp(*name);
    }
    return {};
  };
  CAIRN_RETURN_IF_ERROR(each_changed_directory(since, look_at));
  binlog_->recovered();
  return logged;
}

} // namespace cairn::storage
