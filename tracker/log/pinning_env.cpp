// Deferred removal, another kind of log, and tables that are read without waiting.
#include "tracker/log/pinning_env.h"

#include "tracker/log/log_file.h"
#include "tracker/log/resident.h"

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

leveldb::Status PinningEnv::NewWritableFile(const std::string& name, leveldb::WritableFile** file) {
  if (name.ends_with(".log")) return LogFile::make(name, file);
  return target()->NewWritableFile(name, file);
}

leveldb::Status PinningEnv::NewRandomAccessFile(const std::string& name,
                                                leveldb::RandomAccessFile** file) {
  return open_table(name, file);
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
