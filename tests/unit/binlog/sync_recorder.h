// Knows which bytes of the files below a directory are on stable storage: the unit tests' fsync(),
// fdatasync() and syncfs() do what libc's do and tell it. What a power loss would take is the rest.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <mutex>
#include <string>

namespace cairn {

class SyncRecorder {
public:
  // Records from now on, until it is destroyed; one at a time.
  explicit SyncRecorder(std::filesystem::path root);
  ~SyncRecorder();
  SyncRecorder(const SyncRecorder&) = delete;
  SyncRecorder& operator=(const SyncRecorder&) = delete;

  // File -> bytes that are durable. Files without an entry may be lost.
  std::map<std::string, std::uint64_t> durable() const;

  // For the system calls: what is durable once they return is what was there when they began.
  using Sizes = std::map<std::string, std::uint64_t>;
  Sizes size_of(int fd) const;
  Sizes all_sizes() const;
  void note(const Sizes& sizes);

private:
  const std::filesystem::path root_;
  mutable std::mutex mutex_;
  std::map<std::string, std::uint64_t> durable_;
};

} // namespace cairn
