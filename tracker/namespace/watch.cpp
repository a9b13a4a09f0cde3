// Two indexes and a ring.
#include "tracker/namespace/watch.h"

#include <algorithm>
#include <utility>

namespace cairn::tracker {

Watches::Told Watches::watch(std::uint64_t session, std::uint64_t ino, std::uint64_t position) {
  Told told;
  told.session = session;
  Session& of = sessions_[session];
  const auto [at, made] = of.inodes.try_emplace(ino, 0);
  at->second = ++of.next;
  of.order.emplace_back(of.next, ino);
  if (made) watchers_[ino].push_back(session);
  // Whatever came between the answer and now was not told, since it was not watched yet.
  for (auto event = ring_.rbegin(); event != ring_.rend() && event->position > position; ++event) {
    if (event->event.inode != ino || event->session == session) continue;
    told.position = std::max(told.position, event->position);
    told.events.push_back(event->event);
  }
  if (position < oldest_) {
    // Something may have been forgotten already: the answer is not to be kept.
    wire::NsEvent event;
    event.kind = wire::NsEventKind::forgotten;
    event.inode = ino;
    told.position = std::max(told.position, ring_.empty() ? oldest_ : ring_.back().position);
    told.events.push_back(std::move(event));
  }
  while (of.inodes.size() > kInodesMax || of.order.size() > 4 * kInodesMax) {
    const auto [number, oldest] = of.order.front();
    of.order.pop_front();
    const auto found = of.inodes.find(oldest);
    if (found == of.inodes.end() || found->second != number) continue;
    unwatch(session, oldest);
    wire::NsEvent event;
    event.kind = wire::NsEventKind::forgotten;
    event.inode = oldest;
    told.position = std::max(told.position, position);
    told.events.push_back(std::move(event));
  }
  return told;
}

void Watches::unwatch(std::uint64_t session, std::uint64_t ino) {
  const auto of = sessions_.find(session);
  if (of == sessions_.end() || of->second.inodes.erase(ino) == 0) return;
  const auto found = watchers_.find(ino);
  std::erase(found->second, session);
  if (found->second.empty()) watchers_.erase(found);
}

void Watches::ended(std::uint64_t session) {
  const auto of = sessions_.find(session);
  if (of == sessions_.end()) return;
  for (const auto& [ino, number] : of->second.inodes) {
    const auto found = watchers_.find(ino);
    std::erase(found->second, session);
    if (found->second.empty()) watchers_.erase(found);
  }
  sessions_.erase(of);
}

std::vector<Watches::Told> Watches::publish(const std::vector<Published>& events) {
  std::map<std::uint64_t, Told> told;
  for (const Published& event : events) {
    ring_.push_back(event);
    const auto found = watchers_.find(event.event.inode);
    if (found == watchers_.end()) continue;
    for (const std::uint64_t session : found->second) {
      if (session == event.session) continue; // its own answer tells it
      Told& one = told[session];
      one.session = session;
      one.position = event.position;
      one.events.push_back(event.event);
    }
  }
  while (ring_.size() > kEventsMax) {
    oldest_ = ring_.front().position;
    ring_.pop_front();
  }
  std::vector<Told> out;
  for (auto& [session, one] : told) out.push_back(std::move(one));
  return out;
}

bool Watches::missed(std::uint64_t session, std::uint64_t position, Told& told) const {
  const auto of = sessions_.find(session);
  if (of == sessions_.end() || position < oldest_) return false;
  told.session = session;
  told.position = position;
  for (const Published& event : ring_) {
    if (event.position <= position || event.session == session ||
        !of->second.inodes.contains(event.event.inode))
      continue;
    told.position = event.position;
    told.events.push_back(event.event);
  }
  return true;
}

std::size_t Watches::count(std::uint64_t session) const {
  const auto of = sessions_.find(session);
  return of == sessions_.end() ? 0 : of->second.inodes.size();
}

} // namespace cairn::tracker
