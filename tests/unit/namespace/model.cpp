// The reference tree.
#include "tests/unit/namespace/model.h"

#include <algorithm>
#include <cerrno>

namespace cairn::tracker::model {

using wire::NsType;

Tree::Tree(std::uint64_t root, std::uint64_t inodes_max, std::uint64_t bytes_max)
    : inodes_max_(inodes_max), bytes_max_(bytes_max) {
  Node node;
  node.type = NsType::directory;
  node.nlink = 2;
  node.mode = 0755;
  nodes_.emplace(root, std::move(node));
}

const Node* Tree::find(std::uint64_t inode) const {
  const auto found = nodes_.find(inode);
  return found == nodes_.end() ? nullptr : &found->second;
}

std::uint64_t Tree::bytes() const {
  std::uint64_t sum = 0;
  for (const auto& [inode, node] : nodes_) sum += node.bytes.size();
  return sum;
}

bool Tree::fits(std::uint64_t before) const {
  const std::uint64_t now = bytes();
  return now <= before || bytes_max_ == 0 || now <= bytes_max_;
}

bool Tree::below(std::uint64_t inode, std::uint64_t ancestor) const {
  for (; inode != 0; inode = nodes_.at(inode).parent) {
    if (inode == ancestor) return true;
  }
  return false;
}

void Tree::put(Node& node, std::uint64_t begin, const wire::NsExtent& extent,
               const std::map<std::string, std::uint64_t>& numbers) {
  for (std::uint64_t i = 0; i < extent.length; ++i)
    node.bytes[begin + extent.offset + i] = stored_byte(numbers.at(extent.id), extent.source + i);
  node.size = std::max(node.size, begin + extent.offset + extent.length);
}

int Tree::make(std::uint64_t parent, const std::string& name, Node node, std::uint64_t made) {
  const auto directory = nodes_.find(parent);
  if (directory == nodes_.end()) return ESTALE;
  if (directory->second.type != NsType::directory) return ENOTDIR;
  if (directory->second.entries.contains(name)) return EEXIST;
  if (inodes_max_ != 0 && nodes_.size() + 1 > inodes_max_) return EDQUOT;
  if (bytes_max_ != 0 && !node.bytes.empty() && bytes() + node.bytes.size() > bytes_max_)
    return EDQUOT;
  directory->second.entries.emplace(name, made);
  node.nlink = 1;
  if (node.type == NsType::directory) {
    node.nlink = 2;
    node.parent = parent;
    ++directory->second.nlink;
  }
  nodes_.emplace(made, std::move(node));
  return 0;
}

void Tree::drop(std::uint64_t inode) {
  Node& node = nodes_.at(inode);
  if (node.type == NsType::directory || --node.nlink == 0) nodes_.erase(inode);
}

int Tree::rename(const wire::NsRename& r) {
  const bool exchange = (r.flags & wire::kNsRenameExchange) != 0;
  for (const std::uint64_t parent : {r.parent, r.new_parent}) {
    if (!nodes_.contains(parent)) return ESTALE;
    if (nodes_.at(parent).type != NsType::directory) return ENOTDIR;
  }
  Node& from = nodes_.at(r.parent);
  Node& to = nodes_.at(r.new_parent);
  const auto source = from.entries.find(r.name);
  if (source == from.entries.end()) return ENOENT;
  const auto target = to.entries.find(r.new_name);
  const bool replaces = target != to.entries.end();
  if (replaces && (r.flags & wire::kNsRenameNoreplace) != 0) return EEXIST;
  if (!replaces && exchange) return ENOENT;
  const std::uint64_t inode = source->second;
  const std::uint64_t other = replaces ? target->second : 0;
  const bool is_directory = nodes_.at(inode).type == NsType::directory;
  const bool other_directory = replaces && nodes_.at(other).type == NsType::directory;
  if (is_directory && r.parent != r.new_parent && below(r.new_parent, inode)) return EINVAL;
  if (other_directory && r.parent != r.new_parent && below(r.parent, other))
    return exchange ? EINVAL : ENOTEMPTY;
  if (inode == other) return 0;
  if (replaces && !exchange) {
    if (is_directory && !other_directory) return ENOTDIR;
    if (!is_directory && other_directory) return EISDIR;
    if (other_directory && !nodes_.at(other).entries.empty()) return ENOTEMPTY;
  }
  from.entries.erase(source);
  if (is_directory) --from.nlink;
  if (replaces) {
    to.entries.erase(r.new_name);
    if (other_directory) --to.nlink;
    if (exchange) {
      from.entries[r.name] = other;
      if (other_directory) {
        ++from.nlink;
        nodes_.at(other).parent = r.parent;
      }
    } else {
      drop(other);
    }
  }
  to.entries[r.new_name] = inode;
  if (is_directory) {
    ++to.nlink;
    nodes_.at(inode).parent = r.new_parent;
  }
  return 0;
}

int Tree::create(const wire::NsCreate& r, Node fresh, std::uint64_t made, std::uint64_t before) {
  const auto parent = nodes_.find(r.parent);
  if (parent == nodes_.end()) return ESTALE;
  if (parent->second.type != NsType::directory) return ENOTDIR;
  const auto entry = parent->second.entries.find(r.name);
  if (entry == parent->second.entries.end()) return make(r.parent, r.name, std::move(fresh), made);
  if (r.existing == wire::NsExisting::fail) return EEXIST;
  Node& old = nodes_.at(entry->second);
  if (old.type == NsType::directory) return EISDIR;
  if (old.type == NsType::symlink) return ELOOP;
  if (r.existing == wire::NsExisting::keep) return fresh.bytes.empty() ? 0 : EINVAL;
  const Node saved = old;
  old.size = fresh.size;
  old.bytes = std::move(fresh.bytes);
  if (!fits(before)) {
    old = saved;
    return EDQUOT;
  }
  return 0;
}

int Tree::apply(const Operation& operation, bool rmdir, std::uint64_t made,
                const std::map<std::string, std::uint64_t>& numbers) {
  const std::uint64_t before = bytes();
  const auto file = [&](std::uint64_t inode, Node** out) {
    const auto found = nodes_.find(inode);
    if (found == nodes_.end()) return ESTALE;
    *out = &found->second;
    if (found->second.type == NsType::directory) return EISDIR;
    if (found->second.type != NsType::regular) return EINVAL;
    return 0;
  };
  Node* node = nullptr;
  if (const auto* r = std::get_if<wire::NsCreate>(&operation)) {
    Node fresh;
    fresh.type = NsType::regular;
    fresh.mode = r->mode;
    fresh.size = r->size;
    for (const auto& extent : r->extents) put(fresh, 0, extent, numbers);
    return create(*r, std::move(fresh), made, before);
  }
  if (const auto* r = std::get_if<wire::NsCreateCopy>(&operation)) {
    if (r->create.existing == wire::NsExisting::keep) return EINVAL;
    if (const int error = file(r->from, &node); error != 0) return error;
    Node fresh;
    fresh.type = NsType::regular;
    fresh.mode = r->create.mode;
    fresh.size = node->size;
    fresh.bytes = node->bytes;
    return create(r->create, std::move(fresh), made, before);
  }
  if (const auto* r = std::get_if<wire::NsMkdir>(&operation)) {
    Node fresh;
    fresh.type = NsType::directory;
    fresh.mode = r->mode;
    return make(r->parent, r->name, std::move(fresh), made);
  }
  if (const auto* r = std::get_if<wire::NsSymlink>(&operation)) {
    Node fresh;
    fresh.type = NsType::symlink;
    fresh.mode = 0777;
    fresh.target = r->target;
    return make(r->parent, r->name, std::move(fresh), made);
  }
  if (const auto* r = std::get_if<wire::NsLink>(&operation)) {
    const auto parent = nodes_.find(r->parent);
    if (parent == nodes_.end()) return ESTALE;
    if (parent->second.type != NsType::directory) return ENOTDIR;
    const auto found = nodes_.find(r->inode);
    if (found == nodes_.end()) return ESTALE;
    if (parent->second.entries.contains(r->name)) return EEXIST;
    if (found->second.type == NsType::directory) return EPERM;
    ++found->second.nlink;
    parent->second.entries.emplace(r->name, r->inode);
    return 0;
  }
  if (const auto* r = std::get_if<wire::NsRemove>(&operation)) {
    const auto parent = nodes_.find(r->parent);
    if (parent == nodes_.end()) return ESTALE;
    if (parent->second.type != NsType::directory) return ENOTDIR;
    const auto entry = parent->second.entries.find(r->name);
    if (entry == parent->second.entries.end()) return ENOENT;
    const std::uint64_t inode = entry->second;
    const Node& victim = nodes_.at(inode);
    if (rmdir != (victim.type == NsType::directory)) return rmdir ? ENOTDIR : EISDIR;
    if (rmdir && !victim.entries.empty()) return ENOTEMPTY;
    parent->second.entries.erase(entry);
    if (rmdir) --parent->second.nlink;
    drop(inode);
    return 0;
  }
  if (const auto* r = std::get_if<wire::NsRename>(&operation)) return rename(*r);
  if (const auto* r = std::get_if<wire::NsSetattr>(&operation)) {
    const auto found = nodes_.find(r->inode);
    if (found == nodes_.end()) return ESTALE;
    if ((r->set & wire::kNsSetSize) != 0) {
      if (const int error = file(r->inode, &node); error != 0) return error;
      node->size = r->size;
      node->bytes.erase(node->bytes.lower_bound(r->size), node->bytes.end());
    }
    if ((r->set & wire::kNsSetMode) != 0) found->second.mode = r->mode;
    return 0;
  }
  if (const auto* r = std::get_if<wire::NsCommit>(&operation)) {
    if (const int error = file(r->inode, &node); error != 0) return error;
    const Node saved = *node;
    const std::uint64_t begin = r->append ? node->size : 0;
    for (const auto& extent : r->extents) put(*node, begin, extent, numbers);
    if (!fits(before)) {
      *node = saved;
      return EDQUOT;
    }
    return 0;
  }
  if (const auto* r = std::get_if<wire::NsFallocate>(&operation)) {
    if (const int error = file(r->inode, &node); error != 0)
      return error == EISDIR || error == EINVAL ? ENODEV : error;
    const std::uint64_t end = r->offset + r->length;
    const bool clears =
        r->mode != wire::NsFallocateMode::allocate && r->mode != wire::NsFallocateMode::keep_size;
    if (clears) node->bytes.erase(node->bytes.lower_bound(r->offset), node->bytes.lower_bound(end));
    if (r->mode == wire::NsFallocateMode::allocate || r->mode == wire::NsFallocateMode::zero)
      node->size = std::max(node->size, end);
    return 0;
  }
  if (const auto* r = std::get_if<wire::NsCopyRange>(&operation)) {
    Node* source = nullptr;
    const int first = file(r->from, &source);
    const int second = file(r->to, &node);
    if (source == nullptr || node == nullptr) return ESTALE;
    if (first == EISDIR || second == EISDIR) return EISDIR;
    if (first != 0 || second != 0) return EINVAL;
    const std::uint64_t length =
        r->from_offset >= source->size ? 0 : std::min(r->length, source->size - r->from_offset);
    if (length == 0) return 0;
    if (r->from == r->to && r->from_offset < r->to_offset + length &&
        r->to_offset < r->from_offset + length)
      return EINVAL;
    const Node saved = *node;
    const Node copy = *source;
    for (std::uint64_t i = 0; i < length; ++i) {
      const auto byte = copy.bytes.find(r->from_offset + i);
      if (byte == copy.bytes.end())
        node->bytes.erase(r->to_offset + i);
      else
        node->bytes[r->to_offset + i] = byte->second;
    }
    node->size = std::max(node->size, r->to_offset + length);
    if (!fits(before)) {
      *node = saved;
      return EDQUOT;
    }
    return 0;
  }
  if (const auto* r = std::get_if<wire::NsSetXattr>(&operation)) {
    const auto found = nodes_.find(r->inode);
    if (found == nodes_.end()) return ESTALE;
    if (found->second.type == NsType::symlink) return EPERM;
    const bool there = found->second.xattrs.contains(r->name);
    if (there && r->mode == wire::NsXattrMode::create) return EEXIST;
    if (!there && r->mode == wire::NsXattrMode::replace) return ENODATA;
    found->second.xattrs[r->name] = std::string(wire::as_text(r->value));
    return 0;
  }
  if (const auto* r = std::get_if<wire::NsRemoveXattr>(&operation)) {
    const auto found = nodes_.find(r->inode);
    if (found == nodes_.end()) return ESTALE;
    if (found->second.type == NsType::symlink) return EPERM;
    return found->second.xattrs.erase(r->name) != 0 ? 0 : ENODATA;
  }
  if (const auto* r = std::get_if<wire::NsLookup>(&operation)) {
    const auto parent = nodes_.find(r->parent);
    if (parent == nodes_.end()) return ESTALE;
    if (parent->second.type != NsType::directory) return ENOTDIR;
    return parent->second.entries.contains(r->name) ? 0 : ENOENT;
  }
  const auto& r = std::get<wire::NsReaddir>(operation);
  const auto found = nodes_.find(r.inode);
  if (found == nodes_.end()) return ESTALE;
  return found->second.type == NsType::directory ? 0 : ENOTDIR;
}

} // namespace cairn::tracker::model
