// LevelDB's files: its logs are LogFiles, tables know ResidentOnly, and while a copy of a store is
// made, what would be removed meanwhile stays until then.
#pragma once

#include <leveldb/env.h>

#include <mutex>
#include <string>
#include <vector>

namespace cairn::tracker {

class PinningEnv final : public leveldb::EnvWrapper {
public:
  PinningEnv() : leveldb::EnvWrapper(leveldb::Env::Default()) {}

  // From now on, until unpin(), nothing is removed. Not nested. Any thread.
  void pin();
  // Removes what was kept.
  void unpin();

  leveldb::Status RemoveFile(const std::string& name) override;
  leveldb::Status NewWritableFile(const std::string& name, leveldb::WritableFile** file) override;
  leveldb::Status NewRandomAccessFile(const std::string& name,
                                      leveldb::RandomAccessFile** file) override;

private:
  std::mutex mutex_; // guards all below
  bool pinned_ = false;
  std::vector<std::string> kept_;
};

} // namespace cairn::tracker
