// What a node remembers for a moment about others, so that it does not ask again and again: names
// that nobody had, and endpoints that did not answer. Plain state: the caller says what time it is.
#pragma once

#include "common/net/frame_client.h"

#include <chrono>
#include <cstddef>
#include <deque>
#include <map>
#include <string>
#include <unordered_set>
#include <utility>

namespace cairn::storage {

using SteadyTime = std::chrono::steady_clock::time_point;

// Names for which "nobody has it" is believed. Each is believed for the same time, so the order of
// arrival is the order of expiry, and both the limit and the clock take from the front.
class RecentNames {
public:
  RecentNames(std::chrono::milliseconds believed, std::size_t count_max)
      : believed_(believed), count_max_(count_max) {}

  bool contains(const std::string& name, SteadyTime now) {
    expire(now);
    return names_.contains(name);
  }
  void add(const std::string& name, SteadyTime now) {
    expire(now);
    const auto [place, is_new] = names_.insert(name);
    if (!is_new) return;
    queue_.emplace_back(now + believed_, name);
    if (queue_.size() > count_max_) drop_oldest();
  }
  void clear() {
    names_.clear();
    queue_.clear();
  }
  std::size_t size() const { return queue_.size(); }

private:
  void expire(SteadyTime now) {
    while (!queue_.empty() && queue_.front().first <= now) drop_oldest();
  }
  void drop_oldest() {
    names_.erase(queue_.front().second);
    queue_.pop_front();
  }

  std::chrono::milliseconds believed_;
  std::size_t count_max_;
  std::unordered_set<std::string> names_;
  std::deque<std::pair<SteadyTime, std::string>> queue_;
};

// Endpoints that could not be reached. One is left alone for a moment after a failure; then a
// single caller tries it while the others still count it as unreachable, so that a dead machine
// costs one caller a connect time-out now and then instead of everybody.
class Reachability {
public:
  explicit Reachability(std::chrono::milliseconds left_alone) : left_alone_(left_alone) {}

  // True when the endpoint failed last time, whether or not it may be tried again.
  bool is_suspect(const Endpoint& endpoint) const { return suspects_.contains(endpoint); }
  // Whether the caller may try it. If so, it must tell the outcome by succeeded() or failed().
  bool may_try(const Endpoint& endpoint, SteadyTime now) {
    const auto found = suspects_.find(endpoint);
    if (found == suspects_.end()) return true;
    if (found->second.is_tried || now < found->second.until) return false;
    found->second.is_tried = true;
    return true;
  }
  void succeeded(const Endpoint& endpoint) { suspects_.erase(endpoint); }
  void failed(const Endpoint& endpoint, SteadyTime now) {
    suspects_[endpoint] = Suspect{now + left_alone_, false};
  }
  void clear() { suspects_.clear(); }

private:
  struct Suspect {
    SteadyTime until;
    bool is_tried = false; // somebody is trying it now
  };

  std::chrono::milliseconds left_alone_;
  std::map<Endpoint, Suspect> suspects_; // at most one for each node of the group
};

} // namespace cairn::storage
