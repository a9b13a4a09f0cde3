// Reading the store on a thread that must not wait for the disk: what is not in memory is refused
// there, and the question is for a thread that may. Leaves it to the caller to ask again.
#pragma once

#include <leveldb/env.h>

#include <string>

namespace cairn::tracker {

// While one of these lives, reads of tables on its thread fail that would wait for the disk.
class ResidentOnly {
public:
  ResidentOnly();
  ~ResidentOnly();
  ResidentOnly(const ResidentOnly&) = delete;
  ResidentOnly& operator=(const ResidentOnly&) = delete;

  // Whether a read failed for that reason: then nothing that was made of reads counts.
  bool missed() const;
};

// Opens the table `name`, for which ResidentOnly holds; the caller owns it. Opening waits for the
// disk: under ResidentOnly it is refused, too. Errors: not found, I/O error.
leveldb::Status open_table(const std::string& name, leveldb::RandomAccessFile** file);

} // namespace cairn::tracker
