// LevelDB's tables, read by pread(2) in place of mmap(2): what is mapped counts as memory of the
// process, and a store of millions of rows would map all of it.
#pragma once

#include <leveldb/env.h>

#include <cstdint>
#include <memory>
#include <string>
#include <utility>

namespace cairn {

// Any thread may read.
class TableFile final : public leveldb::RandomAccessFile {
public:
  // Opens `name` into `file`. Errors: not found, I/O error.
  static leveldb::Status open(const std::string& name, std::unique_ptr<TableFile>& file);
  ~TableFile() override;

  TableFile(const TableFile&) = delete;
  TableFile& operator=(const TableFile&) = delete;

  leveldb::Status Read(std::uint64_t offset, std::size_t size, leveldb::Slice* result,
                       char* scratch) const override;
  // Fills `scratch` with `size` bytes if all of them are in the page cache. False: they are not, or
  // the file system cannot tell; then what `scratch` holds is nothing.
  bool read_cached(std::uint64_t offset, std::size_t size, char* scratch) const;

private:
  TableFile(std::string name, int fd) : name_(std::move(name)), fd_(fd) {}

  const std::string name_;
  const int fd_;
};

} // namespace cairn
