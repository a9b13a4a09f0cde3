// A shared vector for a majority's disks.
#include "tracker/log/sim_log.h"

#include <boost/asio/post.hpp>
#include <boost/asio/this_coro.hpp>

#include <utility>

namespace cairn::tracker {

namespace {
// Other coroutines get their turn, a few times.
Task<void> others_first(std::uint64_t times) {
  for (std::uint64_t i = 0; i < times; ++i)
    co_await asio::post(co_await asio::this_coro::executor, asio::use_awaitable);
}
} // namespace

void SimCluster::take_over(std::size_t index) {
  SimLog& next = *replicas_.at(index);
  leader_ = nullptr;
  ++epoch_;
  const Status fed = feed(next, log_.size());
  CAIRN_ASSERT(fed.has_value());
  next.epoch_ = epoch_;
  leader_ = &next;
}

Status SimCluster::feed(SimLog& replica, std::size_t until) {
  while (replica.applier_->applied().index < until) {
    const std::size_t at = replica.applier_->applied().index;
    CAIRN_RETURN_IF_ERROR(replica.applier_->apply({&log_[at], 1}, false));
    const std::uint64_t hash = replica.applier_->hash();
    if (hashes_.size() == at) hashes_.push_back(hash);
    if (hashes_[at] != hash)
      return Error{Errc::corrupt, "replicas differ at entry " + std::to_string(at + 1)};
  }
  return {};
}

void SimCluster::catch_up_some() {
  for (SimLog* replica : replicas_) {
    const std::size_t applied = replica->applier_->applied().index;
    if (applied >= log_.size()) continue;
    const Status fed = feed(*replica, applied + random_() % (log_.size() - applied + 1));
    CAIRN_ASSERT(fed.has_value());
  }
}

Status SimCluster::catch_up() {
  for (SimLog* replica : replicas_) CAIRN_RETURN_IF_ERROR(feed(*replica, log_.size()));
  return {};
}

Task<Status> SimLog::start(LogApplier& applier) {
  applier_ = &applier;
  co_return Status();
}

Task<AppendStatus> SimLog::append(std::uint64_t epoch, wire::Bytes batch) {
  co_await others_first(cluster_.random() % 4);
  if (cluster_.chance(cluster_.faults_.takeover))
    cluster_.take_over(cluster_.random() % cluster_.replicas_.size());
  if (cluster_.leader() != this) co_return AppendStatus::not_leader;
  if (epoch != epoch_ || epoch != cluster_.epoch_) co_return AppendStatus::fenced;
  if (cluster_.chance(cluster_.faults_.lost)) {
    // Who does not know what became of an entry stops leading until it has read the log.
    cluster_.take_over(cluster_.random() % cluster_.replicas_.size());
    co_return AppendStatus::unknown;
  }
  LogEntry entry;
  entry.position = LogPos{epoch, cluster_.log_.size() + 1};
  entry.batch = std::move(batch);
  cluster_.log_.push_back(std::move(entry));
  if (cluster_.chance(cluster_.faults_.answer)) {
    cluster_.take_over(cluster_.random() % cluster_.replicas_.size());
    co_return AppendStatus::unknown;
  }
  const Status fed = cluster_.feed(*this, cluster_.log_.size());
  CAIRN_ASSERT(fed.has_value());
  co_await others_first(cluster_.random() % 3);
  co_return AppendStatus::committed;
}

LogStatus SimLog::status() const {
  LogStatus status;
  status.engine = "simulated";
  status.leader = lease_valid();
  status.healthy = applier_ != nullptr;
  if (applier_ != nullptr) status.applied = applier_->applied();
  status.applied.epoch = epoch_;
  return status;
}

} // namespace cairn::tracker
