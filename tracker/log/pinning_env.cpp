// Deferred removal.
#include "tracker/log/pinning_env.h"

#include <utility>

namespace cairn::tracker {

void PinningEnv::pin() {
  const std::lock_guard lock(mutex_);
  pinned_ = true;
}

void PinningEnv::unpin() {
  std::vector<std::string> kept;
  {
    const std::lock_guard lock(mutex_);
    pinned_ = false;
    kept = std::exchange(kept_, {});
  }
  for (const std::string& name : kept) target()->RemoveFile(name);
}

leveldb::Status PinningEnv::RemoveFile(const std::string& name) {
  {
    const std::lock_guard lock(mutex_);
    if (pinned_) {
      kept_.push_back(name);
      return leveldb::Status::OK();
    }
  }
  return target()->RemoveFile(name);
}

} // namespace cairn::tracker
