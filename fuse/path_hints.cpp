// A chain of parents, each remembered for as long as it is used.
#include "fuse/path_hints.h"

namespace cairn::fuse {

namespace {
// Directories above a file; more of them are a loop of old hints.
constexpr int kDepthMax = 1024;
} // namespace

void PathHints::note(std::uint64_t parent, std::string_view name, std::uint64_t inode) {
  if (const auto found = by_inode_.find(inode); found != by_inode_.end()) {
    found->second->parent = parent;
    found->second->name = name;
    order_.splice(order_.begin(), order_, found->second);
    return;
  }
  if (order_.size() >= most_) {
    by_inode_.erase(order_.back().inode);
    order_.pop_back();
  }
  Hint hint;
  hint.inode = inode;
  hint.parent = parent;
  hint.name = name;
  order_.push_front(std::move(hint));
  by_inode_.emplace(inode, order_.begin());
}

void PathHints::forget(std::uint64_t inode) {
  const auto found = by_inode_.find(inode);
  if (found == by_inode_.end()) return;
  order_.erase(found->second);
  by_inode_.erase(found);
}

PathHints::Path PathHints::path_of(std::uint64_t inode, std::uint64_t root) {
  Path path;
  for (int depth = 0; inode != root; ++depth) {
    const auto found = by_inode_.find(inode);
    if (found == by_inode_.end() || depth == kDepthMax) return path;
    order_.splice(order_.begin(), order_, found->second);
    path.text = path.text.empty() ? found->second->name : found->second->name + "/" + path.text;
    inode = found->second->parent;
  }
  path.is_complete = true;
  return path;
}

} // namespace cairn::fuse
