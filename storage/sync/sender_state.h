// What a sender decides, without sockets, clocks or disks: how much may be in flight, up to where
// the peer has everything, what must be tried again and when. Time is given by the caller in
// milliseconds since the epoch.
#pragma once

#include "common/base/result.h"
#include "common/wire/native.h"
#include "storage/binlog/record.h"

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace cairn::storage {

using UnixMs = std::uint64_t;

// Operations of one batch, at the most.
inline constexpr std::size_t kBatchOpsMax = 1024;

struct SenderLimits {
  std::uint64_t window_bytes = 16 << 20; // unacknowledged content
  std::uint64_t batch_bytes = 1 << 20;   // content of one batch
  std::size_t batches_max = 64;          // unacknowledged batches
  // Unacknowledged batches that hold less than a quarter of what a batch may. Each costs the peer a
  // commit: what is logged while so many are on their way goes together in the next one.
  std::size_t small_batches_max = 2;
  std::size_t retries_max = 10'000; // waiting retries; more: new records wait
};

// A position in the source's log with the running totals there (LogRecord::own_files, own_bytes).
struct LogPosition {
  std::uint64_t seq = 0;
  std::uint64_t own_files = 0;
  std::uint64_t own_bytes = 0;

  static constexpr auto fields() {
    using M = LogPosition;
    return std::tuple{wire::integer(&M::seq), wire::integer(&M::own_files),
                      wire::integer(&M::own_bytes)};
  }
};

// A change that could not be applied, or not be read here, and waits for its next try.
struct RetryItem {
  std::uint64_t id = 0;
  LogRecord change;
  std::uint32_t attempts = 0; // failed so far
  UnixMs due = 0;
  Errc code = Errc::io_error; // of the last failure
  bool in_flight = false;

  static constexpr auto fields() {
    using M = RetryItem;
    return std::tuple{wire::integer(&M::id), wire::nested(&M::change), wire::integer(&M::attempts),
                      wire::integer(&M::due), wire::integer(&M::code)};
  }
};

// The cursor file: everything up to `position` has been applied by the peer, or is in `retries`.
// The peer's own word for its position comes first where it says less. A lost cursor means that the
// peer is compared with the catalogue (bring-up), since changes it refused may be forgotten.
struct Cursor {
  std::string peer_uuid;
  std::string log_id;
  bool brought_up = false;
  LogPosition position;
  std::vector<RetryItem> retries;

  static constexpr auto fields() {
    using M = Cursor;
    return std::tuple{wire::string(&M::peer_uuid), wire::string(&M::log_id),
                      wire::integer(&M::brought_up), wire::nested(&M::position),
                      wire::list(&M::retries)};
  }
};

// One operation of a batch that was sent.
struct SentOp {
  LogRecord change;
  std::uint64_t retry_id = 0; // 0: the first try
  bool last = true;           // no later piece of it follows
};

// A batch on its way.
struct SentBatch {
  std::uint64_t number = 0;
  std::uint64_t bytes = 0;
  LogPosition through;
  UnixMs oldest = 0; // when the first change in it was made; 0: none
  std::vector<SentOp> ops;
};

// What the next batch may hold.
struct SendPlan {
  std::vector<RetryItem> retries; // that are due; to be sent before anything else
  bool new_records = false;       // records of the log, or the next step of the bring-up
  std::uint64_t bytes_max = 0;
  // Uploads up to this position in the log wait for copies: they may go before they are committed
  // here (ChangeSource::may_go_ahead()).
  std::uint64_t ahead = 0;
};

class SenderState {
public:
  SenderState(SenderLimits limits, std::string peer_uuid, std::string log_id);

  // Takes the cursor file of this peer; one of another peer or log is ignored.
  void restore(Cursor cursor);
  // For the cursor file.
  Cursor cursor() const;
  // Whether it may be written, when this node's log is committed up to `committed`. What the peer
  // has before us the log may lose with the power, and a position behind its end would have the
  // peer compared with all that is here.
  bool may_save(std::uint64_t committed) const { return position_.seq <= committed; }
  // Counts changes of cursor().
  std::uint64_t changes() const { return changes_; }

  // --- a connection

  // The peer answered sync_hello; the log holds records after `log_begin` up to `log_end`. Answers
  // where to tail from (tail_from() follows), or nullopt: the peer must be brought up.
  std::optional<std::uint64_t> begin(const wire::SyncHelloReply& reply, std::uint64_t log_begin,
                                     std::uint64_t log_end);
  // The tail begins after `position`: of begin(), or of the sync_done that the peer accepted.
  void tail_from(LogPosition position);
  // The connection is gone; what was in flight is sent again.
  void disconnected();

  // --- sending

  // What may be sent now; nullopt: nothing before the next acknowledgement.
  std::optional<SendPlan> plan(UnixMs now);
  // When the next retry is due; nullopt: none waits.
  std::optional<UnixMs> next_retry() const;
  // A batch is sent; answers its number in the stream.
  std::uint64_t sent(SentBatch batch);
  // A change could not be read on this node.
  void failed_here(const SentOp& op, Errc code, UnixMs now);
  // A retry found nothing left to send (its file is gone).
  void resolved(std::uint64_t retry_id);
  // sync_have or sync_done is on its way: nothing else until its answer.
  void question_sent() { question_ = true; }
  void question_answered() { question_ = false; }

  // The peer answered the oldest batch in flight. Errors: invalid_argument (there is none, or the
  // answer names operations that were not in it).
  Status acked(const wire::SyncAck& ack, UnixMs now);

  // --- what it looks like

  wire::SyncPhase phase() const { return phase_; }
  bool is_brought_up() const { return brought_up_; }
  const LogPosition& acked_position() const { return position_; }
  std::size_t batches_in_flight() const { return in_flight_.size(); }
  std::uint64_t bytes_in_flight() const { return bytes_in_flight_; }
  // When the oldest change in flight or waiting for a retry was made; 0: there is none.
  UnixMs oldest_missing() const;
  std::size_t retries() const { return retries_.size(); }
  // Positions of the changes that wait for a retry: the peer lacks them.
  std::vector<std::uint64_t> lacking() const;
  // Of those, tried so often that they wait a minute each time.
  std::size_t dead_letters() const;
  // Dead letters since the last call, for the log.
  std::vector<RetryItem> take_new_dead_letters();

  // Failures after which a change counts as dead letter.
  static constexpr std::uint32_t kQuickAttempts = 5;
  // Milliseconds until the next try after `attempts` failures.
  static UnixMs back_off(std::uint32_t attempts);

private:
  void add_retry(const SentOp& op, Errc code, UnixMs now);

  const SenderLimits limits_;
  const std::string peer_uuid_;
  const std::string log_id_;
  wire::SyncPhase phase_ = wire::SyncPhase::disconnected;
  bool brought_up_ = false; // the peer has had everything once
  bool has_cursor_ = false; // position_ and retries_ are the whole truth
  bool question_ = false;
  LogPosition position_; // acknowledged
  std::uint64_t next_number_ = 1;
  std::deque<SentBatch> in_flight_;
  std::uint64_t bytes_in_flight_ = 0;
  std::map<std::uint64_t, RetryItem> retries_; // by id
  std::uint64_t next_retry_id_ = 1;
  std::vector<RetryItem> new_dead_letters_;
  std::uint64_t changes_ = 0;
};

} // namespace cairn::storage
