// Counts under a lock.
#include "tracker/namespace/open_files.h"

namespace cairn::tracker {

bool OpenTable::hold(std::uint64_t ino) {
  const std::scoped_lock lock(mutex_);
  if (grace_ || inodes_.contains(ino)) return true;
  going_.insert(ino);
  return false;
}

void OpenTable::opened(std::uint64_t session, std::uint64_t ino) {
  const std::scoped_lock lock(mutex_);
  ++opens_[{session, ino}];
  ++inodes_[ino];
  new_.emplace_back(session, ino);
}

void OpenTable::settle(bool committed) {
  const std::scoped_lock lock(mutex_);
  if (!committed) {
    for (const auto& [session, ino] : new_) close_locked(session, ino, 1);
  }
  new_.clear();
  going_.clear();
}

bool OpenTable::open(std::uint64_t session, std::uint64_t ino) {
  const std::scoped_lock lock(mutex_);
  if (going_.contains(ino)) return false;
  ++opens_[{session, ino}];
  ++inodes_[ino];
  return true;
}

bool OpenTable::close_locked(std::uint64_t session, std::uint64_t ino, std::uint64_t times) {
  const auto found = opens_.find({session, ino});
  if (found == opens_.end()) return false;
  times = std::min(times, found->second);
  if ((found->second -= times) == 0) opens_.erase(found);
  const auto all = inodes_.find(ino);
  if ((all->second -= times) != 0) return false;
  inodes_.erase(all);
  return true;
}

bool OpenTable::close(std::uint64_t session, std::uint64_t ino) {
  const std::scoped_lock lock(mutex_);
  return close_locked(session, ino, 1);
}

std::vector<std::uint64_t> OpenTable::ended(std::uint64_t session) {
  const std::scoped_lock lock(mutex_);
  std::vector<std::uint64_t> closed;
  for (;;) {
    const auto next = opens_.lower_bound({session, 0});
    if (next == opens_.end() || next->first.first != session) return closed;
    const std::uint64_t ino = next->first.second;
    if (close_locked(session, ino, next->second)) closed.push_back(ino);
  }
}

bool OpenTable::is_open(std::uint64_t ino) const {
  const std::scoped_lock lock(mutex_);
  return grace_ || inodes_.contains(ino);
}

std::size_t OpenTable::count(std::uint64_t session) const {
  const std::scoped_lock lock(mutex_);
  std::size_t count = 0;
  for (auto at = opens_.lower_bound({session, 0}); at != opens_.end() && at->first.first == session;
       ++at)
    count += at->second;
  return count;
}

void OpenTable::set_grace(bool grace) {
  const std::scoped_lock lock(mutex_);
  grace_ = grace;
}

} // namespace cairn::tracker
