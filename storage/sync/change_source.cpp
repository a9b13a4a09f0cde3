// Reads changes and turns them into operations.
#include "storage/sync/change_source.h"

#include "common/net/send_file.h"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <sys/stat.h>
#include <unistd.h>

namespace cairn::storage {

namespace {

constexpr std::uint64_t kPieceMax = 1 << 20;    // bytes of content in one operation
constexpr std::uint64_t kPieceMin = 256 * 1024; // rather a larger batch than many small pieces
constexpr std::uint64_t kCachedMax = 64 * 1024; // of a file that is read on the caller's thread
constexpr std::uint64_t kOpOverhead = 256;      // bytes of an operation without content, about
constexpr std::size_t kListPage = 1000;
constexpr std::size_t kTombstonePage = 1000;
constexpr std::size_t kRecordsPerCall = 20'000; // passed over before the caller is heard again
constexpr std::uint32_t kReadTries = 5;         // of a file that shrinks while it is read
constexpr std::chrono::milliseconds kCatalogueWait{200};
// A file's name gets its time a little before the record that tells of it.
constexpr std::uint32_t kCompleteMarginS = 2;

std::uint32_t unix_seconds() {
  return static_cast<std::uint32_t>(std::chrono::duration_cast<std::chrono::seconds>(
                                        std::chrono::system_clock::now().time_since_epoch())
                                        .count());
}

// Fills `out` from `offset` or up to the file's end; answers how much it was.
Result<std::size_t> read_at(int fd, std::uint64_t offset, std::span<std::byte> out) {
  std::size_t done = 0;
  while (done < out.size()) {
    const ssize_t count =
        ::pread(fd, out.data() + done, out.size() - done, static_cast<off_t>(offset + done));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return errno_error("read", errno);
    if (count == 0) break;
    done += static_cast<std::size_t>(count);
  }
  return done;
}

LogPosition position_of(const LogRecord& record) {
  return {record.seq, record.own_files, record.own_bytes};
}

UnixMs made_at(const LogRecord& record) {
  return record.stamp != 0 ? record.stamp >> 16 : UnixMs{record.time} * 1000;
}

wire::SyncOp head_of(const LogRecord& change) {
  wire::SyncOp op;
  op.seq = change.seq;
  op.kind = change.kind;
  op.name = change.name;
  op.stamp = change.stamp;
  op.origin_id = change.origin_id;
  op.mtime = change.mtime;
  return op;
}

} // namespace

ChangeSource::ChangeSource(Store& store, Binlog& binlog, Catalogue& catalogue)
    : store_(store), binlog_(binlog), catalogue_(catalogue) {}

Result<LogPosition> ChangeSource::start_tail(std::uint64_t seq) {
  step_ = Step::tail;
  held_error_.reset();
  held_.reset();
  pieces_.reset();
  wanted_.clear();
  progress_ = {};
  LogPosition position{seq, binlog_.own_files(), binlog_.own_bytes()};
  BinlogReader peek(binlog_, seq);
  CAIRN_TRY(first, peek.next());
  if (first) {
    position.own_files = first->own_files - (first->received ? 0 : 1);
    position.own_bytes = first->own_bytes - (first->received ? 0 : first->length);
  }
  reader_ = std::make_unique<BinlogReader>(binlog_, seq);
  through_ = position;
  last_time_ = 0;
  return position;
}

Result<LogPosition> ChangeSource::start_bring_up(GroupSnapshot group, std::uint32_t peer_id) {
  step_ = Step::tombstones;
  held_error_.reset();
  held_.reset();
  group_ = std::move(group);
  peer_id_ = peer_id;
  // What changes from here on is in the tail; the listing may show it or not.
  bring_up_end_ = {binlog_.committed_seq(), binlog_.own_files(), binlog_.own_bytes()};
  through_ = {};
  after_.clear();
  pieces_.reset();
  wanted_.clear();
  page_.clear();
  reader_.reset();
  progress_ = {0, catalogue_.count()};
  return bring_up_end_;
}

void ChangeSource::accepted() {
  step_ = Step::tail;
  through_ = bring_up_end_;
  last_time_ = 0;
  reader_ = std::make_unique<BinlogReader>(binlog_, bring_up_end_.seq);
}

// What was listed but not yet sent is still to be done.
BringUpProgress ChangeSource::progress() const {
  const std::uint64_t waiting = wanted_.size() + (pieces_ ? 1 : 0);
  return {progress_.done - std::min(progress_.done, waiting), progress_.total};
}

bool ChangeSource::lists(const RemoteName& name) const {
  const std::uint32_t source = group_.source_of ? group_.source_of(name) : 0;
  return lists_for(source, group_.own_id, peer_id_, group_.members);
}

UnixMs ChangeSource::oldest_after(std::uint64_t seq) const {
  BinlogReader reader(binlog_, seq);
  for (std::size_t i = 0; i < kRecordsPerCall; ++i) {
    const auto record = reader.next();
    if (!record || !*record) return 0;
    if (!(*record)->received) return made_at(**record);
  }
  return 0;
}

Result<Outgoing> ChangeSource::next(const SendPlan& plan) {
  if (held_error_) {
    const Error error = std::move(*held_error_);
    held_error_.reset();
    return error;
  }
  Outgoing out;
  std::optional<Error> failure;
  const std::uint32_t now = unix_seconds();
  // Asked after the clock: what was made before `now` has its record by then.
  const std::uint64_t end = binlog_.end_seq();
  std::size_t retry = 0;
  std::size_t scanned = 0;
  while (out.sent.bytes < plan.bytes_max && out.sent.ops.size() < kBatchOpsMax) {
    if (pieces_) {
      emit_piece(out);
    } else if (retry < plan.retries.size()) {
      const RetryItem& item = plan.retries[retry++];
      emit(SentOp{item.change, item.id, true}, out);
    } else if (!wanted_.empty()) {
      SentOp op = std::move(wanted_.front());
      wanted_.pop_front();
      emit(std::move(op), out);
    } else if (!plan.new_records || ++scanned > kRecordsPerCall) {
      break;
    } else if (step_ == Step::tail) {
      const auto more = step_tail(plan.ahead, out);
      if (!more) {
        failure = more.error();
        break;
      }
      if (!*more) break;
    } else {
      // A question goes alone, and after what was found before it.
      const bool asks = step_ == Step::listing || step_ == Step::done;
      if (asks && !out.sent.ops.empty()) break;
      if (auto step = step_bring_up(out); !step) {
        failure = std::move(step).error();
        break;
      }
      if (out.kind != Outgoing::Kind::nothing) break;
    }
    out.moved = true;
  }
  if (failure) {
    if (out.sent.ops.empty() && out.failed.empty() && out.resolved.empty()) return *failure;
    // What was read before the error must not be lost with it: the error waits for the next call.
    held_error_ = std::move(failure);
  }
  if (!out.sent.ops.empty()) out.kind = Outgoing::Kind::batch;

  out.sent.through = through_;
  out.batch.through_seq = through_.seq;
  out.batch.end_seq = end;
  if (step_ == Step::tail) {
    if (through_.seq >= end)
      out.batch.complete_until = now - kCompleteMarginS;
    else if (last_time_ > kCompleteMarginS)
      out.batch.complete_until = last_time_ - kCompleteMarginS;
  }
  return out;
}

bool ChangeSource::may_go_ahead(const LogRecord& record) {
  if (record.received || record.kind != ChangeKind::put) return false;
  const auto name = parse_remote_name(record.name);
  return name && name->kind() == FileKind::normal && name->fields() &&
         record.extra != kRestoredMark;
}

// One record of the log; false: there is none yet.
Result<bool> ChangeSource::step_tail(std::uint64_t ahead, Outgoing& out) {
  std::optional<LogRecord> record = std::exchange(held_, std::nullopt);
  if (!record) {
    CAIRN_TRY(next, cached_only_ ? reader_->next_cached(ahead) : reader_->next(ahead));
    record = std::move(next);
    needs_disk_ = reader_->needs_disk();
  }
  if (!record) return false;
  if (record->seq > binlog_.committed_seq() && !may_go_ahead(*record)) {
    held_ = std::move(record);
    return false;
  }
  needs_disk_ = cached_only_ && !record->received && !emit_cached(*record, out);
  if (needs_disk_) {
    held_ = std::move(record);
    return false;
  }
  last_time_ = record->time;
  pieces_through_ = position_of(*record);
  if (!record->received) {
    if (out.sent.oldest == 0) out.sent.oldest = made_at(*record);
    if (!cached_only_) emit(SentOp{std::move(*record), 0, true}, out);
  }
  if (!pieces_) through_ = pieces_through_;
  return true;
}

std::optional<Result<Outgoing>> ChangeSource::next_cached(const SendPlan& plan) {
  const bool reads_log = step_ == Step::tail && !held_error_ && !pieces_ && wanted_.empty();
  if (!reads_log || !plan.retries.empty()) return std::nullopt;
  cached_only_ = true;
  needs_disk_ = false;
  auto out = next(plan);
  cached_only_ = false;
  if (needs_disk_ && out && out->kind == Outgoing::Kind::nothing) return std::nullopt;
  return out;
}

// Adds a small new file of this node without waiting for the disk; false: emit() must.
bool ChangeSource::emit_cached(const LogRecord& record, Outgoing& out) {
  if (!may_go_ahead(record) || record.total_size > kCachedMax) return false;
  const auto name = parse_remote_name(record.name);
  const auto opened = store_.open_cached(*name);
  if (!opened || !*opened) return false;
  const OpenedFile& file = **opened;
  if (store_.verdict(file, 0, file.size) != Verdict::good || file.size > kCachedMax) return false;
  wire::SyncOp op = head_of(record);
  op.content.resize(static_cast<std::size_t>(file.size));
  if (read_if_cached(file.file.get(), 0, op.content) != op.content.size()) return false;
  op.file_crc32 = crc32(0, op.content);
  // Another kind of checksum, damage, or a name that was used before: emit_put() knows.
  if (op.file_crc32 != name->fields()->crc32 || Store::reused_stamp(file.file.get()) != 0)
    return false;
  op.mtime = file.mtime;
  op.extra = record.mark;
  op.total_size = file.size;
  op.last = true;
  push(SentOp{record, 0, true}, std::move(op), out);
  return true;
}

Status ChangeSource::step_bring_up(Outgoing& out) {
  switch (step_) {
    case Step::tombstones:
      return step_tombstones(out);
    case Step::listing:
      return step_listing(out);
    case Step::replay:
      return step_replay(out);
    default:
      break;
  }
  out.kind = Outgoing::Kind::done;
  out.done.position = bring_up_end_.seq;
  out.position = bring_up_end_;
  return {};
}

Status ChangeSource::step_tombstones(Outgoing&) {
  std::size_t seen = 0;
  CAIRN_RETURN_IF_ERROR(
      store_.tombstones().scan(after_, [&](const std::string& name, const Tombstone& tombstone) {
        after_ = name;
        if (lists_for(tombstone.origin_id, group_.own_id, peer_id_, group_.members)) {
          SentOp op;
          op.change.kind = ChangeKind::remove;
          op.change.name = name;
          op.change.stamp = tombstone.stamp;
          op.change.origin_id = tombstone.origin_id;
          wanted_.push_back(std::move(op));
        }
        return ++seen < kTombstonePage;
      }));
  if (seen < kTombstonePage) {
    step_ = Step::listing;
    after_.clear();
  }
  return {};
}

Status ChangeSource::step_listing(Outgoing& out) {
  if (!catalogue_.wait_for(bring_up_end_.seq, kCatalogueWait))
    return Error{Errc::unavailable, "the catalogue is not complete"};
  progress_.total = std::max(catalogue_.count(), progress_.done);
  CAIRN_TRY(rows, catalogue_.list(after_, kListPage));
  progress_.done += rows.size();
  const bool complete = rows.size() < kListPage;
  if (!rows.empty()) after_ = rows.back().summary.name;
  page_.clear();
  for (CatalogueRow& row : rows) {
    const auto name = parse_remote_name(row.summary.name);
    if (!name || !lists(*name)) continue;
    out.have.files.push_back(row.summary);
    page_.push_back(std::move(row));
  }
  if (!page_.empty()) out.kind = Outgoing::Kind::have;
  if (complete) {
    step_ = Step::replay;
    reader_ = std::make_unique<BinlogReader>(binlog_, binlog_.begin_seq());
  }
  return {};
}

Status ChangeSource::wanted(const wire::SyncHaveReply& reply) {
  if (reply.wanted.size() != page_.size())
    return Error{Errc::invalid_argument, "an answer about other files than those asked for"};
  for (std::size_t i = 0; i < page_.size(); ++i) {
    const CatalogueRow& row = page_[i];
    SentOp op;
    op.change.name = row.summary.name;
    op.change.origin_id = row.origin_id != 0 ? row.origin_id : group_.own_id;
    op.change.mtime = row.summary.mtime;
    if (reply.wanted[i] == '1') {
      op.change.kind = ChangeKind::put;
      op.change.stamp = row.summary.stamp;
      op.change.total_size = row.summary.size;
      op.change.crc32 = row.crc_known ? row.summary.crc32 : 0;
      wanted_.push_back(op);
    }
    if (reply.wanted[i] == 'm' || (reply.wanted[i] == '1' && row.summary.meta_stamp != 0)) {
      op.change.kind = ChangeKind::set_meta;
      op.change.stamp = row.summary.meta_stamp;
      wanted_.push_back(std::move(op));
    }
  }
  page_.clear();
  return {};
}

Status ChangeSource::step_replay(Outgoing&) {
  auto record = reader_->next();
  if (record.code() == Errc::corrupt) return {}; // it has moved behind the damage
  if (record.code() == Errc::not_found) {
    // Pruned while we read: what is gone was at every member.
    reader_ = std::make_unique<BinlogReader>(binlog_, binlog_.begin_seq());
    return {};
  }
  if (!record) return std::move(record).error();
  if (!*record || (*record)->seq > bring_up_end_.seq) {
    step_ = Step::done;
    return {};
  }
  LogRecord& change = **record;
  if (change.received || change.kind == ChangeKind::remove) return {}; // see step_tombstones()
  const auto name = parse_remote_name(change.name);
  if (!name) return {};
  // A peer that was away may still have the file under its former name.
  if (change.kind != ChangeKind::rename) {
    if (lists(*name)) return {};
    if (change.kind != ChangeKind::set_meta) change.kind = ChangeKind::put;
  }
  change.seq = 0;
  wanted_.push_back(SentOp{std::move(change), 0, true});
  return {};
}

void ChangeSource::push(SentOp op, wire::SyncOp wire_op, Outgoing& out) {
  wire_op.content_crc32 = crc32(0, wire_op.content);
  out.sent.bytes += wire_op.content.size() + kOpOverhead;
  out.batch.ops.push_back(std::move(wire_op));
  out.sent.ops.push_back(std::move(op));
}

// Nothing of the change is left to send: the file is gone, and a later record says so.
void ChangeSource::drop(const SentOp& op, Outgoing& out) {
  if (op.retry_id != 0) out.resolved.push_back(op.retry_id);
}

void ChangeSource::fail(SentOp op, Errc code, std::string detail, Outgoing& out) {
  out.failed.push_back(FailedOp{std::move(op), code, std::move(detail)});
}

void ChangeSource::emit(SentOp op, Outgoing& out) {
  switch (op.change.kind) {
    case ChangeKind::put:
      return emit_put(std::move(op), out);
    case ChangeKind::range:
      return emit_range(std::move(op), out);
    case ChangeKind::set_meta:
      return emit_metadata(std::move(op), out);
    case ChangeKind::link: {
      const auto name = parse_remote_name(op.change.name);
      const auto source = parse_remote_name(op.change.extra);
      if (!name || !store_.exists(*name)) return drop(op, out);
      if (!source || !store_.exists(*source)) return emit_put(std::move(op), out);
      break;
    }
    case ChangeKind::remove:
    case ChangeKind::rename:
      // A rename goes out even if the new name is gone by now: the peer has the former one.
      break;
    default:
      return drop(op, out);
  }
  wire::SyncOp wire_op = head_of(op.change);
  wire_op.extra = op.change.extra;
  wire_op.total_size = op.change.total_size;
  // The peer does not take metadata along with a rename (see Store::apply_rename).
  std::optional<SentOp> metadata;
  if (op.change.kind == ChangeKind::rename) {
    metadata.emplace();
    metadata->change = op.change;
    metadata->change.kind = ChangeKind::set_meta;
    metadata->change.extra.clear();
    metadata->change.seq = 0;
  }
  push(std::move(op), std::move(wire_op), out);
  if (metadata) emit_metadata(std::move(*metadata), out);
}

void ChangeSource::emit_metadata(SentOp op, Outgoing& out) {
  const auto name = parse_remote_name(op.change.name);
  if (!name || !store_.exists(*name)) return drop(op, out);
  wire::SyncOp wire_op = head_of(op.change);
  for (std::uint32_t tries = 0;; ++tries) {
    // Text and stamp must belong together: the peer would never take the right text later.
    const std::uint64_t stamp = store_.metadata_stamp(*name);
    auto text = store_.get_metadata(*name);
    if (!text && text.code() != Errc::not_found)
      return fail(std::move(op), text.code(), std::move(text).error().detail, out);
    if (stamp != store_.metadata_stamp(*name)) {
      if (tries < kReadTries) continue;
      return fail(std::move(op), Errc::busy, "metadata changes while it is read", out);
    }
    if (stamp == 0) return drop(op, out);
    wire_op.stamp = stamp;
    if (text) wire_op.content = wire::to_bytes(*text);
    break;
  }
  wire_op.total_size = wire_op.content.size();
  push(std::move(op), std::move(wire_op), out);
}

// A rename that the peer could not follow and that became a put: the file may still be there under
// its former name.
bool ChangeSource::remove_former(const SentOp& op, std::uint64_t retry_id, Outgoing& out) {
  if (op.retry_id == 0 || op.change.extra.empty() || op.change.extra == kRestoredMark) return false;
  SentOp former;
  former.retry_id = retry_id;
  former.change = op.change;
  former.change.kind = ChangeKind::remove;
  former.change.name = op.change.extra;
  former.change.extra.clear();
  former.change.seq = 0;
  wire::SyncOp wire_op = head_of(former.change);
  push(std::move(former), std::move(wire_op), out);
  return true;
}

void ChangeSource::emit_put(SentOp op, Outgoing& out) {
  const auto name = parse_remote_name(op.change.name);
  if (!name) return drop(op, out);
  auto opened = store_.open_file(*name);
  if (opened.code() == Errc::not_found) {
    // The removal of the former name is the retry then: it is done when the peer has answered.
    if (remove_former(op, op.retry_id, out)) return;
    return drop(op, out);
  }
  if (!opened) return fail(std::move(op), opened.code(), std::move(opened).error().detail, out);
  // A damaged copy is not passed on; once it was replaced, the retry finds the new one.
  if (auto good = store_.verify(*name, *opened, 0, opened->size); good.code() == Errc::corrupt)
    return fail(std::move(op), good.code(), std::move(good).error().detail, out);

  Pieces pieces;
  pieces.head = head_of(op.change);
  pieces.head.kind = ChangeKind::put;
  pieces.head.mtime = opened->mtime;
  pieces.head.extra = store_.mark_of(*name, opened->file.get());
  pieces.head.total_size = opened->size;
  if (const std::uint64_t reused = Store::reused_stamp(opened->file.get());
      reused != 0 && name->kind() != FileKind::slave) {
    pieces.head.extra = kRestoredMark;
    pieces.head.stamp = reused;
  }
  if (name->kind() == FileKind::normal && name->fields())
    pieces.expected_crc = name->fields()->crc32;
  else if (name->kind() == FileKind::slave && op.change.crc32 != 0 &&
           op.change.total_size == opened->size)
    pieces.expected_crc = op.change.crc32;
  if (op.retry_id != 0) {
    // All that belongs to the file, since the peer may have refused it while it lacked the file.
    // Before the file, so that the retry is not done when a lost connection has kept it back.
    remove_former(op, 0, out);
    SentOp metadata;
    metadata.change = op.change;
    metadata.change.kind = ChangeKind::set_meta;
    metadata.change.seq = 0;
    if (store_.metadata_stamp(*name) != 0) emit_metadata(std::move(metadata), out);
  }
  pieces.op = std::move(op);
  pieces.file = std::move(opened->file);
  pieces.end = opened->size;
  if (step_ != Step::tail || pieces.op.retry_id != 0) pieces_through_ = through_;
  pieces_ = std::move(pieces);
}

void ChangeSource::emit_range(SentOp op, Outgoing& out) {
  const auto name = parse_remote_name(op.change.name);
  if (!name) return drop(op, out);
  auto opened = store_.open_file(*name);
  if (opened.code() == Errc::not_found) return drop(op, out);
  if (!opened) return fail(std::move(op), opened.code(), std::move(opened).error().detail, out);
  if (auto good = store_.verify(*name, *opened, op.change.offset, op.change.length);
      good.code() == Errc::corrupt)
    return fail(std::move(op), good.code(), std::move(good).error().detail, out);
  Pieces pieces;
  pieces.head = head_of(op.change);
  pieces.offset = op.change.offset;
  pieces.end = op.change.offset + op.change.length;
  pieces.file = std::move(opened->file);
  pieces.op = std::move(op);
  if (step_ != Step::tail || pieces.op.retry_id != 0) pieces_through_ = through_;
  pieces_ = std::move(pieces);
}

// Whether a checksum other than the expected one is no damage: an old store has another kind in its
// names, and a slave file may have been deleted and stored again (the catalogue knows).
bool ChangeSource::is_explained(const Pieces& pieces) const {
  LegacyCrc32 legacy;
  wire::Bytes content(kPieceMin);
  for (std::uint64_t offset = 0; offset < pieces.end;) {
    const auto count = read_at(pieces.file.get(), offset, content);
    if (!count || *count == 0) break;
    legacy.update(std::span(content).first(*count));
    offset += *count;
  }
  if (legacy.value() == *pieces.expected_crc) return true;
  const auto row = catalogue_.find(pieces.op.change.name);
  return row && *row && (*row)->crc_known && (*row)->summary.crc32 == pieces.crc32;
}

void ChangeSource::emit_piece(Outgoing& out) {
  Pieces& pieces = *pieces_;
  const bool whole_file = pieces.head.kind == ChangeKind::put;
  const auto finish = [&] {
    through_ = pieces_through_;
    pieces_.reset();
  };
  // A put that was begun leaves pieces at the peer, which it must forget.
  const auto give_up = [&] {
    if (!whole_file || pieces.offset == 0) return;
    SentOp skip;
    skip.change = pieces.op.change;
    skip.change.kind = ChangeKind::skip;
    wire::SyncOp wire_op = pieces.head;
    wire_op.kind = ChangeKind::skip;
    push(std::move(skip), std::move(wire_op), out);
  };

  std::uint64_t end = pieces.end;
  if (!whole_file) {
    struct stat info {};
    if (::fstat(pieces.file.get(), &info) != 0) {
      fail(std::move(pieces.op), Errc::io_error, errno_error("stat", errno).detail, out);
      return finish();
    }
    // The size is that of now, but in the log's order not beyond what this record says: later
    // records bring the rest, and until then a reader at the peer must not see zeros in its place.
    // A retry comes behind later records, so it must not cut what they brought.
    std::uint64_t size = static_cast<std::uint64_t>(info.st_size);
    if (pieces.op.retry_id == 0 && pieces.op.change.seq != 0)
      size = std::min(size, pieces.op.change.total_size);
    pieces.head.total_size = size;
    end = std::min(end, size);
  }

  const std::uint64_t room = std::max<std::uint64_t>(
      kPieceMin, kPieceMax > out.sent.bytes ? kPieceMax - out.sent.bytes : 0);
  const std::uint64_t left = end > pieces.offset ? end - pieces.offset : 0;
  wire::SyncOp wire_op = pieces.head;
  wire_op.offset = pieces.offset;
  wire_op.content.resize(static_cast<std::size_t>(std::min(left, room)));
  auto count = read_at(pieces.file.get(), pieces.offset, wire_op.content);
  if (!count) {
    give_up();
    fail(std::move(pieces.op), count.code(), std::move(count).error().detail, out);
    return finish();
  }
  if (*count < wire_op.content.size()) {
    if (whole_file) {
      // Truncated while it was read: from the start, with the size of now.
      give_up();
      if (++pieces.tries >= kReadTries) {
        fail(std::move(pieces.op), Errc::busy, "the file shrinks while it is read", out);
        return finish();
      }
      struct stat info {};
      if (::fstat(pieces.file.get(), &info) != 0) {
        fail(std::move(pieces.op), Errc::io_error, errno_error("stat", errno).detail, out);
        return finish();
      }
      pieces.offset = 0;
      pieces.crc32 = 0;
      pieces.end = pieces.head.total_size = static_cast<std::uint64_t>(info.st_size);
      return;
    }
    wire_op.content.resize(*count);
    pieces.end = end = pieces.offset + *count;
    wire_op.total_size = std::min(wire_op.total_size, end);
  }

  wire_op.last = pieces.offset + wire_op.content.size() >= end;
  if (whole_file) {
    pieces.crc32 = crc32(pieces.crc32, wire_op.content);
    wire_op.file_crc32 = pieces.crc32;
    if (wire_op.last && pieces.expected_crc && pieces.crc32 != *pieces.expected_crc &&
        !is_explained(pieces)) {
      give_up();
      fail(std::move(pieces.op), Errc::corrupt, "content does not match its checksum", out);
      return finish();
    }
  }
  pieces.offset += wire_op.content.size();
  const bool last = wire_op.last;
  SentOp sent{pieces.op.change, pieces.op.retry_id, last};
  push(std::move(sent), std::move(wire_op), out);
  if (last) finish();
}

} // namespace cairn::storage
