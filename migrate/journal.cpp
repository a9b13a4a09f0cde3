// fanotify, inotify, or the clock.
#include "migrate/journal.h"

#include "common/base/text.h"
#include "migrate/entry.h"

#include <array>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <poll.h>
#include <sys/fanotify.h>
#include <sys/inotify.h>
#include <sys/statfs.h>
#include <thread>
#include <unistd.h>
#include <unordered_map>

namespace cairn::migrate {

namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

// More changed directories than that are scanned as a whole.
constexpr std::size_t kDirectoriesMax = 50'000;

// A descriptor that is closed.
class Descriptor {
public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  Descriptor(Descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Descriptor& operator=(Descriptor&&) = delete;
  int get() const { return fd_; }

private:
  int fd_;
};

bool is_network(const std::string& root) {
  struct statfs status {};
  if (::statfs(root.c_str(), &status) != 0) return false;
  // NFS, SMB (both numbers), FUSE: changes of other machines are not seen.
  static constexpr std::array<std::uint32_t, 4> kMagics = {0x6969, 0xFF534D42, 0xFE534D42,
                                                           0x65735546};
  for (const std::uint32_t magic : kMagics)
    if (static_cast<std::uint32_t>(status.f_type) == magic) return true;
  return false;
}

void add(JournalChanges& changes, std::string directory) {
  if (!changes.oldest) changes.oldest = Clock::now();
  if (changes.directories.size() < kDirectoriesMax) {
    changes.directories.insert(std::move(directory));
  } else {
    changes.everything = true;
    changes.directories.clear();
  }
}

bool readable(int fd, std::chrono::milliseconds most) {
  pollfd waiting{fd, POLLIN, 0};
  return ::poll(&waiting, 1, static_cast<int>(most.count())) > 0;
}

// --- fanotify ------------------------------------------------------------------------------------

class Fanotify final : public Journal {
public:
  static Result<std::unique_ptr<Journal>> make(const std::string& root) {
    Descriptor events(::fanotify_init(
        FAN_CLASS_NOTIF | FAN_REPORT_DFID_NAME | FAN_CLOEXEC | FAN_NONBLOCK | FAN_UNLIMITED_QUEUE,
        O_RDONLY | O_CLOEXEC));
    if (events.get() < 0) return errno_error("fanotify", errno);
    Descriptor mount(::open(root.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (mount.get() < 0) return errno_error(root, errno);
    const std::uint64_t mask = FAN_CREATE | FAN_DELETE | FAN_MOVED_FROM | FAN_MOVED_TO |
                               FAN_CLOSE_WRITE | FAN_ATTRIB | FAN_ONDIR;
    if (::fanotify_mark(events.get(), FAN_MARK_ADD | FAN_MARK_FILESYSTEM, mask, AT_FDCWD,
                        root.c_str()) != 0)
      return errno_error("fanotify on " + root, errno);
    return std::unique_ptr<Journal>(new Fanotify(root, std::move(events), std::move(mount)));
  }

  std::string_view name() const override { return "fanotify"; }

  JournalChanges take(std::chrono::milliseconds most) override {
    JournalChanges out;
    if (!readable(events_.get(), most)) return out;
    alignas(fanotify_event_metadata) std::array<char, 64 * 1024> buffer{};
    for (;;) {
      const ssize_t size = ::read(events_.get(), buffer.data(), buffer.size());
      if (size <= 0) return out;
      auto* event = reinterpret_cast<fanotify_event_metadata*>(buffer.data());
      for (ssize_t left = size; FAN_EVENT_OK(event, left); event = FAN_EVENT_NEXT(event, left))
        read_event(*event, out);
    }
  }

private:
  Fanotify(std::string root, Descriptor events, Descriptor mount)
      : root_(std::move(root)), events_(std::move(events)), mount_(std::move(mount)) {}

  void read_event(const fanotify_event_metadata& event, JournalChanges& out) {
    if (event.fd >= 0) ::close(event.fd);
    if ((event.mask & FAN_Q_OVERFLOW) != 0) {
      out.everything = true;
      if (!out.oldest) out.oldest = Clock::now();
      return;
    }
    const auto* begin = reinterpret_cast<const char*>(&event);
    for (std::size_t at = event.metadata_len;
         at + sizeof(fanotify_event_info_fid) <= event.event_len;) {
      const auto* info = reinterpret_cast<const fanotify_event_info_fid*>(begin + at);
      if (info->hdr.len == 0) return;
      at += info->hdr.len;
      if (info->hdr.info_type != FAN_EVENT_INFO_TYPE_DFID_NAME &&
          info->hdr.info_type != FAN_EVENT_INFO_TYPE_DFID)
        continue;
      // The handle is of the directory, its name was already resolved by the kernel.
      auto* handle = reinterpret_cast<file_handle*>(const_cast<unsigned char*>(info->handle));
      const Descriptor directory(::open_by_handle_at(mount_.get(), handle, O_PATH | O_CLOEXEC));
      // It is gone; what held it has an event of its own.
      if (directory.get() < 0) continue;
      std::array<char, 4096> target{};
      const std::string link = "/proc/self/fd/" + std::to_string(directory.get());
      const ssize_t length = ::readlink(link.c_str(), target.data(), target.size());
      if (length <= 0) continue;
      const std::string_view path(target.data(), static_cast<std::size_t>(length));
      if (path == root_)
        add(out, {});
      else if (path.starts_with(root_) && path[root_.size()] == '/')
        add(out, std::string(path.substr(root_.size() + 1)));
    }
  }

  std::string root_;
  Descriptor events_;
  Descriptor mount_;
};

// --- inotify -------------------------------------------------------------------------------------

class Inotify final : public Journal {
public:
  static Result<std::unique_ptr<Journal>> make(const std::string& root) {
    Descriptor events(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
    if (events.get() < 0) return errno_error("inotify", errno);
    std::unique_ptr<Inotify> out(new Inotify(root, std::move(events)));
    CAIRN_RETURN_IF_ERROR(out->watch_tree(""));
    return std::unique_ptr<Journal>(std::move(out));
  }

  std::string_view name() const override { return "inotify"; }

  JournalChanges take(std::chrono::milliseconds most) override {
    JournalChanges out;
    if (!readable(events_.get(), most)) return out;
    alignas(inotify_event) std::array<char, 64 * 1024> buffer{};
    bool moved = false;
    for (;;) {
      const ssize_t size = ::read(events_.get(), buffer.data(), buffer.size());
      if (size <= 0) break;
      for (ssize_t at = 0; at < size;) {
        const auto* event = reinterpret_cast<const inotify_event*>(buffer.data() + at);
        at += static_cast<ssize_t>(sizeof(inotify_event) + event->len);
        moved = read_event(*event, out) || moved;
      }
    }
    if (moved || out.everything) begin_again(out);
    return out;
  }

private:
  Inotify(std::string root, Descriptor events)
      : root_(std::move(root)), events_(std::move(events)) {}

  static constexpr std::uint32_t kMask = IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO |
                                         IN_CLOSE_WRITE | IN_ATTRIB | IN_ONLYDIR | IN_DONT_FOLLOW;

  // Errors: no_space (the system allows no more watches).
  Status watch_tree(const std::string& top) {
    std::vector<std::string> waiting{top};
    while (!waiting.empty()) {
      const std::string path = std::move(waiting.back());
      waiting.pop_back();
      const std::string full = path.empty() ? root_ : root_ + "/" + path;
      const int watch = ::inotify_add_watch(events_.get(), full.c_str(), kMask);
      if (watch < 0) {
        if (errno == ENOSPC)
          return Error{Errc::no_space, "more directories than fs.inotify.max_user_watches allows"};
        continue; // gone, or not ours to see
      }
      paths_[watch] = path;
      std::error_code failure;
      for (fs::directory_iterator at(full, failure), end; !failure && at != end;
           at.increment(failure)) {
        std::error_code ignored;
        if (at->symlink_status(ignored).type() == fs::file_type::directory)
          waiting.push_back(join(path, at->path().filename().native()));
      }
    }
    return {};
  }

  // True: a directory was moved, and paths of watches are no longer what they were.
  bool read_event(const inotify_event& event, JournalChanges& out) {
    if ((event.mask & IN_Q_OVERFLOW) != 0) {
      out.everything = true;
      return false;
    }
    const auto found = paths_.find(event.wd);
    if (found == paths_.end()) return false;
    if ((event.mask & IN_IGNORED) != 0) {
      paths_.erase(found);
      return false;
    }
    const std::string directory = found->second;
    add(out, directory);
    if ((event.mask & IN_ISDIR) == 0 || event.len == 0) return false;
    if ((event.mask & (IN_CREATE | IN_MOVED_TO)) != 0) {
      // What was put into it before the watch is found by listing it.
      const std::string made = join(directory, event.name);
      if (!watch_tree(made)) out.everything = true;
      add(out, made);
    }
    return (event.mask & IN_MOVED_FROM) != 0;
  }

  void begin_again(JournalChanges& out) {
    for (const auto& [watch, path] : paths_) ::inotify_rm_watch(events_.get(), watch);
    paths_.clear();
    static_cast<void>(watch_tree(""));
    out.everything = true;
    if (!out.oldest) out.oldest = Clock::now();
  }

  std::string root_;
  Descriptor events_;
  std::unordered_map<int, std::string> paths_;
};

// --- the clock -----------------------------------------------------------------------------------

class Rescan final : public Journal {
public:
  explicit Rescan(std::chrono::seconds every) : every_(every), last_(Clock::now()) {}

  std::string_view name() const override { return "rescan"; }

  JournalChanges take(std::chrono::milliseconds most) override {
    JournalChanges out;
    const auto next = last_ + every_;
    std::this_thread::sleep_until(std::min(next, Clock::now() + most));
    if (Clock::now() < next) return out;
    out.everything = true;
    out.oldest = last_; // it may have happened any time since
    last_ = Clock::now();
    return out;
  }

private:
  std::chrono::seconds every_;
  Clock::time_point last_;
};

} // namespace

Result<WatchOptions> parse_watch(std::string_view text) {
  WatchOptions out;
  if (text.empty() || text == "best") return out;
  const std::size_t colon = text.find(':');
  const std::string_view how = text.substr(0, colon);
  if (how == "fanotify")
    out.how = WatchOptions::How::fanotify;
  else if (how == "inotify")
    out.how = WatchOptions::How::inotify;
  else if (how == "rescan")
    out.how = WatchOptions::How::rescan;
  else
    return Error{Errc::invalid_argument,
                 "--watch is fanotify, inotify or rescan:TIME, not '" + std::string(text) + "'"};
  if (colon == std::string_view::npos) return out;
  CAIRN_TRY(every, parse_duration(text.substr(colon + 1)));
  if (every.count() == 0) return Error{Errc::invalid_argument, "a rescan every 0 seconds"};
  out.rescan_every = every;
  return out;
}

Result<std::unique_ptr<Journal>> Journal::start(const std::string& root,
                                                const WatchOptions& options) {
  using How = WatchOptions::How;
  if (options.how == How::fanotify) return Fanotify::make(root);
  if (options.how == How::inotify) return Inotify::make(root);
  if (options.how == How::best && !is_network(root)) {
    if (auto best = Fanotify::make(root)) return best;
    if (auto next = Inotify::make(root)) return next;
  }
  return std::unique_ptr<Journal>(std::make_unique<Rescan>(options.rescan_every));
}

} // namespace cairn::migrate
