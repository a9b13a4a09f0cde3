// The sums.
#include "storage/store/space.h"

#include <algorithm>

namespace cairn::storage {

namespace {

// Inodes kept free; a twentieth on small file systems.
constexpr std::uint64_t kInodesReserved = 1000;

std::uint64_t less(std::uint64_t value, std::uint64_t by) {
  return value > by ? value - by : 0;
}

} // namespace

void Space::measured(const wire::PathUsage& usage) {
  const std::lock_guard lock(mutex_);
  measured_ = usage;
}

void Space::exhausted() {
  const std::lock_guard lock(mutex_);
  measured_.free_bytes = 0;
}

wire::PathUsage Space::usage() const {
  const std::lock_guard lock(mutex_);
  wire::PathUsage usage = measured_;
  usage.free_bytes = less(usage.free_bytes, promised_bytes_);
  usage.free_inodes = less(usage.free_inodes, promised_files_);
  return usage;
}

std::optional<SpaceHold> Space::hold(std::uint64_t bytes, std::uint64_t reserved_bytes) {
  const std::lock_guard lock(mutex_);
  const std::uint64_t free = less(measured_.free_bytes, promised_bytes_);
  if (free <= bytes || free - bytes <= reserved_bytes) return std::nullopt;
  // Some file systems have no fixed number of inodes and say 0.
  const std::uint64_t keep = std::min(kInodesReserved, measured_.total_inodes / 20);
  if (measured_.total_inodes != 0 && less(measured_.free_inodes, promised_files_) <= keep)
    return std::nullopt;
  promised_bytes_ += bytes;
  promised_files_ += 1;
  return SpaceHold(*this, bytes);
}

void Space::release(std::uint64_t bytes) {
  const std::lock_guard lock(mutex_);
  promised_bytes_ -= bytes;
  promised_files_ -= 1;
  // It was used, as far as is known before the next measurement.
  measured_.free_bytes = less(measured_.free_bytes, bytes);
  measured_.free_inodes = less(measured_.free_inodes, 1);
}

SpaceHold::~SpaceHold() {
  if (space_ != nullptr) space_->release(bytes_);
}

} // namespace cairn::storage
