// Least recently used.
#include "storage/rules/alias_cache.h"

#include <utility>

namespace cairn::storage {

AliasCache::AliasCache(std::size_t entries_max, std::chrono::milliseconds found_for,
                       std::chrono::milliseconds absent_for)
    : entries_max_(entries_max), found_for_(found_for), absent_for_(absent_for) {}

std::string AliasCache::key_of(std::string_view host, std::string_view path) {
  std::string key(host);
  key.push_back('\0');
  key.append(path);
  return key;
}

std::optional<AliasCache::Known> AliasCache::find(std::string_view host, std::string_view path,
                                                  Time now) {
  const std::string key = key_of(host, path);
  const std::lock_guard lock(mutex_);
  const auto found = by_key_.find(key);
  if (found == by_key_.end()) return std::nullopt;
  order_.splice(order_.begin(), order_, found->second);
  Known known;
  known.row = found->second->row;
  known.is_fresh = now < found->second->until;
  return known;
}

void AliasCache::put(std::string_view host, std::string_view path, wire::AliasRow row, Time now) {
  std::string key = key_of(host, path);
  const Time until = now + (row.target.empty() ? absent_for_ : found_for_);
  const std::lock_guard lock(mutex_);
  if (const auto found = by_key_.find(key); found != by_key_.end()) {
    found->second->row = std::move(row);
    found->second->until = until;
    order_.splice(order_.begin(), order_, found->second);
    return;
  }
  order_.push_front(Entry{std::move(key), std::move(row), until});
  by_key_.emplace(order_.front().key, order_.begin());
  if (order_.size() <= entries_max_) return;
  by_key_.erase(order_.back().key);
  order_.pop_back();
}

void AliasCache::erase(std::string_view host, std::string_view path) {
  const std::string key = key_of(host, path);
  const std::lock_guard lock(mutex_);
  const auto found = by_key_.find(key);
  if (found == by_key_.end()) return;
  const auto entry = found->second;
  by_key_.erase(found);
  order_.erase(entry);
}

void AliasCache::clear() {
  const std::lock_guard lock(mutex_);
  by_key_.clear();
  order_.clear();
}

std::size_t AliasCache::size() const {
  const std::lock_guard lock(mutex_);
  return order_.size();
}

} // namespace cairn::storage
