// LevelDB's view of the system, with table files read by pread(2) in place of mmap(2): what is
// mapped counts as memory of the process, and a ledger of millions of rows would map all of it.
#pragma once

#include <leveldb/env.h>

namespace cairn::migrate {

class LedgerEnv final : public leveldb::EnvWrapper {
public:
  LedgerEnv() : leveldb::EnvWrapper(leveldb::Env::Default()) {}

  leveldb::Status NewRandomAccessFile(const std::string& name,
                                      leveldb::RandomAccessFile** result) override;
};

} // namespace cairn::migrate
