// The decisions of retry.h.
#include "client/retry.h"

#include <algorithm>

namespace cairn {

namespace {

constexpr std::chrono::milliseconds kPenaltyMin{500};
constexpr std::chrono::milliseconds kPenaltyMax{30'000};

// Statuses by which a node says "not here, not now": it has done nothing.
bool is_refusal(Errc code) {
  switch (code) {
    case Errc::unavailable:
    case Errc::no_space:
    case Errc::busy:
    case Errc::no_net:
    case Errc::out_of_memory:
      return true;
    default:
      return false;
  }
}

// Statuses that another node may not share: its own disk, copy or peer is at fault.
bool is_local_trouble(Errc code) {
  return is_refusal(code) || code == Errc::timeout || code == Errc::closed ||
         code == Errc::io_error || code == Errc::corrupt;
}

} // namespace

Verdict judge(Repeat repeat, Reached reached, Errc code) {
  switch (reached) {
    case Reached::nothing:
    case Reached::part:
      return Verdict::try_other;
    case Reached::sent:
      return repeat == Repeat::harmless ? Verdict::try_other : Verdict::unknown;
    case Reached::answer:
      break;
  }
  if (repeat == Repeat::harmless)
    return is_local_trouble(code) ? Verdict::try_other : Verdict::fail;
  if (is_refusal(code)) return Verdict::try_other;
  // The node itself does not know how a copy or the owner fared: the file may stay.
  if (code == Errc::timeout || code == Errc::closed) return Verdict::unknown;
  return Verdict::fail;
}

Error unknown_outcome(const Error& cause) {
  Error error(Errc::timeout,
              cause.detail + ": no answer after everything was sent; it may have been carried out");
  error.outcome_unknown = true;
  return error;
}

void Health::failed(const Address& address, Clock::time_point now) {
  Failure& failure = failures_[address];
  const auto penalty = kPenaltyMin * (1U << std::min(failure.count, 6U));
  failure.count += 1;
  failure.until = now + std::min<std::chrono::milliseconds>(penalty, kPenaltyMax);
}

bool Health::healthy(const Address& address, Clock::time_point now) const {
  const auto found = failures_.find(address);
  return found == failures_.end() || found->second.until <= now;
}

std::vector<Address> Health::order(std::vector<Address> addresses, Clock::time_point now) const {
  std::stable_partition(addresses.begin(), addresses.end(),
                        [&](const Address& a) { return healthy(a, now); });
  return addresses;
}

Deadline::Deadline(std::chrono::milliseconds total, std::chrono::milliseconds step,
                   Clock::time_point now)
    : end_(total.count() > 0 ? now + total : Clock::time_point::max()), step_(step) {}

std::chrono::milliseconds Deadline::step(Clock::time_point now) const {
  if (end_ == Clock::time_point::max()) return step_;
  const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(end_ - now);
  return std::clamp(left, std::chrono::milliseconds(1), step_);
}

} // namespace cairn
