// The table of good copies.
#include "storage/store/good_copies.h"

#include <algorithm>
#include <bit>
#include <new>
#include <random>

namespace cairn::storage {

namespace {

std::uint64_t random_key() {
  std::random_device device;
  return std::uint64_t{device()} << 32 | device();
}

// The finaliser of splitmix64: every bit of the input reaches every bit of the result.
constexpr std::uint64_t mix(std::uint64_t value) {
  value = (value ^ value >> 30) * 0xBF58476D1CE4E5B9U;
  value = (value ^ value >> 27) * 0x94D049BB133111EBU;
  return value ^ value >> 31;
}

std::uint32_t seconds_of(GoodCopies::Time time) {
  const auto whole = std::chrono::duration_cast<std::chrono::seconds>(time.time_since_epoch());
  return static_cast<std::uint32_t>(whole.count()) + 1; // 0 is a free place
}

} // namespace

GoodCopies::GoodCopies(std::size_t count)
    : key_(random_key()), count_(std::bit_ceil(std::max<std::size_t>(1, count / kWays))) {
  // Not value-initialised by us: fresh pages are zero and cost nothing until they are used.
  buckets_.reset(static_cast<Bucket*>(std::calloc(count_, sizeof(Bucket))));
  if (!buckets_) throw std::bad_alloc();
}

std::uint64_t GoodCopies::mark_of(const CopyStamp& copy) const {
  std::uint64_t mark = mix(key_ ^ copy.device);
  mark = mix(mark ^ copy.inode);
  mark = mix(mark ^ copy.size);
  return mix(mark ^ static_cast<std::uint64_t>(copy.change_ns));
}

// All stamps that one inode has in its life share a bucket, so that a new one takes the place of
// the old ones in time.
std::size_t GoodCopies::bucket_of(const CopyStamp& copy) const {
  return mix(mix(key_ ^ copy.device) + copy.inode) & (count_ - 1);
}

bool GoodCopies::contains(const CopyStamp& copy, std::chrono::seconds believed, Time now) const {
  const std::uint64_t mark = mark_of(copy);
  const std::size_t index = bucket_of(copy);
  const std::lock_guard lock(mutex_of(index));
  const Bucket& bucket = buckets_[index];
  for (std::size_t way = 0; way < kWays; ++way)
    if (bucket.seconds[way] != 0 && bucket.marks[way] == mark)
      return std::int64_t{seconds_of(now)} - bucket.seconds[way] < believed.count();
  return false;
}

void GoodCopies::note(const CopyStamp& copy, Time now) {
  const std::uint64_t mark = mark_of(copy);
  const std::size_t index = bucket_of(copy);
  const std::lock_guard lock(mutex_of(index));
  Bucket& bucket = buckets_[index];
  std::size_t way = 0;
  while (way < kWays && (bucket.seconds[way] == 0 || bucket.marks[way] != mark)) ++way;
  if (way == kWays) // free places are the oldest of all
    way =
        static_cast<std::size_t>(std::ranges::min_element(bucket.seconds) - bucket.seconds.begin());
  bucket.marks[way] = mark;
  bucket.seconds[way] = seconds_of(now);
}

void GoodCopies::forget(const CopyStamp& copy) {
  const std::uint64_t mark = mark_of(copy);
  const std::size_t index = bucket_of(copy);
  const std::lock_guard lock(mutex_of(index));
  Bucket& bucket = buckets_[index];
  for (std::size_t way = 0; way < kWays; ++way)
    if (bucket.marks[way] == mark) bucket.seconds[way] = 0;
}

} // namespace cairn::storage
