// cairn cp, cairn sync: between local files and the namespace, and inside it.
#include "common/base/text.h"
#include "common/base/write_all.h"
#include "tools/cluster_path.h"
#include "tools/progress.h"
#include "tools/tree_verbs.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <condition_variable>
#include <cstdio>
#include <deque>
#include <fcntl.h>
#include <filesystem>
#include <mutex>
#include <set>
#include <sys/stat.h>
#include <thread>
#include <unistd.h>

namespace cairn::tools {

namespace {

namespace fs = std::filesystem;

constexpr std::size_t kQueueMax = 1024;

// Either side of a copy.
struct Side {
  bool cluster = false;
  bool stream = false; // "-"
  ClusterPath path;
  fs::path local;

  Side child(const std::string& name) const {
    Side out = *this;
    if (cluster)
      out.path = path.child(name);
    else
      out.local = local / name;
    return out;
  }
  std::string text() const {
    if (stream) return "-";
    return cluster ? ":" + path.text() : local.string();
  }
  std::string name() const {
    if (!cluster)
      return local.has_filename() ? local.filename().string()
                                  : local.parent_path().filename().string();
    const std::string whole = path.text();
    return whole.substr(whole.rfind('/') + 1);
  }
};

Result<Side> side_of(const std::string& text) {
  Side side;
  side.stream = text == "-";
  side.cluster = is_cluster_path(text);
  if (side.cluster) {
    CAIRN_TRY(path, parse_cluster_path(text));
    side.path = std::move(path);
  } else {
    side.local = text;
  }
  return side;
}

// Runs tasks on some threads; add() waits while too many are queued.
class Workers {
public:
  explicit Workers(unsigned count) {
    for (unsigned i = 0; i < count; ++i) threads_.emplace_back([this] { loop(); });
  }
  ~Workers() { finish(); }
  void add(std::function<void()> task) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return tasks_.size() < kQueueMax; });
    tasks_.push_back(std::move(task));
    changed_.notify_all();
  }
  void finish() {
    {
      const std::scoped_lock lock(mutex_);
      done_ = true;
      changed_.notify_all();
    }
    for (std::thread& thread : threads_) thread.join();
    threads_.clear();
  }

private:
  void loop() {
    for (;;) {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [this] { return done_ || !tasks_.empty(); });
      if (tasks_.empty()) return;
      auto task = std::move(tasks_.front());
      tasks_.pop_front();
      changed_.notify_all();
      lock.unlock();
      task();
    }
  }
  std::mutex mutex_; // guards all below
  std::condition_variable changed_;
  std::deque<std::function<void()>> tasks_;
  bool done_ = false;
  std::vector<std::thread> threads_;
};

Result<FileStatus> local_status(const fs::path& path) {
  struct stat from {};
  if (::lstat(path.c_str(), &from) != 0) return errno_error(path.string(), errno);
  FileStatus out;
  out.type = S_ISDIR(from.st_mode)   ? NodeType::directory
             : S_ISLNK(from.st_mode) ? NodeType::symlink
             : S_ISREG(from.st_mode) ? NodeType::regular
                                     : NodeType::fifo;
  out.mode = from.st_mode & 07777U;
  out.uid = from.st_uid;
  out.gid = from.st_gid;
  out.size = static_cast<std::uint64_t>(from.st_size);
  out.mtime = FileTime(from.st_mtim.tv_sec, static_cast<std::uint32_t>(from.st_mtim.tv_nsec));
  if (out.type == NodeType::symlink) {
    std::error_code failure;
    out.target = fs::read_symlink(path, failure).string();
    if (failure) return errno_error(path.string(), failure.value());
  }
  return out;
}

class Copy {
public:
  Copy(Context& context, const CopyArgs& args, bool sync)
      : context_(context),
        args_(args),
        sync_(sync),
        keep_(args.preserve || sync),
        trees_(context),
        bar_(sync ? "sync" : "cp", !context.quiet() && !context.json()),
        progress_(bar_.callback()),
        workers_(std::max(args.jobs, 1U)) {}

  int run() {
    auto target = side_of(args_.paths.back());
    if (!target) return context_.usage(target.error().detail);
    for (std::size_t i = 0; i + 1 < args_.paths.size(); ++i) {
      auto source = side_of(args_.paths[i]);
      if (!source) return context_.usage(source.error().detail);
      if (!source->cluster && !target->cluster)
        return context_.usage("neither side is a cluster path",
                              "cluster paths are written :/EXPORT/path");
      Side to = *target;
      // As cp(1): into a directory that is there, also with a slash at the end.
      const bool many = args_.paths.size() > 2;
      const auto there = to.stream ? Result<FileStatus>(Errc::not_found) : status(to, true);
      if (!sync_ && ((there && there->is_directory()) || many || args_.paths.back().ends_with('/')))
        to = to.child(source->stream ? "stdin" : source->name());
      one(*source, to, args_.recursive || sync_);
    }
    workers_.finish();
    // Deepest first: what is made in a directory moves its time.
    for (auto at = directories_.rbegin(); at != directories_.rend(); ++at)
      apply_status(at->first, at->second);
    return report();
  }

private:
  Result<FileStatus> status(const Side& side, bool follow) {
    if (!side.cluster) {
      CAIRN_TRY(found, local_status(side.local));
      if (!follow || found.type != NodeType::symlink) return found;
      std::error_code failure;
      const fs::path real = fs::canonical(side.local, failure);
      if (failure) return errno_error(side.local.string(), failure.value());
      return local_status(real);
    }
    CAIRN_TRY(tree, tree_of(side));
    return tree->stat(side.path.path, follow);
  }

  Result<Namespace*> tree_of(const Side& side) {
    const std::scoped_lock lock(trees_mutex_);
    return trees_.of(side.path);
  }

  void failed(const std::string& what, const Error& error) {
    const std::scoped_lock lock(report_mutex_);
    ++failures_;
    const int code = context_.fail(what, error);
    if (first_code_ == kGood) first_code_ = code;
  }

  void one(const Side& from, const Side& to, bool recursive) {
    if (from.stream) return spool(to);
    const auto found = status(from, !recursive);
    if (!found) return failed(from.text(), found.error());
    if (found->is_directory()) {
      if (!recursive)
        return failed(from.text(), Error{Errc::is_directory, "a directory: -r copies it"});
      return tree(from, to, *found);
    }
    const FileStatus source = *found;
    workers_.add([this, from, to, source] {
      const Status done = file(from, to, source);
      if (!done) return failed(from.text() + " -> " + to.text(), done.error());
      const std::scoped_lock lock(report_mutex_);
      ++files_;
      bytes_ += source.size;
      if (progress_) progress_(bytes_, std::max(bytes_, seen_bytes_));
    });
    const std::scoped_lock lock(report_mutex_);
    seen_bytes_ += source.size;
  }

  void tree(const Side& from, const Side& to, const FileStatus& found) {
    if (const Status made = make_directory(to); !made) return failed(to.text(), made.error());
    if (keep_) directories_.emplace_back(to, found);
    auto sources = list(from);
    if (!sources) return failed(from.text(), sources.error());
    std::map<std::string, FileStatus> present;
    if (sync_) {
      auto there = list(to);
      if (!there) return failed(to.text(), there.error());
      for (auto& entry : *there) present.emplace(entry.name, entry.status);
    }
    for (const DirectoryEntry& entry : *sources) {
      const Side source = from.child(entry.name);
      const Side target = to.child(entry.name);
      const auto old = present.find(entry.name);
      if (old != present.end()) {
        const bool same =
            old->second.type == entry.status.type && old->second.size == entry.status.size &&
            old->second.mtime == entry.status.mtime && old->second.target == entry.status.target;
        const bool replaced = old->second.type != entry.status.type;
        present.erase(old);
        if (same && !entry.status.is_directory()) {
          ++unchanged_;
          continue;
        }
        if (replaced) {
          if (const Status gone = remove(target); !gone) {
            failed(target.text(), gone.error());
            continue;
          }
        }
      }
      one(source, target, true);
    }
    if (!sync_ || !args_.remove) return;
    for (const auto& [name, status] : present) {
      const Side target = to.child(name);
      if (const Status gone = remove(target); !gone)
        failed(target.text(), gone.error());
      else
        ++removed_;
    }
  }

  Result<std::vector<DirectoryEntry>> list(const Side& side) {
    if (side.cluster) {
      CAIRN_TRY(tree, tree_of(side));
      return tree->list(side.path.path);
    }
    std::vector<DirectoryEntry> out;
    std::error_code failure;
    for (fs::directory_iterator at(side.local, failure), end; !failure && at != end;
         at.increment(failure)) {
      DirectoryEntry entry;
      entry.name = at->path().filename().string();
      CAIRN_TRY(found, local_status(at->path()));
      entry.status = std::move(found);
      out.push_back(std::move(entry));
    }
    if (failure) return errno_error(side.local.string(), failure.value());
    return out;
  }

  Status make_directory(const Side& to) {
    if (!to.cluster) {
      std::error_code failure;
      fs::create_directories(to.local, failure);
      if (failure) return errno_error(to.local.string(), failure.value());
      return {};
    }
    CAIRN_TRY(tree, tree_of(to));
    if (to.path.path.empty()) return {};
    CAIRN_TRY(made, tree->mkdir(to.path.path, 0755, true));
    static_cast<void>(made);
    return {};
  }

  Status remove(const Side& side) {
    if (!side.cluster) {
      std::error_code failure;
      fs::remove_all(side.local, failure);
      if (failure) return errno_error(side.local.string(), failure.value());
      return {};
    }
    CAIRN_TRY(tree, tree_of(side));
    CAIRN_TRY(found, tree->stat(side.path.path, false));
    if (!found.is_directory()) return tree->remove(side.path.path);
    CAIRN_TRY(entries, tree->list(side.path.path));
    for (const auto& entry : entries) CAIRN_RETURN_IF_ERROR(remove(side.child(entry.name)));
    return tree->remove_directory(side.path.path);
  }

  // One file, symlink or special file.
  Status file(const Side& from, const Side& to, const FileStatus& source) {
    if (source.type == NodeType::symlink) return link(to, source);
    if (source.type != NodeType::regular)
      return Error{Errc::unsupported, "neither a file, a directory nor a symlink"};
    if (to.cluster && from.cluster && from.path.export_name == to.path.export_name) {
      CAIRN_TRY(tree, tree_of(to));
      CAIRN_TRY(made, tree->clone(from.path.path, to.path.path));
      static_cast<void>(made);
      return apply(to, source);
    }
    if (to.cluster) {
      if (from.cluster) return across(from, to, source);
      CAIRN_TRY(content, Content::file(from.local));
      return put(to, std::move(content), source);
    }
    return get(from, to, source);
  }

  Status put(const Side& to, Content content, const FileStatus& source) {
    WriteOptions options;
    options.mode = source.mode & 0777U;
    if (keep_) {
      options.mtime = source.mtime;
      if (::geteuid() == 0) {
        options.uid = source.uid;
        options.gid = source.gid;
      }
    }
    CAIRN_TRY(tree, tree_of(to));
    CAIRN_TRY(made, tree->write(to.path.path, std::move(content), std::move(options)));
    static_cast<void>(made);
    return {};
  }

  Status get(const Side& from, const Side& to, const FileStatus& source) {
    CAIRN_TRY(tree, tree_of(from));
    if (to.stream) {
      Sink::Writer out = [](std::span<const std::byte> bytes) -> Status {
        if (std::fwrite(bytes.data(), 1, bytes.size(), stdout) == bytes.size()) return {};
        return errno_error("standard output", errno);
      };
      CAIRN_RETURN_IF_ERROR(tree->read(from.path.path, std::move(out)));
      return std::fflush(stdout) == 0 ? Status() : errno_error("standard output", errno);
    }
    // Beside the target, then renamed: nobody sees half a file. Not with its name in front, which
    // may be as long as names can be.
    std::string temporary = (to.local.parent_path() / ".cairn-XXXXXX").string();
    const int fd = ::mkostemp(temporary.data(), O_CLOEXEC);
    if (fd < 0) return errno_error(temporary, errno);
    Sink::Writer out = [fd, &temporary](std::span<const std::byte> bytes) {
      return write_all(fd, bytes, temporary);
    };
    Status done = tree->read(from.path.path, std::move(out));
    if (done && ::fchmod(fd, source.mode & 0777U) != 0) done = errno_error(temporary, errno);
    if (done && keep_) {
      const std::array<timespec, 2> times{
          timespec{source.mtime.seconds, static_cast<long>(source.mtime.nanoseconds)},
          timespec{source.mtime.seconds, static_cast<long>(source.mtime.nanoseconds)}};
      if (::geteuid() == 0) static_cast<void>(::fchown(fd, source.uid, source.gid) == 0);
      if (::futimens(fd, times.data()) != 0) done = errno_error(temporary, errno);
    }
    if (::close(fd) != 0 && done) done = errno_error(temporary, errno);
    if (done && std::rename(temporary.c_str(), to.local.c_str()) != 0)
      done = errno_error(to.local.string(), errno);
    if (!done) ::unlink(temporary.c_str());
    return done;
  }

  // From one export to another: the bytes go through here.
  Status across(const Side& from, const Side& to, const FileStatus& source) {
    CAIRN_TRY(tree, tree_of(from));
    Content::ReadAt read = [tree, path = from.path.path](
                               std::uint64_t offset,
                               std::span<std::byte> out) -> Result<std::size_t> {
      std::size_t at = 0;
      Sink::Writer take = [&](std::span<const std::byte> bytes) -> Status {
        std::ranges::copy(bytes, out.begin() + static_cast<std::ptrdiff_t>(at));
        at += bytes.size();
        return {};
      };
      CAIRN_RETURN_IF_ERROR(tree->read(path, std::move(take), offset, out.size()));
      return at;
    };
    return put(to, Content::reader(source.size, std::move(read)), source);
  }

  Status link(const Side& to, const FileStatus& source) {
    if (to.cluster) {
      CAIRN_TRY(tree, tree_of(to));
      const auto old = tree->stat(to.path.path, false);
      if (old && !old->is_directory()) CAIRN_RETURN_IF_ERROR(tree->remove(to.path.path));
      CAIRN_TRY(made, tree->symlink(source.target, to.path.path));
      static_cast<void>(made);
      return keep_ ? apply(to, source) : Status();
    }
    ::unlink(to.local.c_str());
    if (::symlink(source.target.c_str(), to.local.c_str()) != 0)
      return errno_error(to.local.string(), errno);
    return {};
  }

  // Times, mode and owner.
  Status apply(const Side& to, const FileStatus& source) {
    if (!keep_) return {};
    if (to.cluster) {
      CAIRN_TRY(tree, tree_of(to));
      SetStatus set;
      if (source.type != NodeType::symlink) set.mode = source.mode;
      set.mtime = source.mtime;
      if (::geteuid() == 0) {
        set.uid = source.uid;
        set.gid = source.gid;
      }
      CAIRN_TRY(done, tree->set(to.path.path, set, false));
      static_cast<void>(done);
      return {};
    }
    const std::array<timespec, 2> times{
        timespec{source.mtime.seconds, static_cast<long>(source.mtime.nanoseconds)},
        timespec{source.mtime.seconds, static_cast<long>(source.mtime.nanoseconds)}};
    if (::chmod(to.local.c_str(), source.mode) != 0 ||
        ::utimensat(AT_FDCWD, to.local.c_str(), times.data(), 0) != 0)
      return errno_error(to.local.string(), errno);
    return {};
  }
  void apply_status(const Side& to, const FileStatus& source) {
    if (const Status done = apply(to, source); !done) failed(to.text(), done.error());
  }

  // Standard input has no size: it goes into a file without a name first.
  void spool(const Side& to) {
    std::FILE* file = std::tmpfile();
    if (file == nullptr) return failed("-", errno_error("a temporary file", errno));
    auto kept = std::shared_ptr<std::FILE>(file, [](std::FILE* f) { std::fclose(f); });
    std::vector<char> buffer(1 << 20);
    std::uint64_t size = 0;
    for (;;) {
      const std::size_t count = std::fread(buffer.data(), 1, buffer.size(), stdin);
      if (count == 0) break;
      if (std::fwrite(buffer.data(), 1, count, file) != count)
        return failed("-", errno_error("a temporary file", errno));
      size += count;
    }
    if (std::ferror(stdin) != 0 || std::fflush(file) != 0)
      return failed("-", errno_error("standard input", errno));
    Content::ReadAt read = [kept](std::uint64_t offset,
                                  std::span<std::byte> out) -> Result<std::size_t> {
      const ssize_t count =
          ::pread(::fileno(kept.get()), out.data(), out.size(), static_cast<off_t>(offset));
      if (count < 0) return errno_error("a temporary file", errno);
      return static_cast<std::size_t>(count);
    };
    FileStatus source;
    source.mode = 0644;
    source.size = size;
    const bool keep = std::exchange(keep_, false);
    const Status done = put(to, Content::reader(size, std::move(read)), source);
    keep_ = keep;
    if (!done) return failed(to.text(), done.error());
    ++files_;
    bytes_ += size;
  }

  int report() {
    if (context_.json()) {
      context_.answer_json({{"files", files_},
                            {"bytes", bytes_},
                            {"unchanged", unchanged_},
                            {"removed", removed_},
                            {"failures", failures_}});
    } else if (args_.recursive || sync_) {
      context_.note(std::to_string(files_) + " files, " + human_bytes(bytes_) +
                    (sync_ ? ", " + std::to_string(unchanged_) + " unchanged, " +
                                 std::to_string(removed_) + " removed"
                           : std::string()));
    }
    if (failures_ == 0) return kGood;
    return files_ + unchanged_ > 0 ? kPartial : first_code_;
  }

  Context& context_;
  const CopyArgs& args_;
  const bool sync_;
  bool keep_;
  Trees trees_;
  std::mutex trees_mutex_;  // guards trees_
  std::mutex report_mutex_; // guards the counters and bar_
  std::vector<std::pair<Side, FileStatus>> directories_;
  std::uint64_t files_ = 0;
  std::uint64_t bytes_ = 0;
  std::uint64_t seen_bytes_ = 0;
  std::uint64_t unchanged_ = 0;
  std::uint64_t removed_ = 0;
  std::uint64_t failures_ = 0;
  int first_code_ = kGood;
  ProgressBar bar_;
  Progress progress_;
  Workers workers_; // ends before what its tasks use
};

} // namespace

int run_cp(Context& context, const CopyArgs& args) {
  if (args.paths.size() < 2) return context.usage("cp needs a source and a destination");
  return Copy(context, args, false).run();
}

int run_sync(Context& context, const CopyArgs& args) {
  if (args.paths.size() != 2) return context.usage("sync needs a source and a destination");
  return Copy(context, args, true).run();
}

} // namespace cairn::tools
