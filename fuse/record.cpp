// Shared memory, and which of its slots are free.
#include "fuse/record.h"

#include <algorithm>
#include <cerrno>
#include <map>
#include <new>
#include <sys/mman.h>
#include <utility>

namespace cairn::fuse {

void Unmap::operator()(Record* record) const {
  ::munmap(record, sizeof(Record));
}

Result<SharedRecord> make_record() {
  void* const memory = ::mmap(nullptr, sizeof(Record), PROT_READ | PROT_WRITE,
                              MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) return errno_error("shared memory", errno);
  // It is all zeros, which is what an empty record is made of: nothing is touched.
  return SharedRecord(static_cast<Record*>(memory));
}

FreeSlots::FreeSlots(std::size_t count, std::atomic<std::uint32_t>& top,
                     const std::function<bool(std::uint32_t)>& is_taken)
    : count_(static_cast<std::uint32_t>(count)), top_(top) {
  for (std::uint32_t slot = top_; slot > 0; --slot) {
    if (!is_taken(slot - 1)) returned_.push_back(slot - 1); // the lowest comes last, and goes first
  }
}

std::uint32_t FreeSlots::take() {
  if (!returned_.empty()) {
    const std::uint32_t slot = returned_.back();
    returned_.pop_back();
    return slot;
  }
  return top_ < count_ ? top_++ : kNone;
}

FileRecords::FileRecords(Record& record)
    : record_(record),
      free_files_(Record::kFiles, record.files_top,
                  [&](std::uint32_t slot) { return record.files[slot].inode != 0; }),
      free_locks_(Record::kLocks, record.locks_top,
                  [&](std::uint32_t slot) { return record.locks[slot].taken != 0; }) {}

void FileRecords::file(Place& place, std::uint64_t inode, std::size_t handles, bool unstored) {
  const bool wanted = handles != 0 || unstored;
  if (place.file == FreeSlots::kNone) {
    if (!wanted) return;
    place.file = free_files_.take();
    if (place.file == FreeSlots::kNone) return;
  }
  FileSlot& slot = record_.files[place.file];
  slot.handles = static_cast<std::uint32_t>(handles);
  slot.unstored = unstored ? 1 : 0;
  slot.inode.store(wanted ? inode : 0, std::memory_order_release);
  if (!wanted) free_files_.give_back(std::exchange(place.file, FreeSlots::kNone));
}

void FileRecords::locks(Place& place, const std::vector<wire::NsLock>& held) {
  const std::vector<std::uint32_t> before = std::exchange(place.locks, {});
  for (const wire::NsLock& lock : held) {
    const std::uint32_t number = free_locks_.take();
    if (number == FreeSlots::kNone) break;
    LockSlot& slot = record_.locks[number];
    slot.kind = lock.kind;
    slot.type = lock.type;
    slot.pid = lock.pid;
    slot.inode = lock.inode;
    slot.owner = lock.owner;
    slot.start = lock.start;
    slot.end = lock.end;
    slot.taken.store(1, std::memory_order_release);
    place.locks.push_back(number);
  }
  for (const std::uint32_t number : before) {
    record_.locks[number].taken.store(0, std::memory_order_release);
    free_locks_.give_back(number);
  }
}

std::vector<FileRecords::Left> FileRecords::left() const {
  std::map<std::uint64_t, Left> found;
  for (std::uint32_t number = 0; number < record_.files_top; ++number) {
    const FileSlot& slot = record_.files[number];
    const std::uint64_t inode = slot.inode.load(std::memory_order_acquire);
    if (inode == 0) continue;
    Left& left = found[inode];
    left.inode = inode;
    left.handles = slot.handles;
    left.unstored = slot.unstored != 0;
    left.place.file = number;
  }
  for (std::uint32_t number = 0; number < record_.locks_top; ++number) {
    const LockSlot& slot = record_.locks[number];
    if (slot.taken.load(std::memory_order_acquire) == 0) continue;
    Left& left = found[slot.inode];
    left.inode = slot.inode;
    left.place.locks.push_back(number);
    wire::NsLock lock;
    lock.inode = slot.inode;
    lock.kind = slot.kind;
    lock.type = slot.type;
    lock.owner = slot.owner;
    lock.start = slot.start;
    lock.end = slot.end;
    lock.pid = slot.pid;
    left.locks.push_back(lock);
  }
  std::vector<Left> out;
  for (auto& [inode, left] : found) out.push_back(std::move(left));
  return out;
}

} // namespace cairn::fuse
