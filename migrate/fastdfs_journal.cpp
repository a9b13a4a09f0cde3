// Looks at the size of the log now and then: what a daemon appends to needs no watch.
#include "migrate/fastdfs_journal.h"

#include <algorithm>
#include <thread>
#include <utility>

namespace cairn::migrate {

namespace {

using Clock = std::chrono::steady_clock;

constexpr std::chrono::milliseconds kLook{100};

class FastdfsJournal final : public Journal {
public:
  explicit FastdfsJournal(FastdfsNode node)
      : node_(std::move(node)), end_(fastdfs_log_end(node_)) {}

  std::string_view name() const override { return "its log"; }

  JournalChanges take(std::chrono::milliseconds most) override {
    JournalChanges out;
    const auto until = Clock::now() + most;
    for (;;) {
      const FastdfsPosition now = fastdfs_log_end(node_);
      if (now != end_) {
        end_ = now;
        out.everything = true;
        out.oldest = Clock::now();
        return out;
      }
      if (Clock::now() >= until) return out;
      std::this_thread::sleep_for(kLook);
    }
  }

private:
  FastdfsNode node_;
  FastdfsPosition end_;
};

} // namespace

std::unique_ptr<Journal> follow_fastdfs(FastdfsNode node) {
  return std::make_unique<FastdfsJournal>(std::move(node));
}

} // namespace cairn::migrate
