// Attributes, content and extended attributes.
#include "tracker/namespace/evaluation.h"

#include <algorithm>
#include <cerrno>
#include <utility>

namespace cairn::tracker {

using wire::NsEventKind;
using wire::NsFallocateMode;

namespace {
constexpr std::size_t kXattrsMax = 1000;
constexpr std::size_t kXattrNamesMax = 64 * 1024; // listxattr(2) can tell no more
} // namespace

void Evaluation::kill_set_id(Inode& inode) const {
  if (caller_.is_root() || !inode.is_regular()) return;
  unsigned mode = inode.mode & ~kSetUid;
  // With set-group-ID but without group execute the bit once meant mandatory locking, and stays.
  if ((mode & (kSetGid | 010)) == (kSetGid | 010)) mode &= ~kSetGid;
  inode.mode = static_cast<std::uint16_t>(mode);
}

void Evaluation::set_times(Inode& inode, std::uint32_t set, NsTime atime, NsTime mtime) const {
  if ((set & wire::kNsSetAtimeNow) != 0) inode.atime = now_;
  if ((set & wire::kNsSetAtime) != 0) inode.atime = atime;
  if ((set & wire::kNsSetMtimeNow) != 0) inode.mtime = now_;
  if ((set & wire::kNsSetMtime) != 0) inode.mtime = mtime;
}

Result<wire::NsNodeReply> Evaluation::setattr(const wire::NsSetattr& request) {
  const std::uint32_t set = request.set;
  CAIRN_TRY(inode, load(request.inode));
  CAIRN_RETURN_IF_ERROR(writable(inode));
  const bool trusted = caller_.checked || caller_.is_root();
  if ((set & wire::kNsSetSize) != 0) {
    if (inode.is_directory()) return errno_of(EISDIR);
    if (!inode.is_regular()) return errno_of(EINVAL);
    if (request.size > wire::kNsFileSizeMax) return errno_of(EFBIG);
    if (!caller_.opened) CAIRN_RETURN_IF_ERROR(permit(inode, kWrite));
  }
  if ((set & wire::kNsSetUid) != 0 && !trusted &&
      (caller_.uid != inode.uid || request.uid != inode.uid))
    return errno_of(EPERM);
  if ((set & wire::kNsSetGid) != 0 && !trusted &&
      (caller_.uid != inode.uid || (request.gid != inode.gid && !caller_.in_group(request.gid))))
    return errno_of(EPERM);
  if ((set & (wire::kNsSetMode | wire::kNsSetAtime | wire::kNsSetMtime)) != 0 && !trusted &&
      caller_.uid != inode.uid)
    return errno_of(EPERM);
  if ((set & (wire::kNsSetAtimeNow | wire::kNsSetMtimeNow)) != 0 && !trusted &&
      caller_.uid != inode.uid && !caller_.opened)
    CAIRN_RETURN_IF_ERROR(permit(inode, kWrite));

  bool data = false;
  if ((set & wire::kNsSetSize) != 0) {
    const auto before = static_cast<std::int64_t>(inode.bytes);
    if (request.size < inode.size)
      CAIRN_RETURN_IF_ERROR(replace(inode, request.size, wire::kNsFileSizeMax, {}, false));
    CAIRN_RETURN_IF_ERROR(charge(inode.root, static_cast<std::int64_t>(inode.bytes) - before, 0));
    data = request.size != inode.size;
    inode.size = request.size;
    kill_set_id(inode);
    inode.mtime = now_;
  }
  if ((set & (wire::kNsSetUid | wire::kNsSetGid)) != 0) {
    if ((set & wire::kNsSetUid) != 0) inode.uid = request.uid;
    if ((set & wire::kNsSetGid) != 0) inode.gid = request.gid;
    if (!inode.is_directory()) {
      // A file that changes hands loses its set-ID bits, whoever gives it away.
      unsigned mode = inode.mode & ~kSetUid;
      if ((mode & 010) != 0) mode &= ~kSetGid;
      inode.mode = static_cast<std::uint16_t>(mode);
    }
  }
  if ((set & wire::kNsSetMode) != 0) {
    unsigned mode = request.mode & 07777U;
    if (!trusted && !caller_.in_group(inode.gid)) mode &= ~kSetGid;
    inode.mode = static_cast<std::uint16_t>(mode);
    CAIRN_TRY(acl, acl_of(inode, kAccessAcl));
    if (!acl.empty()) {
      set_mode(acl, inode.mode);
      transaction_->put(key::xattr(inode.ino, kAccessAcl), format_acl(acl));
    }
  }
  if ((set & wire::kNsKillSuid) != 0) kill_set_id(inode);
  set_times(inode, set, request.atime, request.mtime);
  touch(inode, data ? NsEventKind::data : NsEventKind::attributes);
  store(inode);
  if (data) CAIRN_RETURN_IF_ERROR(note_fragments(inode));
  return node(inode);
}

Result<wire::NsCommitReply> Evaluation::commit(const wire::NsCommit& request) {
  CAIRN_TRY(inode, load(request.inode));
  if (inode.is_directory()) return errno_of(EISDIR);
  if (!inode.is_regular()) return errno_of(EINVAL);
  CAIRN_RETURN_IF_ERROR(writable(inode));
  if (!caller_.opened) CAIRN_RETURN_IF_ERROR(permit(inode, kWrite));
  if (request.if_data_version != 0 && request.if_data_version != inode.data_version)
    return errno_of(EBUSY, "the file has changed meanwhile");
  if (request.same_content && request.if_data_version == 0) return errno_of(EINVAL);
  CAIRN_TRY(extents, checked_extents(request.extents));
  const std::uint64_t begin = request.append ? inode.size : 0;
  wire::NsCommitReply reply;
  reply.offset = extents.empty() ? begin : begin + extents.front().offset;
  const auto before = static_cast<std::int64_t>(inode.bytes);
  std::uint64_t size = std::max(inode.size, request.append && request.size_at_least != 0
                                                ? begin + request.size_at_least
                                                : request.size_at_least);
  for (Extent& extent : extents) {
    if (extent.end() > wire::kNsFileSizeMax - begin) return errno_of(EFBIG);
    extent.offset += begin;
    const std::uint64_t from = extent.offset;
    const std::uint64_t end = extent.end();
    if (request.same_content && end > inode.size) return errno_of(EINVAL);
    size = std::max(size, end);
    std::vector<Extent> one;
    one.push_back(std::move(extent));
    CAIRN_RETURN_IF_ERROR(replace(inode, from, end, std::move(one), true));
  }
  if (size > wire::kNsFileSizeMax) return errno_of(EFBIG);
  CAIRN_RETURN_IF_ERROR(charge(inode.root, static_cast<std::int64_t>(inode.bytes) - before, 0));
  if (request.same_content) {
    // Only where the bytes are has changed: nobody's page cache is wrong, but extents are.
    const NsTime changed = inode.ctime;
    touch(inode);
    inode.ctime = changed;
  } else {
    inode.size = size;
    if ((request.set & wire::kNsKillSuid) != 0 || !caller_.checked) kill_set_id(inode);
    set_times(inode, request.set, inode.atime, request.mtime);
    touch(inode, NsEventKind::data);
  }
  store(inode);
  CAIRN_RETURN_IF_ERROR(note_fragments(inode));
  CAIRN_TRY(described, node(inode));
  reply.attributes = described.attributes;
  reply.extent_count =
      static_cast<std::uint32_t>(std::min<std::uint64_t>(inode.extent_count(), UINT32_MAX));
  return reply;
}

Result<wire::NsNodeReply> Evaluation::fallocate(const wire::NsFallocate& request) {
  CAIRN_TRY(inode, load(request.inode));
  if (!inode.is_regular()) return errno_of(ENODEV);
  CAIRN_RETURN_IF_ERROR(writable(inode));
  if (!caller_.opened) CAIRN_RETURN_IF_ERROR(permit(inode, kWrite));
  if (request.length == 0) return errno_of(EINVAL);
  if (request.offset > wire::kNsFileSizeMax ||
      request.length > wire::kNsFileSizeMax - request.offset)
    return errno_of(EFBIG);
  const std::uint64_t end = request.offset + request.length;
  const auto mode = request.mode;
  if (mode > NsFallocateMode::zero_keep_size) return errno_of(EOPNOTSUPP);
  const bool clears = mode == NsFallocateMode::punch || mode == NsFallocateMode::zero ||
                      mode == NsFallocateMode::zero_keep_size;
  const bool grows = mode == NsFallocateMode::allocate || mode == NsFallocateMode::zero;
  if (clears) {
    const auto before = static_cast<std::int64_t>(inode.bytes);
    CAIRN_RETURN_IF_ERROR(replace(inode, request.offset, end, {}, false));
    CAIRN_RETURN_IF_ERROR(charge(inode.root, static_cast<std::int64_t>(inode.bytes) - before, 0));
    inode.mtime = now_;
  }
  if (grows && end > inode.size) {
    inode.size = end;
    inode.mtime = now_;
  }
  kill_set_id(inode);
  touch(inode, NsEventKind::data);
  store(inode);
  CAIRN_RETURN_IF_ERROR(note_fragments(inode));
  return node(inode);
}

Result<wire::NsCopyRangeReply> Evaluation::copy_range(const wire::NsCopyRange& request) {
  CAIRN_TRY(source, load(request.from));
  CAIRN_TRY(found, load(request.to));
  Inode inode = std::move(found);
  const bool same = source.ino == inode.ino;
  if (source.is_directory() || inode.is_directory()) return errno_of(EISDIR);
  if (!source.is_regular() || !inode.is_regular()) return errno_of(EINVAL);
  if (source.root != inode.root) return errno_of(EXDEV);
  CAIRN_RETURN_IF_ERROR(writable(inode));
  if (!caller_.opened) {
    CAIRN_RETURN_IF_ERROR(permit(source, kRead));
    CAIRN_RETURN_IF_ERROR(permit(inode, kWrite));
  }
  const std::uint64_t length = request.from_offset >= source.size
                                   ? 0
                                   : std::min(request.length, source.size - request.from_offset);
  wire::NsCopyRangeReply reply;
  reply.copied = length;
  if (length != 0) {
    if (request.to_offset > wire::kNsFileSizeMax - length) return errno_of(EFBIG);
    const std::uint64_t from_end = request.from_offset + length;
    const std::uint64_t to_end = request.to_offset + length;
    if (same && request.from_offset < to_end && request.to_offset < from_end)
      return errno_of(EINVAL, "the ranges overlap");
    CAIRN_TRY(runs, overlapping(source, request.from_offset, from_end));
    std::vector<Extent> copies;
    for (Extent run : runs) {
      const std::uint64_t cut = std::max(run.offset, request.from_offset) - run.offset;
      const std::uint64_t end = std::min(run.end(), from_end);
      run.source += cut;
      run.length = end - run.offset - cut;
      run.offset = run.offset + cut - request.from_offset + request.to_offset;
      copies.push_back(std::move(run));
    }
    const auto before = static_cast<std::int64_t>(inode.bytes);
    CAIRN_RETURN_IF_ERROR(replace(inode, request.to_offset, to_end, std::move(copies), false));
    CAIRN_RETURN_IF_ERROR(charge(inode.root, static_cast<std::int64_t>(inode.bytes) - before, 0));
    inode.size = std::max(inode.size, to_end);
    inode.mtime = now_;
    kill_set_id(inode);
    touch(inode, NsEventKind::data);
    store(inode);
    CAIRN_RETURN_IF_ERROR(note_fragments(inode));
  }
  CAIRN_TRY(described, node(inode));
  reply.attributes = described.attributes;
  return reply;
}

// --- extended attributes -------------------------------------------------------------------------

namespace {

// Which rules an attribute's name asks for. Errors: ENOTSUP, ERANGE.
enum class XattrSpace { user, trusted, security, acl };

Result<XattrSpace> space_of(std::string_view name) {
  if (name.empty() || name.size() > wire::kNsXattrNameMax) return errno_of(ERANGE);
  if (name.find('\0') != std::string_view::npos) return errno_of(EINVAL);
  if (name == kAccessAcl || name == kDefaultAcl) return XattrSpace::acl;
  for (const auto& [prefix, space] :
       {std::pair<std::string_view, XattrSpace>{"user.", XattrSpace::user},
        {"trusted.", XattrSpace::trusted},
        {"security.", XattrSpace::security}}) {
    if (name.starts_with(prefix)) {
      if (name.size() == prefix.size()) return errno_of(EINVAL);
      return space;
    }
  }
  return errno_of(EOPNOTSUPP);
}

} // namespace

Result<wire::NsNodeReply> Evaluation::setxattr(const wire::NsSetXattr& request) {
  CAIRN_TRY(space, space_of(request.name));
  if (request.value.size() > wire::kNsXattrValueMax) return errno_of(E2BIG);
  CAIRN_TRY(inode, load(request.inode));
  CAIRN_RETURN_IF_ERROR(writable(inode));
  if (space == XattrSpace::user) {
    if (!inode.is_regular() && !inode.is_directory()) return errno_of(EPERM);
    if (inode.is_directory() && (inode.mode & kSticky) != 0 && !caller_.checked && !owns(inode))
      return errno_of(EPERM);
    CAIRN_RETURN_IF_ERROR(permit(inode, kWrite));
  } else if (space == XattrSpace::acl) {
    if (!owns(inode) && !caller_.checked) return errno_of(EPERM);
    if (inode.type == NsType::symlink) return errno_of(EOPNOTSUPP);
    if (request.name == kDefaultAcl && !inode.is_directory()) return errno_of(EACCES);
  } else if (!caller_.is_root()) {
    return errno_of(EPERM);
  }
  CAIRN_TRY(old, view_.get(key::xattr(inode.ino, request.name)));
  if (old && request.mode == wire::NsXattrMode::create) return errno_of(EEXIST);
  if (!old && request.mode == wire::NsXattrMode::replace) return errno_of(ENODATA);
  bool keep = true;
  if (space == XattrSpace::acl) {
    CAIRN_TRY(acl, parse_acl(wire::as_text(request.value)));
    if (request.name == kAccessAcl && !acl.empty()) {
      inode.mode = static_cast<std::uint16_t>((inode.mode & ~0777) | mode_of(acl));
      if (!caller_.is_root() && !caller_.checked && !caller_.in_group(inode.gid))
        inode.mode = static_cast<std::uint16_t>(inode.mode & ~kSetGid);
    }
    // A list that says what the mode says is none.
    keep = !acl.empty() && (request.name == kDefaultAcl || !is_minimal(acl));
    if (keep) inode.has_acl = true;
  } else {
    std::size_t count = 0;
    std::size_t bytes = 0;
    const auto on_row = [&](std::string_view key, std::string_view) {
      ++count;
      bytes += key.size() - 8;
      return true;
    };
    if (!old) {
      CAIRN_RETURN_IF_ERROR(view_.scan(key::prefix('X', inode.ino), {}, on_row));
      if (count >= kXattrsMax || bytes + request.name.size() + 1 > kXattrNamesMax)
        return errno_of(ENOSPC, "too many attributes");
    }
    inode.has_xattr = true;
  }
  if (keep)
    transaction_->put(key::xattr(inode.ino, request.name),
                      std::string(wire::as_text(request.value)));
  else if (old)
    transaction_->remove(key::xattr(inode.ino, request.name));
  touch(inode);
  store(inode);
  return node(inode);
}

Result<wire::NsNodeReply> Evaluation::removexattr(const wire::NsRemoveXattr& request) {
  CAIRN_TRY(space, space_of(request.name));
  CAIRN_TRY(inode, load(request.inode));
  CAIRN_RETURN_IF_ERROR(writable(inode));
  if (space == XattrSpace::user) {
    if (!inode.is_regular() && !inode.is_directory()) return errno_of(EPERM);
    CAIRN_RETURN_IF_ERROR(permit(inode, kWrite));
  } else if (space == XattrSpace::acl) {
    if (!owns(inode) && !caller_.checked) return errno_of(EPERM);
  } else if (!caller_.is_root()) {
    return errno_of(EPERM);
  }
  CAIRN_TRY(old, view_.get(key::xattr(inode.ino, request.name)));
  if (!old) return errno_of(ENODATA);
  transaction_->remove(key::xattr(inode.ino, request.name));
  // The flags save look-ups: they are true only while something is there.
  bool lists = false;
  bool others = false;
  const auto on_row = [&](std::string_view key, std::string_view) {
    const std::string_view name = key.substr(9);
    (name == kAccessAcl || name == kDefaultAcl ? lists : others) = true;
    return !lists || !others;
  };
  CAIRN_RETURN_IF_ERROR(view_.scan(key::prefix('X', inode.ino), {}, on_row));
  inode.has_acl = lists;
  inode.has_xattr = others;
  touch(inode);
  store(inode);
  return node(inode);
}

} // namespace cairn::tracker
