// Copies that were read and found right as a whole, many of them in little memory: a fixed table of
// marks, four to a bucket, of which the oldest gives way. Forgetting one costs a verification, no
// more. Any thread.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <sys/stat.h>

namespace cairn::storage {

// Which bytes on which disk, as one fstat tells.
struct CopyStamp {
  std::uint64_t device = 0;
  std::uint64_t inode = 0;
  std::uint64_t size = 0;     // bytes
  std::int64_t change_ns = 0; // st_ctim, nanoseconds since the epoch

  friend bool operator==(const CopyStamp&, const CopyStamp&) = default;
};

inline CopyStamp copy_stamp(const struct stat& info) {
  return {static_cast<std::uint64_t>(info.st_dev), static_cast<std::uint64_t>(info.st_ino),
          static_cast<std::uint64_t>(info.st_size),
          std::int64_t{info.st_ctim.tv_sec} * 1'000'000'000 + info.st_ctim.tv_nsec};
}

class GoodCopies {
public:
  using Time = std::chrono::steady_clock::time_point;

  // Room for about `count` copies, 12 bytes each; memory is taken as it is needed.
  explicit GoodCopies(std::size_t count);

  // Whether that very copy was noted less than `believed` ago (to the second).
  bool contains(const CopyStamp& copy, std::chrono::seconds believed, Time now) const;
  void note(const CopyStamp& copy, Time now);
  void forget(const CopyStamp& copy);

private:
  static constexpr std::size_t kWays = 4;
  // 64 bits of a keyed hash of the stamp: that two of a bucket meet is less likely than a disk
  // error that the checksum does not see.
  struct Bucket {
    std::array<std::uint64_t, kWays> marks;
    std::array<std::uint32_t, kWays> seconds; // of the steady clock; 0: free
  };
  struct Free {
    void operator()(Bucket* buckets) const { std::free(buckets); }
  };

  std::uint64_t mark_of(const CopyStamp& copy) const;
  std::size_t bucket_of(const CopyStamp& copy) const;
  std::mutex& mutex_of(std::size_t bucket) const { return mutexes_[bucket % mutexes_.size()]; }

  const std::uint64_t key_; // random, so that no file can be made to look like another
  const std::size_t count_; // of buckets, a power of two
  std::unique_ptr<Bucket[], Free> buckets_;
  mutable std::array<std::mutex, 64> mutexes_; // each guards every 64th bucket
};

} // namespace cairn::storage
