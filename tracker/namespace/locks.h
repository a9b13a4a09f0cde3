// Advisory locks between sessions: fcntl byte ranges and flock, who holds and who waits. Kept in
// memory only: a session tells its locks again after a restart of the tracker.
#pragma once

#include "common/wire/namespace_ops.h"

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <set>
#include <vector>

namespace cairn::tracker {

class LockTable {
public:
  // Somebody who may hold locks.
  struct Owner {
    std::uint64_t session = 0;
    std::uint64_t number = 0; // of the session
    friend auto operator<=>(const Owner&, const Owner&) = default;
  };
  struct Held {
    Owner owner;
    wire::NsLockKind kind = wire::NsLockKind::posix;
    wire::NsLockType type = wire::NsLockType::read;
    std::uint64_t start = 0;
    std::uint64_t end = 0; // included
    std::uint32_t pid = 0;
  };
  enum class Verdict { granted, refused, waits, deadlock, too_many };

  // Takes, changes or (type unlock) frees a lock. What waits is named by `ticket`, which is never
  // used for two.
  Verdict set(std::uint64_t session, const wire::NsLock& request, std::uint64_t ticket);
  // The first lock in the way of `request`, if any.
  std::optional<Held> conflict(std::uint64_t session, const wire::NsLock& request) const;
  // Gives up a request that waits; false when it does not wait (any more).
  bool cancel(std::uint64_t ticket);
  // A file was closed: its POSIX locks of this owner go.
  void closed(std::uint64_t session, std::uint64_t inode, std::uint64_t owner);
  // Everything of a session goes, also what it waits for.
  void ended(std::uint64_t session);

  // Requests that have been granted since the last call, by ticket, first come first served.
  std::vector<std::uint64_t> take_granted();
  // Locks that `session` holds.
  std::size_t count(std::uint64_t session) const;
  std::size_t waiting() const;

private:
  struct Waiting {
    std::uint64_t session = 0;
    wire::NsLock request;
    std::uint64_t ticket = 0;
  };
  struct File {
    std::vector<Held> held;
    std::deque<Waiting> waiting;
  };

  static constexpr std::size_t kHeldMax = 4096; // of one inode

  static bool blocks(const Held& held, const Owner& owner, const wire::NsLock& request);
  static void apply(File& file, const Owner& owner, const wire::NsLock& request);
  bool would_deadlock(const Owner& owner, const wire::NsLock& request) const;
  void wake(std::map<std::uint64_t, File>::iterator at);

  std::map<std::uint64_t, File> files_; // by inode
  std::vector<std::uint64_t> granted_;
};

} // namespace cairn::tracker
