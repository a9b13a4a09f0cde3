// Who caches what: which sessions watch which inodes, and the latest events, so that each hears of
// what it may have in a cache. Kept in memory; a session that was away too long drops its caches.
#pragma once

#include "tracker/namespace/batch.h"

#include <cstdint>
#include <deque>
#include <map>
#include <unordered_map>
#include <vector>

namespace cairn::tracker {

class Watches {
public:
  // Inodes a session may watch; the oldest is dropped for a new one, with an event that says so.
  static constexpr std::size_t kInodesMax = 65'536;
  // Events kept for sessions that come back.
  static constexpr std::size_t kEventsMax = 100'000;

  // What one session is to be told.
  struct Told {
    std::uint64_t session = 0;
    std::uint64_t position = 0; // of the last of them
    std::vector<wire::NsEvent> events;
  };

  // `session` caches `ino` from an answer that was true at `position`. Answers what it has to be
  // told at once: events since then, and inodes that are watched no longer.
  Told watch(std::uint64_t session, std::uint64_t ino, std::uint64_t position);
  void unwatch(std::uint64_t session, std::uint64_t ino);
  // Forgets a session.
  void ended(std::uint64_t session);
  // A batch was committed: who has to hear what.
  std::vector<Told> publish(const std::vector<Published>& events);
  // What `session` missed since `position`. False: nobody knows, everything must be dropped.
  bool missed(std::uint64_t session, std::uint64_t position, Told& told) const;
  std::size_t count(std::uint64_t session) const;
  std::size_t events() const { return ring_.size(); }

private:
  struct Session {
    std::unordered_map<std::uint64_t, std::uint64_t> inodes;   // and when: a number in `order`
    std::deque<std::pair<std::uint64_t, std::uint64_t>> order; // number, inode; some outdated
    std::uint64_t next = 0;
  };

  std::map<std::uint64_t, Session> sessions_;
  std::unordered_map<std::uint64_t, std::vector<std::uint64_t>> watchers_; // by inode
  std::deque<Published> ring_;
  std::uint64_t oldest_ = 0; // position of the last event that has left the ring
};

} // namespace cairn::tracker
