// Operations that came together, evaluated in order on top of each other, and logged as one entry.
// Around each one: the session must live, a repeated sequence number gets its first answer, and the
// namespace's own clock and counters move.
#pragma once

#include "tracker/namespace/evaluation.h"

#include <cstdint>
#include <functional>
#include <vector>

namespace cairn::tracker {

// A change as it came from a client.
struct Change {
  wire::NsOp op = wire::NsOp::renew;
  Caller caller;
  std::uint64_t sequence = 0; // in caller.session
  wire::Bytes request;
};

// What becomes of an operation.
struct Outcome {
  std::uint8_t status = 0; // an errno
  // The encoded reply, or with a status a line of text.
  wire::Bytes body;
  std::uint64_t position = 0; // at which it is true

  static Outcome failed(const Error& error, std::uint64_t position = 0) {
    Outcome outcome;
    outcome.status = wire_status(error.code);
    outcome.body = wire::to_bytes(error.detail);
    outcome.position = position;
    return outcome;
  }
};

// An event as it goes to sessions that watch.
struct Published {
  std::uint64_t position = 0;
  std::uint64_t session = 0; // whose change it was
  wire::NsEvent event;
};

class Batch {
public:
  // All of them outlive the batch. `clock` is the time now.
  Batch(const KeyValueView& base, OpenFiles& opens, const NamespacePolicy& policy, NsTime clock)
      : transaction_(base), opens_(opens), policy_(policy), clock_(clock) {}

  // Reads the counters; makes the root of a new namespace. Errors: io_error, corrupt.
  Status begin();

  // One operation of a client. A failed one leaves nothing in the batch, and may be tried again
  // with the same sequence number.
  Outcome run(const Change& change);
  // Something of the tracker's own, all or nothing like an operation. Errors: those of `work`.
  Result<std::uint64_t> internal(const std::function<Result<std::uint64_t>(Evaluation&)>& work);

  // False: there is nothing to log.
  bool changes() const { return !transaction_.empty(); }
  std::size_t bytes() const { return transaction_.bytes(); }
  std::uint64_t position() const { return state_.position; }
  wire::MutationBatch mutations();
  // To be told once the batch is committed.
  const std::vector<Published>& events() const { return events_; }
  // Inodes that lost their last name while they were open: to be reaped when they are closed.
  const std::vector<std::uint64_t>& orphans() const { return orphans_; }

private:
  void publish(Evaluation& evaluation, std::uint64_t session);

  Transaction transaction_;
  OpenFiles& opens_;
  const NamespacePolicy& policy_;
  NsTime clock_;
  StateRow state_;
  std::vector<Published> events_;
  std::vector<std::uint64_t> orphans_;
};

// The counters of a namespace; those of a new one when there is none. Errors: io_error, corrupt.
Result<StateRow> read_state(const KeyValueView& view);

} // namespace cairn::tracker
