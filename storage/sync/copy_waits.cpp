// Counting copies, and waking those who wait for them.
#include "storage/sync/copy_waits.h"

#include <boost/asio/post.hpp>
#include <boost/asio/this_coro.hpp>

#include <algorithm>
#include <limits>
#include <utility>

namespace cairn::storage {

CopyWaits::Count CopyWaits::count(std::uint64_t seq) const {
  Count count;
  for (const auto& [id, peer] : peers_) {
    const bool has = peer.through >= seq &&
                     std::find(peer.lacks.begin(), peer.lacks.end(), seq) == peer.lacks.end();
    if (has) ++count.have;
    if (has || peer.follows) ++count.could;
  }
  return count;
}

// Wakes those up to `through` that have what they wait for, or cannot get it. mutex_ is held.
void CopyWaits::wake_settled(std::uint64_t through) {
  for (auto at = waiters_.begin(); at != waiters_.end() && at->first <= through;) {
    const Count now = count(at->first);
    if (now.have < at->second->copies && now.could >= at->second->copies) {
      ++at;
      continue;
    }
    // On the waiter's own thread: its timer may not have been started yet.
    const auto executor = at->second->timer.get_executor();
    asio::post(executor, [waiter = at->second] { waiter->timer.cancel(); });
    at = waiters_.erase(at);
  }
}

void CopyWaits::peer_has(std::uint32_t peer, PeerPosition position) {
  const std::lock_guard lock(mutex_);
  PeerPosition& known = peers_[peer];
  const bool left = known.follows && !position.follows;
  const std::uint64_t through = left ? std::numeric_limits<std::uint64_t>::max() : position.through;
  known = std::move(position);
  wake_settled(through);
}

void CopyWaits::peer_gone(std::uint32_t peer) {
  const std::lock_guard lock(mutex_);
  if (peers_.erase(peer) > 0) wake_settled(std::numeric_limits<std::uint64_t>::max());
}

unsigned CopyWaits::reachable() const {
  const std::lock_guard lock(mutex_);
  return 1 +
         static_cast<unsigned>(std::count_if(
             peers_.begin(), peers_.end(), [](const auto& entry) { return entry.second.follows; }));
}

std::size_t CopyWaits::waiting() const {
  const std::lock_guard lock(mutex_);
  return waiters_.size();
}

Task<unsigned> CopyWaits::wait(std::uint64_t seq, unsigned copies,
                               std::chrono::milliseconds timeout) {
  const auto waiter = std::make_shared<Waiter>(co_await asio::this_coro::executor, copies);
  {
    const std::lock_guard lock(mutex_);
    const Count now = count(seq);
    if (now.have >= copies || now.could < copies) co_return now.have;
    waiters_.emplace(seq, waiter);
  }
  waiter->timer.expires_after(timeout);
  const auto ended = co_await waiter->timer.async_wait(as_result);
  (void)ended; // settled or over: the count says
  const std::lock_guard lock(mutex_);
  const auto [first, last] = waiters_.equal_range(seq);
  const auto own =
      std::find_if(first, last, [&waiter](const auto& entry) { return entry.second == waiter; });
  if (own != last) waiters_.erase(own);
  co_return count(seq).have;
}

} // namespace cairn::storage
