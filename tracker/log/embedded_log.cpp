// Group commit over one applier.
#include "tracker/log/embedded_log.h"

#include <boost/asio/this_coro.hpp>

#include <utility>

namespace cairn::tracker {

namespace {
// Bytes of one synced write, above which the rest waits for the next.
constexpr std::size_t kGroupBytesMax = 8 * 1024 * 1024;
} // namespace

std::string_view describe(AppendStatus status) {
  switch (status) {
    case AppendStatus::committed:
      return "committed";
    case AppendStatus::not_leader:
      return "not leader";
    case AppendStatus::fenced:
      return "fenced";
    case AppendStatus::unknown:
      return "unknown";
    case AppendStatus::no_quorum:
      return "no quorum";
    case AppendStatus::too_large:
      return "too large";
  }
  return "unknown";
}

Task<Status> EmbeddedLog::start(LogApplier& applier) {
  applier_ = &applier;
  last_ = applier.applied();
  // One tracker, one leadership for ever.
  if (last_.epoch == 0) last_.epoch = 1;
  co_return Status();
}

Task<AppendStatus> ReplicatedLog::append_made(std::uint64_t epoch,
                                              std::function<wire::Bytes()> make) {
  wire::Bytes batch = make();
  if (batch.empty()) co_return AppendStatus::committed;
  co_return co_await append(epoch, std::move(batch));
}

Task<AppendStatus> EmbeddedLog::append(std::uint64_t epoch, wire::Bytes batch) {
  if (batch.size() > kBatchBytesMax) co_return AppendStatus::too_large;
  auto mine = std::make_shared<Waiting>(co_await asio::this_coro::executor);
  mine->batch = std::move(batch);
  co_return co_await enqueue(epoch, std::move(mine));
}

Task<AppendStatus> EmbeddedLog::append_made(std::uint64_t epoch,
                                            std::function<wire::Bytes()> make) {
  auto mine = std::make_shared<Waiting>(co_await asio::this_coro::executor);
  mine->make = std::move(make);
  co_return co_await enqueue(epoch, std::move(mine));
}

Task<AppendStatus> EmbeddedLog::enqueue(std::uint64_t epoch, std::shared_ptr<Waiting> mine) {
  if (applier_ == nullptr || !failure_.empty()) co_return AppendStatus::no_quorum;
  if (epoch != last_.epoch) co_return AppendStatus::fenced;
  mine->done.expires_at(asio::steady_timer::time_point::max());
  queue_.push_back(mine);
  if (!flushing_) {
    flushing_ = true;
    spawn(co_await asio::this_coro::executor, flush(), "log");
  }
  while (!mine->finished) co_await mine->done.async_wait(as_result);
  co_return mine->status;
}

Task<void> EmbeddedLog::flush() {
  while (!queue_.empty()) {
    Group group;
    std::size_t bytes = 0;
    while (!queue_.empty() &&
           (group.empty() || bytes + queue_.front()->batch.size() <= kGroupBytesMax)) {
      bytes += queue_.front()->batch.size();
      group.push_back(std::move(queue_.front()));
      queue_.pop_front();
    }
    if (failure_.empty()) {
      LogPos last = last_;
      auto work = [applier = applier_, &group, &last] { return write(*applier, group, last); };
      const Status written = co_await disk_.run(std::move(work));
      if (last != last_) ++syncs_;
      last_ = last;
      if (!written) failure_ = written.error().text();
    } else {
      for (const auto& waiting : group) waiting->status = AppendStatus::no_quorum;
    }
    for (const auto& waiting : group) {
      waiting->finished = true;
      waiting->done.cancel();
    }
  }
  flushing_ = false;
}

Status EmbeddedLog::write(LogApplier& applier, const Group& group, LogPos& last) {
  std::vector<LogEntry> entries;
  LogPos position = last;
  for (const auto& waiting : group) {
    if (waiting->make) waiting->batch = waiting->make();
    waiting->status = AppendStatus::committed;
    if (waiting->batch.size() > kBatchBytesMax) waiting->status = AppendStatus::too_large;
    if (waiting->batch.empty() || waiting->status != AppendStatus::committed) continue;
    waiting->status = AppendStatus::unknown; // until it is written
    ++position.index;
    LogEntry entry;
    entry.position = position;
    entry.batch = std::move(waiting->batch);
    entries.push_back(std::move(entry));
  }
  if (entries.empty()) return {};
  CAIRN_RETURN_IF_ERROR(applier.apply(entries, true));
  for (const auto& waiting : group)
    if (waiting->status == AppendStatus::unknown) waiting->status = AppendStatus::committed;
  last = position;
  return {};
}

Task<bool> EmbeddedLog::read_barrier() {
  co_return lease_valid();
}

LogStatus EmbeddedLog::status() const {
  LogStatus status;
  status.engine = "embedded";
  status.leader = true;
  status.healthy = applier_ != nullptr && failure_.empty();
  status.applied = last_;
  status.detail = failure_;
  return status;
}

} // namespace cairn::tracker
