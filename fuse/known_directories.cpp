// A list in order of use, and an index.
#include "fuse/known_directories.h"

#include <algorithm>
#include <functional>

namespace cairn::fuse {

namespace {

std::uint64_t hash_of(std::string_view name) {
  return std::hash<std::string_view>()(name);
}

} // namespace

KnownDirectories::Directory* KnownDirectories::find(std::uint64_t inode) {
  const auto found = by_inode_.find(inode);
  if (found == by_inode_.end()) return nullptr;
  order_.splice(order_.begin(), order_, found->second);
  return &*found->second;
}

KnownDirectories::Directory& KnownDirectories::add(std::uint64_t inode) {
  if (Directory* const known = find(inode)) return *known;
  while (order_.size() >= directories_most_) forget(order_.back().inode);
  order_.emplace_front();
  order_.front().inode = inode;
  by_inode_[inode] = order_.begin();
  return order_.front();
}

void KnownDirectories::changed(const wire::NsAttributes& now, std::uint64_t position, Time told) {
  Directory& directory = add(now.inode);
  // Answers can overtake each other.
  if (position < directory.position) return;
  directory.attributes = Attributes{now, told};
  directory.position = position;
}

void KnownDirectories::forget_attributes(std::uint64_t inode, std::uint64_t position) {
  Directory* const known = find(inode);
  if (known == nullptr || (position != 0 && position < known->position)) return;
  known->attributes.reset();
  known->position = std::max(known->position, position);
}

const KnownDirectories::Attributes* KnownDirectories::attributes(std::uint64_t inode) {
  Directory* const known = find(inode);
  return known != nullptr && known->attributes ? &*known->attributes : nullptr;
}

void KnownDirectories::made(std::uint64_t inode) {
  Directory& directory = add(inode);
  forget_names(directory);
  directory.all_names = true;
}

void KnownDirectories::may_have(std::uint64_t inode, std::string_view name) {
  Directory* const known = find(inode);
  if (known == nullptr || !known->all_names) return;
  if (known->names.insert(hash_of(name)).second) ++names_;
  make_room();
}

bool KnownDirectories::lacks(std::uint64_t inode, std::string_view name) {
  if (name == "." || name == "..") return false;
  const Directory* const known = find(inode);
  return known != nullptr && known->all_names && !known->names.contains(hash_of(name));
}

void KnownDirectories::forget_names(Directory& directory) {
  names_ -= directory.names.size();
  directory.names = {};
  directory.all_names = false;
}

void KnownDirectories::make_room() {
  for (auto last = order_.rbegin(); names_ > names_most_ && last != order_.rend(); ++last)
    forget_names(*last);
}

void KnownDirectories::forget(std::uint64_t inode) {
  const auto found = by_inode_.find(inode);
  if (found == by_inode_.end()) return;
  forget_names(*found->second);
  order_.erase(found->second);
  by_inode_.erase(found);
}

void KnownDirectories::clear() {
  order_.clear();
  by_inode_.clear();
  names_ = 0;
}

} // namespace cairn::fuse
