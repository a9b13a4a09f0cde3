// Asks the kernel for what it has in memory.
#include "tracker/log/resident.h"

#include "common/leveldb/table_file.h"

#include <memory>
#include <utility>

namespace cairn::tracker {

namespace {

thread_local bool resident_only = false;
thread_local bool has_missed = false;

leveldb::Status refused(const std::string& name) {
  has_missed = true;
  return leveldb::Status::IOError(name, "not in memory");
}

class ResidentAware final : public leveldb::RandomAccessFile {
public:
  ResidentAware(std::unique_ptr<TableFile> file, std::string name)
      : file_(std::move(file)), name_(std::move(name)) {}

  leveldb::Status Read(std::uint64_t offset, std::size_t size, leveldb::Slice* result,
                       char* scratch) const override {
    if (!resident_only) return file_->Read(offset, size, result, scratch);
    if (!file_->read_cached(offset, size, scratch)) return refused(name_);
    *result = leveldb::Slice(scratch, size);
    return leveldb::Status::OK();
  }

private:
  const std::unique_ptr<TableFile> file_;
  const std::string name_;
};

} // namespace

ResidentOnly::ResidentOnly() {
  resident_only = true;
  has_missed = false;
}

ResidentOnly::~ResidentOnly() {
  resident_only = false;
}

bool ResidentOnly::missed() const {
  return has_missed;
}

leveldb::Status open_table(const std::string& name, leveldb::RandomAccessFile** file) {
  *file = nullptr;
  if (resident_only) return refused(name);
  std::unique_ptr<TableFile> table;
  const leveldb::Status status = TableFile::open(name, table);
  if (status.ok()) *file = new ResidentAware(std::move(table), name);
  return status;
}

} // namespace cairn::tracker
