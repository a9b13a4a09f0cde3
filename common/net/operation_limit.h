// How many operations of one kind may be under way at once; more are refused at their beginning.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <utility>

namespace cairn {

class OperationLimit;

// One operation under way; it counts until it is destroyed. The limit outlives it. Empty: refused.
class OperationTicket {
public:
  OperationTicket() = default;
  OperationTicket(OperationTicket&& other) noexcept
      : limit_(std::exchange(other.limit_, nullptr)) {}
  OperationTicket& operator=(OperationTicket&& other) noexcept {
    std::swap(limit_, other.limit_);
    return *this;
  }
  ~OperationTicket();

  explicit operator bool() const { return limit_ != nullptr; }

private:
  friend class OperationLimit;
  explicit OperationTicket(OperationLimit& limit) : limit_(&limit) {}

  OperationLimit* limit_ = nullptr;
};

// Any thread.
class OperationLimit {
public:
  explicit OperationLimit(std::size_t at_once_max) : max_(at_once_max) {}

  // Begins one; an empty ticket when as many as allowed are under way.
  OperationTicket begin() {
    if (running_.fetch_add(1) < max_) return OperationTicket(*this);
    running_.fetch_sub(1);
    refused_.fetch_add(1, std::memory_order_relaxed);
    return {};
  }
  std::size_t running() const { return running_.load(); }
  std::uint64_t refused() const { return refused_.load(std::memory_order_relaxed); }

private:
  friend class OperationTicket;

  const std::size_t max_;
  std::atomic<std::size_t> running_{0};
  std::atomic<std::uint64_t> refused_{0};
};

inline OperationTicket::~OperationTicket() {
  if (limit_ != nullptr) limit_->running_.fetch_sub(1);
}

} // namespace cairn
