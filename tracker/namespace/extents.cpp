// Content: extents of an inode, and the count of references to stored files.
#include "tracker/namespace/evaluation.h"

#include <algorithm>
#include <cerrno>
#include <utility>

namespace cairn::tracker {

Result<Extent> Evaluation::from_wire(const wire::NsExtent& extent) const {
  Extent out;
  out.offset = extent.offset;
  out.length = extent.length;
  out.source = extent.source;
  out.owned = extent.owned;
  if (extent.length == 0) return errno_of(EINVAL, "an empty extent");
  if (extent.length > wire::kNsFileSizeMax || extent.offset > wire::kNsFileSizeMax - extent.length)
    return errno_of(EFBIG);
  auto ref = encode_ref(extent.id);
  if (!ref) return errno_of(EINVAL, "not a file ID: " + extent.id);
  out.ref = *std::move(ref);
  const std::uint64_t stored = stored_size(extent.id);
  if (stored != 0 && (extent.source > stored || extent.length > stored - extent.source))
    return errno_of(EINVAL, "an extent reaches beyond its stored file " + extent.id);
  return out;
}

Result<wire::NsExtent> Evaluation::to_wire(const Extent& extent) {
  wire::NsExtent out;
  out.offset = extent.offset;
  out.length = extent.length;
  out.source = extent.source;
  out.owned = extent.owned;
  CAIRN_TRY(id, decode_ref(extent.ref));
  out.id = std::move(id);
  return out;
}

Result<std::vector<Extent>> Evaluation::checked_extents(
    const std::vector<wire::NsExtent>& extents) const {
  if (extents.size() > wire::kNsExtentsMax) return errno_of(EINVAL, "too many extents");
  std::vector<Extent> out;
  out.reserve(extents.size());
  for (const auto& extent : extents) {
    CAIRN_TRY(one, from_wire(extent));
    CAIRN_TRY(condemned, view_.get(key::condemned(one.ref)));
    if (condemned)
      return errno_of(ESTALE, extent.id +
                                  " was stored long ago for a session that is over: it is "
                                  "being removed");
    if (!out.empty() && one.offset < out.back().end())
      return errno_of(EINVAL, "extents overlap or are out of order");
    out.push_back(std::move(one));
  }
  return out;
}

Result<std::vector<Extent>> Evaluation::overlapping(const Inode& inode, std::uint64_t from,
                                                    std::uint64_t to, std::size_t limit) const {
  std::vector<Extent> found;
  for (const Extent& extent : inode.extents) {
    if (extent.end() > from && extent.offset < to && found.size() < limit) found.push_back(extent);
  }
  if (inode.extent_rows == 0) return found;
  Status damaged;
  const auto on_row = [&](std::string_view key, std::string_view value) {
    auto extent = decode_extent(key::number_at(key, 9), value);
    if (!extent) {
      damaged = std::move(extent).error();
      return false;
    }
    if (extent->offset >= to || found.size() >= limit) return false;
    found.push_back(*std::move(extent));
    return true;
  };
  // The first row whose end is after `from` is the first that matters.
  CAIRN_RETURN_IF_ERROR(
      view_.scan(key::prefix('E', inode.ino), key::extent(inode.ino, from + 1), on_row));
  CAIRN_RETURN_IF_ERROR(std::move(damaged));
  return found;
}

void Evaluation::count_reference(const Extent& extent, int by, bool fresh) {
  if (!extent.owned) return;
  Reference& reference = references_[extent.ref];
  reference.delta += by;
  // Something that loses a reference or is copied was there before, whatever a request says: a
  // commit that is made twice names what its file has already.
  if (!fresh) reference.existed = true;
}

// Bytes of an extent between `from` and `to` that stay in its stored file without being used: all,
// unless the stored file goes with them. (When others of its extents go later, it was too many:
// the plan of a rewrite looks closer.)
Result<std::uint64_t> Evaluation::left_behind(const Extent& extent, std::uint64_t from,
                                              std::uint64_t to) {
  const bool everything = from == 0 && to == wire::kNsFileSizeMax;
  if (!extent.owned || everything) return std::uint64_t{0};
  const std::uint64_t bytes = std::min(extent.end(), to) - std::max(extent.offset, from);
  if (bytes == extent.length && extent.source == 0) {
    CAIRN_TRY(id, decode_ref(extent.ref));
    if (stored_size(id) == bytes) return std::uint64_t{0};
  }
  return bytes;
}

Status Evaluation::replace(Inode& inode, std::uint64_t from, std::uint64_t to,
                           std::vector<Extent> now, bool fresh) {
  CAIRN_TRY(old, overlapping(inode, from, to));
  std::vector<Extent> next;
  for (const Extent& extent : old) {
    inode.bytes -= extent.length;
    count_reference(extent, -1, false);
    CAIRN_TRY(dead, left_behind(extent, from, to));
    dead_ += dead;
    if (extent.offset < from) {
      Extent left = extent;
      left.length = from - extent.offset;
      next.push_back(std::move(left));
    }
    if (extent.end() > to) {
      Extent right = extent;
      right.source += to - extent.offset;
      right.length = extent.end() - to;
      right.offset = to;
      next.push_back(std::move(right));
    }
  }
  for (const Extent& extent : next) count_reference(extent, 1, false);
  for (Extent& extent : now) {
    count_reference(extent, 1, fresh);
    next.push_back(std::move(extent));
  }
  for (const Extent& extent : next) inode.bytes += extent.length;
  std::ranges::sort(next, {}, &Extent::offset);

  if (inode.extent_rows == 0) {
    std::erase_if(inode.extents,
                  [&](const Extent& extent) { return extent.end() > from && extent.offset < to; });
    inode.extents.insert(inode.extents.end(), next.begin(), next.end());
    std::ranges::sort(inode.extents, {}, &Extent::offset);
    if (inode.extents.size() <= kInlineExtents) return {};
    inode.extent_rows = inode.extents.size();
    for (const Extent& extent : std::exchange(inode.extents, {}))
      transaction_->put(key::extent(inode.ino, extent.end()), encode(extent));
    return {};
  }
  for (const Extent& extent : old) transaction_->remove(key::extent(inode.ino, extent.end()));
  for (const Extent& extent : next)
    transaction_->put(key::extent(inode.ino, extent.end()), encode(extent));
  const std::uint64_t rows = inode.extent_rows - old.size() + next.size();
  inode.extent_rows = rows;
  if (rows > kInlineExtents) return {};
  // Few are left: back into the inode. An inode without extents looks the same in both forms.
  if (rows != 0) {
    CAIRN_TRY(left, overlapping(inode, 0, wire::kNsFileSizeMax));
    for (const Extent& extent : left) transaction_->remove(key::extent(inode.ino, extent.end()));
    inode.extents = std::move(left);
  }
  inode.extent_rows = 0;
  return {};
}

Status Evaluation::settle_references() {
  const std::uint64_t due = policy_->grace_ms + unix_ms();
  for (const auto& [ref, reference] : references_) {
    if (reference.delta == 0) continue;
    CAIRN_TRY(row, view_.get(key::references(ref)));
    // Without a row there is one reference, in the inode of the file's origin mark. A count stays,
    // also at 1: which inode has the last one is not known.
    std::uint64_t before = reference.existed ? 1 : 0;
    if (row) {
      CAIRN_TRY(count, decode_count(*row));
      before = count;
    }
    const std::int64_t after = static_cast<std::int64_t>(before) + reference.delta;
    if (after < 0) return Error{Errc::corrupt, "a stored file has fewer references than uses"};
    if (after == 0) {
      if (row) transaction_->remove(key::references(ref));
      transaction_->put(key::garbage(due, ref), std::string());
    } else if (after != 1 || row) {
      transaction_->put(key::references(ref), encode_count(static_cast<std::uint64_t>(after)));
    }
  }
  references_.clear();
  return {};
}

} // namespace cairn::tracker
