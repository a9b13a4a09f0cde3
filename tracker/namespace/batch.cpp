// Sessions, repeated requests, counters.
#include "tracker/namespace/batch.h"

#include <algorithm>
#include <cerrno>
#include <utility>

namespace cairn::tracker {

Result<StateRow> read_state(const KeyValueView& view) {
  CAIRN_TRY(row, view.get(key::kState));
  if (!row) return StateRow();
  return decode_row<StateRow>(*row);
}

Status Batch::begin() {
  CAIRN_TRY(state, read_state(transaction_));
  state_ = state;
  // Time never goes back, whatever the clock does.
  clock_ = std::max(clock_, state_.clock);
  state_.clock = clock_;
  if (state_.position != 0) return {};
  const auto format = [](Evaluation& evaluation) -> Result<std::uint64_t> {
    CAIRN_RETURN_IF_ERROR(evaluation.format());
    return std::uint64_t{0};
  };
  CAIRN_TRY(done, internal(format));
  static_cast<void>(done);
  return {};
}

Outcome Batch::run(const Change& change) {
  const std::uint64_t session = change.caller.session;
  const auto live = transaction_.get(key::session(session));
  if (!live) return Outcome::failed(live.error(), state_.position);
  if (!*live) return Outcome::failed(errno_of(ESTALE, "the session is over"), state_.position);
  const std::string slot = key::answer(session, change.sequence);
  const auto row = transaction_.get(slot);
  if (!row) return Outcome::failed(row.error(), state_.position);
  if (*row) {
    auto answer = decode_row<AnswerRow>(**row);
    if (!answer) return Outcome::failed(answer.error(), state_.position);
    if (answer->sequence == change.sequence) {
      Outcome outcome;
      outcome.body = std::move(answer->reply);
      outcome.position = answer->position;
      return outcome;
    }
    if (answer->sequence > change.sequence)
      return Outcome::failed(errno_of(ESTALE, "an old sequence number"), state_.position);
  }

  const StateRow before = state_;
  ++state_.position;
  Evaluation evaluation(transaction_, change.caller, opens_, state_, policy_, clock_);
  auto reply = evaluation.run(change.op, change.request);
  if (!reply) {
    transaction_.drop();
    state_ = before;
    return Outcome::failed(reply.error(), state_.position);
  }
  Outcome outcome;
  outcome.body = *std::move(reply);
  outcome.position = state_.position;
  AnswerRow answer;
  answer.sequence = change.sequence;
  answer.position = outcome.position;
  answer.reply = outcome.body;
  transaction_.put(slot, encode_row(answer));
  transaction_.keep();
  publish(evaluation, session);
  return outcome;
}

Result<std::uint64_t> Batch::internal(
    const std::function<Result<std::uint64_t>(Evaluation&)>& work) {
  const StateRow before = state_;
  ++state_.position;
  Caller caller;
  caller.admin = true;
  Evaluation evaluation(transaction_, std::move(caller), opens_, state_, policy_, clock_);
  auto done = work(evaluation);
  // What changes nothing leaves no trace, also not in the counters.
  if (!done || transaction_.unchanged()) {
    transaction_.drop();
    state_ = before;
    return done;
  }
  transaction_.keep();
  publish(evaluation, 0);
  return done;
}

void Batch::publish(Evaluation& evaluation, std::uint64_t session) {
  for (wire::NsEvent& event : evaluation.events()) {
    Published published;
    published.position = state_.position;
    published.session = session;
    published.event = std::move(event);
    events_.push_back(std::move(published));
  }
  orphans_.insert(orphans_.end(), evaluation.orphans().begin(), evaluation.orphans().end());
}

wire::MutationBatch Batch::mutations() {
  transaction_.put(std::string(key::kState), encode_row(state_));
  transaction_.keep();
  return transaction_.take_mutations();
}

} // namespace cairn::tracker
