// Evaluate, log, show.
#include "tracker/handlers/facts_writer.h"

#include <boost/asio/this_coro.hpp>

#include <utility>

namespace cairn::tracker {

FactsWriter::FactsWriter(ReplicatedLog& log, ClusterFacts facts,
                         std::function<void(const ClusterFacts&)> committed)
    : log_(log), facts_(std::move(facts)), committed_(std::move(committed)) {}

Task<Status> FactsWriter::submit(FactsCommand command) {
  const auto executor = co_await asio::this_coro::executor;
  auto mine = std::make_shared<Waiting>(executor);
  mine->command = std::move(command);
  mine->done.expires_at(asio::steady_timer::time_point::max());
  queue_.push_back(mine);
  if (!running_) {
    running_ = true;
    spawn(executor, run(), "facts writer");
  }
  while (!mine->finished) co_await mine->done.async_wait(as_result);
  co_return mine->status;
}

Task<void> FactsWriter::run() {
  while (!queue_.empty()) {
    const std::deque<std::shared_ptr<Waiting>> group = std::exchange(queue_, {});
    ClusterFacts next = facts_;
    wire::MutationBatch batch;
    std::vector<Waiting*> changing;
    for (const auto& waiting : group) {
      auto mutations = next.evaluate(waiting->command);
      if (!mutations) {
        waiting->status = std::move(mutations).error();
        continue;
      }
      if (mutations->empty()) continue;
      // What we evaluated ourselves decodes.
      CAIRN_ASSERT(next.apply(*mutations).has_value());
      for (auto& mutation : *mutations) batch.mutations.push_back(std::move(mutation));
      changing.push_back(waiting.get());
    }
    if (!changing.empty()) {
      wire::Bytes bytes = wire::encode(batch);
      const std::uint64_t epoch = log_.status().applied.epoch;
      const AppendStatus status = co_await log_.append(epoch, std::move(bytes));
      if (status == AppendStatus::committed) {
        facts_ = std::move(next);
        committed_(facts_);
      } else {
        const Error error(Errc::unavailable,
                          "the metadata log answered: " + std::string(describe(status)));
        for (Waiting* waiting : changing) waiting->status = error;
      }
    }
    for (const auto& waiting : group) {
      waiting->finished = true;
      waiting->done.cancel();
    }
  }
  running_ = false;
}

} // namespace cairn::tracker
