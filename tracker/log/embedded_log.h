// The log of a tracker that holds the metadata alone: the LevelDB under it is the log. Appends that
// wait together are written and synced together.
#pragma once

#include "common/net/disk_pool.h"
#include "tracker/log/replicated_log.h"

#include <boost/asio/steady_timer.hpp>

#include <deque>
#include <memory>
#include <vector>

namespace cairn::tracker {

class EmbeddedLog final : public ReplicatedLog {
public:
  // A batch larger than this is refused (too_large).
  static constexpr std::size_t kBatchBytesMax = 32 * 1024 * 1024;

  // `disk` outlives the log. One thread of it is enough: writes are in order anyway.
  explicit EmbeddedLog(DiskPool& disk) : disk_(disk) {}

  Task<Status> start(LogApplier& applier) override;
  Task<AppendStatus> append(std::uint64_t epoch, wire::Bytes batch) override;
  Task<AppendStatus> append_made(std::uint64_t epoch, std::function<wire::Bytes()> make) override;
  bool lease_valid() const noexcept override { return applier_ != nullptr; }
  Task<bool> read_barrier() override;
  LogStatus status() const override;

  // Synced writes so far; fewer than appends when some went together.
  std::uint64_t syncs() const { return syncs_; }

private:
  struct Waiting {
    explicit Waiting(const asio::any_io_executor& executor) : done(executor) {}
    wire::Bytes batch;
    std::function<wire::Bytes()> make; // of the batch, when it is not there yet
    AppendStatus status = AppendStatus::unknown;
    bool finished = false;
    asio::steady_timer done; // cancelled when finished
  };
  using Group = std::vector<std::shared_ptr<Waiting>>;

  Task<AppendStatus> enqueue(std::uint64_t epoch, std::shared_ptr<Waiting> mine);
  Task<void> flush();
  // On the disk's thread: makes what is to be made, and writes all as entries behind `last`, which
  // moves. Sets the status of whatever is not written.
  static Status write(LogApplier& applier, const Group& group, LogPos& last);

  DiskPool& disk_;
  LogApplier* applier_ = nullptr;
  LogPos last_;
  std::deque<std::shared_ptr<Waiting>> queue_;
  bool flushing_ = false;
  std::uint64_t syncs_ = 0;
  // After a failed write nobody knows what is on the disk: nothing more is accepted.
  std::string failure_;
};

} // namespace cairn::tracker
