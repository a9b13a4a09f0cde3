// Ranges that split and join, and queues.
#include "tracker/namespace/locks.h"

#include <algorithm>
#include <utility>

namespace cairn::tracker {

using wire::NsLock;
using wire::NsLockKind;
using wire::NsLockType;

bool LockTable::blocks(const Held& held, const Owner& owner, const NsLock& request) {
  if (held.kind != request.kind || held.owner == owner) return false;
  if (held.type == NsLockType::read && request.type == NsLockType::read) return false;
  return held.start <= request.end && request.start <= held.end;
}

void LockTable::apply(File& file, const Owner& owner, const NsLock& request) {
  // What the owner held in the range gives way; what sticks out stays.
  std::vector<Held> next;
  for (const Held& held : file.held) {
    if (held.owner != owner || held.kind != request.kind || held.end < request.start ||
        held.start > request.end) {
      next.push_back(held);
      continue;
    }
    if (held.start < request.start) {
      Held left = held;
      left.end = request.start - 1;
      next.push_back(left);
    }
    if (held.end > request.end) {
      Held right = held;
      right.start = request.end + 1;
      next.push_back(right);
    }
  }
  if (request.type != NsLockType::unlock) {
    Held held;
    held.owner = owner;
    held.kind = request.kind;
    held.type = request.type;
    held.start = request.start;
    held.end = request.end;
    held.pid = request.pid;
    // Neighbours of the same kind become one, so that a file locked byte by byte stays small.
    std::erase_if(next, [&](const Held& other) {
      const bool touches = other.owner == owner && other.kind == held.kind &&
                           other.type == held.type &&
                           ((other.end < held.start && other.end + 1 == held.start) ||
                            (held.end < other.start && held.end + 1 == other.start));
      if (!touches) return false;
      held.start = std::min(held.start, other.start);
      held.end = std::max(held.end, other.end);
      return true;
    });
    next.push_back(held);
  }
  file.held = std::move(next);
}

bool LockTable::would_deadlock(const Owner& owner, const NsLock& request) const {
  // Follows who waits for whom, from those in the way of the request back to its owner.
  std::set<Owner> seen;
  std::vector<Owner> todo;
  const auto add_blockers = [&](const File& file, const Owner& of, const NsLock& wanted) {
    for (const Held& held : file.held) {
      if (blocks(held, of, wanted) && seen.insert(held.owner).second) todo.push_back(held.owner);
    }
  };
  const auto at = files_.find(request.inode);
  if (at != files_.end()) add_blockers(at->second, owner, request);
  while (!todo.empty()) {
    const Owner next = todo.back();
    todo.pop_back();
    if (next == owner) return true;
    for (const auto& [inode, file] : files_) {
      for (const Waiting& waiting : file.waiting) {
        const Owner who{waiting.session, waiting.request.owner};
        if (who == next && waiting.request.kind == NsLockKind::posix)
          add_blockers(file, who, waiting.request);
      }
    }
  }
  return false;
}

LockTable::Verdict LockTable::set(std::uint64_t session, const NsLock& request,
                                  std::uint64_t ticket) {
  const Owner owner{session, request.owner};
  if (request.type == NsLockType::unlock) {
    const auto at = files_.find(request.inode);
    if (at == files_.end()) return Verdict::granted;
    apply(at->second, owner, request);
    wake(at);
    return Verdict::granted;
  }
  const auto at = files_.try_emplace(request.inode).first;
  File& file = at->second;
  const auto in_way = [&](const Held& held) { return blocks(held, owner, request); };
  if (std::ranges::any_of(file.held, in_way)) {
    if (!request.wait) return Verdict::refused;
    if (request.kind == NsLockKind::posix && would_deadlock(owner, request))
      return Verdict::deadlock;
    if (file.waiting.size() >= kHeldMax) return Verdict::too_many;
    file.waiting.push_back(Waiting{session, request, ticket});
    return Verdict::waits;
  }
  if (file.held.size() >= kHeldMax) return Verdict::too_many;
  apply(file, owner, request);
  // A write lock that became a read lock lets others in.
  wake(at);
  return Verdict::granted;
}

void LockTable::wake(std::map<std::uint64_t, File>::iterator at) {
  File& file = at->second;
  for (bool again = true; again;) {
    again = false;
    for (auto next = file.waiting.begin(); next != file.waiting.end(); ++next) {
      const Owner owner{next->session, next->request.owner};
      const auto in_way = [&](const Held& held) { return blocks(held, owner, next->request); };
      if (std::ranges::any_of(file.held, in_way)) continue;
      apply(file, owner, next->request);
      granted_.push_back(next->ticket);
      file.waiting.erase(next);
      again = true;
      break;
    }
  }
  if (file.held.empty() && file.waiting.empty()) files_.erase(at);
}

std::optional<LockTable::Held> LockTable::conflict(std::uint64_t session,
                                                   const NsLock& request) const {
  const auto at = files_.find(request.inode);
  if (at == files_.end()) return std::nullopt;
  const Owner owner{session, request.owner};
  std::optional<Held> first;
  for (const Held& held : at->second.held) {
    if (blocks(held, owner, request) && (!first || held.start < first->start)) first = held;
  }
  return first;
}

bool LockTable::cancel(std::uint64_t ticket) {
  for (auto at = files_.begin(); at != files_.end(); ++at) {
    auto& waiting = at->second.waiting;
    const auto found = std::ranges::find(waiting, ticket, &Waiting::ticket);
    if (found == waiting.end()) continue;
    waiting.erase(found);
    if (at->second.held.empty() && waiting.empty()) files_.erase(at);
    return true;
  }
  return false;
}

void LockTable::closed(std::uint64_t session, std::uint64_t inode, std::uint64_t owner) {
  NsLock all;
  all.inode = inode;
  all.type = NsLockType::unlock;
  all.owner = owner;
  all.end = UINT64_MAX;
  set(session, all, 0);
}

void LockTable::ended(std::uint64_t session) {
  for (auto at = files_.begin(); at != files_.end();) {
    const auto next = std::next(at);
    File& file = at->second;
    const auto of_session = [&](const Held& held) { return held.owner.session == session; };
    std::erase_if(file.waiting, [&](const Waiting& w) { return w.session == session; });
    std::erase_if(file.held, of_session);
    wake(at);
    at = next;
  }
}

std::vector<std::uint64_t> LockTable::take_granted() {
  return std::exchange(granted_, {});
}

std::size_t LockTable::count(std::uint64_t session) const {
  std::size_t count = 0;
  for (const auto& [inode, file] : files_)
    count += static_cast<std::size_t>(std::ranges::count_if(
        file.held, [&](const Held& held) { return held.owner.session == session; }));
  return count;
}

std::size_t LockTable::waiting() const {
  std::size_t count = 0;
  for (const auto& [inode, file] : files_) count += file.waiting.size();
  return count;
}

} // namespace cairn::tracker
