// Dispatch, and the rows that all operations work on.
#include "tracker/namespace/evaluation.h"

#include <algorithm>
#include <cerrno>
#include <utility>

namespace cairn::tracker {

using wire::NsEventKind;
using wire::NsOp;

Evaluation::Evaluation(const KeyValueView& view, Caller caller, NsTime now)
    : view_(view), caller_(std::move(caller)), now_(now) {}

Evaluation::Evaluation(Transaction& transaction, Caller caller, OpenFiles& opens, StateRow& state,
                       const NamespacePolicy& policy, NsTime now)
    : view_(transaction),
      transaction_(&transaction),
      caller_(std::move(caller)),
      opens_(&opens),
      state_(&state),
      policy_(&policy),
      now_(now),
      position_(state.position) {}

template <class Reply, class Request>
Result<wire::Bytes> Evaluation::call(Result<Reply> (Evaluation::*function)(const Request&),
                                     wire::View request) {
  CAIRN_TRY(decoded, wire::decode_lenient<Request>(request));
  CAIRN_TRY(reply, (this->*function)(decoded));
  return wire::encode(reply);
}

template <class Request>
Result<wire::Bytes> Evaluation::call(Status (Evaluation::*function)(const Request&),
                                     wire::View request) {
  CAIRN_TRY(decoded, wire::decode_lenient<Request>(request));
  CAIRN_RETURN_IF_ERROR((this->*function)(decoded));
  return wire::Bytes();
}

Result<wire::Bytes> Evaluation::run(NsOp op, wire::View request) {
  CAIRN_ASSERT(!wire::is_change(op) || transaction_ != nullptr);
  CAIRN_TRY(reply, dispatch(op, request));
  if (transaction_ != nullptr) CAIRN_RETURN_IF_ERROR(settle_references());
  return reply;
}

Result<wire::Bytes> Evaluation::dispatch(NsOp op, wire::View request) {
  const bool upkeep = static_cast<std::uint8_t>(op) >= static_cast<std::uint8_t>(NsOp::export_add);
  const bool of_user = op == NsOp::trash_list || op == NsOp::trash_restore;
  if (upkeep && !of_user && !caller_.admin) return errno_of(EPERM, "only for administrators");
  switch (op) {
    case NsOp::lookup:
      return call(&Evaluation::lookup, request);
    case NsOp::getattr:
      return call(&Evaluation::getattr, request);
    case NsOp::resolve:
      return call(&Evaluation::resolve, request);
    case NsOp::readdir:
      return call(&Evaluation::readdir, request);
    case NsOp::readlink:
      return call(&Evaluation::readlink, request);
    case NsOp::extents:
      return call(&Evaluation::extents, request);
    case NsOp::getxattr:
      return call(&Evaluation::getxattr, request);
    case NsOp::listxattr:
      return call(&Evaluation::listxattr, request);
    case NsOp::statfs:
      return call(&Evaluation::statfs, request);
    case NsOp::access:
      return call(&Evaluation::access, request);
    case NsOp::path_of:
      return call(&Evaluation::path_of, request);
    case NsOp::seek:
      return call(&Evaluation::seek, request);
    case NsOp::create:
      return call(&Evaluation::create, request);
    case NsOp::create_copy:
      return call(&Evaluation::create_copy, request);
    case NsOp::mkdir:
      return call(&Evaluation::mkdir, request);
    case NsOp::mknod:
      return call(&Evaluation::mknod, request);
    case NsOp::symlink:
      return call(&Evaluation::symlink, request);
    case NsOp::link:
      return call(&Evaluation::link, request);
    case NsOp::unlink:
      return call(&Evaluation::unlink, request);
    case NsOp::rmdir:
      return call(&Evaluation::rmdir, request);
    case NsOp::rename:
      return call(&Evaluation::rename, request);
    case NsOp::setattr:
      return call(&Evaluation::setattr, request);
    case NsOp::commit:
      return call(&Evaluation::commit, request);
    case NsOp::fallocate:
      return call(&Evaluation::fallocate, request);
    case NsOp::copy_range:
      return call(&Evaluation::copy_range, request);
    case NsOp::setxattr:
      return call(&Evaluation::setxattr, request);
    case NsOp::removexattr:
      return call(&Evaluation::removexattr, request);
    case NsOp::exports:
      return call(&Evaluation::exports, request);
    case NsOp::export_add:
      return call(&Evaluation::export_add, request);
    case NsOp::export_set:
      return call(&Evaluation::export_set, request);
    case NsOp::export_remove:
      return call(&Evaluation::export_remove, request);
    case NsOp::trash_list:
      return call(&Evaluation::trash_list, request);
    case NsOp::trash_restore:
      return call(&Evaluation::trash_restore, request);
    case NsOp::trash_purge:
      return call(&Evaluation::trash_purge, request);
    case NsOp::due:
      return call(&Evaluation::due, request);
    case NsOp::deleted:
      return call(&Evaluation::deleted, request);
    case NsOp::referenced:
      return call(&Evaluation::referenced, request);
    case NsOp::walk:
      return call(&Evaluation::walk, request);
    default:
      return errno_of(ENOSYS, "no such operation");
  }
}

std::uint64_t Evaluation::unix_ms() const {
  return static_cast<std::uint64_t>(now_.seconds) * 1000 + now_.nanoseconds / 1'000'000;
}

// --- rows ----------------------------------------------------------------------------------------

Result<Inode> Evaluation::load(std::uint64_t ino) {
  CAIRN_TRY(row, view_.get(key::inode(ino)));
  if (!row) return errno_of(ESTALE, "inode " + std::to_string(ino) + " does not exist");
  CAIRN_TRY(inode, decode_inode(ino, *row));
  if (caller_.root != 0 && inode.root != caller_.root)
    return errno_of(ESTALE, "inode " + std::to_string(ino) + " is not in this export");
  return inode;
}

Result<Inode> Evaluation::load_directory(std::uint64_t ino) {
  CAIRN_TRY(inode, load(ino));
  if (!inode.is_directory()) return errno_of(ENOTDIR);
  return inode;
}

Result<std::optional<DirEntry>> Evaluation::find_entry(std::uint64_t parent,
                                                       std::string_view name) {
  CAIRN_TRY(row, view_.get(key::entry(parent, name)));
  if (!row) return std::optional<DirEntry>();
  CAIRN_TRY(entry, decode_entry(*row));
  return std::optional<DirEntry>(entry);
}

void Evaluation::store(const Inode& inode) {
  transaction_->put(key::inode(inode.ino), encode(inode));
}

void Evaluation::touch(Inode& inode, NsEventKind kind) {
  inode.version = position_;
  inode.ctime = now_;
  if (kind == NsEventKind::data) ++inode.data_version;
  wire::NsEvent event;
  event.kind = kind;
  event.inode = inode.ino;
  event.version = inode.version;
  events_.push_back(std::move(event));
}

void Evaluation::note_entry(std::uint64_t parent, std::string_view name) {
  wire::NsEvent event;
  event.kind = NsEventKind::entry;
  event.inode = parent;
  event.name = name;
  events_.push_back(std::move(event));
}

Result<Acl> Evaluation::acl_of(const Inode& inode, std::string_view name) {
  if (!inode.has_acl) return Acl();
  CAIRN_TRY(row, view_.get(key::xattr(inode.ino, name)));
  if (!row) return Acl();
  return parse_acl(*row);
}

Status Evaluation::permit(const Inode& inode, unsigned wanted) {
  CAIRN_TRY(acl, acl_of(inode, kAccessAcl));
  if (!permits(inode, &acl, caller_, wanted)) return errno_of(EACCES);
  return {};
}

Result<std::string> Evaluation::path(std::uint64_t parent, std::string_view name,
                                     std::uint64_t until) {
  std::string text(name);
  for (std::uint64_t at = parent; at != until && at != 0;) {
    CAIRN_TRY(row, view_.get(key::inode(at)));
    if (!row) return errno_of(ESTALE);
    CAIRN_TRY(inode, decode_inode(at, *row));
    // A directory has one name, but only its parent knows it.
    std::string found;
    const auto on_row = [&](std::string_view key, std::string_view value) {
      const auto entry = decode_entry(value);
      if (entry && entry->ino == at) found = key.substr(9);
      return found.empty();
    };
    // Directories are found fast by the cookie they were made with, others by looking at all.
    CAIRN_TRY(by_cookie, view_.get(key::cookie(inode.parent, at)));
    if (by_cookie) {
      CAIRN_TRY(entry, find_entry(inode.parent, *by_cookie));
      if (entry && entry->ino == at) found = *by_cookie;
    }
    if (found.empty())
      CAIRN_RETURN_IF_ERROR(view_.scan(key::prefix('D', inode.parent), {}, on_row));
    if (found.empty()) return errno_of(ESTALE);
    text = text.empty() ? found : found + "/" + text;
    at = inode.parent;
  }
  return text;
}

Result<bool> Evaluation::is_below(std::uint64_t ino, std::uint64_t ancestor) {
  for (std::uint64_t at = ino;;) {
    if (at == ancestor) return true;
    if (at == wire::kNsRootInode || at == 0) return false;
    CAIRN_TRY(row, view_.get(key::inode(at)));
    if (!row) return errno_of(ESTALE);
    CAIRN_TRY(inode, decode_inode(at, *row));
    at = inode.parent;
  }
}

Result<bool> Evaluation::has_rows(std::string_view prefix) {
  bool any = false;
  const auto on_row = [&](std::string_view, std::string_view) {
    any = true;
    return false;
  };
  CAIRN_RETURN_IF_ERROR(view_.scan(prefix, {}, on_row));
  return any;
}

wire::NsAttributes Evaluation::attributes(const Inode& inode) const {
  wire::NsAttributes out;
  out.inode = inode.ino;
  out.type = inode.type;
  out.mode = inode.mode;
  out.nlink = inode.nlink;
  out.uid = inode.uid;
  out.gid = inode.gid;
  out.rdev = inode.rdev;
  out.size = inode.type == NsType::symlink ? inode.target.size() : inode.size;
  out.bytes = inode.bytes;
  out.atime = inode.atime;
  out.mtime = inode.mtime;
  out.ctime = inode.ctime;
  out.btime = inode.btime;
  // What lies above the session's root does not exist for it.
  out.parent = inode.ino == caller_.root ? inode.ino : inode.parent;
  out.version = inode.version;
  out.data_version = inode.data_version;
  if (inode.has_xattr) out.flags |= wire::kNsHasXattr;
  if (inode.has_acl) out.flags |= wire::kNsHasAcl;
  return out;
}

Result<wire::NsNodeReply> Evaluation::node(const Inode& inode) {
  wire::NsNodeReply reply;
  reply.attributes = attributes(inode);
  reply.target = inode.target;
  if (inode.extent_count() > wire::kNsExtentsInline) {
    reply.attributes.flags |= wire::kNsExtentsMore;
  } else if (inode.is_regular() && inode.extent_count() != 0) {
    CAIRN_TRY(all, overlapping(inode, 0, wire::kNsFileSizeMax));
    for (const Extent& extent : all) {
      CAIRN_TRY(external, to_wire(extent));
      reply.extents.push_back(std::move(external));
    }
  }
  return reply;
}

// --- exports -------------------------------------------------------------------------------------

Result<wire::NsExport*> Evaluation::export_of(std::uint64_t root) {
  if (const auto found = exports_.find(root); found != exports_.end()) return &found->second;
  CAIRN_TRY(row, view_.get(key::quota(root)));
  if (!row) return errno_of(EPERM, "only exports stand at the top");
  CAIRN_TRY(decoded, decode_row<NsExport>(*row));
  return &exports_.emplace(root, std::move(decoded)).first->second;
}

void Evaluation::store_export(const NsExport& row) {
  transaction_->put(key::quota(row.root), encode_row(row));
}

Status Evaluation::writable(const Inode& inode) {
  if (caller_.read_only) return errno_of(EROFS);
  CAIRN_TRY(found, export_of(inode.root));
  if (found->read_only) return errno_of(EROFS);
  return {};
}

Status Evaluation::charge(std::uint64_t root, std::int64_t bytes, std::int64_t inodes) {
  if (bytes == 0 && inodes == 0) return {};
  CAIRN_TRY(found, export_of(root));
  const auto changed = [](std::uint64_t used, std::int64_t by) {
    return used + static_cast<std::uint64_t>(by);
  };
  const std::uint64_t used_bytes = changed(found->used_bytes, bytes);
  const std::uint64_t used_inodes = changed(found->used_inodes, inodes);
  // What shrinks is always allowed, also above a limit that was lowered.
  if (bytes > 0 && found->quota_bytes != 0 && used_bytes > found->quota_bytes)
    return errno_of(EDQUOT, "quota of bytes of export " + found->name);
  if (inodes > 0 && found->quota_inodes != 0 && used_inodes > found->quota_inodes)
    return errno_of(EDQUOT, "quota of inodes of export " + found->name);
  found->used_bytes = used_bytes;
  found->used_inodes = used_inodes;
  store_export(*found);
  return {};
}

} // namespace cairn::tracker
