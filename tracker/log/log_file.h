// LevelDB's write-ahead log, written into zeros that are there already. A file that grows with
// every record costs the file system a transaction of its own for every sync, with whatever others
// have changed meanwhile in it; one that does not costs the record.
//
//   block     32,768 bytes: fragments, and zeros where less than a header is left
//   fragment  crc u32, length u16, kind u8 (1 whole, 2 first, 3 middle, 4 last; 0 nothing), bytes
//
// All little-endian; the crc is a masked CRC-32C of kind and bytes. LevelDB passes over zeros.
#pragma once

#include "common/base/result.h"

#include <leveldb/env.h>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>

namespace cairn::tracker {

class LogFile final : public leveldb::WritableFile {
public:
  // Makes `name` anew.
  static leveldb::Status make(const std::string& name, leveldb::WritableFile** file);
  ~LogFile() override; // as Close()

  LogFile(const LogFile&) = delete;
  LogFile& operator=(const LogFile&) = delete;

  leveldb::Status Append(const leveldb::Slice& data) override;
  leveldb::Status Flush() override;
  leveldb::Status Sync() override;
  // Cuts off the zeros that were not needed.
  leveldb::Status Close() override;

private:
  LogFile(int fd, std::string name) : fd_(fd), name_(std::move(name)) {}

  int fd_;
  std::string name_;
  std::string buffer_;      // of the record that is being written
  std::uint64_t size_ = 0;  // of what was written
  std::uint64_t zeros_ = 0; // the file is so long
};

// Where the last whole record of a log ends whose writer was stopped in the middle of the next one,
// so that the rest is to be cut off; the log's size if nothing but zeros follow it. Each record was
// synced before the next one was written: where a whole one follows after something else, or all
// of the last one was written, the log is damaged and not torn, and this answers its size too:
// LevelDB will refuse it.
std::size_t end_of_log(std::span<const std::byte> log);

// Cuts the torn record off all logs in a store that nobody has open. Answers how many had one.
// Errors: io_error.
Result<int> mend_logs(const std::filesystem::path& store);

} // namespace cairn::tracker
