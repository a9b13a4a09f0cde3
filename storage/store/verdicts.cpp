// The table of verdicts.
#include "storage/store/verdicts.h"

#include <algorithm>

namespace cairn::storage {

Verdicts::Verdicts(std::chrono::seconds believed, Limits limits)
    : believed_(believed),
      shard_max_(std::max<std::size_t>(1, limits.detailed / shards_.size())),
      good_(limits.good) {}

Verdicts::Shard& Verdicts::shard_of(const CopyStamp& copy) {
  return shards_[copy.inode % shards_.size()];
}

const Verdicts::Shard& Verdicts::shard_of(const CopyStamp& copy) const {
  return shards_[copy.inode % shards_.size()];
}

Verdict Verdicts::find(const CopyStamp& copy, std::uint64_t offset, std::uint64_t length,
                       Time now) const {
  if (good_.contains(copy, believed_, now)) return Verdict::good;
  const Shard& shard = shard_of(copy);
  const std::lock_guard lock(shard.mutex);
  const auto found = shard.by_inode.find(Key{copy.device, copy.inode});
  if (found == shard.by_inode.end()) return Verdict::unknown;
  const Entry& entry = *found->second;
  if (entry.copy != copy || now - entry.time >= believed_) return Verdict::unknown;
  if (entry.block_size == 0) return Verdict::damaged;
  if (length == 0) return Verdict::good;
  const std::uint64_t last = (offset + length - 1) / entry.block_size;
  for (std::uint64_t block = offset / entry.block_size; block <= last; ++block)
    if (block >= entry.blocks->size() || !entry.blocks->test(block)) return Verdict::unknown;
  return Verdict::good;
}

// The entry of that inode, made anew unless it is of the same copy; in front. With the lock held.
Verdicts::Entry& Verdicts::entry_for(Shard& shard, const CopyStamp& copy) {
  const Key key{copy.device, copy.inode};
  const auto found = shard.by_inode.find(key);
  if (found != shard.by_inode.end()) {
    shard.entries.splice(shard.entries.begin(), shard.entries, found->second);
    Entry& entry = shard.entries.front();
    if (entry.copy != copy) entry = Entry{copy, {}, 0, nullptr};
    return entry;
  }
  if (shard.entries.size() >= shard_max_) {
    const CopyStamp& oldest = shard.entries.back().copy;
    shard.by_inode.erase(Key{oldest.device, oldest.inode});
    shard.entries.pop_back();
  }
  shard.entries.push_front(Entry{copy, {}, 0, nullptr});
  shard.by_inode.emplace(key, shard.entries.begin());
  return shard.entries.front();
}

void Verdicts::note_good(const CopyStamp& copy, Time now) {
  forget_details(copy);
  good_.note(copy, now);
}

void Verdicts::note_good(const CopyStamp& copy, std::uint64_t block_size, FileSums::Span blocks,
                         Time now) {
  Shard& shard = shard_of(copy);
  const std::lock_guard lock(shard.mutex);
  Entry& entry = entry_for(shard, copy);
  const bool fits = entry.block_size == block_size && now - entry.time < believed_;
  // The time is that of the first blocks: none is believed for longer than it should be.
  if (!fits) entry = Entry{copy, now, block_size, std::make_unique<Blocks>()};
  for (std::uint64_t block = blocks.from; block < blocks.to; ++block) entry.blocks->set(block);
}

void Verdicts::note_damaged(const CopyStamp& copy, Time now) {
  good_.forget(copy);
  Shard& shard = shard_of(copy);
  const std::lock_guard lock(shard.mutex);
  entry_for(shard, copy) = Entry{copy, now, 0, nullptr};
}

void Verdicts::forget_details(const CopyStamp& copy) {
  Shard& shard = shard_of(copy);
  const std::lock_guard lock(shard.mutex);
  const auto found = shard.by_inode.find(Key{copy.device, copy.inode});
  if (found == shard.by_inode.end()) return;
  shard.entries.erase(found->second);
  shard.by_inode.erase(found);
}

} // namespace cairn::storage
