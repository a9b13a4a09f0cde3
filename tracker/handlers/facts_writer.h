// The one writer of the cluster facts at the tracker that holds them: evaluates commands in order,
// logs what they change, and shows the new facts once that is durable.
#pragma once

#include "common/base/result.h"
#include "common/net/task.h"
#include "tracker/cluster/cluster_facts.h"
#include "tracker/log/replicated_log.h"

#include <boost/asio/steady_timer.hpp>

#include <deque>
#include <functional>
#include <memory>

namespace cairn::tracker {

// On the tracker's I/O thread.
class FactsWriter {
public:
  // `facts` are those of the store; `log` outlives the writer. `committed` is called with the new
  // facts after every change.
  FactsWriter(ReplicatedLog& log, ClusterFacts facts,
              std::function<void(const ClusterFacts&)> committed);

  // Evaluates and logs `command`. Success: it is durable and shown (or changed nothing). Errors:
  // those of ClusterFacts::evaluate(); unavailable when the log did not take it.
  Task<Status> submit(FactsCommand command);

private:
  struct Waiting {
    explicit Waiting(const asio::any_io_executor& executor) : done(executor) {}
    FactsCommand command;
    Status status;
    bool finished = false;
    asio::steady_timer done; // cancelled when finished
  };

  // Commands that came while the log was busy are evaluated on top of each other and logged as one
  // batch.
  Task<void> run();

  ReplicatedLog& log_;
  ClusterFacts facts_; // committed
  std::function<void(const ClusterFacts&)> committed_;
  std::deque<std::shared_ptr<Waiting>> queue_;
  bool running_ = false;
};

} // namespace cairn::tracker
