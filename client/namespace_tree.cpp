// Paths to inodes, content to extents.
#include "client/namespace_tree.h"

#include "common/base/text.h"

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <utility>

namespace cairn {

namespace {

using wire::NsOp;

FileTime time_of(const wire::NsTime& time) {
  return FileTime(time.seconds, time.nanoseconds);
}
wire::NsTime wire_time(const FileTime& time) {
  return wire::NsTime{time.seconds, time.nanoseconds};
}

ExportInfo info_of(const wire::NsExport& row) {
  ExportInfo info;
  info.name = row.name;
  info.is_public = row.is_public;
  info.read_only = row.read_only;
  info.listing = row.listing;
  info.quota_bytes = row.quota_bytes;
  info.quota_inodes = row.quota_inodes;
  info.used_bytes = row.used_bytes;
  info.used_inodes = row.used_inodes;
  for (const auto& client : row.clients) info.clients.push_back(client.text);
  info.copies = row.copies;
  for (const auto& group : row.groups) info.groups.push_back(group.text);
  if (row.squash != wire::NsSquash::none)
    info.squash = (row.squash == wire::NsSquash::root ? "root:" : "all:") +
                  std::to_string(row.squash_uid) + ":" + std::to_string(row.squash_gid);
  info.trash_seconds = row.trash_seconds;
  return info;
}

std::vector<wire::NsText> texts(const std::vector<std::string>& from) {
  std::vector<wire::NsText> out;
  for (const std::string& text : from) {
    wire::NsText one;
    one.text = text;
    out.push_back(std::move(one));
  }
  return out;
}

// "none", "root", "all", the latter two with ":UID:GID" or without.
Status read_squash(const std::string& text, wire::NsExport& out) {
  const auto parts = split(text, ':');
  const Error bad(Errc::invalid_argument,
                  "squash is none, root or all, with :UID:GID if you like; not '" + text + "'");
  if (parts[0] == "none")
    out.squash = wire::NsSquash::none;
  else if (parts[0] == "root")
    out.squash = wire::NsSquash::root;
  else if (parts[0] == "all")
    out.squash = wire::NsSquash::all;
  else
    return bad;
  if (parts.size() == 1) return {};
  if (parts.size() != 3) return bad;
  CAIRN_TRY(uid, parse_u64(parts[1]));
  CAIRN_TRY(gid, parse_u64(parts[2]));
  if (uid > UINT32_MAX || gid > UINT32_MAX) return bad;
  out.squash_uid = static_cast<std::uint32_t>(uid);
  out.squash_gid = static_cast<std::uint32_t>(gid);
  return {};
}

Result<wire::NsExportChange> change_of(std::string name, const ExportChange& values) {
  wire::NsExportChange out;
  wire::NsExport& row = out.values;
  row.name = std::move(name);
  const auto take = [&out](const auto& from, auto& to, std::uint32_t bit) {
    if (!from) return;
    to = *from;
    out.set |= bit;
  };
  take(values.is_public, row.is_public, wire::kNsExportPublic);
  take(values.read_only, row.read_only, wire::kNsExportReadOnly);
  take(values.listing, row.listing, wire::kNsExportListing);
  take(values.quota_bytes, row.quota_bytes, wire::kNsExportQuotaBytes);
  take(values.quota_inodes, row.quota_inodes, wire::kNsExportQuotaInodes);
  take(values.copies, row.copies, wire::kNsExportCopies);
  take(values.trash_seconds, row.trash_seconds, wire::kNsExportTrash);
  take(values.owner_uid, out.owner_uid, wire::kNsExportOwner);
  take(values.owner_gid, out.owner_gid, wire::kNsExportOwner);
  if (values.mode) {
    out.mode = static_cast<std::uint16_t>(*values.mode & 07777U);
    out.set |= wire::kNsExportMode;
  }
  if (values.clients) {
    row.clients = texts(*values.clients);
    out.set |= wire::kNsExportClients;
  }
  if (values.groups) {
    row.groups = texts(*values.groups);
    out.set |= wire::kNsExportGroups;
  }
  if (values.squash) {
    CAIRN_RETURN_IF_ERROR(read_squash(*values.squash, row));
    out.set |= wire::kNsExportSquash;
  }
  return out;
}

NsSession::Options session_options(const NamespaceOptions& options) {
  NsSession::Options out;
  out.kind = options.admin ? wire::NsSessionKind::admin : wire::NsSessionKind::client;
  out.export_name = options.export_name;
  out.label = options.label;
  return out;
}

} // namespace

std::string stored_extension(const std::string& name) {
  const std::size_t dot = name.rfind('.');
  if (dot == std::string::npos || dot == 0) return {};
  const std::string extension = name.substr(dot + 1);
  const bool plain =
      !extension.empty() && extension.size() <= 6 && std::ranges::all_of(extension, [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
      });
  return plain ? extension : std::string();
}

FileStatus status_of(const wire::NsNodeReply& node) {
  const wire::NsAttributes& from = node.attributes;
  FileStatus out;
  out.inode = from.inode;
  out.type = static_cast<NodeType>(from.type);
  out.mode = from.mode;
  out.nlink = from.nlink;
  out.uid = from.uid;
  out.gid = from.gid;
  out.rdev = from.rdev;
  out.size = from.size;
  out.bytes = from.bytes;
  out.atime = time_of(from.atime);
  out.mtime = time_of(from.mtime);
  out.ctime = time_of(from.ctime);
  out.btime = time_of(from.btime);
  out.data_version = from.data_version;
  out.target = node.target;
  for (const auto& extent : node.extents) {
    if (std::ranges::find(out.ids, extent.id) == out.ids.end()) out.ids.push_back(extent.id);
  }
  return out;
}

NsTree::NsTree(asio::io_context& io, ClientOptions client, NamespaceOptions options)
    : core_(std::make_shared<ClientCore>(io, client)),
      options_(std::move(options)),
      session_(std::make_shared<NsSession>(io, std::move(client), session_options(options_))),
      data_(core_) {}

NsIdentity NsTree::identity() const {
  NsIdentity who;
  who.uid = options_.uid;
  who.gid = options_.gid;
  who.groups = options_.groups;
  return who;
}

Task<Status> NsTree::open() {
  co_return co_await session_->open(options_.timeout);
}

Task<Status> NsTree::close() {
  co_await session_->close();
  co_return Status();
}

// --- questions -----------------------------------------------------------------------------------

Task<Result<wire::NsResolveReply>> NsTree::resolve(std::string path, bool follow) {
  wire::NsResolve request;
  request.path = std::move(path);
  request.follow_last = follow;
  co_return co_await session_->ask<wire::NsResolveReply>(NsOp::resolve, identity(),
                                                         std::move(request), options_.timeout);
}

Task<Result<FileStatus>> NsTree::stat(std::string path, bool follow) {
  CAIRN_CO_TRY(found, co_await resolve(std::move(path), follow));
  co_return status_of(found.node);
}

Task<Result<std::vector<DirectoryEntry>>> NsTree::page(std::uint64_t inode, std::uint64_t& cookie,
                                                       bool& end) {
  wire::NsReaddir request;
  request.inode = inode;
  request.after = cookie;
  request.attributes = true;
  request.bytes_max = 512 * 1024;
  CAIRN_CO_TRY(reply, co_await session_->ask<wire::NsReaddirReply>(NsOp::readdir, identity(),
                                                                   request, options_.timeout));
  std::vector<DirectoryEntry> entries;
  for (const auto& from : reply.entries) {
    DirectoryEntry entry;
    entry.name = from.name;
    if (!from.node.empty()) entry.status = status_of(from.node.front());
    entries.push_back(std::move(entry));
    cookie = from.cookie;
  }
  end = reply.end;
  co_return entries;
}

Task<Result<std::vector<DirectoryEntry>>> NsTree::walk(std::uint64_t& after, bool& end) {
  wire::NsWalk request;
  request.after = after;
  request.paths = true;
  CAIRN_CO_TRY(reply, co_await session_->ask<wire::NsWalkReply>(NsOp::walk, identity(), request,
                                                                options_.timeout));
  std::vector<DirectoryEntry> entries;
  for (auto& from : reply.items) {
    wire::NsNodeReply node;
    node.attributes = from.attributes;
    node.extents = std::move(from.extents);
    node.target = std::move(from.target);
    DirectoryEntry entry;
    entry.name = std::move(from.path);
    entry.status = status_of(node);
    after = entry.status.inode;
    entries.push_back(std::move(entry));
  }
  end = reply.end;
  co_return entries;
}

Task<Result<std::vector<wire::NsExtent>>> NsTree::extents(wire::NsNodeReply node) {
  if ((node.attributes.flags & wire::kNsExtentsMore) == 0) co_return std::move(node.extents);
  std::vector<wire::NsExtent> all;
  for (bool end = false; !end;) {
    wire::NsGetExtents request;
    request.inode = node.attributes.inode;
    request.offset = all.empty() ? 0 : all.back().offset + all.back().length;
    CAIRN_CO_TRY(reply, co_await session_->ask<wire::NsExtentsReply>(NsOp::extents, identity(),
                                                                     request, options_.timeout));
    end = reply.end || reply.extents.empty();
    std::ranges::move(reply.extents, std::back_inserter(all));
  }
  co_return all;
}

Task<Status> NsTree::read(std::string path, Sink::Writer sink, std::uint64_t offset,
                          std::uint64_t length, Progress progress) {
  CAIRN_CO_TRY(found, co_await resolve(std::move(path), true));
  const wire::NsAttributes attributes = found.node.attributes;
  if (attributes.type == wire::NsType::directory) co_return Error{Errc::is_directory};
  if (attributes.type != wire::NsType::regular)
    co_return Error{Errc::invalid_argument, "not a regular file"};
  wire::NsAccess access;
  access.inode = attributes.inode;
  access.mask = 4;
  CAIRN_CO_TRY(permitted, co_await session_->ask<wire::NsNodeReply>(NsOp::access, identity(),
                                                                    access, options_.timeout));
  CAIRN_CO_TRY(all, co_await extents(std::move(permitted)));
  if (offset >= attributes.size) co_return Status();
  const std::uint64_t left = attributes.size - offset;
  const std::uint64_t wanted = length == 0 ? left : std::min(length, left);
  co_return co_await data_.stream(std::move(all), offset, wanted, std::move(sink), options_.timeout,
                                  std::move(progress));
}

// --- changes -------------------------------------------------------------------------------------

Task<Result<NsTree::Place>> NsTree::place(std::string path, bool make_parents) {
  while (!path.empty() && path.back() == '/') path.pop_back();
  const std::size_t slash = path.rfind('/');
  Place out;
  out.name = slash == std::string::npos ? path : path.substr(slash + 1);
  const std::string directory = slash == std::string::npos ? std::string() : path.substr(0, slash);
  if (out.name.empty())
    co_return Error{Errc::invalid_argument, "a path with a name at its end is needed"};
  auto parent = co_await resolve(directory, true);
  if (!parent && parent.code() == Errc::not_found && make_parents) {
    CAIRN_CO_TRY(made, co_await mkdir(directory, 0755, true));
    out.parent = made.inode;
    co_return out;
  }
  if (!parent) co_return std::move(parent).error();
  out.parent = parent->node.attributes.inode;
  co_return out;
}

Task<Result<FileStatus>> NsTree::mkdir(std::string path, std::uint32_t mode, bool parents) {
  while (!path.empty() && path.back() == '/') path.pop_back();
  if (parents) {
    auto there = co_await resolve(path, true);
    if (there && there->node.attributes.type == wire::NsType::directory)
      co_return status_of(there->node);
    if (there) co_return Error{Errc::exists, path + " is no directory"};
    if (there.code() != Errc::not_found) co_return std::move(there).error();
  }
  CAIRN_CO_TRY(at, co_await place(path, parents));
  wire::NsMkdir request;
  request.parent = at.parent;
  request.name = at.name;
  request.mode = static_cast<std::uint16_t>(mode & 07777U);
  auto made = co_await session_->ask<wire::NsNodeReply>(NsOp::mkdir, identity(), std::move(request),
                                                        options_.timeout);
  // Somebody else may have made it just now.
  if (!made && parents && made.code() == Errc::exists) co_return co_await stat(path, true);
  if (!made) co_return std::move(made).error();
  co_return status_of(*made);
}

namespace {

// What the options say of a new file.
wire::NsCreate creation(const WriteOptions& options) {
  wire::NsCreate request;
  request.mode = static_cast<std::uint16_t>(options.mode & 07777U);
  request.existing = options.exclusive ? wire::NsExisting::fail : wire::NsExisting::truncate;
  if (options.mtime) {
    request.set |= wire::kNsSetMtime | wire::kNsSetAtime;
    request.mtime = request.atime = wire_time(*options.mtime);
  }
  if (options.uid) {
    request.set |= wire::kNsSetUid;
    request.uid = *options.uid;
  }
  if (options.gid) {
    request.set |= wire::kNsSetGid;
    request.gid = *options.gid;
  }
  return request;
}

} // namespace

Task<Result<FileStatus>> NsTree::name(std::string path, std::vector<StoredPart> parts,
                                      std::uint64_t size, WriteOptions options) {
  CAIRN_CO_TRY(at, co_await place(std::move(path), options.parents));
  wire::NsCreate request = creation(options);
  request.parent = at.parent;
  request.name = at.name;
  request.size = size;
  for (StoredPart& part : parts) {
    wire::NsExtent extent;
    extent.offset = part.offset;
    extent.length = part.length;
    extent.id = std::move(part.id);
    extent.source = part.source;
    extent.owned = part.owned;
    request.extents.push_back(std::move(extent));
  }
  CAIRN_CO_TRY(made, co_await session_->ask<wire::NsNodeReply>(
                         NsOp::create, identity(), std::move(request), options_.timeout));
  co_return status_of(made);
}

wire::OriginMark NsTree::origin(std::string_view path) const {
  while (path.starts_with('/')) path.remove_prefix(1);
  std::string_view name = options_.export_name;
  if (name.empty()) {
    // All exports: the first part of the path is one.
    name = path.substr(0, path.find('/'));
    path.remove_prefix(std::min(path.size(), name.size() + 1));
  }
  wire::OriginMark mark = NsData::origin_of(session_->attached(), std::string(name));
  mark.path = path;
  return mark;
}

Task<Result<FileStatus>> NsTree::write(std::string path, Content content, WriteOptions options) {
  CAIRN_CO_TRY(at, co_await place(path, options.parents));
  NsData::StoreOptions store;
  store.copies = session_->attached().copies;
  if (session_->attached().extent_bytes != 0) store.piece_bytes = session_->attached().extent_bytes;
  store.extension = stored_extension(at.name);
  store.progress = options.progress;
  store.origin = origin(path);
  store.origin.file_size = content.size();
  store.origin.mode = static_cast<std::uint16_t>(options.mode & 07777U);
  store.origin.uid = options.uid.value_or(options_.uid);
  store.origin.gid = options.gid.value_or(options_.gid);
  CAIRN_CO_TRY(stored, co_await data_.store(content.size(), content.read_at(), std::move(store)));
  wire::NsCreate request = creation(options);
  request.parent = at.parent;
  request.name = at.name;
  request.extents = stored.extents;
  request.size = content.size();
  auto made = co_await session_->ask<wire::NsNodeReply>(NsOp::create, identity(),
                                                        std::move(request), options_.timeout);
  if (!made) {
    // What may have been named after all is kept.
    if (!made.error().outcome_unknown) co_await data_.discard(std::move(stored.extents));
    co_return std::move(made).error();
  }
  co_return status_of(*made);
}

Task<Result<FileStatus>> NsTree::symlink(std::string target, std::string path) {
  CAIRN_CO_TRY(at, co_await place(std::move(path), false));
  wire::NsSymlink request;
  request.parent = at.parent;
  request.name = at.name;
  request.target = std::move(target);
  CAIRN_CO_TRY(made, co_await session_->ask<wire::NsNodeReply>(
                         NsOp::symlink, identity(), std::move(request), options_.timeout));
  co_return status_of(made);
}

Task<Result<FileStatus>> NsTree::link(std::string existing, std::string path) {
  CAIRN_CO_TRY(found, co_await resolve(std::move(existing), false));
  CAIRN_CO_TRY(at, co_await place(std::move(path), false));
  wire::NsLink request;
  request.inode = found.node.attributes.inode;
  request.parent = at.parent;
  request.name = at.name;
  CAIRN_CO_TRY(made, co_await session_->ask<wire::NsNodeReply>(
                         NsOp::link, identity(), std::move(request), options_.timeout));
  co_return status_of(made);
}

Task<Status> NsTree::remove(std::string path, bool directory) {
  CAIRN_CO_TRY(at, co_await place(std::move(path), false));
  wire::NsRemove request;
  request.parent = at.parent;
  request.name = at.name;
  CAIRN_CO_TRY(gone, co_await session_->ask<wire::NsRemoveReply>(
                         directory ? NsOp::rmdir : NsOp::unlink, identity(), std::move(request),
                         options_.timeout));
  static_cast<void>(gone);
  co_return Status();
}

Task<Status> NsTree::rename(std::string from, std::string to, std::uint32_t flags) {
  CAIRN_CO_TRY(old_place, co_await place(std::move(from), false));
  CAIRN_CO_TRY(new_place, co_await place(std::move(to), false));
  wire::NsRename request;
  request.parent = old_place.parent;
  request.name = old_place.name;
  request.new_parent = new_place.parent;
  request.new_name = new_place.name;
  request.flags = flags;
  CAIRN_CO_TRY(moved, co_await session_->ask<wire::NsRenameReply>(
                          NsOp::rename, identity(), std::move(request), options_.timeout));
  static_cast<void>(moved);
  co_return Status();
}

Task<Result<FileStatus>> NsTree::set(std::string path, SetStatus change, bool follow) {
  CAIRN_CO_TRY(found, co_await resolve(std::move(path), follow));
  wire::NsSetattr request;
  request.inode = found.node.attributes.inode;
  if (change.mode) {
    request.set |= wire::kNsSetMode;
    request.mode = static_cast<std::uint16_t>(*change.mode & 07777U);
  }
  if (change.uid) {
    request.set |= wire::kNsSetUid;
    request.uid = *change.uid;
  }
  if (change.gid) {
    request.set |= wire::kNsSetGid;
    request.gid = *change.gid;
  }
  if (change.size) {
    request.set |= wire::kNsSetSize;
    request.size = *change.size;
  }
  if (change.atime) {
    request.set |= wire::kNsSetAtime;
    request.atime = wire_time(*change.atime);
  }
  if (change.mtime) {
    request.set |= wire::kNsSetMtime;
    request.mtime = wire_time(*change.mtime);
  }
  CAIRN_CO_TRY(node, co_await session_->ask<wire::NsNodeReply>(NsOp::setattr, identity(), request,
                                                               options_.timeout));
  co_return status_of(node);
}

Task<Result<FileStatus>> NsTree::clone(std::string from, std::string to) {
  CAIRN_CO_TRY(found, co_await resolve(std::move(from), true));
  CAIRN_CO_TRY(at, co_await place(std::move(to), false));
  wire::NsCreate create;
  create.parent = at.parent;
  create.name = at.name;
  create.mode = found.node.attributes.mode;
  create.existing = wire::NsExisting::truncate;
  CAIRN_CO_TRY(made, co_await session_->ask<wire::NsNodeReply>(
                         NsOp::create, identity(), std::move(create), options_.timeout));
  wire::NsCopyRange copy;
  copy.from = found.node.attributes.inode;
  copy.to = made.attributes.inode;
  copy.length = found.node.attributes.size;
  CAIRN_CO_TRY(copied, co_await session_->ask<wire::NsCopyRangeReply>(NsOp::copy_range, identity(),
                                                                      copy, options_.timeout));
  made.attributes = copied.attributes;
  co_return status_of(made);
}

// --- exports and trash ---------------------------------------------------------------------------

Task<Result<std::vector<ExportInfo>>> NsTree::exports(std::string name) {
  wire::NsExports request;
  request.name = std::move(name);
  CAIRN_CO_TRY(reply, co_await session_->ask<wire::NsExportsReply>(
                          NsOp::exports, identity(), std::move(request), options_.timeout));
  std::vector<ExportInfo> out;
  for (const auto& row : reply.exports) out.push_back(info_of(row));
  co_return out;
}

Task<Result<ExportInfo>> NsTree::add_export(std::string name, ExportChange values) {
  CAIRN_CO_TRY(request, change_of(std::move(name), values));
  CAIRN_CO_TRY(reply, co_await session_->ask<wire::NsExportReply>(
                          NsOp::export_add, identity(), std::move(request), options_.timeout));
  co_return info_of(reply.made);
}

Task<Result<ExportInfo>> NsTree::set_export(std::string name, ExportChange values) {
  CAIRN_CO_TRY(request, change_of(std::move(name), values));
  CAIRN_CO_TRY(reply, co_await session_->ask<wire::NsExportReply>(
                          NsOp::export_set, identity(), std::move(request), options_.timeout));
  co_return info_of(reply.made);
}

Task<Status> NsTree::remove_export(std::string name) {
  wire::NsExportName request;
  request.name = std::move(name);
  CAIRN_CO_TRY(done, co_await session_->ask<wire::NsSessions>(
                         NsOp::export_remove, identity(), std::move(request), options_.timeout));
  static_cast<void>(done);
  co_return Status();
}

Task<Result<std::vector<TrashItem>>> NsTree::trash(std::string export_name, std::string prefix,
                                                   std::int64_t removed_since) {
  std::vector<TrashItem> out;
  wire::NsTrashList request;
  request.export_name = std::move(export_name);
  request.prefix = std::move(prefix);
  request.removed_since = static_cast<std::uint64_t>(std::max<std::int64_t>(removed_since, 0));
  for (bool end = false; !end;) {
    CAIRN_CO_TRY(reply, co_await session_->ask<wire::NsTrashListReply>(NsOp::trash_list, identity(),
                                                                       request, options_.timeout));
    for (const auto& from : reply.items) {
      TrashItem item;
      item.inode = from.inode;
      item.path = from.path;
      item.size = from.size;
      item.removed = static_cast<std::int64_t>(from.removed);
      item.expires = static_cast<std::int64_t>(from.expires);
      out.push_back(std::move(item));
      request.after_expires = from.expires;
      request.after_inode = from.inode;
    }
    end = reply.end || reply.items.empty();
  }
  co_return out;
}

Task<Status> NsTree::restore(std::uint64_t inode, std::string path, bool parents) {
  CAIRN_CO_TRY(at, co_await place(std::move(path), parents));
  wire::NsTrashRestore request;
  request.inode = inode;
  request.parent = at.parent;
  request.name = at.name;
  CAIRN_CO_TRY(node, co_await session_->ask<wire::NsNodeReply>(
                         NsOp::trash_restore, identity(), std::move(request), options_.timeout));
  static_cast<void>(node);
  co_return Status();
}

} // namespace cairn
