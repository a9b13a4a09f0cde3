// Store paths: opening, choosing, free space, failures, and what a crash leaves behind.
#include "common/base/text.h"
#include "storage/store/store.h"

#include <spdlog/spdlog.h>

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

namespace cairn::storage {

namespace fs = std::filesystem;

namespace {

// Home of files without a name yet (O_TMPFILE) and of the name a replacing file has for a moment;
// the nginx samples deny dot-directories.
constexpr const char* kTemporary = ".tmp";
// What a node remembers of its copies: at most 3 MiB for the good ones and 2 MiB for the others.
constexpr Verdicts::Limits kRemembered{256 * 1024, 8 * 1024};

// Two daemons on one store path would not see each other's changes. The lock ends with its
// descriptor.
Status lock_directory(int fd, const fs::path& root) {
  if (::flock(fd, LOCK_EX | LOCK_NB) == 0) return Status();
  return Error{Errc::busy,
               "store path " + root.string() + " is in use by another storage node already"};
}

std::uint64_t to_bytes(unsigned long blocks, const struct statvfs& info) {
  return static_cast<std::uint64_t>(blocks) * info.f_frsize;
}

} // namespace

Store::Store(const config::StorageConfig& config)
    : config_(config), verdicts_(config.verify_interval, kRemembered) {}

Store::~Store() {
  drain(); // jobs use the descriptors
  for (auto& path : paths_)
    if (path->data_fd >= 0) ::close(path->data_fd);
}

void Store::drain() {
  for (auto& path : paths_)
    for (DiskPool* pool : {path->probe_pool.get(), path->pool.get(), path->read_pool.get()})
      if (pool != nullptr) pool->drain();
}

Status Store::check_paths(const config::StorageConfig& config) {
  for (const auto& wanted : config.store_paths) {
    std::error_code error;
    if (!fs::is_directory(wanted.path, error))
      return Error{Errc::not_found, "store path " + wanted.path.string() +
                                        " is not a directory; create it or mount its disk"};
    const fs::path data = wanted.path / "data";
    const bool made = fs::exists(data, error);
    if (!wanted.readonly && ::access((made ? data : wanted.path).c_str(), W_OK | X_OK) != 0)
      return Error{Errc::denied, "store path " + wanted.path.string() + " cannot be written to"};
    if (!made) continue;
    const File fd(::open(data.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!fd) return errno_error("open " + data.string(), errno);
    CAIRN_RETURN_IF_ERROR(lock_directory(fd.get(), wanted.path));
  }
  return Status();
}

Result<std::unique_ptr<Store>> Store::open(const config::StorageConfig& config) {
  CAIRN_RETURN_IF_ERROR(check_paths(config));
  std::unique_ptr<Store> store(new Store(config));
  for (const auto& wanted : config.store_paths) {
    auto path = std::make_unique<Path>();
    path->root = wanted.path;
    path->readonly = wanted.readonly;
    const fs::path data = wanted.path / "data";
    std::error_code error;
    fs::create_directories(data / kTemporary, error);
    if (error)
      return Error{Errc::denied, "store path " + wanted.path.string() +
                                     " cannot be written to: " + error.message()};
    path->data_fd = ::open(data.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (path->data_fd < 0) return errno_error("open " + data.string(), errno);
    CAIRN_RETURN_IF_ERROR(lock_directory(path->data_fd, wanted.path));
    if (!wanted.readonly) {
      const File probe(::openat(path->data_fd, kTemporary, O_TMPFILE | O_WRONLY | O_CLOEXEC, 0600));
      if (!probe)
        return Error{Errc::unsupported,
                     "the file system of store path " + wanted.path.string() +
                         " has no unnamed files (O_TMPFILE); use ext4, xfs or btrfs"};
    }
    // Names stay well spread over restarts without a counter on disk: an empty path begins in
    // 00/00, others at a random directory.
    if (fs::exists(data / "00", error))
      path->directory_turn = random_u64() % 65536 * config.file_distribute_rotate_count;
    path->has_side_sums = fs::exists(data / ".sums", error);
    const std::size_t index = store->paths_.size();
    path->pool = std::make_unique<DiskPool>("disk" + std::to_string(index), config.disk_threads);
    path->read_pool =
        std::make_unique<DiskPool>("read" + std::to_string(index), config.disk_threads);
    path->probe_pool = std::make_unique<DiskPool>("probe" + std::to_string(index), 1);
    if (const Error failed = store->read_usage(*path); failed.code != Errc::ok) return failed;
    store->paths_.push_back(std::move(path));
  }
  CAIRN_TRY(tombstones, Tombstones::open(config.base_path / "data" / "tombstones",
                                         config.durability == config::Durability::durable));
  store->read_unclean_stop();
  store->tombstones_ = std::move(tombstones);
  return store;
}

Status Store::check(const RemoteName& name) const {
  if (name.store_path() >= paths_.size())
    return Error{Errc::invalid_argument, "no store path for " + std::string(name.text())};
  return Status();
}

std::optional<SpaceHold> Store::room(Path& path, std::uint64_t size) const {
  if (path.readonly || path.state != static_cast<std::uint8_t>(wire::PathState::ok))
    return std::nullopt;
  const config::ReservedSpace& reserved = config_.reserved_storage_space;
  return path.space.hold(size, reserved.is_percent ? reserved.of(path.space.usage().total_bytes)
                                                   : reserved.bytes / paths_.size());
}

Result<Place> Store::choose_path(std::uint8_t wanted, std::uint64_t size) {
  if (wanted != 0xFF && wanted >= paths_.size())
    return Error{Errc::invalid_argument, "store path index " + std::to_string(wanted)};
  if (wanted != 0xFF)
    if (auto held = room(*paths_[wanted], size)) return Place{wanted, *std::move(held)};
  const std::size_t count = paths_.size();
  const std::size_t start = path_turn_++;
  for (std::size_t i = 0; i < count; ++i) {
    const std::size_t index = (start + i) % count;
    if (auto held = room(*paths_[index], size))
      return Place{static_cast<std::uint8_t>(index), *std::move(held)};
  }
  return Error{Errc::no_space, "no store path has room for " + std::to_string(size) + " bytes"};
}

Store::Directory Store::next_directory(Path& path) {
  const std::uint64_t turn = path.directory_turn.fetch_add(1, std::memory_order_relaxed);
  const std::uint64_t width = config_.subdir_count_per_path;
  if (config_.file_distribute_path_mode == config::DistributePath::hash) {
    const std::uint64_t random = random_u64();
    return {static_cast<std::uint8_t>(random % width),
            static_cast<std::uint8_t>((random >> 32) % width)};
  }
  // As FastDFS: fill one directory, then the next low one, then the next high one. Filling in turn
  // is five times faster than spreading: the directory's block stays in memory.
  const std::uint64_t directory = turn / config_.file_distribute_rotate_count % (width * width);
  return {static_cast<std::uint8_t>(directory / width),
          static_cast<std::uint8_t>(directory % width)};
}

Error Store::fail(Path& path, Error error) {
  if (error.code == Errc::io_error || error.code == Errc::not_permitted) {
    const std::lock_guard lock(path.health_mutex);
    if (path.health.met_error(error.detail))
      spdlog::error("store path is read-only from now on path={} cause={}", path.root.string(),
                    error.detail);
    path.state = static_cast<std::uint8_t>(path.health.state());
  } else if (error.code == Errc::no_space) {
    path.space.exhausted(); // until the next refresh_usage()
  }
  return error;
}

Error Store::read_usage(Path& path) const {
  struct statvfs info {};
  if (::fstatvfs(path.data_fd, &info) != 0)
    return errno_error("statvfs " + path.root.string(), errno);
  wire::PathUsage usage;
  usage.total_bytes = to_bytes(info.f_blocks, info);
  usage.free_bytes = to_bytes(info.f_bavail, info);
  usage.total_inodes = info.f_files;
  usage.free_inodes = info.f_favail;
  path.space.measured(usage);
  return Errc::ok;
}

void Store::refresh_usage() {
  for (auto& path : paths_) {
    const auto now = PathHealth::Clock::now();
    const std::lock_guard lock(path->health_mutex);
    if (path->health.tick(now, path->pool->longest_running()))
      spdlog::error("store path is out path={} cause={}", path->root.string(),
                    path->health.cause());
    path->state = static_cast<std::uint8_t>(path->health.state());
    if (!path->health.may_probe()) continue;
    path->health.probe_began(now, path->health.wants_write() && !path->readonly);
    path->probe_pool->post([this, raw = path.get()] { probe(*raw); });
  }
}

// Runs on the path's probe thread.
void Store::probe(Path& path) {
  bool writes = false;
  {
    const std::lock_guard lock(path.health_mutex);
    writes = path.health.probe_writes();
  }
  Error failed = read_usage(path);
  if (failed.code == Errc::ok && writes) {
    const File file(::openat(path.data_fd, kTemporary, O_TMPFILE | O_WRONLY | O_CLOEXEC, 0600));
    const bool good = file && ::write(file.get(), "x", 1) == 1 && ::fdatasync(file.get()) == 0;
    // A full disk works: choose_path() knows that it is full.
    if (!good && errno != ENOSPC && errno != EDQUOT)
      failed = errno_error("a test write to " + path.root.string(), errno);
  }
  const std::lock_guard lock(path.health_mutex);
  const std::string before = path.health.cause();
  if (!path.health.probe_ended(PathHealth::Clock::now(), failed.detail)) return;
  path.state = static_cast<std::uint8_t>(path.health.state());
  if (path.health.state() == wire::PathState::ok)
    spdlog::info("store path is back path={} after={}", path.root.string(), before);
  else
    spdlog::error("store path takes no new files path={} cause={}", path.root.string(),
                  path.health.cause());
}

std::vector<PathStatus> Store::status() const {
  std::vector<PathStatus> all;
  for (const auto& path : paths_) {
    PathStatus status;
    status.root = path->root;
    status.usage = path->space.usage();
    status.usage.state = path->readonly ? wire::PathState::read_only
                                        : static_cast<wire::PathState>(path->state.load());
    status.readonly = path->readonly;
    status.files = path->files;
    status.queued = path->pool->queued() + path->read_pool->queued();
    const std::lock_guard lock(path->health_mutex);
    status.failure = path->health.cause();
    all.push_back(std::move(status));
  }
  return all;
}

Status Store::sync_files() {
  const std::lock_guard lock(sync_mutex_);
  Status status;
  for (auto& path : paths_) {
    if (!path->dirty.exchange(false)) continue;
    if (::syncfs(path->data_fd) == 0) continue;
    path->dirty = true;
    Error error = fail(*path, "syncfs " + path->root.string(), errno);
    if (status) status = std::move(error);
  }
  return status;
}

void Store::sweep() {
  for (auto& path : paths_) {
    const int fd = ::openat(path->data_fd, kTemporary, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) continue;
    DIR* directory = ::fdopendir(fd);
    if (directory == nullptr) {
      ::close(fd);
      continue;
    }
    while (const dirent* entry = ::readdir(directory)) {
      if (entry->d_name[0] != '.') ::unlinkat(fd, entry->d_name, 0);
    }
    ::closedir(directory);
  }
}

} // namespace cairn::storage
