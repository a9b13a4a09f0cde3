// The one writer of the namespace, above any engine of the log: changes that come while the log is
// busy are evaluated on top of each other and logged as one batch; questions that come together are
// answered together from what is committed. Changes are evaluated where the log writes, questions
// on the disk pool, since both read the store; but a question that comes alone is answered at once
// if what it reads is in memory, since two changes of thread cost more than such an answer.
// Everything else runs on the tracker's I/O thread.
#pragma once

#include "common/net/disk_pool.h"
#include "tracker/log/replicated_log.h"
#include "tracker/namespace/batch.h"
#include "tracker/namespace/open_files.h"

#include <boost/asio/steady_timer.hpp>

#include <chrono>
#include <deque>
#include <functional>
#include <memory>
#include <vector>

namespace cairn::tracker {

// How a NamespaceWriter sees the store: a view of what is committed now, for as long as it is kept.
class StoreViews {
public:
  virtual ~StoreViews() = default;
  // Any thread.
  virtual std::unique_ptr<KeyValueView> view() const = 0;
  // Runs `look` here, with views that read only what is in memory. False: something was not, and
  // nothing that `look` has made of it counts.
  virtual bool look_without_disk(const std::function<void()>& look) const {
    static_cast<void>(look);
    return false;
  }
};

class NamespaceWriter {
public:
  using Clock = std::function<NsTime()>;
  // Events of a batch, and inodes that are only kept because they are open.
  using Committed =
      std::function<void(const std::vector<Published>&, const std::vector<std::uint64_t>&)>;

  struct Counters {
    std::uint64_t batches = 0;    // logged
    std::uint64_t changes = 0;    // evaluated
    std::uint64_t questions = 0;  // answered
    std::uint64_t at_once = 0;    // of these, without a change of thread
    std::uint64_t batch_most = 0; // changes in one batch
  };

  // `pool` is for questions; nullptr: they run on the caller's thread (tests). `committed` hears of
  // events before any change of the batch is answered. All references outlive the writer.
  NamespaceWriter(ReplicatedLog& log, const StoreViews& store, DiskPool* pool, OpenTable& opens,
                  NamespacePolicy policy, Clock clock, Committed committed);

  // One change. A status of EAGAIN means that it may or may not have happened: the same sequence
  // number again tells.
  Task<Outcome> change(Change change);
  // Something of the tracker's own. Errors: those of `work`; unavailable.
  Task<Result<std::uint64_t>> internal(std::function<Result<std::uint64_t>(Evaluation&)> work);
  // One question, answered from a state that has everything that was acknowledged before.
  Task<Outcome> ask(wire::NsOp op, Caller caller, wire::Bytes request);

  // The last change that is committed, as far as this writer knows.
  std::uint64_t position() const { return position_; }
  const Counters& counters() const { return counters_; }
  std::size_t queued() const { return changes_.size(); }

private:
  struct Waiting {
    explicit Waiting(const asio::any_io_executor& executor) : done(executor) {}
    Change change;
    std::function<Result<std::uint64_t>(Evaluation&)> work; // or this
    Outcome outcome;
    Result<std::uint64_t> result = std::uint64_t{0};
    bool finished = false;
    asio::steady_timer done;
  };
  struct Asking {
    explicit Asking(const asio::any_io_executor& executor) : done(executor) {}
    wire::NsOp op = wire::NsOp::renew;
    Caller caller;
    wire::Bytes request;
    Outcome outcome;
    bool finished = false;
    asio::steady_timer done;
  };
  using Group = std::vector<std::shared_ptr<Waiting>>;
  using Questions = std::vector<std::shared_ptr<Asking>>;
  struct Evaluated {
    wire::Bytes batch; // empty: nothing to log
    bool logged = false;
    std::vector<Published> events;
    std::vector<std::uint64_t> orphans;
    std::uint64_t position = 0;
    Status failure;
  };

  Task<void> enqueue(std::shared_ptr<Waiting> mine);
  Task<void> write();
  Evaluated evaluate(const Group& group, NsTime now) const;
  bool answer_at_once(const std::shared_ptr<Asking>& asking);
  Task<void> answer();
  void answer_all(const Questions& questions, NsTime now) const;
  template <class F>
  Task<std::invoke_result_t<F&>> off_thread(F work);
  Error log_error(AppendStatus status) const;

  ReplicatedLog& log_;
  const StoreViews& store_;
  DiskPool* pool_;
  OpenTable& opens_;
  NamespacePolicy policy_;
  Clock clock_;
  Committed committed_;
  std::deque<std::shared_ptr<Waiting>> changes_;
  bool writing_ = false;
  std::deque<std::shared_ptr<Asking>> questions_;
  std::size_t answering_ = 0;                            // jobs of questions on the pool
  std::chrono::steady_clock::time_point asked_before_{}; // when the last short question came
  std::uint64_t position_ = 0;
  Counters counters_;
};

} // namespace cairn::tracker
