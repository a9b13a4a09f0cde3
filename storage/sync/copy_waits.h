// Changes that must be on several nodes before they are acknowledged: who waits for them, and what
// each peer has. Any thread.
#pragma once

#include "common/net/task.h"

#include <boost/asio/steady_timer.hpp>

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <vector>

namespace cairn::storage {

class CopyWaits {
public:
  // What a peer has of this node's log.
  struct PeerPosition {
    bool follows = false;             // connected, and tailing the log
    std::uint64_t through = 0;        // it has everything up to here
    std::vector<std::uint64_t> lacks; // but for these, which it could not take yet
  };

  // A peer has got further, has come or gone.
  void peer_has(std::uint32_t peer, PeerPosition position);
  void peer_gone(std::uint32_t peer);

  // Nodes that would have a change soon: this one and the peers that follow.
  unsigned reachable() const;

  // How many wait.
  std::size_t waiting() const;

  // Waits until `copies` nodes, this one included, have the change at `seq`, which is durable here.
  // Answers how many have it then: fewer when too few peers follow, or when `timeout` is over.
  Task<unsigned> wait(std::uint64_t seq, unsigned copies, std::chrono::milliseconds timeout);

private:
  struct Waiter {
    Waiter(asio::any_io_executor executor, unsigned wanted) : timer(executor), copies(wanted) {}
    asio::steady_timer timer; // of the waiter's thread
    const unsigned copies;
  };
  struct Count {
    unsigned have = 1;
    unsigned could = 1; // have, or would have soon
  };

  Count count(std::uint64_t seq) const; // mutex_ is held
  void wake_settled(std::uint64_t through);

  mutable std::mutex mutex_; // guards all below
  std::map<std::uint32_t, PeerPosition> peers_;
  std::multimap<std::uint64_t, std::shared_ptr<Waiter>> waiters_; // by seq
};

} // namespace cairn::storage
