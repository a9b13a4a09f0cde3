// What a run has done so far, counted by all its parts. Any thread.
#pragma once

#include <atomic>
#include <cstdint>

namespace cairn::migrate {

struct Tally {
  std::atomic<std::uint64_t> files{0};  // content stored
  std::atomic<std::uint64_t> bytes{0};  // of those
  std::atomic<std::uint64_t> cloned{0}; // of the files: taken over, sharing their bytes
  std::atomic<std::uint64_t> linked{0}; // of the files: taken over as they are
  std::atomic<std::uint64_t> shared{0}; // of the files: with the content of others
  std::atomic<std::uint64_t> shared_bytes{0};
  std::atomic<std::uint64_t> unchanged{0}; // looked at again, and the destination had it
  std::atomic<std::uint64_t> attributes{0};
  std::atomic<std::uint64_t> directories{0};
  std::atomic<std::uint64_t> symlinks{0};
  std::atomic<std::uint64_t> hard_links{0};
  std::atomic<std::uint64_t> specials{0};
  std::atomic<std::uint64_t> removed{0};
  std::atomic<std::uint64_t> kept{0}; // not removed: --max-delete, or other things in a directory
  std::atomic<std::uint64_t> vanished{0};
  std::atomic<std::uint64_t> failed{0};
  std::atomic<std::uint64_t> short_copies{0};
  // By --existing, --ignore-existing, --update; of FastDFS, uploads under way.
  std::atomic<std::uint64_t> left_out{0};
  std::atomic<std::uint64_t> retries{0};
  std::atomic<std::uint64_t> readers{0}; // allowed at a time now

  std::uint64_t changes() const {
    return files + attributes + directories + symlinks + hard_links + specials + removed;
  }
};

} // namespace cairn::migrate
