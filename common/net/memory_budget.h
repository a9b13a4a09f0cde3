// Memory that the requests of all connections may take together, so that many of them at once are
// refused instead of growing the process without bound.
#pragma once

#include <atomic>
#include <cstdint>
#include <utility>

namespace cairn {

class MemoryBudget;

// Bytes taken from a budget; given back when it is destroyed. The budget outlives it. Empty (the
// default): nothing was taken.
class MemoryCharge {
public:
  MemoryCharge() = default;
  MemoryCharge(MemoryCharge&& other) noexcept
      : budget_(std::exchange(other.budget_, nullptr)), bytes_(std::exchange(other.bytes_, 0)) {}
  MemoryCharge& operator=(MemoryCharge&& other) noexcept {
    std::swap(budget_, other.budget_);
    std::swap(bytes_, other.bytes_);
    return *this;
  }
  ~MemoryCharge();

  explicit operator bool() const { return budget_ != nullptr; }

private:
  friend class MemoryBudget;
  MemoryCharge(MemoryBudget& budget, std::int64_t bytes) : budget_(&budget), bytes_(bytes) {}

  MemoryBudget* budget_ = nullptr;
  std::int64_t bytes_ = 0;
};

// Any thread.
class MemoryBudget {
public:
  explicit MemoryBudget(std::uint64_t bytes_max)
      : max_(static_cast<std::int64_t>(bytes_max)), left_(max_) {}

  // Takes `bytes`; an empty charge when they are not there (counted in refused()).
  MemoryCharge take(std::uint64_t bytes) {
    const auto wanted = static_cast<std::int64_t>(bytes);
    if (left_.fetch_sub(wanted) >= wanted) return {*this, wanted};
    left_.fetch_add(wanted);
    refused_.fetch_add(1, std::memory_order_relaxed);
    return {};
  }
  // Bytes taken now.
  std::uint64_t used() const {
    const std::int64_t left = left_.load();
    return left > max_ ? 0 : static_cast<std::uint64_t>(max_ - left);
  }
  // How often take() had to say no.
  std::uint64_t refused() const { return refused_.load(std::memory_order_relaxed); }

private:
  friend class MemoryCharge;

  const std::int64_t max_;
  std::atomic<std::int64_t> left_;
  std::atomic<std::uint64_t> refused_{0};
};

inline MemoryCharge::~MemoryCharge() {
  if (budget_ != nullptr) budget_->left_.fetch_add(bytes_);
}

} // namespace cairn
