// What to do after a request to one storage node failed: pure decisions, no sockets.
//
// A storage node stores an upload only after it has read the last byte of its body. So as long as
// that byte was not handed to our own socket nothing can have been stored, and another node may be
// tried; after it, only the node's answer tells.
#pragma once

#include "cairn/types.h"

#include <chrono>
#include <cstdint>
#include <map>
#include <vector>

namespace cairn {

// How far a request came.
enum class Reached : std::uint8_t {
  nothing, // no connection
  part,    // some of the request was sent, never its last byte
  sent,    // all of it was sent; nothing was heard
  answer,  // the node answered with a status
};

// What a request does when it is sent twice.
enum class Repeat : std::uint8_t {
  harmless, // reads; delete, truncate, modify, set metadata
  doubles,  // upload, append, regenerate, slave
};

enum class Verdict : std::uint8_t {
  fail,      // the error is the answer
  try_other, // ask another node
  unknown,   // it may have been carried out: report that, do not repeat
};

// Judges a failed request that came as far as `reached` and ended with `code`.
Verdict judge(Repeat repeat, Reached reached, Errc code);

// The error a caller gets for a request with Verdict::unknown.
Error unknown_outcome(const Error& cause);

// Remembers which daemons failed lately. An unhealthy one is asked after all healthy ones, never
// left out: it may be the only one. One thread.
class Health {
public:
  using Clock = std::chrono::steady_clock;

  // The daemon could not be reached or broke off.
  void failed(const Address& address, Clock::time_point now);
  // It answered (whatever it said).
  void answered(const Address& address) { failures_.erase(address); }
  bool healthy(const Address& address, Clock::time_point now) const;
  // `addresses` with the healthy ones first, otherwise in the same order.
  std::vector<Address> order(std::vector<Address> addresses, Clock::time_point now) const;

private:
  struct Failure {
    unsigned count = 0;
    Clock::time_point until; // not asked first before this
  };
  std::map<Address, Failure> failures_;
};

// The time one operation may take: in all, and without progress.
class Deadline {
public:
  using Clock = std::chrono::steady_clock;

  // `total` 0: no limit in all.
  Deadline(std::chrono::milliseconds total, std::chrono::milliseconds step,
           Clock::time_point now = Clock::now());

  bool passed(Clock::time_point now = Clock::now()) const { return now >= end_; }
  // The time until the next byte must have moved.
  std::chrono::milliseconds step(Clock::time_point now = Clock::now()) const;

private:
  Clock::time_point end_;
  std::chrono::milliseconds step_;
};

} // namespace cairn
