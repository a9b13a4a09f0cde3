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

Task<AppendStatus> EmbeddedLog::append(std::uint64_t epoch, wire::Bytes batch) {
  if (applier_ == nullptr || !failure_.empty()) co_return AppendStatus::no_quorum;
  if (epoch != last_.epoch) co_return AppendStatus::fenced;
  if (batch.size() > kBatchBytesMax) co_return AppendStatus::too_large;

  const auto executor = co_await asio::this_coro::executor;
  auto mine = std::make_shared<Waiting>(executor);
  mine->batch = std::move(batch);
  mine->done.expires_at(asio::steady_timer::time_point::max());
  queue_.push_back(mine);
  if (!flushing_) {
    flushing_ = true;
    spawn(executor, flush(), "log");
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
    AppendStatus status = AppendStatus::no_quorum;
    if (failure_.empty()) {
      const Status written = co_await write(group);
      status = written ? AppendStatus::committed : AppendStatus::unknown;
      if (!written) failure_ = written.error().text();
    }
    for (const auto& waiting : group) {
      waiting->status = status;
      waiting->finished = true;
      waiting->done.cancel();
    }
  }
  flushing_ = false;
}

Task<Status> EmbeddedLog::write(const Group& group) {
  std::vector<LogEntry> entries;
  LogPos position = last_;
  for (const auto& waiting : group) {
    ++position.index;
    LogEntry entry;
    entry.position = position;
    entry.batch = std::move(waiting->batch);
    entries.push_back(std::move(entry));
  }
  auto work = [applier = applier_, entries = std::move(entries)] {
    return applier->apply(entries, true);
  };
  CAIRN_CO_RETURN_IF_ERROR(co_await disk_.run(std::move(work)));
  last_ = position;
  ++syncs_;
  co_return Status();
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
