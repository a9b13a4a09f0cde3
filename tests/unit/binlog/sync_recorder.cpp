// The recorder, and the system calls that tell it.
#include "tests/unit/binlog/sync_recorder.h"

#include <algorithm>
#include <atomic>
#include <sys/syscall.h>
#include <unistd.h>

namespace cairn {

namespace {

std::atomic<SyncRecorder*> recorder{nullptr};

} // namespace

SyncRecorder::SyncRecorder(std::filesystem::path root) : root_(std::move(root)) {
  recorder = this;
}

SyncRecorder::~SyncRecorder() {
  recorder = nullptr;
}

std::map<std::string, std::uint64_t> SyncRecorder::durable() const {
  const std::lock_guard lock(mutex_);
  return durable_;
}

SyncRecorder::Sizes SyncRecorder::size_of(int fd) const {
  char path[4096];
  const std::string link = "/proc/self/fd/" + std::to_string(fd);
  const ssize_t length = ::readlink(link.c_str(), path, sizeof path);
  if (length <= 0) return {};
  const std::string file(path, static_cast<std::size_t>(length));
  std::error_code error;
  const std::uint64_t size = std::filesystem::file_size(file, error);
  if (error || !file.starts_with(root_.string())) return {};
  return {{file, size}};
}

SyncRecorder::Sizes SyncRecorder::all_sizes() const {
  Sizes sizes;
  std::error_code error;
  using Walk = std::filesystem::recursive_directory_iterator;
  for (auto entry = Walk(root_, error); !error && entry != Walk(); entry.increment(error)) {
    std::error_code gone;
    if (entry->is_regular_file(gone)) sizes[entry->path().string()] = entry->file_size(gone);
  }
  return sizes;
}

void SyncRecorder::note(const Sizes& sizes) {
  const std::lock_guard lock(mutex_);
  for (const auto& [file, size] : sizes) durable_[file] = std::max(durable_[file], size);
}

} // namespace cairn

// In place of libc's, for this program. While a recorder listens the disk is left alone: it is
// shared, and what a crash takes is decided by the test.
extern "C" int fdatasync(int fd) {
  auto* const told = cairn::recorder.load();
  if (told == nullptr) return static_cast<int>(::syscall(SYS_fdatasync, fd));
  told->note(told->size_of(fd));
  return 0;
}

extern "C" int fsync(int fd) {
  auto* const told = cairn::recorder.load();
  if (told == nullptr) return static_cast<int>(::syscall(SYS_fsync, fd));
  told->note(told->size_of(fd));
  return 0;
}

extern "C" int syncfs(int fd) noexcept {
  auto* const told = cairn::recorder.load();
  if (told == nullptr) return static_cast<int>(::syscall(SYS_syncfs, fd));
  told->note(told->all_sizes());
  return 0;
}
