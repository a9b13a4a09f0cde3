// Window, position and retries of a sender.
#include "storage/sync/sender_state.h"

#include <algorithm>

namespace cairn::storage {

namespace {
// Retries in one batch: they are rare, and new changes should not wait behind them.
constexpr std::size_t kRetriesPerBatch = 64;

// Whether the peer needs something else first: the file as it was, or under another name.
bool builds_on_other(ChangeKind kind) {
  return kind == ChangeKind::range || kind == ChangeKind::link || kind == ChangeKind::rename;
}
} // namespace

SenderState::SenderState(SenderLimits limits, std::string peer_uuid, std::string log_id)
    : limits_(limits), peer_uuid_(std::move(peer_uuid)), log_id_(std::move(log_id)) {}

void SenderState::restore(Cursor cursor) {
  if (cursor.peer_uuid != peer_uuid_ || cursor.log_id != log_id_) return;
  position_ = cursor.position;
  brought_up_ = cursor.brought_up;
  has_cursor_ = cursor.brought_up;
  for (RetryItem& item : cursor.retries) {
    next_retry_id_ = std::max(next_retry_id_, item.id + 1);
    item.in_flight = false;
    retries_.emplace(item.id, std::move(item));
  }
}

Cursor SenderState::cursor() const {
  Cursor cursor;
  cursor.peer_uuid = peer_uuid_;
  cursor.log_id = log_id_;
  cursor.brought_up = brought_up_;
  cursor.position = position_;
  for (const auto& [id, item] : retries_) cursor.retries.push_back(item);
  return cursor;
}

std::optional<std::uint64_t> SenderState::begin(const wire::SyncHelloReply& reply,
                                                std::uint64_t log_begin, std::uint64_t log_end) {
  disconnected();
  phase_ = wire::SyncPhase::bring_up;
  if (brought_up_ != reply.known) ++changes_;
  brought_up_ = reply.known;
  // Without our own cursor nobody knows which changes before the peer's position it refused: the
  // listing finds out.
  if (!reply.known || !has_cursor_) return std::nullopt;
  // A batch may have been applied with failures whose answer never came: what was not acknowledged
  // here is sent again even if the peer is past it.
  const std::uint64_t from = std::min(reply.applied_seq, position_.seq);
  if (from < log_begin || from > log_end) return std::nullopt;
  return from;
}

void SenderState::tail_from(LogPosition position) {
  phase_ = wire::SyncPhase::tail;
  brought_up_ = true;
  has_cursor_ = true;
  position_ = position;
  ++changes_;
}

void SenderState::disconnected() {
  phase_ = wire::SyncPhase::disconnected;
  question_ = false;
  in_flight_.clear();
  bytes_in_flight_ = 0;
  next_number_ = 1;
  for (auto& [id, item] : retries_) item.in_flight = false;
}

std::optional<SendPlan> SenderState::plan(UnixMs now) {
  if (phase_ == wire::SyncPhase::disconnected || question_) return std::nullopt;
  if (in_flight_.size() >= limits_.batches_max) return std::nullopt;
  // A batch that is larger than the window alone still goes when nothing else is on its way.
  if (!in_flight_.empty() && bytes_in_flight_ + limits_.batch_bytes > limits_.window_bytes)
    return std::nullopt;
  const auto is_small = [this](const SentBatch& batch) {
    return batch.bytes < limits_.batch_bytes / 4 && batch.ops.size() < kBatchOpsMax / 4;
  };
  const auto small = std::count_if(in_flight_.begin(), in_flight_.end(), is_small);
  if (static_cast<std::size_t>(small) >= limits_.small_batches_max) return std::nullopt;

  SendPlan plan;
  plan.bytes_max = limits_.batch_bytes;
  for (const auto& [id, item] : retries_) {
    if (plan.retries.size() >= kRetriesPerBatch) break;
    if (!item.in_flight && item.due <= now) plan.retries.push_back(item);
  }
  plan.new_records = retries_.size() < limits_.retries_max;
  return plan;
}

std::optional<UnixMs> SenderState::next_retry() const {
  std::optional<UnixMs> next;
  for (const auto& [id, item] : retries_)
    if (!item.in_flight && (!next || item.due < *next)) next = item.due;
  return next;
}

std::uint64_t SenderState::sent(SentBatch batch) {
  for (const SentOp& op : batch.ops)
    if (const auto found = retries_.find(op.retry_id); found != retries_.end())
      found->second.in_flight = true;
  batch.number = next_number_++;
  bytes_in_flight_ += batch.bytes;
  in_flight_.push_back(std::move(batch));
  return next_number_ - 1;
}

void SenderState::add_retry(const SentOp& op, Errc code, UnixMs now) {
  ++changes_;
  auto found = retries_.find(op.retry_id);
  if (found == retries_.end()) {
    // Several pieces of one change fail together, and a repeated batch fails as before.
    found = std::find_if(retries_.begin(), retries_.end(), [&](const auto& entry) {
      const LogRecord& other = entry.second.change;
      return other.name == op.change.name && other.seq == op.change.seq &&
             (other.kind == op.change.kind ||
              (other.kind == ChangeKind::put && builds_on_other(op.change.kind)));
    });
    if (found != retries_.end()) return;
  } else if (!found->second.in_flight && found->second.due > now) {
    return; // an earlier piece of the same try failed
  }
  if (found == retries_.end()) {
    RetryItem item;
    item.id = next_retry_id_++;
    item.change = op.change;
    found = retries_.emplace(item.id, std::move(item)).first;
  }
  RetryItem& item = found->second;
  item.in_flight = false;
  item.code = code;
  ++item.attempts;
  item.due = now + back_off(item.attempts);
  // The peer lacks what the change builds on: the whole file says it all.
  const ChangeKind was = item.change.kind;
  if (code == Errc::not_found && builds_on_other(was)) {
    item.change.kind = ChangeKind::put;
    item.change.crc32 = 0; // of the content as it was: it may differ by now
    if (was != ChangeKind::rename) item.change.extra.clear();
    item.due = now;
  }
  if (item.attempts == kQuickAttempts) new_dead_letters_.push_back(item);
}

void SenderState::failed_here(const SentOp& op, Errc code, UnixMs now) {
  add_retry(op, code, now);
}

void SenderState::resolved(std::uint64_t retry_id) {
  if (retries_.erase(retry_id) > 0) ++changes_;
}

Status SenderState::acked(const wire::SyncAck& ack, UnixMs now) {
  if (in_flight_.empty()) return Error{Errc::invalid_argument, "an answer to no batch"};
  const SentBatch batch = std::move(in_flight_.front());
  in_flight_.pop_front();
  bytes_in_flight_ -= batch.bytes;

  std::vector<bool> failed(batch.ops.size(), false);
  for (const wire::SyncFailure& failure : ack.failures) {
    if (failure.index >= batch.ops.size())
      return Error{Errc::invalid_argument, "an answer about operations that were not sent"};
    failed[failure.index] = true;
    add_retry(batch.ops[failure.index], failure.code, now);
  }
  for (std::size_t i = 0; i < batch.ops.size(); ++i) {
    const SentOp& op = batch.ops[i];
    // A retry of several pieces is done when its last one was taken; if an earlier one failed, the
    // last one did too.
    if (!failed[i] && op.last && op.retry_id != 0) resolved(op.retry_id);
  }
  if (phase_ == wire::SyncPhase::tail && batch.through.seq > position_.seq) {
    position_ = batch.through;
    ++changes_;
  }
  return {};
}

UnixMs SenderState::oldest_missing() const {
  UnixMs oldest = 0;
  const auto consider = [&oldest](UnixMs made) {
    if (made != 0 && (oldest == 0 || made < oldest)) oldest = made;
  };
  for (const SentBatch& batch : in_flight_) consider(batch.oldest);
  for (const auto& [id, item] : retries_) consider(item.change.stamp >> 16);
  return oldest;
}

std::vector<std::uint64_t> SenderState::lacking() const {
  std::vector<std::uint64_t> lacking;
  lacking.reserve(retries_.size());
  for (const auto& [id, item] : retries_) lacking.push_back(item.change.seq);
  return lacking;
}

std::size_t SenderState::dead_letters() const {
  return static_cast<std::size_t>(
      std::count_if(retries_.begin(), retries_.end(),
                    [](const auto& entry) { return entry.second.attempts >= kQuickAttempts; }));
}

std::vector<RetryItem> SenderState::take_new_dead_letters() {
  return std::exchange(new_dead_letters_, {});
}

UnixMs SenderState::back_off(std::uint32_t attempts) {
  if (attempts >= kQuickAttempts) return 60'000;
  return UnixMs{100} << (attempts == 0 ? 0 : attempts - 1);
}

} // namespace cairn::storage
