// Making, moving and removing names. The order of checks is that of Linux's VFS, so that errors are
// what programs expect.
#include "tracker/namespace/evaluation.h"

#include <cerrno>
#include <utility>

namespace cairn::tracker {

using wire::NsEventKind;
using wire::NsExisting;

// --- pieces --------------------------------------------------------------------------------------

Result<Inode> Evaluation::parent_for_new(std::uint64_t parent_ino, std::string_view name) {
  if (name == "." || name == "..") return errno_of(EEXIST);
  CAIRN_RETURN_IF_ERROR(check_name(name));
  CAIRN_TRY(parent, load_directory(parent_ino));
  if (parent.ino == wire::kNsRootInode) return errno_of(EPERM, "only exports stand at the top");
  return parent;
}

Result<Inode> Evaluation::make_inode(const Inode& parent, NsType type, std::uint16_t mode,
                                     const Owner& owner) {
  if (parent.nlink == 0) return errno_of(ENOENT, "the directory was removed");
  CAIRN_RETURN_IF_ERROR(writable(parent));
  CAIRN_RETURN_IF_ERROR(permit(parent, kWrite | kExecute));
  Inode inode;
  inode.ino = state_->next++;
  inode.type = type;
  inode.mode = static_cast<std::uint16_t>(mode & 07777);
  inode.nlink = type == NsType::directory ? 2 : 1;
  inode.uid = caller_.uid;
  inode.gid = caller_.gid;
  if ((parent.mode & kSetGid) != 0) {
    inode.gid = parent.gid;
    if (type == NsType::directory) {
      inode.mode |= kSetGid;
    } else if ((inode.mode & (kSetGid | 010)) == (kSetGid | 010) && !caller_.is_root() &&
               !caller_.in_group(parent.gid)) {
      inode.mode = static_cast<std::uint16_t>(inode.mode & ~kSetGid);
    }
  }
  inode.atime = inode.mtime = inode.ctime = inode.btime = now_;
  inode.parent = parent.ino;
  inode.root = parent.root;
  inode.version = position_;

  // Who may choose the owner is who may give files away.
  if ((owner.set & wire::kNsSetUid) != 0) {
    if (!caller_.is_root() && owner.uid != inode.uid) return errno_of(EPERM);
    inode.uid = owner.uid;
  }
  if ((owner.set & wire::kNsSetGid) != 0) {
    if (!caller_.is_root() && !caller_.in_group(owner.gid)) return errno_of(EPERM);
    inode.gid = owner.gid;
  }
  set_times(inode, owner.set & (wire::kNsSetAtime | wire::kNsSetMtime), owner.atime, owner.mtime);

  // A default list of the directory is the access list of what is made in it.
  CAIRN_TRY(acl, acl_of(parent, kDefaultAcl));
  if (!acl.empty() && type != NsType::symlink) {
    if (type == NsType::directory) {
      transaction_->put(key::xattr(inode.ino, kDefaultAcl), format_acl(acl));
      inode.has_acl = true;
    }
    limit_mode(acl, inode.mode);
    inode.mode = static_cast<std::uint16_t>((inode.mode & ~0777) | mode_of(acl));
    if (!is_minimal(acl)) {
      transaction_->put(key::xattr(inode.ino, kAccessAcl), format_acl(acl));
      inode.has_acl = true;
    }
  }
  CAIRN_RETURN_IF_ERROR(charge(inode.root, 0, 1));
  return inode;
}

void Evaluation::add_entry(Inode& parent, std::string_view name, const Inode& inode,
                           std::uint64_t cookie) {
  DirEntry entry;
  entry.ino = inode.ino;
  entry.type = inode.type;
  entry.cookie = cookie;
  transaction_->put(key::entry(parent.ino, name), encode(entry));
  transaction_->put(key::cookie(parent.ino, cookie), std::string(name));
  if (inode.is_directory()) ++parent.nlink;
  parent.mtime = now_;
  touch(parent);
  note_entry(parent.ino, name);
}

void Evaluation::remove_entry(Inode& parent, std::string_view name, const DirEntry& entry) {
  transaction_->remove(key::entry(parent.ino, name));
  transaction_->remove(key::cookie(parent.ino, entry.cookie));
  if (entry.type == NsType::directory) --parent.nlink;
  parent.mtime = now_;
  touch(parent);
  note_entry(parent.ino, name);
}

Result<wire::NsNodeReply> Evaluation::named(const Inode& inode, const Inode& parent) {
  CAIRN_TRY(reply, node(inode));
  reply.directories.push_back(attributes(parent));
  return reply;
}

Status Evaluation::may_remove(const Inode& parent, const Inode& victim) {
  CAIRN_RETURN_IF_ERROR(permit(parent, kWrite | kExecute));
  if ((parent.mode & kSticky) != 0 && !caller_.checked && !owns(victim) && !owns(parent))
    return errno_of(EPERM);
  return {};
}

Result<bool> Evaluation::keep_in_trash(Inode& inode, std::uint64_t parent, std::string_view name) {
  if (!inode.is_regular()) return false;
  CAIRN_TRY(found, export_of(inode.root));
  if (found->trash_seconds == 0) return false;
  TrashRow row;
  row.root = inode.root;
  row.removed = unix_ms() / 1000;
  CAIRN_TRY(where, path(parent, name, inode.root));
  row.path = std::move(where);
  inode.trash_due = row.removed + found->trash_seconds;
  transaction_->put(key::trash(inode.trash_due, inode.ino), encode_row(row));
  return true;
}

Result<bool> Evaluation::lose_name(Inode& inode, const Inode& parent, std::string_view name) {
  if (inode.is_directory()) {
    inode.nlink = 0;
  } else {
    if (inode.nlink > 1) transaction_->remove(key::link(inode.ino, parent.ino, name));
    --inode.nlink;
  }
  touch(inode);
  if (inode.nlink != 0) {
    if (inode.nlink == 1 || inode.parent == parent.ino) {
      // Whichever name is left says where it is.
      std::string last;
      const auto on_row = [&](std::string_view key, std::string_view) {
        last = key;
        return false;
      };
      CAIRN_RETURN_IF_ERROR(view_.scan(key::prefix('P', inode.ino), {}, on_row));
      if (last.empty()) return Error{Errc::corrupt, "a hard link without a name"};
      inode.parent = key::number_at(last, 9);
      if (inode.nlink == 1) transaction_->remove(last);
    }
    store(inode);
    return false;
  }
  inode.parent = 0;
  CAIRN_TRY(trashed, keep_in_trash(inode, parent.ino, name));
  if (trashed) {
    store(inode);
    return false;
  }
  if (opens_->hold(inode.ino)) {
    keep_as_orphan(inode);
    return true;
  }
  CAIRN_RETURN_IF_ERROR(destroy(inode));
  return false;
}

Status Evaluation::destroy(Inode& inode) {
  const std::uint64_t bytes = inode.bytes;
  CAIRN_RETURN_IF_ERROR(replace(inode, 0, wire::kNsFileSizeMax, {}, false));
  if (inode.has_xattr || inode.has_acl) {
    std::vector<std::string> rows;
    const auto on_row = [&](std::string_view key, std::string_view) {
      rows.emplace_back(key);
      return true;
    };
    CAIRN_RETURN_IF_ERROR(view_.scan(key::prefix('X', inode.ino), {}, on_row));
    for (std::string& row : rows) transaction_->remove(std::move(row));
  }
  transaction_->remove(key::inode(inode.ino));
  wire::NsEvent event;
  event.kind = NsEventKind::gone;
  event.inode = inode.ino;
  events_.push_back(std::move(event));
  return charge(inode.root, -static_cast<std::int64_t>(bytes), -1);
}

void Evaluation::keep_as_orphan(const Inode& inode) {
  transaction_->put(key::orphan(inode.ino), std::string());
  store(inode);
  orphans_.push_back(inode.ino);
}

Status Evaluation::reap(std::uint64_t ino) {
  CAIRN_TRY(orphan, view_.get(key::orphan(ino)));
  if (!orphan) return {};
  CAIRN_TRY(row, view_.get(key::inode(ino)));
  if (!row) {
    transaction_->remove(key::orphan(ino));
    return {};
  }
  CAIRN_TRY(inode, decode_inode(ino, *row));
  if (inode.nlink == 0 && inode.trash_due == 0) {
    if (opens_->hold(ino)) return {};
    CAIRN_RETURN_IF_ERROR(destroy(inode));
  }
  transaction_->remove(key::orphan(ino));
  return settle_references();
}

// --- new names -----------------------------------------------------------------------------------

Result<wire::NsNodeReply> Evaluation::create(const wire::NsCreate& request) {
  CAIRN_TRY(parent, parent_for_new(request.parent, request.name));
  CAIRN_TRY(extents, checked_extents(request.extents));
  const std::uint64_t end = extents.empty() ? 0 : extents.back().end();
  const std::uint64_t size = std::max(request.size, end);
  if (size > wire::kNsFileSizeMax) return errno_of(EFBIG);
  return make_file(request, std::move(parent), std::move(extents), size, true);
}

Result<wire::NsNodeReply> Evaluation::create_copy(const wire::NsCreateCopy& request) {
  const wire::NsCreate& create = request.create;
  if (create.existing == NsExisting::keep || !create.extents.empty()) return errno_of(EINVAL);
  CAIRN_TRY(source, load(request.from));
  if (source.is_directory()) return errno_of(EISDIR);
  if (!source.is_regular()) return errno_of(EINVAL);
  // A file that was made with its content has version 0.
  const bool same = request.data_version == source.data_version + 1 && create.size == source.size;
  if (request.data_version != 0 && !same) return errno_of(EBUSY, "the file has changed meanwhile");
  CAIRN_RETURN_IF_ERROR(permit(source, kRead));
  CAIRN_TRY(parent, parent_for_new(create.parent, create.name));
  // The root of the tree belongs to no export, and has no files.
  if (source.root != parent.root) return errno_of(EXDEV);
  if (source.extent_count() > wire::kNsExtentsMax) return errno_of(EFBIG, "too many extents");
  CAIRN_TRY(extents, overlapping(source, 0, wire::kNsFileSizeMax));
  return make_file(create, std::move(parent), std::move(extents), source.size, false);
}

Result<wire::NsNodeReply> Evaluation::make_file(const wire::NsCreate& request, Inode parent,
                                                std::vector<Extent> extents, std::uint64_t size,
                                                bool fresh) {
  CAIRN_RETURN_IF_ERROR(permit(parent, kExecute));
  CAIRN_TRY(entry, find_entry(parent.ino, request.name));
  Inode inode;
  const bool made = !entry;
  if (entry) {
    if (request.existing == NsExisting::fail) return errno_of(EEXIST);
    CAIRN_TRY(old, load(entry->ino));
    inode = std::move(old);
    if (inode.is_directory()) return errno_of(EISDIR);
    if (inode.type == NsType::symlink) return errno_of(ELOOP);
    const bool truncate = request.existing == NsExisting::truncate && inode.is_regular();
    const unsigned wanted = (request.mask & 7U) | (truncate ? kWrite : 0);
    CAIRN_RETURN_IF_ERROR(permit(inode, wanted));
    if ((wanted & kWrite) != 0) CAIRN_RETURN_IF_ERROR(writable(inode));
    if (truncate) {
      const auto before = static_cast<std::int64_t>(inode.bytes);
      CAIRN_RETURN_IF_ERROR(replace(inode, 0, wire::kNsFileSizeMax, std::move(extents), fresh));
      CAIRN_RETURN_IF_ERROR(charge(inode.root, static_cast<std::int64_t>(inode.bytes) - before, 0));
      inode.size = size;
      inode.mtime = now_;
      kill_set_id(inode);
      touch(inode, NsEventKind::data);
      set_times(inode, request.set & (wire::kNsSetAtime | wire::kNsSetMtime), request.atime,
                request.mtime);
      store(inode);
    } else if (!extents.empty()) {
      return errno_of(EINVAL, "content for a file that is to stay as it is");
    }
  } else {
    Owner owner;
    owner.set = request.set;
    owner.uid = request.uid;
    owner.gid = request.gid;
    owner.atime = request.atime;
    owner.mtime = request.mtime;
    CAIRN_TRY(empty, make_inode(parent, NsType::regular, request.mode, owner));
    inode = std::move(empty);
    CAIRN_RETURN_IF_ERROR(replace(inode, 0, wire::kNsFileSizeMax, std::move(extents), fresh));
    CAIRN_RETURN_IF_ERROR(charge(inode.root, static_cast<std::int64_t>(inode.bytes), 0));
    inode.size = size;
    add_entry(parent, request.name, inode, inode.ino);
    store(parent);
    store(inode);
  }
  // In as many pieces as the one it is a copy of.
  if (!fresh) CAIRN_RETURN_IF_ERROR(note_fragments(inode));
  if (request.open) opens_->opened(caller_.session, inode.ino);
  CAIRN_TRY(reply, node(inode));
  reply.created = made;
  if (made) reply.directories.push_back(attributes(parent));
  return reply;
}

Result<wire::NsNodeReply> Evaluation::mkdir(const wire::NsMkdir& request) {
  CAIRN_TRY(parent, parent_for_new(request.parent, request.name));
  CAIRN_RETURN_IF_ERROR(permit(parent, kExecute));
  CAIRN_TRY(entry, find_entry(parent.ino, request.name));
  if (entry) return errno_of(EEXIST);
  Owner owner;
  owner.set = request.set;
  owner.uid = request.uid;
  owner.gid = request.gid;
  owner.atime = request.atime;
  owner.mtime = request.mtime;
  CAIRN_TRY(inode, make_inode(parent, NsType::directory, request.mode & 01777, owner));
  add_entry(parent, request.name, inode, inode.ino);
  store(parent);
  store(inode);
  return named(inode, parent);
}

Result<wire::NsNodeReply> Evaluation::mknod(const wire::NsMknod& request) {
  const bool device =
      request.type == NsType::character_device || request.type == NsType::block_device;
  if (!device && request.type != NsType::fifo && request.type != NsType::socket &&
      request.type != NsType::regular)
    return errno_of(EINVAL, "no such type");
  CAIRN_TRY(parent, parent_for_new(request.parent, request.name));
  CAIRN_RETURN_IF_ERROR(permit(parent, kExecute));
  CAIRN_TRY(entry, find_entry(parent.ino, request.name));
  if (entry) return errno_of(EEXIST);
  if (device && !caller_.is_root()) return errno_of(EPERM);
  CAIRN_TRY(inode, make_inode(parent, request.type, request.mode, Owner()));
  if (device) inode.rdev = request.rdev;
  add_entry(parent, request.name, inode, inode.ino);
  store(parent);
  store(inode);
  return named(inode, parent);
}

Result<wire::NsNodeReply> Evaluation::symlink(const wire::NsSymlink& request) {
  if (request.target.empty()) return errno_of(ENOENT, "an empty target");
  if (request.target.size() >= wire::kNsPathMax) return errno_of(ENAMETOOLONG);
  if (request.target.find('\0') != std::string::npos) return errno_of(EINVAL);
  CAIRN_TRY(parent, parent_for_new(request.parent, request.name));
  CAIRN_RETURN_IF_ERROR(permit(parent, kExecute));
  CAIRN_TRY(entry, find_entry(parent.ino, request.name));
  if (entry) return errno_of(EEXIST);
  Owner owner;
  owner.set = request.set;
  owner.uid = request.uid;
  owner.gid = request.gid;
  owner.atime = request.atime;
  owner.mtime = request.mtime;
  CAIRN_TRY(inode, make_inode(parent, NsType::symlink, 0777, owner));
  inode.target = request.target;
  add_entry(parent, request.name, inode, inode.ino);
  store(parent);
  store(inode);
  return named(inode, parent);
}

Result<wire::NsNodeReply> Evaluation::link(const wire::NsLink& request) {
  CAIRN_TRY(parent, parent_for_new(request.parent, request.name));
  CAIRN_TRY(inode, load(request.inode));
  CAIRN_RETURN_IF_ERROR(permit(parent, kExecute));
  CAIRN_TRY(entry, find_entry(parent.ino, request.name));
  if (entry) return errno_of(EEXIST);
  if (inode.root != parent.root) return errno_of(EXDEV);
  if (parent.nlink == 0) return errno_of(ENOENT);
  CAIRN_RETURN_IF_ERROR(writable(parent));
  CAIRN_RETURN_IF_ERROR(permit(parent, kWrite | kExecute));
  if (inode.is_directory()) return errno_of(EPERM);
  if (inode.nlink == 0) return errno_of(ENOENT, "it has no name any more");
  if (inode.nlink >= wire::kNsLinkMax) return errno_of(EMLINK);
  if (inode.nlink == 1) {
    // The first name was told by the inode alone.
    std::string first;
    CAIRN_TRY(by_cookie, view_.get(key::cookie(inode.parent, inode.ino)));
    if (by_cookie) {
      CAIRN_TRY(found, find_entry(inode.parent, *by_cookie));
      if (found && found->ino == inode.ino) first = *by_cookie;
    }
    const auto on_row = [&](std::string_view key, std::string_view value) {
      const auto found = decode_entry(value);
      if (found && found->ino == inode.ino) first = key.substr(9);
      return first.empty();
    };
    if (first.empty())
      CAIRN_RETURN_IF_ERROR(view_.scan(key::prefix('D', inode.parent), {}, on_row));
    if (first.empty()) return Error{Errc::corrupt, "an inode is not where it says"};
    transaction_->put(key::link(inode.ino, inode.parent, first), std::string());
  }
  ++inode.nlink;
  transaction_->put(key::link(inode.ino, parent.ino, request.name), std::string());
  touch(inode);
  add_entry(parent, request.name, inode, state_->next++);
  store(parent);
  store(inode);
  return named(inode, parent);
}

// --- names that go -------------------------------------------------------------------------------

Result<wire::NsRemoveReply> Evaluation::unlink(const wire::NsRemove& request) {
  return remove(request, false);
}

Result<wire::NsRemoveReply> Evaluation::rmdir(const wire::NsRemove& request) {
  return remove(request, true);
}

Result<wire::NsRemoveReply> Evaluation::remove(const wire::NsRemove& request, bool directory) {
  if (request.name == ".") return errno_of(directory ? EINVAL : EISDIR);
  if (request.name == "..") return errno_of(directory ? ENOTEMPTY : EISDIR);
  CAIRN_RETURN_IF_ERROR(check_name(request.name));
  CAIRN_TRY(parent, load_directory(request.parent));
  CAIRN_RETURN_IF_ERROR(permit(parent, kExecute));
  CAIRN_TRY(entry, find_entry(parent.ino, request.name));
  if (!entry) return errno_of(ENOENT);
  if (parent.ino == wire::kNsRootInode) return errno_of(EBUSY, "the root of an export");
  if (request.inode != 0 && request.inode != entry->ino) return errno_of(ESTALE);
  CAIRN_TRY(victim, load(entry->ino));
  CAIRN_RETURN_IF_ERROR(writable(parent));
  CAIRN_RETURN_IF_ERROR(may_remove(parent, victim));
  if (directory && !victim.is_directory()) return errno_of(ENOTDIR);
  if (!directory && victim.is_directory()) return errno_of(EISDIR);
  if (directory) {
    CAIRN_TRY(full, has_rows(key::prefix('D', victim.ino)));
    if (full) return errno_of(ENOTEMPTY);
  }
  remove_entry(parent, request.name, *entry);
  CAIRN_TRY(orphan, lose_name(victim, parent, request.name));
  store(parent);
  wire::NsRemoveReply reply;
  reply.inode = victim.ino;
  reply.nlink = victim.nlink;
  reply.orphan = orphan;
  reply.directories.push_back(attributes(parent));
  return reply;
}

// --- names that move -----------------------------------------------------------------------------

void Evaluation::move_parent(Inode& inode, std::uint64_t from, std::string_view name,
                             std::uint64_t to, std::string_view new_name) {
  if (inode.is_directory() || inode.nlink == 1) {
    inode.parent = to;
    return;
  }
  transaction_->remove(key::link(inode.ino, from, name));
  transaction_->put(key::link(inode.ino, to, new_name), std::string());
  if (inode.parent == from) inode.parent = to;
}

Result<wire::NsRenameReply> Evaluation::rename(const wire::NsRename& request) {
  const bool exchange = (request.flags & wire::kNsRenameExchange) != 0;
  const bool noreplace = (request.flags & wire::kNsRenameNoreplace) != 0;
  if ((request.flags & ~(wire::kNsRenameExchange | wire::kNsRenameNoreplace)) != 0 ||
      (exchange && noreplace))
    return errno_of(EINVAL, "flags");
  for (const std::string* name : {&request.name, &request.new_name}) {
    if (*name == "." || *name == "..") return errno_of(EBUSY);
    CAIRN_RETURN_IF_ERROR(check_name(*name));
  }
  const bool same = request.parent == request.new_parent;
  CAIRN_TRY(from, load_directory(request.parent));
  CAIRN_TRY(to, load_directory(request.new_parent));
  if (from.ino == wire::kNsRootInode || to.ino == wire::kNsRootInode)
    return errno_of(from.ino == to.ino ? EBUSY : EXDEV);
  if (from.root != to.root) return errno_of(EXDEV);
  CAIRN_RETURN_IF_ERROR(permit(from, kExecute));
  CAIRN_RETURN_IF_ERROR(permit(to, kExecute));
  CAIRN_TRY(entry, find_entry(from.ino, request.name));
  if (!entry) return errno_of(ENOENT);
  CAIRN_TRY(target_entry, find_entry(to.ino, request.new_name));
  if (target_entry && noreplace) return errno_of(EEXIST);
  if (!target_entry && exchange) return errno_of(ENOENT);
  CAIRN_TRY(inode, load(entry->ino));
  Inode target;
  if (target_entry) {
    CAIRN_TRY(found, load(target_entry->ino));
    target = std::move(found);
  }
  if (inode.is_directory() && !same) {
    CAIRN_TRY(into_itself, is_below(to.ino, inode.ino));
    if (into_itself) return errno_of(EINVAL, "a directory into itself");
  }
  if (target_entry && target.is_directory() && !same) {
    CAIRN_TRY(over_itself, is_below(from.ino, target.ino));
    if (over_itself) return errno_of(exchange ? EINVAL : ENOTEMPTY);
  }
  wire::NsRenameReply reply;
  if (target_entry && target.ino == inode.ino) {
    // Two names of one file: nothing happens, says POSIX.
    CAIRN_TRY(unchanged, node(inode));
    reply.node = std::move(unchanged);
    return reply;
  }
  CAIRN_RETURN_IF_ERROR(writable(from));
  CAIRN_RETURN_IF_ERROR(may_remove(from, inode));
  if (target_entry) {
    CAIRN_RETURN_IF_ERROR(may_remove(to, target));
    if (!exchange && inode.is_directory() && !target.is_directory()) return errno_of(ENOTDIR);
    if (!exchange && !inode.is_directory() && target.is_directory()) return errno_of(EISDIR);
  } else {
    if (to.nlink == 0) return errno_of(ENOENT);
    CAIRN_RETURN_IF_ERROR(permit(to, kWrite | kExecute));
  }
  // A directory that moves gets another "..": that is a write to it.
  if (!same && inode.is_directory()) CAIRN_RETURN_IF_ERROR(permit(inode, kWrite));
  if (!same && exchange && target.is_directory()) CAIRN_RETURN_IF_ERROR(permit(target, kWrite));
  if (target_entry && !exchange && target.is_directory()) {
    CAIRN_TRY(full, has_rows(key::prefix('D', target.ino)));
    if (full) return errno_of(ENOTEMPTY);
  }

  Inode& other = same ? from : to;
  remove_entry(from, request.name, *entry);
  if (target_entry) remove_entry(other, request.new_name, *target_entry);
  touch(inode);
  move_parent(inode, from.ino, request.name, other.ino, request.new_name);
  if (exchange) {
    touch(target);
    move_parent(target, other.ino, request.new_name, from.ino, request.name);
    store(target);
    add_entry(from, request.name, target, state_->next++);
  } else if (target_entry) {
    CAIRN_TRY(orphan, lose_name(target, other, request.new_name));
    static_cast<void>(orphan);
  }
  add_entry(other, request.new_name, inode, state_->next++);
  store(from);
  if (!same) store(to);
  store(inode);
  if (target_entry) reply.replaced = target.ino;
  CAIRN_TRY(moved, node(inode));
  reply.node = std::move(moved);
  reply.directories.push_back(attributes(from));
  if (!same) reply.directories.push_back(attributes(to));
  return reply;
}

} // namespace cairn::tracker
