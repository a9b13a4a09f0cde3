// Fragmented files: noted when they are written, and given their new stored files.
//
// The invariant of a rewrite: it swaps extents only if those between `from` and `to` are, in the
// state that the swap is evaluated on, exactly the ones that the new stored file was made of.
// Stored files never change, so equal extents are equal bytes, whatever was written elsewhere in
// the file meanwhile; and whatever was written in between has other extents. So no write is lost,
// and none has to wait.
#include "tracker/namespace/evaluation.h"
#include "tracker/namespace/rewrite_plan.h"

#include <algorithm>
#include <cerrno>
#include <utility>

namespace cairn::tracker {

Status Evaluation::note_fragments(const Inode& inode) {
  const bool many = inode.extent_rows > extents_allowed(inode.size);
  if (!many && dead_ == 0) return {};
  const std::string row_key = key::fragmented(inode.ino);
  CAIRN_TRY(old, view_.get(row_key));
  FragmentsRow row;
  if (old) {
    CAIRN_TRY(known, decode_row<FragmentsRow>(*old));
    row = known;
  }
  row.written_ms = unix_ms();
  row.dead += std::exchange(dead_, 0);
  transaction_->put(row_key, encode_row(row));
  return {};
}

Status Evaluation::rewrite(std::uint64_t ino, const RewriteJob& job,
                           const std::vector<Extent>& now) {
  CAIRN_TRY(row, view_.get(key::inode(ino)));
  if (!row) return errno_of(EBUSY, "the file has gone");
  CAIRN_TRY(inode, decode_inode(ino, *row));
  CAIRN_TRY(there, overlapping(inode, job.from, job.to));
  if (cut_to(there, job.from, job.to) != job.read)
    return errno_of(EBUSY, "the file was written meanwhile");
  for (const Extent& extent : now) {
    CAIRN_TRY(condemned, view_.get(key::condemned(extent.ref)));
    if (condemned) return errno_of(ESTALE, "what was stored is being removed");
  }
  const auto before = static_cast<std::int64_t>(inode.bytes);
  CAIRN_RETURN_IF_ERROR(replace(inode, job.from, job.to, now, true));
  CAIRN_RETURN_IF_ERROR(charge(inode.root, static_cast<std::int64_t>(inode.bytes) - before, 0));
  // Only where the bytes are has changed: nobody's page cache is wrong, but extents are.
  const NsTime changed = inode.ctime;
  touch(inode);
  inode.ctime = changed;
  store(inode);
  return settle_references();
}

Status Evaluation::settle_fragments(std::uint64_t ino, std::uint64_t written_ms) {
  CAIRN_TRY(old, view_.get(key::fragmented(ino)));
  if (!old) return {};
  CAIRN_TRY(row, decode_row<FragmentsRow>(*old));
  if (row.written_ms == written_ms) transaction_->remove(key::fragmented(ino));
  return {};
}

} // namespace cairn::tracker
