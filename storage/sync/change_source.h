// What a peer is sent, in order: the log's changes with their content as it is now, and before
// them, for a new peer, everything the catalogue holds. Blocks on the disk; one thread at a time.
// Knows nothing of connections: what may be sent when is SenderState's.
//
// A bring-up goes through four steps:
//
//   tombstones   what was deleted here (and by nodes that are gone) must not live on at the peer
//   listing      the catalogue's files in pages of sync_have; what is wanted follows
//   replay       records kept in the log that the listing does not cover: metadata set here on
//   files
//                that other nodes list (they may have listed them before our change reached them)
//   done         sync_done with the log's end as it was at the start; the tail follows
#pragma once

#include "common/base/crc32.h"
#include "common/wire/native.h"
#include "storage/binlog/binlog.h"
#include "storage/store/store.h"
#include "storage/sync/catalogue.h"
#include "storage/sync/rules.h"
#include "storage/sync/sender_state.h"

#include <algorithm>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace cairn::storage {

// A change that could not be read on this node.
struct FailedOp {
  SentOp op;
  Errc code = Errc::io_error; // corrupt: the local copy is damaged
  std::string detail;
};

// The next thing to send.
struct Outgoing {
  enum class Kind : std::uint8_t { nothing, batch, have, done };
  Kind kind = Kind::nothing;
  wire::SyncBatch batch; // stream and number are the sender's to fill in
  SentBatch sent;        // describes `batch`
  wire::SyncHave have;
  wire::SyncDone done;
  LogPosition position;                // kind done: where the tail begins
  std::vector<FailedOp> failed;        // with any kind
  std::vector<std::uint64_t> resolved; // retries with nothing left to send
  bool moved = false; // something was read or passed over: asking again may give more
};

// Progress of a bring-up: files that the peer has or was sent so far, and about how many there are.
struct BringUpProgress {
  std::uint64_t done = 0;
  std::uint64_t total = 0;
};

class ChangeSource {
public:
  ChangeSource(Store& store, Binlog& binlog, Catalogue& catalogue);

  // The log's changes after `seq`. Answers the position with its totals. Errors: not_found (the log
  // no longer reaches back), corrupt, io_error.
  Result<LogPosition> start_tail(std::uint64_t seq);
  // Everything for `peer_id`, then done. Answers where the tail will begin.
  Result<LogPosition> start_bring_up(GroupSnapshot group, std::uint32_t peer_id);

  // The next thing to send under `plan`; `nothing`: wait for Binlog::on_commit() or a retry. After
  // `have` wanted() follows before the next call; `done` is to be sent when nothing is in flight,
  // and accepted() says that the peer took it. Errors: not_found (the log was pruned under us:
  // bring up), unavailable (the catalogue is not ready), io_error.
  Result<Outgoing> next(const SendPlan& plan);
  // The same on a thread that must not block: small new files, as long as they are in the page
  // cache, as all are that were just stored. nullopt: it is for next().
  std::optional<Result<Outgoing>> next_cached(const SendPlan& plan);
  // The peer's answer to the last `have`. Errors: invalid_argument.
  Status wanted(const wire::SyncHaveReply& reply);
  // The peer took sync_done.
  void accepted();
  bool is_bringing_up() const { return step_ != Step::tail; }
  // next() without retries has nothing: the log's committed changes end at `committed_seq`, those
  // that may go before at `ahead`, and all of them were read. Not while next() runs.
  bool has_nothing(std::uint64_t committed_seq, std::uint64_t ahead) const {
    const bool all_read =
        held_ ? held_->seq > committed_seq : through_.seq >= std::max(committed_seq, ahead);
    return step_ == Step::tail && all_read && !held_error_ && !pieces_ && wanted_.empty();
  }

  // Whether a change may go to peers before it is durable here: only a new file of this node whose
  // name says what it holds. Nobody was told of it yet. If the power goes before its commit, a peer
  // is left with a whole file that nobody was promised, which comparison brings back here. A delete
  // or a change of a file must not be at a peer while its origin may still forget it.
  static bool may_go_ahead(const LogRecord& record);

  // Position up to which the log is read; 0 during a bring-up. Not while next() runs.
  std::uint64_t read_through() const { return step_ == Step::tail ? through_.seq : 0; }

  BringUpProgress progress() const;
  // When the first change after `position` was made (milliseconds), 0: there is none.
  UnixMs oldest_after(std::uint64_t seq) const;

private:
  enum class Step : std::uint8_t { tombstones, listing, replay, done, tail };
  // A file (or range of one) that is sent in several pieces, possibly over several batches.
  struct Pieces {
    SentOp op;
    wire::SyncOp head; // what all pieces share
    File file;
    std::uint64_t offset = 0;
    std::uint64_t end = 0;
    std::uint32_t crc32 = 0;
    std::optional<std::uint32_t> expected_crc; // of the whole content
    std::uint32_t tries = 0;
  };

  void emit(SentOp op, Outgoing& out);
  bool emit_cached(const LogRecord& record, Outgoing& out);
  void emit_put(SentOp op, Outgoing& out);
  bool remove_former(const SentOp& op, std::uint64_t retry_id, Outgoing& out);
  void emit_range(SentOp op, Outgoing& out);
  void emit_metadata(SentOp op, Outgoing& out);
  void emit_piece(Outgoing& out);
  bool is_explained(const Pieces& pieces) const;
  void push(SentOp op, wire::SyncOp wire_op, Outgoing& out);
  void drop(const SentOp& op, Outgoing& out);
  void fail(SentOp op, Errc code, std::string detail, Outgoing& out);
  Status step_bring_up(Outgoing& out);
  Status step_tombstones(Outgoing& out);
  Status step_listing(Outgoing& out);
  Status step_replay(Outgoing& out);
  Result<bool> step_tail(std::uint64_t ahead, Outgoing& out);
  bool lists(const RemoteName& name) const;

  Store& store_;
  Binlog& binlog_;
  Catalogue& catalogue_;
  Step step_ = Step::tail;
  std::unique_ptr<BinlogReader> reader_;
  std::optional<LogRecord> held_;   // read, and waits for its commit or for next()
  bool cached_only_ = false;        // next_cached() runs
  bool needs_disk_ = false;         // and has met what it is not for
  LogPosition through_;             // everything up to here is in what next() has given
  std::optional<Error> held_error_; // for the next call of next()
  std::optional<Pieces> pieces_;
  LogPosition pieces_through_;  // through_ once the pieces are all sent
  std::uint32_t last_time_ = 0; // of the last record passed, unix seconds

  GroupSnapshot group_;
  std::uint32_t peer_id_ = 0;
  LogPosition bring_up_end_;
  std::string after_; // tombstone or file listed last
  std::vector<CatalogueRow> page_;
  std::deque<SentOp> wanted_;
  BringUpProgress progress_;
};

} // namespace cairn::storage
