// Reading the store on a thread that must not wait for the disk: what is not in memory is refused
// there, and the question is for a thread that may. Leaves it to the caller to ask again.
#pragma once

#include <leveldb/env.h>

#include <memory>
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

// Whether a table may be opened on this thread now; if not, that counts as missed.
bool may_open_table();

// `file` of `name`, for which ResidentOnly holds. Takes it over.
std::unique_ptr<leveldb::RandomAccessFile> resident_aware(
    std::unique_ptr<leveldb::RandomAccessFile> file, std::string name);

} // namespace cairn::tracker
