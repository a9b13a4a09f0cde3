// Operations that change nothing.
#include "tracker/namespace/evaluation.h"

#include <algorithm>
#include <cerrno>
#include <utility>

namespace cairn::tracker {

namespace {

constexpr unsigned kSymlinksMax = 40; // as Linux
constexpr std::uint32_t kPageBytesMax = 1024 * 1024;
constexpr std::uint32_t kPageEntriesMax = 65'536;
constexpr std::uint32_t kNobody = 65534;
// What an entry takes on the wire besides its name, about.
constexpr std::size_t kEntryBytes = 32;
constexpr std::size_t kNodeBytes = 360;

} // namespace

Status Evaluation::check_name(std::string_view name) {
  if (name.empty()) return errno_of(ENOENT, "an empty name");
  if (name.size() > wire::kNsNameMax) return errno_of(ENAMETOOLONG);
  if (name.find('/') != std::string_view::npos || name.find('\0') != std::string_view::npos)
    return errno_of(EINVAL, "a name holds '/' or NUL");
  return {};
}

Result<wire::NsNodeReply> Evaluation::lookup(const wire::NsLookup& request) {
  CAIRN_TRY(parent, load_directory(request.parent));
  CAIRN_RETURN_IF_ERROR(permit(parent, kExecute));
  if (request.name == ".") return node(parent);
  if (request.name == "..") {
    if (parent.ino == caller_.root || parent.ino == wire::kNsRootInode) return node(parent);
    CAIRN_TRY(above, load(parent.parent));
    return node(above);
  }
  CAIRN_RETURN_IF_ERROR(check_name(request.name));
  CAIRN_TRY(entry, find_entry(parent.ino, request.name));
  if (!entry) return errno_of(ENOENT);
  CAIRN_TRY(inode, load(entry->ino));
  return node(inode);
}

Result<wire::NsNodeReply> Evaluation::getattr(const wire::NsInode& request) {
  CAIRN_TRY(inode, load(request.inode));
  return node(inode);
}

Result<wire::NsResolveReply> Evaluation::resolve(const wire::NsResolve& request) {
  if (request.path.size() >= wire::kNsPathMax) return errno_of(ENAMETOOLONG);
  if (request.as_public) {
    caller_.uid = caller_.gid = kNobody;
    caller_.groups.clear();
    caller_.checked = false;
  }
  const std::uint64_t top = caller_.root != 0 ? caller_.root : wire::kNsRootInode;
  CAIRN_TRY(at, load(request.start == wire::kNsRootInode ? top : request.start));
  Inode parent = at;
  std::string rest = request.path;
  unsigned symlinks = 0;
  // Symlinks stay in their export: an absolute one begins at its root.
  std::uint64_t base = at.root == at.ino || at.ino == wire::kNsRootInode ? at.ino : top;
  for (std::size_t begin = 0; begin < rest.size();) {
    const std::size_t end = std::min(rest.find('/', begin), rest.size());
    const std::string name = rest.substr(begin, end - begin);
    const bool last = rest.find_first_not_of('/', end) == std::string::npos;
    begin = end + 1;
    if (name.empty() || name == ".") continue;
    if (!at.is_directory()) return errno_of(ENOTDIR);
    CAIRN_RETURN_IF_ERROR(permit(at, kExecute));
    if (name == "..") {
      if (at.ino == base || at.ino == top || at.ino == wire::kNsRootInode) continue;
      CAIRN_TRY(above, load(at.parent));
      at = std::move(above);
      continue;
    }
    CAIRN_RETURN_IF_ERROR(check_name(name));
    CAIRN_TRY(entry, find_entry(at.ino, name));
    if (!entry) return errno_of(ENOENT);
    CAIRN_TRY(next, load(entry->ino));
    if (at.ino == wire::kNsRootInode) {
      base = next.ino;
      // Also whether a name is there is nobody's business.
      CAIRN_TRY(found, export_of(next.ino));
      if (request.as_public && !found->is_public) return errno_of(EACCES, "not a public export");
    }
    if (next.type == NsType::symlink && (!last || request.follow_last)) {
      if (++symlinks > kSymlinksMax) return errno_of(ELOOP);
      if (next.target.starts_with('/')) {
        CAIRN_TRY(root, load(base));
        at = std::move(root);
      }
      rest = next.target + (last ? "" : rest.substr(end));
      if (rest.size() >= wire::kNsPathMax) return errno_of(ENAMETOOLONG);
      begin = 0;
      continue;
    }
    parent = std::move(at);
    at = std::move(next);
  }
  if (request.path.ends_with('/') && !at.is_directory()) return errno_of(ENOTDIR);
  wire::NsResolveReply reply;
  if (at.ino != wire::kNsRootInode) {
    CAIRN_TRY(found, export_of(at.root));
    if (request.as_public && !found->is_public) return errno_of(EACCES, "not a public export");
    reply.export_name = found->name;
    reply.listing = found->listing;
  } else if (request.as_public) {
    return errno_of(EACCES);
  }
  if (request.as_public) CAIRN_RETURN_IF_ERROR(permit(at, kRead));
  CAIRN_TRY(found_node, node(at));
  reply.node = std::move(found_node);
  reply.parent = parent.ino;
  return reply;
}

Result<wire::NsReaddirReply> Evaluation::readdir(const wire::NsReaddir& request) {
  CAIRN_TRY(directory, load_directory(request.inode));
  CAIRN_RETURN_IF_ERROR(permit(directory, kRead));
  const std::size_t bytes_max = std::min(request.bytes_max, kPageBytesMax);
  const std::size_t entries_max = std::clamp(request.entries_max, 1U, kPageEntriesMax);
  wire::NsReaddirReply reply;
  reply.version = directory.version;
  reply.parent = directory.ino == caller_.root ? directory.ino : directory.parent;
  reply.end = true;
  std::size_t bytes = 0;
  const auto on_row = [&](std::string_view key, std::string_view name) {
    wire::NsEntry entry;
    entry.cookie = key::number_at(key, 9);
    entry.name = name;
    bytes += kEntryBytes + name.size() + (request.attributes ? kNodeBytes : 0);
    if (!reply.entries.empty() && (bytes > bytes_max || reply.entries.size() >= entries_max)) {
      reply.end = false;
      return false;
    }
    reply.entries.push_back(std::move(entry));
    return true;
  };
  if (request.after != UINT64_MAX)
    CAIRN_RETURN_IF_ERROR(view_.scan(key::prefix('e', directory.ino),
                                     key::cookie(directory.ino, request.after + 1), on_row));
  for (wire::NsEntry& entry : reply.entries) {
    CAIRN_TRY(found, find_entry(directory.ino, entry.name));
    if (!found || found->cookie != entry.cookie)
      return Error{Errc::corrupt, "directory " + std::to_string(directory.ino) +
                                      " lists a name that it does not have"};
    entry.inode = found->ino;
    entry.type = found->type;
    if (!request.attributes) continue;
    CAIRN_TRY(row, view_.get(key::inode(found->ino)));
    if (!row) return Error{Errc::corrupt, "a directory names an inode that does not exist"};
    CAIRN_TRY(inode, decode_inode(found->ino, *row));
    CAIRN_TRY(one, node(inode));
    entry.node.push_back(std::move(one));
  }
  return reply;
}

Result<wire::NsText> Evaluation::readlink(const wire::NsInode& request) {
  CAIRN_TRY(inode, load(request.inode));
  if (inode.type != NsType::symlink) return errno_of(EINVAL);
  wire::NsText reply;
  reply.text = inode.target;
  return reply;
}

Result<wire::NsExtentsReply> Evaluation::extents(const wire::NsGetExtents& request) {
  CAIRN_TRY(inode, load(request.inode));
  const std::size_t limit = std::clamp<std::size_t>(request.count_max, 1, wire::kNsExtentsMax);
  CAIRN_TRY(found, overlapping(inode, request.offset, wire::kNsFileSizeMax, limit + 1));
  wire::NsExtentsReply reply;
  CAIRN_TRY(described, node(inode));
  reply.attributes = described.attributes;
  reply.end = found.size() <= limit;
  if (!reply.end) found.pop_back();
  for (const Extent& extent : found) {
    CAIRN_TRY(external, to_wire(extent));
    reply.extents.push_back(std::move(external));
  }
  return reply;
}

Result<wire::NsSeekReply> Evaluation::seek(const wire::NsSeek& request) {
  CAIRN_TRY(inode, load(request.inode));
  if (request.offset >= inode.size) return errno_of(ENXIO);
  wire::NsSeekReply reply;
  reply.offset = request.offset;
  for (;;) {
    CAIRN_TRY(found, overlapping(inode, reply.offset, inode.size, 64));
    for (const Extent& extent : found) {
      const bool inside = extent.offset <= reply.offset;
      if (!request.hole) {
        reply.offset = std::max(reply.offset, extent.offset);
        return reply;
      }
      if (!inside) return reply;
      reply.offset = extent.end();
    }
    if (found.size() < 64) break;
  }
  if (!request.hole) return errno_of(ENXIO);
  reply.offset = std::min(reply.offset, inode.size); // there is a hole at the end of every file
  return reply;
}

Result<wire::NsStatfsReply> Evaluation::statfs(const wire::NsInode& request) {
  CAIRN_TRY(inode, load(request.inode));
  wire::NsStatfsReply reply;
  if (inode.ino == wire::kNsRootInode) return reply;
  CAIRN_TRY(found, export_of(inode.root));
  reply.bytes_used = found->used_bytes;
  reply.inodes_used = found->used_inodes;
  reply.bytes_total = found->quota_bytes;
  reply.inodes_total = found->quota_inodes;
  const auto left = [](std::uint64_t total, std::uint64_t used) {
    return total > used ? total - used : 0;
  };
  reply.bytes_free = left(found->quota_bytes, found->used_bytes);
  reply.inodes_free = left(found->quota_inodes, found->used_inodes);
  return reply;
}

Result<wire::NsNodeReply> Evaluation::access(const wire::NsAccess& request) {
  CAIRN_TRY(inode, load(request.inode));
  CAIRN_RETURN_IF_ERROR(permit(inode, request.mask & 7U));
  return node(inode);
}

Result<wire::NsText> Evaluation::path_of(const wire::NsInode& request) {
  CAIRN_TRY(inode, load(request.inode));
  wire::NsText reply;
  const std::uint64_t top = caller_.root != 0 ? caller_.root : wire::kNsRootInode;
  if (inode.ino == top) return reply;
  if (inode.parent == 0) return errno_of(ENOENT, "it has no name any more");
  std::string name;
  if (!inode.is_directory()) {
    // One of its names: by the cookie it was made with, else by looking.
    CAIRN_TRY(by_cookie, view_.get(key::cookie(inode.parent, inode.ino)));
    if (by_cookie) {
      CAIRN_TRY(entry, find_entry(inode.parent, *by_cookie));
      if (entry && entry->ino == inode.ino) name = *by_cookie;
    }
    const auto on_row = [&](std::string_view key, std::string_view value) {
      const auto entry = decode_entry(value);
      if (entry && entry->ino == inode.ino) name = key.substr(9);
      return name.empty();
    };
    if (name.empty()) CAIRN_RETURN_IF_ERROR(view_.scan(key::prefix('D', inode.parent), {}, on_row));
    if (name.empty()) return errno_of(ENOENT);
  }
  CAIRN_TRY(text, path(inode.is_directory() ? inode.ino : inode.parent, name, top));
  reply.text = std::move(text);
  return reply;
}

// --- extended attributes -------------------------------------------------------------------------

Result<wire::NsBlob> Evaluation::getxattr(const wire::NsGetXattr& request) {
  CAIRN_TRY(inode, load(request.inode));
  const std::string_view name = request.name;
  if (name.starts_with("trusted.") && !caller_.is_root()) return errno_of(ENODATA);
  if (name.starts_with("user.")) {
    if (!inode.is_regular() && !inode.is_directory()) return errno_of(ENODATA);
    CAIRN_RETURN_IF_ERROR(permit(inode, kRead));
  }
  if (!inode.has_xattr && !inode.has_acl) return errno_of(ENODATA);
  CAIRN_TRY(row, view_.get(key::xattr(inode.ino, name)));
  if (!row) return errno_of(ENODATA);
  wire::NsBlob reply;
  reply.bytes = wire::to_bytes(*row);
  return reply;
}

Result<wire::NsNames> Evaluation::listxattr(const wire::NsInode& request) {
  CAIRN_TRY(inode, load(request.inode));
  wire::NsNames reply;
  if (!inode.has_xattr && !inode.has_acl) return reply;
  const auto on_row = [&](std::string_view key, std::string_view) {
    const std::string_view name = key.substr(9);
    if (name.starts_with("trusted.") && !caller_.is_root()) return true;
    wire::NsText text;
    text.text = name;
    reply.names.push_back(std::move(text));
    return true;
  };
  CAIRN_RETURN_IF_ERROR(view_.scan(key::prefix('X', inode.ino), {}, on_row));
  return reply;
}

} // namespace cairn::tracker
