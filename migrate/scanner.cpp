// The walk, and what is decided for each thing that is seen.
#include "migrate/scanner.h"

#include "migrate/fastdfs_source.h"
#include "migrate/scanner_writer.h"
#include "migrate/sorted_names.h"
#include "migrate/source_file.h"

#include <algorithm>
#include <cerrno>
#include <dirent.h>
#include <fcntl.h>
#include <memory>
#include <sys/stat.h>
#include <unistd.h>

namespace cairn::migrate {

namespace {

// Directories in memory; more wait in the ledger.
constexpr std::size_t kQueueMax = 4096;

struct CloseDirectory {
  void operator()(DIR* directory) const { ::closedir(directory); }
};

Result<std::string> read_link(int fd, const char* name) {
  std::string target(4096, '\0');
  const ssize_t size = ::readlinkat(fd, name, target.data(), target.size());
  if (size < 0) return errno_error("cannot read the symlink", errno);
  target.resize(static_cast<std::size_t>(size));
  return target;
}

// True when a symlink in `directory` with this target leads out of the tree.
bool leads_out(std::string_view directory, std::string_view target) {
  if (target.starts_with('/')) return true;
  int depth = directory.empty() ? 0 : 1 + static_cast<int>(std::ranges::count(directory, '/'));
  while (!target.empty()) {
    const std::string_view part = target.substr(0, target.find('/'));
    if (part == "..")
      --depth;
    else if (!part.empty() && part != ".")
      ++depth;
    if (depth < 0) return true;
    target.remove_prefix(std::min(target.size(), part.size() + 1));
  }
  return false;
}

} // namespace

Scanner::Scanner(Ledger& ledger, Options options) : ledger_(ledger), options_(std::move(options)) {}

Scanner::~Scanner() {
  stop();
}

std::string Scanner::full(const std::string& path) const {
  if (options_.fastdfs != nullptr) return options_.fastdfs->full(path);
  return path.empty() ? options_.root.string() : options_.root.string() + "/" + path;
}

// --- a local tree --------------------------------------------------------------------------------

Status Scanner::start() {
  if (options_.feed) return start_feed();
  if (options_.entry_feed) return start_entry_feed();
  if (options_.fastdfs != nullptr) return start_fastdfs();
  Writer writer(*this);
  writer.scan("");
  CAIRN_RETURN_IF_ERROR(writer.flush());
  struct stat status {};
  if (::stat(options_.root.c_str(), &status) != 0)
    return errno_error(options_.root.string(), errno);
  CAIRN_TRY(before, ledger_.file(""));
  if (auto work = decide(entry_of(status), before)) writer.work("", *std::move(work), before);
  CAIRN_RETURN_IF_ERROR(writer.flush());
  queue_.emplace_back();
  more_in_ledger_ = !options_.tell;
  for (unsigned i = 0; i < std::max(options_.copy->scan_jobs, 1U); ++i)
    threads_.emplace_back([this] { run(); });
  return {};
}

Status Scanner::start(const std::vector<std::string>& directories) {
  recursive_ = false;
  Writer writer(*this);
  for (const std::string& path : directories) {
    bool taken = true;
    for (std::string_view above = path; taken && !above.empty(); above = parent_of(above))
      taken = options_.filter->takes(above, true);
    if (taken) writer.scan(path);
  }
  CAIRN_RETURN_IF_ERROR(writer.flush());
  more_in_ledger_ = true;
  for (unsigned i = 0; i < std::max(options_.copy->scan_jobs, 1U); ++i)
    threads_.emplace_back([this] { run(); });
  return {};
}

void Scanner::stop() {
  {
    const std::scoped_lock lock(mutex_);
    stopping_ = true;
    changed_.notify_all();
  }
  for (std::thread& thread : threads_) thread.join();
  threads_.clear();
}

bool Scanner::finished() const {
  const std::scoped_lock lock(mutex_);
  return !failure_ || (queue_.empty() && active_.empty() && !more_in_ledger_);
}

Status Scanner::failure() const {
  const std::scoped_lock lock(mutex_);
  return failure_;
}

// --- threads -------------------------------------------------------------------------------------

Result<std::optional<std::string>> Scanner::take() {
  std::unique_lock lock(mutex_);
  for (;;) {
    if (stopping_ || !failure_) return std::optional<std::string>();
    if (queue_.empty() && more_in_ledger_) {
      ++loads_;
      // Those that are being listed have rows too.
      CAIRN_TRY(rows, ledger_.paths(Table::scans, std::nullopt, kQueueMax + active_.size()));
      for (std::string& path : rows)
        if (!active_.contains(path)) queue_.push_back(std::move(path));
      more_in_ledger_ = queue_.size() >= kQueueMax;
      if (queue_.empty()) changed_.notify_all();
    }
    if (!queue_.empty()) {
      // The last first: the walk goes deep, and few directories wait.
      std::string path = std::move(queue_.back());
      queue_.pop_back();
      active_.insert(path);
      return std::optional<std::string>(std::move(path));
    }
    if (active_.empty() && !more_in_ledger_) return std::optional<std::string>();
    changed_.wait(lock);
  }
}

void Scanner::done(const std::string& path, Status status) {
  const std::scoped_lock lock(mutex_);
  active_.erase(path);
  if (!status && failure_) failure_ = std::move(status);
  changed_.notify_all();
}

void Scanner::run() {
  for (;;) {
    auto path = take();
    if (!path) return done({}, std::move(path).error());
    if (!*path) break;
    done(**path, list(**path));
  }
  if (options_.on_work) options_.on_work();
}

// --- one directory -------------------------------------------------------------------------------

bool Scanner::may_skip(const std::string& path) const {
  // The ledger knows the files of a node of FastDFS, and not its directories.
  if (options_.fastdfs != nullptr && !FastdfsSource::is_leaf_directory(path)) return false;
  // What these leave out is in no table, and may be wanted the next time.
  const CopyOptions& copy = *options_.copy;
  return !copy.copy_links && copy.size_min == 0 && copy.size_max == UINT64_MAX &&
         copy.age_min.count() == 0 && copy.age_max == std::chrono::seconds::max();
}

Status Scanner::list(const std::string& path) {
  Writer writer(*this);
  std::uint64_t loads = 0;
  {
    const std::scoped_lock lock(mutex_);
    loads = loads_;
  }
  const auto now = std::chrono::system_clock::now();
  const int flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC |
                    (path.empty() || options_.copy->copy_links ? 0 : O_NOFOLLOW);
  const int fd = ::open(full(path).c_str(), flags);
  const int cause = errno;
  const std::unique_ptr<DIR, CloseDirectory> directory(fd >= 0 ? ::fdopendir(fd) : nullptr);
  ++counters_.directories;
  const bool is_gone = cause == ENOENT || cause == ENOTDIR || cause == ELOOP;
  if (!directory && is_gone && !path.empty() && options_.fastdfs == nullptr) {
    // Gone, with all that the ledger knows in it. (FastDFS removes no directory.)
    Ledger::Children known(ledger_, path);
    for (;;) {
      CAIRN_TRY(child, known.next());
      if (!child) break;
      CAIRN_RETURN_IF_ERROR(vanished(join(path, child->first), child->second, writer));
      CAIRN_RETURN_IF_ERROR(writer.flush_if_long());
    }
    writer.batch().erase(Table::listed, path);
  } else if (!directory) {
    cannot_take(path, Entry(), errno_error("cannot list it", cause), writer);
  } else {
    struct stat status {};
    if (::fstat(fd, &status) != 0) return errno_error(full(path), errno);
    const Entry entry = entry_of(status);
    CAIRN_TRY(listed, ledger_.listed(path));
    if (listed && *listed == listed_of(entry) && may_skip(path)) {
      ++counters_.skipped;
      CAIRN_RETURN_IF_ERROR(list_known(path, fd, writer));
    } else {
      CAIRN_TRY(complete, list_names(path, fd, writer));
      // A name that came in the same moment would leave no trace.
      if (!complete || is_racy(entry, now))
        writer.batch().erase(Table::listed, path);
      else
        writer.batch().put_listed(path, listed_of(entry));
    }
  }
  writer.batch().erase(Table::scans, path);
  CAIRN_RETURN_IF_ERROR(writer.flush());
  const std::scoped_lock lock(mutex_);
  for (std::string& found : writer.found()) {
    // Another thread may have read the rows that were just written, and listed these already.
    if (options_.tell || (loads == loads_ && queue_.size() < kQueueMax))
      queue_.push_back(std::move(found));
    else
      more_in_ledger_ = true;
  }
  changed_.notify_all();
  return {};
}

Status Scanner::list_known(const std::string& path, int fd, Writer& writer) {
  // A quick pass over FastDFS goes by its log, and comes here when that does not tell all.
  const bool quick = options_.copy->quick && options_.fastdfs == nullptr;
  Ledger::Children known(ledger_, path);
  for (;;) {
    CAIRN_TRY(child, known.next());
    if (!child) return {};
    const auto& [name, row] = *child;
    if (row.has(kRowGone)) {
      if (options_.copy->remove) CAIRN_RETURN_IF_ERROR(vanished(join(path, name), row, writer));
      continue;
    }
    if (quick && !row.seen.is_directory() && !row.has(kRowRacy)) {
      ++counters_.entries;
      continue;
    }
    CAIRN_RETURN_IF_ERROR(look_at(path, fd, name, row, writer));
    CAIRN_RETURN_IF_ERROR(writer.flush_if_long());
  }
}

Result<bool> Scanner::list_names(const std::string& path, int fd, Writer& writer) {
  const std::size_t room =
      static_cast<std::size_t>(options_.copy->memory) / 8 / std::max(options_.copy->scan_jobs, 1U);
  SortedNames names(room, options_.spill);
  const int again = ::openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  const std::unique_ptr<DIR, CloseDirectory> directory(again >= 0 ? ::fdopendir(again) : nullptr);
  for (;;) {
    errno = directory ? 0 : errno;
    const dirent* entry = directory ? ::readdir(directory.get()) : nullptr;
    if (entry == nullptr && errno != 0) {
      cannot_take(path, Entry(), errno_error("cannot list it", errno), writer);
      return false;
    }
    if (entry == nullptr) break;
    const std::string_view name = entry->d_name;
    if (name != "." && name != "..") CAIRN_RETURN_IF_ERROR(names.add(name, entry->d_type));
  }
  // Both lists are in order of names.
  Ledger::Children known(ledger_, path);
  CAIRN_TRY(old, known.next());
  const auto gone = [&](const std::pair<std::string, FileRow>& child) -> Status {
    CAIRN_RETURN_IF_ERROR(vanished(join(path, child.first), child.second, writer));
    return writer.flush_if_long();
  };
  const auto visit = [&](const std::string& name, std::uint8_t) -> Status {
    {
      const std::scoped_lock lock(mutex_);
      if (stopping_) return Error{Errc::closed, "stopped"};
    }
    while (old && old->first < name) {
      CAIRN_RETURN_IF_ERROR(gone(*old));
      CAIRN_TRY(next, known.next());
      old = std::move(next);
    }
    std::optional<FileRow> before;
    if (old && old->first == name) {
      before = std::move(old->second);
      CAIRN_TRY(next, known.next());
      old = std::move(next);
    }
    CAIRN_RETURN_IF_ERROR(look_at(path, fd, name, before, writer));
    return writer.flush_if_long();
  };
  CAIRN_RETURN_IF_ERROR(names.each(visit));
  while (old) {
    CAIRN_RETURN_IF_ERROR(gone(*old));
    CAIRN_TRY(next, known.next());
    old = std::move(next);
  }
  return true;
}

void Scanner::cannot_take(const std::string& path, Entry entry, const Error& error,
                          Writer& writer) {
  ++counters_.failures;
  WorkRow row;
  row.kind = WorkKind::attributes;
  row.seen = std::move(entry);
  row.seen.type = NodeType::directory;
  row.run = options_.run;
  row.failed_pass = options_.pass;
  row.attempts = 1;
  row.code = error.code;
  row.error = error.text();
  if (!options_.tell) writer.batch().put_work(path, std::move(row));
}

Status Scanner::look_at(const std::string& directory, int fd, const std::string& name,
                        const std::optional<FileRow>& before, Writer& writer) {
  const std::string path = join(directory, name);
  if (options_.fastdfs != nullptr) return look_at_fastdfs(path, before, writer);
  ++counters_.entries;
  if (!is_plain_text(name)) ++counters_.odd_names;
  struct stat status {};
  const bool follow = options_.copy->copy_links;
  bool found = ::fstatat(fd, name.c_str(), &status, follow ? 0 : AT_SYMLINK_NOFOLLOW) == 0;
  // With -L a symlink that leads nowhere stays a symlink.
  if (!found && follow) found = ::fstatat(fd, name.c_str(), &status, AT_SYMLINK_NOFOLLOW) == 0;
  if (!found) return before ? vanished(path, *before, writer) : Status();
  Entry entry = entry_of(status);
  // As with rsync, what is excluded now stays as it was copied.
  if (!options_.filter->takes(path, entry.is_directory())) return {};
  if (entry.type == NodeType::symlink) {
    auto target = read_link(fd, name.c_str());
    if (!target) return {}; // gone just now
    entry.target = *std::move(target);
    if (options_.copy->safe_links && leads_out(directory, entry.target)) {
      ++counters_.unsafe_links;
      return before ? vanished(path, *before, writer) : Status();
    }
  }
  if (before && before->seen.is_directory() && !entry.is_directory() && !before->has(kRowGone))
    writer.scan(path); // what was in it is gone
  auto work = decide(entry, before);
  if (entry.is_directory()) {
    if (follow && leads_into_itself(path, entry)) {
      const Error loop(Errc::io_error, "a symlink that leads back to a directory above it");
      cannot_take(path, entry, loop, writer);
      return {};
    }
    if (recursive_ || !before || before->has(kRowGone)) writer.scan(path);
  }
  if (!work) return {};
  if (entry.is_regular() && entry.nlink > 1 && options_.copy->hard_links && !follow)
    CAIRN_RETURN_IF_ERROR(link_kind(path, entry, *work));
  writer.work(path, *std::move(work), before);
  return {};
}

bool Scanner::leads_into_itself(const std::string& path, const Entry& entry) const {
  for (std::string_view above = path; !above.empty();) {
    above = parent_of(above);
    struct stat status {};
    if (::stat(full(std::string(above)).c_str(), &status) == 0 && status.st_dev == entry.device &&
        status.st_ino == entry.inode)
      return true;
  }
  return false;
}

Status Scanner::link_kind(const std::string& path, const Entry& entry, WorkRow& work) {
  if (options_.tell) return {};
  CAIRN_TRY(first, ledger_.first_path(entry.device, entry.inode, path));
  if (first == path) return {};
  struct stat status {};
  const bool holds = ::lstat(full(first).c_str(), &status) == 0 && status.st_dev == entry.device &&
                     status.st_ino == entry.inode && options_.filter->takes(first, false);
  if (!holds) return ledger_.set_first_path(entry.device, entry.inode, path);
  work.kind = WorkKind::link;
  work.link_to = std::move(first);
  return {};
}

std::optional<WorkRow> Scanner::decide(const Entry& entry,
                                       const std::optional<FileRow>& before) const {
  const CopyOptions& copy = *options_.copy;
  WorkRow work;
  work.seen = entry;
  work.run = options_.run;
  if (entry.is_regular()) {
    if (entry.size < copy.size_min || entry.size > copy.size_max) return {};
    const auto age =
        std::chrono::system_clock::now() - std::chrono::system_clock::from_time_t(entry.mtime_s);
    if (age < copy.age_min || (copy.age_max != std::chrono::seconds::max() && age > copy.age_max))
      return {};
  }
  const bool known = before && !before->has(kRowGone) && before->seen.type == entry.type;
  if (entry.is_directory()) {
    work.kind = WorkKind::attributes;
    if (known && before->seen.same_attributes(entry)) return {};
    return work;
  }
  if (!known || copy.ignore_times || copy.checksum || before->has(kRowRacy)) return work;
  if (entry.type == NodeType::symlink) {
    if (before->seen.target == entry.target && before->seen.same_attributes(entry)) return {};
    return work;
  }
  if (!entry.is_regular()) {
    if (before->seen.same_attributes(entry) && before->seen.rdev == entry.rdev) return {};
    return work;
  }
  if (copy.size_only) {
    if (entry.size == before->seen.size) return {};
    return work;
  }
  if (entry.unchanged_since(before->seen)) return {};
  const auto between =
      std::chrono::seconds(entry.mtime_s - before->seen.mtime_s) +
      std::chrono::nanoseconds(std::int64_t{entry.mtime_ns} - std::int64_t{before->seen.mtime_ns});
  if (copy.modify_window.count() > 0 && entry.size == before->seen.size &&
      std::chrono::abs(between) <= copy.modify_window)
    return {};
  return work;
}

Status Scanner::vanished(const std::string& path, const FileRow& before, Writer& writer) {
  if (options_.tell || !options_.filter->takes(path, before.seen.is_directory())) return {};
  // No name in its directory, but one in a trunk file.
  if (options_.fastdfs != nullptr && options_.fastdfs->look(path)) return {};
  if (before.has(kRowGone)) {
    // --delete was not wanted when it went.
    if (!options_.copy->remove) return {};
    writer.batch().mark(Table::removals, path);
    if (before.seen.is_directory()) writer.scan(path);
    return {};
  }
  FileRow row = before;
  row.flags |= kRowGone;
  writer.batch().put_file(path, row);
  if (options_.copy->remove) writer.batch().mark(Table::removals, path);
  if (before.seen.is_directory()) writer.scan(path);
  return {};
}

} // namespace cairn::migrate
