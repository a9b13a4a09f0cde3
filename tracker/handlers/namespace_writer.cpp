// Collect, evaluate, log, answer.
#include "tracker/handlers/namespace_writer.h"

#include <boost/asio/post.hpp>
#include <boost/asio/this_coro.hpp>

#include <algorithm>
#include <cerrno>
#include <utility>

namespace cairn::tracker {

namespace {

// Of one batch: enough to make the sync cheap, not so much that the first one waits long.
constexpr std::size_t kBatchChangesMax = 2048;
constexpr std::size_t kBatchBytesMax = 1024 * 1024;
// Questions of one job, and jobs at a time.
constexpr std::size_t kQuestionsMax = 256;
constexpr std::size_t kJobsMax = 2;
// Questions that come more often than this are answered side by side, on other cores.
constexpr std::chrono::microseconds kAlone{50};

// Questions that read a handful of rows.
bool is_short(wire::NsOp op) {
  switch (op) {
    case wire::NsOp::lookup:
    case wire::NsOp::getattr:
    case wire::NsOp::access:
    case wire::NsOp::readlink:
    case wire::NsOp::getxattr:
      return true;
    default:
      return false;
  }
}

} // namespace

NamespaceWriter::NamespaceWriter(ReplicatedLog& log, const StoreViews& store, DiskPool* pool,
                                 OpenTable& opens, NamespacePolicy policy, Clock clock,
                                 Committed committed)
    : log_(log),
      store_(store),
      pool_(pool),
      opens_(opens),
      policy_(policy),
      clock_(std::move(clock)),
      committed_(std::move(committed)) {}

template <class F>
Task<std::invoke_result_t<F&>> NamespaceWriter::off_thread(F work) {
  if (pool_ == nullptr) co_return work();
  co_return co_await pool_->run(std::move(work));
}

Task<void> NamespaceWriter::enqueue(std::shared_ptr<Waiting> mine) {
  changes_.push_back(mine);
  mine->done.expires_at(asio::steady_timer::time_point::max());
  if (!writing_) {
    writing_ = true;
    spawn(co_await asio::this_coro::executor, write(), "namespace writer");
  }
  while (!mine->finished) co_await mine->done.async_wait(as_result);
}

Task<Outcome> NamespaceWriter::change(Change change) {
  auto mine = std::make_shared<Waiting>(co_await asio::this_coro::executor);
  mine->change = std::move(change);
  co_await enqueue(mine);
  co_return std::move(mine->outcome);
}

Task<Result<std::uint64_t>> NamespaceWriter::internal(
    std::function<Result<std::uint64_t>(Evaluation&)> work) {
  auto mine = std::make_shared<Waiting>(co_await asio::this_coro::executor);
  mine->work = std::move(work);
  co_await enqueue(mine);
  co_return std::move(mine->result);
}

Error NamespaceWriter::log_error(AppendStatus status) const {
  const LogStatus state = log_.status();
  // Once more would not make it smaller.
  if (status == AppendStatus::too_large)
    return errno_of(EFBIG, "a change of more rows than one log entry takes");
  if (!state.healthy) return Error{Errc::io_error, "the metadata log failed: " + state.detail};
  return Error{Errc::unavailable, "the metadata log answered: " + std::string(describe(status))};
}

NamespaceWriter::Evaluated NamespaceWriter::evaluate(const Group& group, NsTime now) const {
  Evaluated out;
  const auto view = store_.view();
  Batch batch(*view, opens_, policy_, now);
  out.failure = batch.begin();
  if (!out.failure) return out;
  for (const auto& waiting : group) {
    if (waiting->work)
      waiting->result = batch.internal(waiting->work);
    else
      waiting->outcome = batch.run(waiting->change);
  }
  out.position = batch.position();
  if (!batch.changes()) return out;
  out.events = batch.events();
  out.orphans = batch.orphans();
  out.batch = wire::encode(batch.mutations());
  out.logged = true;
  return out;
}

Task<void> NamespaceWriter::write() {
  const auto executor = co_await asio::this_coro::executor;
  while (!changes_.empty()) {
    // Whoever was answered by the batch before, and has its next change ready, goes into this one:
    // else the first of them would have a sync of its own, and the others wait for it.
    co_await asio::post(executor, asio::use_awaitable);
    Group group;
    std::size_t bytes = 0;
    while (!changes_.empty() && group.size() < kBatchChangesMax && bytes < kBatchBytesMax) {
      bytes += changes_.front()->change.request.size();
      group.push_back(std::move(changes_.front()));
      changes_.pop_front();
    }
    // The epoch before anything is read: another leader since then means a state we did not see.
    const LogStatus state = log_.status();
    Status failure;
    if (!state.leader || !state.healthy) {
      failure = log_error(AppendStatus::not_leader);
    } else {
      Evaluated evaluated;
      // Evaluated on the log's own thread, if it has one.
      std::function<wire::Bytes()> make = [this, &group, &evaluated, now = clock_()] {
        evaluated = evaluate(group, now);
        return std::exchange(evaluated.batch, {});
      };
      const AppendStatus status = co_await log_.append_made(state.applied.epoch, std::move(make));
      failure = std::move(evaluated.failure);
      if (failure && status != AppendStatus::committed) failure = log_error(status);
      opens_.settle(failure.has_value());
      if (failure) {
        position_ = std::max(position_, evaluated.position);
        if (evaluated.logged) {
          ++counters_.batches;
          committed_(evaluated.events, evaluated.orphans);
        }
      }
    }
    counters_.changes += group.size();
    counters_.batch_most = std::max<std::uint64_t>(counters_.batch_most, group.size());
    for (const auto& waiting : group) {
      if (!failure) {
        // Also who was refused: that was seen in a state that may not last.
        waiting->outcome = Outcome::failed(failure.error(), position_);
        waiting->result = failure.error();
      }
      waiting->finished = true;
      waiting->done.cancel();
    }
  }
  writing_ = false;
}

Task<Outcome> NamespaceWriter::ask(wire::NsOp op, Caller caller, wire::Bytes request) {
  const auto executor = co_await asio::this_coro::executor;
  auto mine = std::make_shared<Asking>(executor);
  mine->op = op;
  mine->caller = std::move(caller);
  mine->request = std::move(request);
  if (answer_at_once(mine)) co_return std::move(mine->outcome);
  mine->done.expires_at(asio::steady_timer::time_point::max());
  questions_.push_back(mine);
  if (answering_ < kJobsMax) {
    ++answering_;
    spawn(executor, answer(), "namespace questions");
  }
  while (!mine->finished) co_await mine->done.async_wait(as_result);
  co_return std::move(mine->outcome);
}

bool NamespaceWriter::answer_at_once(const std::shared_ptr<Asking>& asking) {
  if (pool_ == nullptr || !is_short(asking->op)) return false;
  const auto now = std::chrono::steady_clock::now();
  const bool alone = now - std::exchange(asked_before_, now) >= kAlone;
  if (!alone || answering_ > 0 || !log_.lease_valid()) return false;
  const auto look = [this, &asking, time = clock_()] { answer_all({asking}, time); };
  // The lease may have ended while we read.
  if (!store_.look_without_disk(look) || !log_.lease_valid()) {
    asking->outcome = Outcome();
    return false;
  }
  ++counters_.questions;
  ++counters_.at_once;
  return true;
}

void NamespaceWriter::answer_all(const Questions& questions, NsTime now) const {
  const auto view = store_.view();
  const auto state = read_state(*view);
  for (const auto& asking : questions) {
    if (!state) {
      asking->outcome = Outcome::failed(state.error());
      continue;
    }
    Evaluation evaluation(*view, asking->caller, now);
    auto reply = evaluation.run(asking->op, asking->request);
    if (!reply) {
      asking->outcome = Outcome::failed(reply.error(), state->position);
      continue;
    }
    asking->outcome.body = *std::move(reply);
    asking->outcome.position = state->position;
  }
}

Task<void> NamespaceWriter::answer() {
  while (!questions_.empty()) {
    Questions group;
    while (!questions_.empty() && group.size() < kQuestionsMax) {
      group.push_back(std::move(questions_.front()));
      questions_.pop_front();
    }
    const bool may_read = log_.lease_valid() || co_await log_.read_barrier();
    if (may_read) {
      auto work = [this, &group, now = clock_()] {
        answer_all(group, now);
        return true;
      };
      static_cast<void>(co_await off_thread(std::move(work)));
    }
    // The lease may have ended while we read.
    const bool valid = may_read && (log_.lease_valid() || co_await log_.read_barrier());
    counters_.questions += group.size();
    for (const auto& asking : group) {
      if (!valid) {
        const Error none(Errc::unavailable, "this tracker does not lead");
        asking->outcome = Outcome::failed(none);
      }
      asking->finished = true;
      asking->done.cancel();
    }
  }
  --answering_;
}

} // namespace cairn::tracker
