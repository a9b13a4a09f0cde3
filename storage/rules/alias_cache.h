// What this node remembers of the tracker's aliases: a bounded least-recently-used table, absent
// names included. Time is an argument.
#pragma once

#include "common/wire/rules.h"

#include <chrono>
#include <cstddef>
#include <list>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

namespace cairn::storage {

class AliasCache {
public:
  using Time = std::chrono::steady_clock::time_point;

  // A found name is believed for `found_for`, an absent one for `absent_for`; `entries_max` names
  // are kept.
  AliasCache(std::size_t entries_max, std::chrono::milliseconds found_for,
             std::chrono::milliseconds absent_for);

  struct Known {
    wire::AliasRow row;    // no target: the name is absent
    bool is_fresh = false; // else the tracker should be asked again
  };

  // Any thread.
  std::optional<Known> find(std::string_view host, std::string_view path, Time now);
  void put(std::string_view host, std::string_view path, wire::AliasRow row, Time now);
  void erase(std::string_view host, std::string_view path);
  void clear();
  std::size_t size() const;

private:
  struct Entry {
    std::string key;
    wire::AliasRow row;
    Time until;
  };
  static std::string key_of(std::string_view host, std::string_view path);

  const std::size_t entries_max_;
  const std::chrono::milliseconds found_for_;
  const std::chrono::milliseconds absent_for_;
  mutable std::mutex mutex_; // guards what follows
  std::list<Entry> order_;   // the most recently used first
  std::unordered_map<std::string_view, std::list<Entry>::iterator> by_key_; // into order_
};

} // namespace cairn::storage
