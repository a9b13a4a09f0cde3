// What is known of a file that is open here: where its bytes are, what was written to it and is not
// committed, the locks that are held on it. Lives on the mount's loop.
#pragma once

#include "client/namespace_session.h"
#include "fuse/dirty.h"
#include "fuse/record.h"

#include <boost/asio/steady_timer.hpp>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <deque>
#include <memory>
#include <vector>

namespace cairn::fuse {

// Writes that became one stored file and one commit.
struct Batch {
  DirtyRanges ranges;
  bool append = false; // offsets count from wherever the end is when it is committed
  wire::NsTime written;
  NsIdentity writer;
  bool stored = false; // or failed: see error
  bool lost = false;   // nobody waits for it any more
  int error = 0;
  std::vector<wire::NsExtent> extents; // of ranges.joined()
};

// Content of a small file, fetched while it is being opened.
struct Ahead {
  // `all` counts the bytes of all of them, and outlives them.
  Ahead(const asio::any_io_executor& executor, std::uint64_t version, std::uint64_t size,
        std::uint64_t& all)
      : data_version(version),
        bytes(static_cast<std::size_t>(size)),
        fetched(executor, asio::steady_timer::time_point::max()),
        all_(all) {
    all_ += bytes.size();
  }
  ~Ahead() { all_ -= bytes.size(); }
  Ahead(const Ahead&) = delete;
  Ahead& operator=(const Ahead&) = delete;

  const std::uint64_t data_version;
  const std::chrono::steady_clock::time_point begun = std::chrono::steady_clock::now();
  wire::Bytes bytes; // as many from the beginning on
  bool done = false;
  bool good = false;          // when done
  asio::steady_timer fetched; // cancelled then; never armed, so many may wait

private:
  std::uint64_t& all_;
};

struct Node {
  Node(const asio::any_io_executor& executor, std::uint64_t number)
      : inode(number), changed(executor, asio::steady_timer::time_point::max()) {}

  const std::uint64_t inode;
  std::size_t opens = 0;    // as the tracker was told
  std::size_t handles = 0;  // of these, that the kernel has
  FileRecords::Place place; // where this is recorded

  // Content as it was committed. `generation` grows whenever that may have changed.
  bool known = false;
  std::uint64_t generation = 0;
  std::uint64_t committed_size = 0;
  std::uint64_t data_version = 0;
  std::vector<wire::NsExtent> extents; // all of them, when `known`
  std::shared_ptr<Ahead> ahead;        // until it is read, or is of no use

  // Written here. What is being stored comes first, then what is not yet.
  std::deque<std::shared_ptr<Batch>> flushing;
  bool committing = false; // somebody commits what is in `flushing`
  DirtyRanges dirty;
  bool dirty_append = false;
  wire::NsTime written;
  NsIdentity writer;
  std::chrono::steady_clock::time_point dirty_since;
  int error = 0; // of a write that could not be kept: told once, by fsync or close

  std::vector<wire::NsLock> locks; // granted

  // Cancelled whenever something of this has changed. Never armed, so many may wait.
  asio::steady_timer changed;

  bool is_clean() const { return dirty.empty() && flushing.empty(); }
  // As a reader here sees it.
  std::uint64_t size() const {
    std::uint64_t out = std::max(committed_size, dirty.end());
    for (const auto& batch : flushing) out = std::max(out, batch->ranges.end());
    return out;
  }
  void forget_content() {
    known = false;
    ++generation;
    extents.clear();
  }
};

} // namespace cairn::fuse
