// Table files by pread(2).
#include "migrate/ledger_env.h"

#include "common/leveldb/table_file.h"

namespace cairn::migrate {

leveldb::Status LedgerEnv::NewRandomAccessFile(const std::string& name,
                                               leveldb::RandomAccessFile** result) {
  std::unique_ptr<TableFile> file;
  const leveldb::Status status = TableFile::open(name, file);
  *result = file.release();
  return status;
}

} // namespace cairn::migrate
