// What is known of the copies on this node's disks without reading them: which were verified, when,
// and which are damaged. A verdict holds for one inode as long as its size and change time stay the
// same, and for verify_interval at most. In memory, the oldest go first. Any thread.
#pragma once

#include "storage/store/file_sums.h"
#include "storage/store/good_copies.h"

#include <array>
#include <bitset>
#include <chrono>
#include <cstdint>
#include <list>
#include <memory>
#include <mutex>
#include <unordered_map>

namespace cairn::storage {

enum class Verdict : std::uint8_t {
  unknown, // verify it
  good,
  damaged,
};

class Verdicts {
public:
  using Time = std::chrono::steady_clock::time_point;

  // What to remember at most, the oldest goes first.
  struct Limits {
    std::size_t good = 0;     // copies that are right as a whole: 12 bytes each
    std::size_t detailed = 0; // damaged ones, and those verified in part: up to 250 bytes each
  };

  // A verdict is believed for `believed`.
  Verdicts(std::chrono::seconds believed, Limits limits);

  // What is known of [offset, offset + length) of that copy.
  Verdict find(const CopyStamp& copy, std::uint64_t offset, std::uint64_t length, Time now) const;
  // The whole content is right.
  void note_good(const CopyStamp& copy, Time now);
  // Blocks [first, last) of `block_size` bytes are right; they add up over calls with the same
  // stamp and block size.
  void note_good(const CopyStamp& copy, std::uint64_t block_size, FileSums::Span blocks, Time now);
  void note_damaged(const CopyStamp& copy, Time now);

private:
  using Blocks = std::bitset<FileSums::kBlocksMax>;
  struct Entry {
    CopyStamp copy;
    Time time;
    std::uint64_t block_size = 0;   // 0: damaged
    std::unique_ptr<Blocks> blocks; // those that are right
  };
  struct Key {
    std::uint64_t device;
    std::uint64_t inode;
    friend bool operator==(const Key&, const Key&) = default;
  };
  struct KeyHash {
    std::size_t operator()(const Key& key) const {
      return static_cast<std::size_t>((key.inode ^ key.device << 40) * 0x9E3779B97F4A7C15U);
    }
  };
  // Spread over several, so that I/O threads do not wait for each other.
  struct Shard {
    mutable std::mutex mutex; // guards the rest
    std::list<Entry> entries; // newest verdict first
    std::unordered_map<Key, std::list<Entry>::iterator, KeyHash> by_inode;
  };

  Shard& shard_of(const CopyStamp& copy);
  const Shard& shard_of(const CopyStamp& copy) const;
  Entry& entry_for(Shard& shard, const CopyStamp& copy);
  void forget_details(const CopyStamp& copy);

  const std::chrono::seconds believed_;
  const std::size_t shard_max_;
  GoodCopies good_;
  std::array<Shard, 16> shards_;
};

} // namespace cairn::storage
