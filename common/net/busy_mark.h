// Counts a request while it is handled, so that a stopping daemon knows when the last one is done.
#pragma once

#include <atomic>
#include <cstddef>

namespace cairn {

class BusyMark {
public:
  // `busy` outlives the mark; null: nothing is counted.
  explicit BusyMark(std::atomic<std::size_t>* busy) : busy_(busy) {
    if (busy_ != nullptr) ++*busy_;
  }
  BusyMark(const BusyMark&) = delete;
  BusyMark& operator=(const BusyMark&) = delete;
  ~BusyMark() {
    if (busy_ != nullptr) --*busy_;
  }

private:
  std::atomic<std::size_t>* busy_;
};

} // namespace cairn
