// Exports, the trash, sessions, and what keeps storage nodes and namespace together.
#include "tracker/namespace/evaluation.h"

#include <algorithm>
#include <cerrno>
#include <utility>

namespace cairn::tracker {

namespace {

constexpr std::size_t kExportNameMax = 64;
constexpr std::uint32_t kListMax = 10'000;

Status check_export_name(std::string_view name) {
  const bool good = !name.empty() && name.size() <= kExportNameMax && name[0] != '.' &&
                    name[0] != '_' && std::ranges::all_of(name, [](char c) {
                      return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                             (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.';
                    });
  if (!good)
    return errno_of(EINVAL,
                    "an export's name is 1 to 64 of A-Z a-z 0-9 - _ . and begins with a "
                    "letter or digit");
  const auto hex = [](char c) { return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'F'); };
  const bool store_path = name.size() == 3 && name[0] == 'M' && hex(name[1]) && hex(name[2]);
  for (const std::string_view word : {"healthz", "readyz", "metrics", "status"}) {
    if (name == word || store_path)
      return errno_of(EINVAL, "the name " + std::string(name) + " means something else over HTTP");
  }
  return {};
}

} // namespace

Status Evaluation::format() {
  CAIRN_TRY(row, view_.get(key::inode(wire::kNsRootInode)));
  if (row) return {};
  Inode root;
  root.ino = wire::kNsRootInode;
  root.type = NsType::directory;
  root.mode = 0755;
  root.nlink = 2;
  root.atime = root.mtime = root.ctime = root.btime = now_;
  root.parent = wire::kNsRootInode;
  root.root = wire::kNsRootInode;
  root.version = position_;
  store(root);
  return {};
}

// --- exports -------------------------------------------------------------------------------------

Result<wire::NsExportsReply> Evaluation::exports(const wire::NsExports& request) {
  wire::NsExportsReply reply;
  Status damaged;
  const auto on_row = [&](std::string_view, std::string_view value) {
    auto row = decode_row<NsExport>(value);
    if (!row) {
      damaged = std::move(row).error();
      return false;
    }
    const bool wanted = request.name.empty() || row->name == request.name;
    if (wanted && (caller_.root == 0 || row->root == caller_.root))
      reply.exports.push_back(*std::move(row));
    return true;
  };
  CAIRN_RETURN_IF_ERROR(view_.scan("Q", {}, on_row));
  CAIRN_RETURN_IF_ERROR(std::move(damaged));
  if (reply.exports.empty() && !request.name.empty())
    return errno_of(ENOENT, "no export " + request.name);
  std::ranges::sort(reply.exports, {}, &NsExport::name);
  return reply;
}

Result<wire::NsExportReply> Evaluation::export_add(const wire::NsExportChange& request) {
  NsExport made = request.values;
  CAIRN_RETURN_IF_ERROR(check_export_name(made.name));
  CAIRN_TRY(taken, view_.get(key::export_name(made.name)));
  // Groups and exports share the first part of URLs.
  CAIRN_TRY(group, view_.get("Cg" + made.name));
  if (taken || group)
    return errno_of(EEXIST, (taken ? "there is an export " : "there is a group ") + made.name);
  CAIRN_TRY(top, load_directory(wire::kNsRootInode));
  Inode root;
  root.ino = state_->next++;
  root.type = NsType::directory;
  root.mode = static_cast<std::uint16_t>(request.mode & 07777);
  root.nlink = 2;
  root.uid = request.owner_uid;
  root.gid = request.owner_gid;
  root.atime = root.mtime = root.ctime = root.btime = now_;
  root.parent = wire::kNsRootInode;
  root.root = root.ino;
  root.version = position_;
  made.root = root.ino;
  made.used_bytes = 0;
  made.used_inodes = 1;
  made.created = unix_ms() / 1000;
  add_entry(top, made.name, root, root.ino);
  store(top);
  store(root);
  transaction_->put(key::export_name(made.name), encode_count(root.ino));
  store_export(made);
  wire::NsExportReply reply;
  reply.made = std::move(made);
  return reply;
}

Result<wire::NsExportReply> Evaluation::export_set(const wire::NsExportChange& request) {
  CAIRN_TRY(row, view_.get(key::export_name(request.values.name)));
  if (!row) return errno_of(ENOENT, "no export " + request.values.name);
  CAIRN_TRY(ino, decode_count(*row));
  CAIRN_TRY(found, export_of(ino));
  NsExport& out = *found;
  const NsExport& in = request.values;
  const auto sets = [&](std::uint32_t field) { return (request.set & field) != 0; };
  if (sets(wire::kNsExportPublic)) out.is_public = in.is_public;
  if (sets(wire::kNsExportReadOnly)) out.read_only = in.read_only;
  if (sets(wire::kNsExportListing)) out.listing = in.listing;
  if (sets(wire::kNsExportQuotaBytes)) out.quota_bytes = in.quota_bytes;
  if (sets(wire::kNsExportQuotaInodes)) out.quota_inodes = in.quota_inodes;
  if (sets(wire::kNsExportClients)) out.clients = in.clients;
  if (sets(wire::kNsExportCopies)) out.copies = in.copies;
  if (sets(wire::kNsExportGroups)) out.groups = in.groups;
  if (sets(wire::kNsExportSquash)) {
    out.squash = in.squash;
    out.squash_uid = in.squash_uid;
    out.squash_gid = in.squash_gid;
  }
  if (sets(wire::kNsExportTrash)) out.trash_seconds = in.trash_seconds;
  store_export(out);
  if (sets(wire::kNsExportOwner) || sets(wire::kNsExportMode)) {
    CAIRN_TRY(root, load(ino));
    if (sets(wire::kNsExportOwner)) {
      root.uid = request.owner_uid;
      root.gid = request.owner_gid;
    }
    if (sets(wire::kNsExportMode)) root.mode = static_cast<std::uint16_t>(request.mode & 07777);
    touch(root);
    store(root);
  }
  wire::NsExportReply reply;
  reply.made = out;
  return reply;
}

Status Evaluation::export_remove(const wire::NsExportName& request) {
  CAIRN_TRY(row, view_.get(key::export_name(request.name)));
  if (!row) return errno_of(ENOENT, "no export " + request.name);
  CAIRN_TRY(ino, decode_count(*row));
  CAIRN_TRY(found, export_of(ino));
  if (found->used_inodes > 1)
    return errno_of(ENOTEMPTY, "export " + request.name + " holds " +
                                   std::to_string(found->used_inodes - 1) +
                                   " files and directories (trash and open ones included)");
  CAIRN_TRY(top, load_directory(wire::kNsRootInode));
  CAIRN_TRY(entry, find_entry(wire::kNsRootInode, request.name));
  if (!entry) return Error{Errc::corrupt, "an export without a name"};
  remove_entry(top, request.name, *entry);
  store(top);
  transaction_->remove(key::inode(ino));
  transaction_->remove(key::quota(ino));
  transaction_->remove(key::export_name(request.name));
  exports_.erase(ino);
  wire::NsEvent event;
  event.kind = wire::NsEventKind::gone;
  event.inode = ino;
  events_.push_back(std::move(event));
  return {};
}

// --- trash ---------------------------------------------------------------------------------------

Result<wire::NsTrashListReply> Evaluation::trash_list(const wire::NsTrashList& request) {
  CAIRN_TRY(row, view_.get(key::export_name(request.export_name)));
  if (!row) return errno_of(ENOENT, "no export " + request.export_name);
  CAIRN_TRY(root, decode_count(*row));
  if (caller_.root != 0 && caller_.root != root) return errno_of(EACCES);
  // The names in it are nobody else's business.
  if (!caller_.admin && !caller_.is_root()) return errno_of(EPERM);
  wire::NsTrashListReply reply;
  reply.end = true;
  const std::size_t limit = std::clamp(request.limit, 1U, kListMax);
  Status damaged;
  const auto on_row = [&](std::string_view key, std::string_view value) {
    auto trashed = decode_row<TrashRow>(value);
    if (!trashed) {
      damaged = std::move(trashed).error();
      return false;
    }
    if (trashed->root != root || !trashed->path.starts_with(request.prefix) ||
        trashed->removed < request.removed_since)
      return true;
    if (reply.items.size() == limit) {
      reply.end = false;
      return false;
    }
    wire::NsTrashItem item;
    item.expires = key::number_at(key, 1);
    item.inode = key::number_at(key, 9);
    item.path = trashed->path;
    item.removed = trashed->removed;
    reply.items.push_back(std::move(item));
    return true;
  };
  CAIRN_RETURN_IF_ERROR(
      view_.scan("T", key::trash(request.after_expires, request.after_inode + 1), on_row));
  CAIRN_RETURN_IF_ERROR(std::move(damaged));
  for (wire::NsTrashItem& item : reply.items) {
    CAIRN_TRY(inode, load(item.inode));
    item.size = inode.size;
  }
  return reply;
}

Result<wire::NsNodeReply> Evaluation::trash_restore(const wire::NsTrashRestore& request) {
  CAIRN_TRY(inode, load(request.inode));
  if (inode.trash_due == 0) return errno_of(ENOENT, "not in the trash");
  CAIRN_TRY(parent, parent_for_new(request.parent, request.name));
  if (parent.root != inode.root) return errno_of(EXDEV);
  if (parent.nlink == 0) return errno_of(ENOENT);
  CAIRN_RETURN_IF_ERROR(writable(parent));
  CAIRN_RETURN_IF_ERROR(permit(parent, kWrite | kExecute));
  if (!caller_.admin && !owns(inode)) return errno_of(EPERM);
  CAIRN_TRY(entry, find_entry(parent.ino, request.name));
  if (entry) return errno_of(EEXIST);
  transaction_->remove(key::trash(inode.trash_due, inode.ino));
  inode.trash_due = 0;
  inode.nlink = 1;
  inode.parent = parent.ino;
  touch(inode);
  add_entry(parent, request.name, inode, state_->next++);
  store(parent);
  store(inode);
  return node(inode);
}

Status Evaluation::trash_purge(const wire::NsTrashRestore& request) {
  CAIRN_TRY(inode, load(request.inode));
  if (inode.trash_due == 0) return errno_of(ENOENT, "not in the trash");
  transaction_->remove(key::trash(inode.trash_due, inode.ino));
  inode.trash_due = 0;
  if (!opens_->hold(inode.ino)) return destroy(inode);
  keep_as_orphan(inode);
  return {};
}

Result<std::uint64_t> Evaluation::empty_trash(std::uint64_t now_s, std::uint64_t limit) {
  std::vector<std::uint64_t> due;
  const auto on_row = [&](std::string_view key, std::string_view) {
    if (key::number_at(key, 1) > now_s || due.size() == limit) return false;
    due.push_back(key::number_at(key, 9));
    return true;
  };
  CAIRN_RETURN_IF_ERROR(view_.scan("T", {}, on_row));
  for (const std::uint64_t ino : due) {
    wire::NsTrashRestore request;
    request.inode = ino;
    CAIRN_RETURN_IF_ERROR(trash_purge(request));
  }
  CAIRN_RETURN_IF_ERROR(settle_references());
  return due.size();
}

// --- sessions ------------------------------------------------------------------------------------

Result<std::uint64_t> Evaluation::begin_session(const SessionRow& row) {
  const std::uint64_t session = state_->session++;
  transaction_->put(key::session(session), encode_row(row));
  return session;
}

Status Evaluation::end_session(std::uint64_t session) {
  transaction_->remove(key::session(session));
  std::vector<std::string> rows;
  const auto on_row = [&](std::string_view key, std::string_view) {
    rows.emplace_back(key);
    return true;
  };
  CAIRN_RETURN_IF_ERROR(view_.scan(key::prefix('N', session), {}, on_row));
  for (std::string& row : rows) transaction_->remove(std::move(row));
  return {};
}

// --- upkeep --------------------------------------------------------------------------------------

Result<wire::NsDueReply> Evaluation::due(const wire::NsDue& request) {
  wire::NsDueReply reply;
  const std::size_t limit = std::clamp(request.limit, 1U, kListMax);
  Status damaged;
  const std::uint64_t until = unix_ms();
  const auto on_row = [&](std::string_view key, std::string_view) {
    ++reply.waiting;
    const std::uint64_t due = key::number_at(key, 1);
    if (due > until || reply.items.size() == limit) return reply.waiting < 10 * kListMax;
    auto id = decode_ref(key.substr(9));
    if (!id) {
      damaged = std::move(id).error();
      return false;
    }
    wire::NsDueItem item;
    item.due_ms = due;
    item.id = *std::move(id);
    reply.items.push_back(std::move(item));
    return true;
  };
  CAIRN_RETURN_IF_ERROR(view_.scan("G", {}, on_row));
  CAIRN_RETURN_IF_ERROR(std::move(damaged));
  return reply;
}

Status Evaluation::deleted(const wire::NsDeleted& request) {
  for (const wire::NsDueItem& item : request.items) {
    CAIRN_TRY(ref, encode_ref(item.id));
    transaction_->remove(key::garbage(item.due_ms, ref));
  }
  return {};
}

Result<wire::NsReferencedReply> Evaluation::referenced(const wire::NsReferenced& request) {
  if (request.items.size() > 1000) return errno_of(EINVAL, "too many files at once");
  wire::NsReferencedReply reply;
  std::map<std::string, std::size_t> unknown; // by file reference
  for (const wire::NsReferencedItem& item : request.items) {
    CAIRN_TRY(ref, encode_ref(item.id));
    CAIRN_TRY(counted, view_.get(key::references(ref)));
    CAIRN_TRY(session, view_.get(key::session(item.session)));
    bool used = counted.has_value() || session.has_value();
    CAIRN_TRY(row, view_.get(key::inode(item.inode)));
    if (!used && row) {
      CAIRN_TRY(inode, decode_inode(item.inode, *row));
      CAIRN_TRY(extents, overlapping(inode, 0, wire::kNsFileSizeMax));
      used = std::ranges::any_of(extents, [&](const Extent& e) { return e.ref == ref; });
    }
    if (!used) unknown.emplace(ref, reply.answers.size());
    reply.answers.push_back(used ? '1' : '0');
  }
  if (unknown.empty()) return reply;
  const auto on_row = [&](std::string_view key, std::string_view) {
    const auto found = unknown.find(std::string(key.substr(9)));
    if (found != unknown.end()) reply.answers[found->second] = 'd';
    return true;
  };
  CAIRN_RETURN_IF_ERROR(view_.scan("G", {}, on_row));
  return reply;
}

Result<std::uint64_t> Evaluation::mend(const std::vector<RowFix>& fixes) {
  std::uint64_t mended = 0;
  for (const RowFix& fix : fixes) {
    CAIRN_TRY(now, view_.get(fix.key));
    if (now != fix.found) continue;
    ++mended;
    if (fix.right)
      transaction_->put(fix.key, *fix.right);
    else
      transaction_->remove(fix.key);
  }
  return mended;
}

void Evaluation::condemn(const std::vector<std::string>& refs) {
  for (const std::string& ref : refs) transaction_->put(key::condemned(ref), std::string());
}

void Evaluation::acquit(const std::vector<std::string>& refs) {
  for (const std::string& ref : refs) transaction_->remove(key::condemned(ref));
}

Result<wire::NsWalkReply> Evaluation::walk(const wire::NsWalk& request) {
  wire::NsWalkReply reply;
  reply.end = true;
  const std::size_t limit = std::clamp(request.limit, 1U, kListMax);
  std::vector<Inode> found;
  Status damaged;
  const auto on_row = [&](std::string_view key, std::string_view value) {
    if (found.size() == limit) {
      reply.end = false;
      return false;
    }
    auto inode = decode_inode(key::number_at(key, 1), value);
    if (!inode) {
      damaged = std::move(inode).error();
      return false;
    }
    found.push_back(*std::move(inode));
    return true;
  };
  CAIRN_RETURN_IF_ERROR(view_.scan("I", key::inode(request.after + 1), on_row));
  CAIRN_RETURN_IF_ERROR(std::move(damaged));
  for (const Inode& inode : found) {
    wire::NsWalkItem item;
    CAIRN_TRY(described, node(inode));
    item.attributes = described.attributes;
    item.target = inode.target;
    CAIRN_TRY(extents, overlapping(inode, 0, wire::kNsFileSizeMax));
    for (const Extent& extent : extents) {
      CAIRN_TRY(external, to_wire(extent));
      item.extents.push_back(std::move(external));
    }
    if (request.paths && inode.parent != 0) {
      wire::NsInode which;
      which.inode = inode.ino;
      CAIRN_TRY(text, path_of(which));
      item.path = "/" + text.text;
    }
    reply.items.push_back(std::move(item));
  }
  return reply;
}

} // namespace cairn::tracker
