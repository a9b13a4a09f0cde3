// What the next worker must know when this one is killed: the kernel's questions without an answer,
// open files and whether something written to them is lost, locks, and the tracker's session. It
// lies in memory that the supervisor shares with its workers and is changed in place, so a worker
// may die between any two instructions: what is taken is marked before it is filled in, what is
// given back is marked last. Only one worker lives at a time.
#pragma once

#include "common/base/result.h"
#include "common/wire/namespace_ops.h"

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

namespace cairn::fuse {

// A question of the kernel that was read and not answered.
struct RequestSlot {
  // Enough of every question that may be asked again: a header and one name.
  static constexpr std::size_t kKept = 496;

  std::atomic<std::uint32_t> taken;       // something is read into it, or waits for its answer
  std::atomic<std::uint32_t> interrupted; // the caller has got a signal
  std::uint32_t tries;                    // workers that died while they had it
  std::uint32_t unused;
  // As the kernel wrote it, cut at the end. Its length, which comes first, is 0 before that.
  std::array<std::byte, kKept> message;
};

// A file that programs have open.
struct FileSlot {
  std::atomic<std::uint64_t> inode; // 0: free
  std::uint32_t handles;            // that the kernel has
  std::uint32_t unstored;           // something is written and not committed, or lost and not told
};

struct LockSlot {
  std::atomic<std::uint32_t> taken;
  wire::NsLockKind kind;
  wire::NsLockType type;
  std::uint32_t pid;
  std::uint64_t inode;
  std::uint64_t owner;
  std::uint64_t start;
  std::uint64_t end;
};

// As the tracker gave it: see wire::NsAttachReply.
struct SessionSlot {
  std::atomic<std::uint64_t> number; // 0: none yet
  std::uint64_t token;
  std::uint64_t root; // what is mounted, not the export's root
  std::uint64_t extent_bytes;
  std::uint32_t lease_ms;
  std::uint32_t copies;
  std::array<char, 40> cluster_uuid;   // text, zeros behind it
  std::atomic<std::uint64_t> sequence; // the last one that a change was numbered with
  std::atomic<std::uint64_t> seen; // log position: the kernel was told of all that changed before
};

struct Record {
  // More than are ever open; what does not fit is served all the same, but unknown to the next
  // worker. Slots that were never taken cost no memory.
  static constexpr std::size_t kRequests = 16'384;
  static constexpr std::size_t kFiles = 65'536;
  static constexpr std::size_t kLocks = 16'384;

  std::uint32_t worker; // 1 is the first one; constant during its life
  // Of each array: from there on no slot was ever taken.
  std::atomic<std::uint32_t> requests_top;
  std::atomic<std::uint32_t> files_top;
  std::atomic<std::uint32_t> locks_top;
  // The kernel's first question, whose answer is what both sides agreed on.
  std::atomic<std::uint32_t> init_size;
  std::atomic<std::uint32_t> init_answered;
  std::array<std::byte, RequestSlot::kKept> init;
  SessionSlot session;
  std::array<RequestSlot, kRequests> requests;
  std::array<FileSlot, kFiles> files;
  std::array<LockSlot, kLocks> locks;
};
static_assert(std::atomic<std::uint64_t>::is_always_lock_free);

struct Unmap {
  void operator()(Record* record) const;
};
using SharedRecord = std::unique_ptr<Record, Unmap>;

// An empty one that children of this process share. Errors: that of mmap(2).
Result<SharedRecord> make_record();

// Which slots of an array are free: in the worker's own memory, made from the record when it
// begins.
class FreeSlots {
public:
  static constexpr std::uint32_t kNone = UINT32_MAX;

  // Of `count` slots, of which none from `top` on was ever taken; `is_taken(slot)` tells of others.
  FreeSlots(std::size_t count, std::atomic<std::uint32_t>& top,
            const std::function<bool(std::uint32_t)>& is_taken);
  // A low one, or kNone.
  std::uint32_t take();
  void give_back(std::uint32_t slot) { returned_.push_back(slot); }

private:
  std::uint32_t count_;
  std::atomic<std::uint32_t>& top_;
  std::vector<std::uint32_t> returned_;
};

// The part of the record that tells of open files: kept by the mount's loop, slot by slot.
class FileRecords {
public:
  explicit FileRecords(Record& record);

  // Where a file and its locks are recorded: kept with the file, changed by nobody else.
  struct Place {
    std::uint32_t file = FreeSlots::kNone;
    std::vector<std::uint32_t> locks;
  };
  // How it is now. Without handles and `unstored` it needs no slot.
  void file(Place& place, std::uint64_t inode, std::size_t handles, bool unstored);
  // All locks on it.
  void locks(Place& place, const std::vector<wire::NsLock>& held);

  // What a former worker left; empty for the first.
  struct Left {
    std::uint64_t inode = 0;
    std::size_t handles = 0;
    bool unstored = false;
    Place place;
    std::vector<wire::NsLock> locks;
  };
  std::vector<Left> left() const;

private:
  Record& record_;
  FreeSlots free_files_;
  FreeSlots free_locks_;
};

} // namespace cairn::fuse
