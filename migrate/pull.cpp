// Lists the namespace on one thread, fetches on several.
#include "migrate/pull.h"

#include "migrate/exit_codes.h"
#include "migrate/filter.h"
#include "migrate/itemize.h"
#include "migrate/limiter.h"
#include "migrate/session.h"
#include "migrate/tally.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cerrno>
#include <condition_variable>
#include <deque>
#include <dirent.h>
#include <fcntl.h>
#include <map>
#include <set>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <thread>
#include <unistd.h>

namespace cairn::migrate {

namespace {

namespace fs = std::filesystem;

constexpr std::size_t kQueueMax = 1000;
constexpr std::size_t kHoleMin = 64 * 1024;
constexpr std::size_t kBatchMax = 1000;

struct Remote {
  std::string path;
  Entry entry;
  wire::NsNodeReply node;
};

// A file that gets its name when it is whole. Zeros become holes.
class LocalFile {
public:
  static Result<std::unique_ptr<LocalFile>> make(const std::string& target) {
    std::unique_ptr<LocalFile> out(new LocalFile(target));
    const std::size_t slash = target.rfind('/');
    out->temporary_ = target.substr(0, slash + 1) + ".cairn-migrate-XXXXXX";
    out->fd_ = ::mkostemp(out->temporary_.data(), O_CLOEXEC);
    if (out->fd_ < 0) return errno_error(target, errno);
    return out;
  }
  ~LocalFile() {
    if (fd_ >= 0) ::close(fd_);
    if (!temporary_.empty()) ::unlink(temporary_.c_str());
  }
  LocalFile(const LocalFile&) = delete;
  LocalFile& operator=(const LocalFile&) = delete;

  Status write(std::span<const std::byte> bytes) {
    while (!bytes.empty()) {
      const std::size_t room = kHoleMin - static_cast<std::size_t>(at_ % kHoleMin);
      const auto now = bytes.first(std::min(room, bytes.size()));
      const bool hole = now.size() == kHoleMin &&
                        std::ranges::all_of(now, [](std::byte b) { return b == std::byte{0}; });
      for (std::size_t done = 0; !hole && done < now.size();) {
        const ssize_t count =
            ::pwrite(fd_, now.data() + done, now.size() - done, static_cast<off_t>(at_ + done));
        if (count < 0 && errno == EINTR) continue;
        if (count < 0) return errno_error(target_, errno);
        done += static_cast<std::size_t>(count);
      }
      at_ += now.size();
      bytes = bytes.subspan(now.size());
    }
    return {};
  }

  Status finish(const Entry& seen, bool owner) {
    if (::ftruncate(fd_, static_cast<off_t>(seen.size)) != 0) return errno_error(target_, errno);
    if (owner && ::fchown(fd_, seen.uid, seen.gid) != 0) return errno_error(target_, errno);
    const std::array<timespec, 2> times{timespec{seen.mtime_s, static_cast<long>(seen.mtime_ns)},
                                        timespec{seen.mtime_s, static_cast<long>(seen.mtime_ns)}};
    if (::fchmod(fd_, seen.mode) != 0 || ::futimens(fd_, times.data()) != 0)
      return errno_error(target_, errno);
    if (::rename(temporary_.c_str(), target_.c_str()) != 0) return errno_error(target_, errno);
    temporary_.clear();
    return {};
  }

private:
  explicit LocalFile(std::string target) : target_(std::move(target)) {}
  std::string target_;
  std::string temporary_;
  int fd_ = -1;
  std::uint64_t at_ = 0;
};

Task<Status> fetch(Destination& destination, wire::NsNodeReply node, std::uint64_t size,
                   Sink::Writer sink) {
  CAIRN_CO_TRY(extents, co_await destination.extents(std::move(node)));
  co_return co_await destination.read(std::move(extents), size, std::move(sink));
}

class Pull {
public:
  Pull(Session& session, std::string target, const RunArgs& args, const Filter& filter,
       Limiter& limiter, Output& output)
      : session_(session),
        target_(std::move(target)),
        args_(args),
        copy_(args.copy),
        filter_(filter),
        limiter_(limiter),
        output_(output),
        owner_(::geteuid() == 0) {}

  int run() {
    const auto begin = std::chrono::steady_clock::now();
    for (unsigned i = 0; i < std::max(copy_.jobs, 1U); ++i)
      threads_.emplace_back([this] { work(); });
    const Status done = walk();
    {
      const std::scoped_lock lock(mutex_);
      listed_ = true;
      changed_.notify_all();
    }
    for (std::thread& thread : threads_) thread.join();
    for (const auto& [first, second] : links_) link(first, second);
    for (auto at = directories_.rbegin(); at != directories_.rend(); ++at) finish(*at);
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
    int code = tally_.failed > 0 ? kPartial : kDone;
    if (stop_requested()) code = kStopped;
    if (!done && code == kDone) code = kSocket;
    if (!done) output_.problem("", done.error());
    output_.event({{"event", "summary"},
                   {"exit", code},
                   {"files", tally_.files.load()},
                   {"bytes", tally_.bytes.load()},
                   {"unchanged", tally_.unchanged.load()},
                   {"removed", tally_.removed.load()},
                   {"failed", tally_.failed.load()},
                   {"seconds", took.count()}});
    output_.say((args_.dry_run ? "would copy " : "copied ") + std::to_string(tally_.files) +
                " files, " + human_bytes(static_cast<double>(tally_.bytes)) + ", " +
                std::to_string(tally_.unchanged) + " unchanged, " + std::to_string(tally_.removed) +
                " removed, " + std::to_string(tally_.failed) + " failed");
    return code;
  }

private:
  std::string full(const std::string& path) const {
    return path.empty() ? target_ : target_ + "/" + path;
  }
  void failed(const std::string& path, const Error& error) {
    ++tally_.failed;
    output_.problem(path, error);
  }

  Status walk() {
    CAIRN_TRY(top, session_.wait(session_.destination().getattr(session_.destination().root())));
    std::vector<Remote> waiting;
    Remote root;
    root.entry = entry_of(top.attributes, {});
    root.node = std::move(top);
    waiting.push_back(std::move(root));
    while (!waiting.empty() && !stop_requested()) {
      const Remote directory = std::move(waiting.back());
      waiting.pop_back();
      if (!make_directory(directory)) continue;
      std::set<std::string> names;
      std::uint64_t cookie = 0;
      for (bool end = false; !end && !stop_requested();) {
        CAIRN_TRY(page, session_.wait(session_.destination().readdir(
                            directory.node.attributes.inode, cookie)));
        end = page.end;
        for (wire::NsEntry& entry : page.entries) {
          cookie = entry.cookie;
          if (entry.node.empty()) continue;
          Remote found;
          found.path = join(directory.path, entry.name);
          found.node = std::move(entry.node.front());
          found.entry = entry_of(found.node.attributes, found.node.target);
          names.insert(std::move(entry.name));
          if (!filter_.takes(found.path, found.entry.is_directory())) continue;
          if (found.entry.is_directory())
            waiting.push_back(std::move(found));
          else
            take(std::move(found));
        }
      }
      if (copy_.remove && !stop_requested()) remove_others(directory.path, names);
    }
    return {};
  }

  // False: its content cannot be put anywhere.
  bool make_directory(const Remote& directory) {
    struct stat status {};
    const std::string path = full(directory.path);
    const bool there = ::lstat(path.c_str(), &status) == 0;
    if (there && S_ISDIR(status.st_mode)) {
      directories_.push_back(directory);
      return true;
    }
    ++tally_.directories;
    output_.item(itemize(Change::made, directory.entry, {}, false), directory.path + "/", {});
    if (args_.dry_run) return true;
    std::error_code failure;
    if (there && directory.path.empty()) {
      failed(path, Error{Errc::exists, "it is no directory"});
      return false;
    }
    if (there) ::unlink(path.c_str());
    fs::create_directories(path, failure);
    if (failure) {
      failed(path, errno_error("cannot make it", failure.value()));
      return false;
    }
    directories_.push_back(directory);
    return true;
  }

  void take(Remote found) {
    const Entry& entry = found.entry;
    if (entry.is_regular() && (entry.size < copy_.size_min || entry.size > copy_.size_max)) return;
    struct stat status {};
    std::optional<Entry> before;
    if (::lstat(full(found.path).c_str(), &status) == 0) before = entry_of(status);
    if (before && before->type == NodeType::symlink) {
      std::error_code ignored;
      before->target = fs::read_symlink(full(found.path), ignored).string();
    }
    const bool newer = before && copy_.update && before->mtime() > entry.mtime();
    if ((before && (copy_.ignore_existing || newer)) || (!before && copy_.existing)) {
      ++tally_.left_out;
      return;
    }
    // One of several names: the first is fetched.
    if (entry.is_regular() && entry.nlink > 1 && copy_.hard_links) {
      const auto [first, fresh] = first_names_.emplace(entry.inode, found.path);
      if (!fresh) {
        links_.emplace_back(first->second, found.path);
        return;
      }
    }
    const bool same_time =
        copy_.size_only || !entry.is_regular() || (before && before->mtime() == entry.mtime());
    if (before && before->type == entry.type && before->size == entry.size && same_time &&
        before->target == entry.target && !copy_.ignore_times && !copy_.checksum) {
      ++tally_.unchanged;
      if (!args_.dry_run && entry.is_regular() && before->mode != entry.mode)
        static_cast<void>(::chmod(full(found.path).c_str(), entry.mode));
      return;
    }
    output_.item(itemize(Change::received, entry, before, true), found.path,
                 entry.type == NodeType::symlink ? " -> " + entry.target : std::string());
    if (args_.dry_run) {
      ++tally_.files;
      tally_.bytes += entry.size;
      return;
    }
    if (before && before->is_directory()) {
      if (!copy_.remove) return failed(found.path, Error{Errc::exists, "a directory is there"});
      std::error_code ignored;
      fs::remove_all(full(found.path), ignored);
    }
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return queue_.size() < kQueueMax; });
    queue_.push_back(std::move(found));
    changed_.notify_all();
  }

  void work() {
    for (;;) {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [this] { return listed_ || !queue_.empty(); });
      if (queue_.empty()) return;
      Remote next = std::move(queue_.front());
      queue_.pop_front();
      changed_.notify_all();
      lock.unlock();
      if (stop_requested()) continue;
      if (const Status done = one(next); !done) failed(next.path, done.error());
    }
  }

  Status one(const Remote& remote) {
    const Entry& entry = remote.entry;
    const std::string path = full(remote.path);
    if (entry.is_regular()) {
      CAIRN_TRY(file, LocalFile::make(path));
      Sink::Writer sink = [this, &file](std::span<const std::byte> bytes) -> Status {
        std::this_thread::sleep_for(limiter_.take(bytes.size()));
        return file->write(bytes);
      };
      CAIRN_RETURN_IF_ERROR(
          session_.wait(fetch(session_.destination(), remote.node, entry.size, std::move(sink))));
      CAIRN_RETURN_IF_ERROR(file->finish(entry, owner_));
      ++tally_.files;
      tally_.bytes += entry.size;
      return {};
    }
    ::unlink(path.c_str());
    int made = 0;
    if (entry.type == NodeType::symlink) {
      made = ::symlink(entry.target.c_str(), path.c_str());
      ++tally_.symlinks;
    } else {
      const auto major = static_cast<unsigned>(entry.rdev >> 32);
      const auto minor = static_cast<unsigned>(entry.rdev & 0xFFFFFFFFU);
      made = ::mknod(path.c_str(), static_cast<mode_t>(entry.type) << 12 | entry.mode,
                     ::gnu_dev_makedev(major, minor));
      ++tally_.specials;
    }
    if (made != 0) return errno_error("cannot make it", errno);
    return attributes(path, entry);
  }

  Status attributes(const std::string& path, const Entry& entry) const {
    const bool symlink = entry.type == NodeType::symlink;
    if (owner_ && ::lchown(path.c_str(), entry.uid, entry.gid) != 0)
      return errno_error(path, errno);
    if (!symlink && ::chmod(path.c_str(), entry.mode) != 0) return errno_error(path, errno);
    const std::array<timespec, 2> times{timespec{entry.mtime_s, static_cast<long>(entry.mtime_ns)},
                                        timespec{entry.mtime_s, static_cast<long>(entry.mtime_ns)}};
    if (::utimensat(AT_FDCWD, path.c_str(), times.data(), AT_SYMLINK_NOFOLLOW) != 0)
      return errno_error(path, errno);
    return {};
  }

  void link(const std::string& first, const std::string& second) {
    const std::string from = full(first);
    const std::string to = full(second);
    struct stat a {};
    struct stat b {};
    if (::lstat(from.c_str(), &a) == 0 && ::lstat(to.c_str(), &b) == 0 && a.st_dev == b.st_dev &&
        a.st_ino == b.st_ino)
      return;
    output_.item("hf+++++++++", second, " => " + first);
    if (args_.dry_run) return;
    const std::string temporary = to + ".cairn-migrate-link";
    ::unlink(temporary.c_str());
    if (::link(from.c_str(), temporary.c_str()) != 0 ||
        ::rename(temporary.c_str(), to.c_str()) != 0)
      return failed(second, errno_error("cannot link it", errno));
    ++tally_.hard_links;
  }

  void finish(const Remote& directory) {
    if (args_.dry_run) return;
    if (const Status done = attributes(full(directory.path), directory.entry); !done)
      failed(directory.path, done.error());
  }

  void remove_others(const std::string& directory, const std::set<std::string>& names) {
    std::error_code failure;
    std::vector<std::string> others;
    for (fs::directory_iterator at(full(directory), failure), end; !failure && at != end;
         at.increment(failure)) {
      const std::string name = at->path().filename().string();
      const bool is_directory = at->is_directory() && !at->is_symlink();
      if (!names.contains(name) && !name.starts_with(".cairn-migrate-") &&
          filter_.takes(join(directory, name), is_directory))
        others.push_back(name);
    }
    for (const std::string& name : others) {
      const std::string path = join(directory, name);
      if (copy_.removals_max && tally_.removed >= *copy_.removals_max) {
        ++tally_.kept;
        continue;
      }
      ++tally_.removed;
      output_.item("*deleting  ", path, {});
      if (args_.dry_run) continue;
      fs::remove_all(full(path), failure);
      if (failure) failed(path, errno_error("cannot remove it", failure.value()));
    }
  }

  Session& session_;
  const std::string target_;
  const RunArgs& args_;
  const CopyOptions& copy_;
  const Filter& filter_;
  Limiter& limiter_;
  Output& output_;
  const bool owner_;
  Tally tally_;
  std::vector<Remote> directories_;
  std::map<std::uint64_t, std::string> first_names_;
  std::vector<std::pair<std::string, std::string>> links_;
  std::mutex mutex_; // guards queue_ and listed_
  std::condition_variable changed_;
  std::deque<Remote> queue_;
  bool listed_ = false;
  std::vector<std::thread> threads_;
};

} // namespace

Entry entry_of(const wire::NsAttributes& attributes, const std::string& target) {
  Entry out;
  out.type = static_cast<NodeType>(attributes.type);
  out.mode = attributes.mode;
  out.uid = attributes.uid;
  out.gid = attributes.gid;
  out.nlink = attributes.nlink;
  out.size = out.is_regular() ? attributes.size : 0;
  out.inode = attributes.inode;
  out.rdev = attributes.rdev;
  out.mtime_s = attributes.mtime.seconds;
  out.mtime_ns = attributes.mtime.nanoseconds;
  out.target = target;
  return out;
}

Task<Status> know_destination(Destination& destination, Ledger& ledger) {
  std::vector<std::pair<std::string, std::uint64_t>> waiting;
  waiting.emplace_back("", destination.root());
  Ledger::Batch batch;
  while (!waiting.empty()) {
    const auto [path, inode] = std::move(waiting.back());
    waiting.pop_back();
    std::uint64_t cookie = 0;
    for (bool end = false; !end;) {
      CAIRN_CO_TRY(page, co_await destination.readdir(inode, cookie));
      end = page.end;
      for (const wire::NsEntry& entry : page.entries) {
        cookie = entry.cookie;
        if (entry.node.empty()) continue;
        FileRow row;
        row.seen = entry_of(entry.node.front().attributes, entry.node.front().target);
        row.dest_inode = entry.inode;
        const std::string child = join(path, entry.name);
        batch.put_file(child, row);
        if (row.seen.is_directory()) waiting.emplace_back(child, entry.inode);
      }
      if (batch.size() >= kBatchMax) {
        CAIRN_CO_RETURN_IF_ERROR(ledger.commit(batch));
        batch = {};
      }
    }
  }
  co_return ledger.commit(batch);
}

int pull(const Globals& globals, const RunArgs& args) {
  auto where = parse_destination(args.source);
  if (!where) return fail(globals, kSyntax, where.error());
  if (args.destination.starts_with(":/"))
    return fail(globals, kSyntax,
                Error{Errc::invalid_argument, "one side of a sync is a local tree"});
  auto output = Output::open(globals.output);
  if (!output) return fail(globals, kSyntax, output.error());
  Filter filter;
  for (const std::string& rule : args.copy.rules)
    if (const Status added = filter.add(rule); !added) return fail(globals, kSyntax, added.error());
  if (!args.copy.files_from.empty()) filter.only(args.copy.files_from);
  auto limiter = Limiter::parse(args.copy.bwlimit);
  if (!limiter) return fail(globals, kSyntax, limiter.error());
  auto client = client_options(globals);
  if (!client) return fail(globals, kSyntax, client.error());
  Session session(*client, *where, Timeout(std::chrono::seconds(30)));
  const Status opened = session.wait(session.destination().open(false));
  if (!opened)
    return fail(globals, opened.code() == Errc::not_found ? kSelection : kSocket, opened.error());
  std::string target = args.destination;
  while (target.size() > 1 && target.ends_with('/')) target.pop_back();
  if (!args.source.ends_with('/')) {
    const std::string_view last =
        where->path.empty() ? std::string_view(where->export_name) : name_of(where->path);
    target += "/" + std::string(last);
  }
  return Pull(session, target, args, filter, *limiter, **output).run();
}

} // namespace cairn::migrate
