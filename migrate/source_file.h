// Regular files of the source: read once, hashed while they are read. Blocks: helper threads.
#pragma once

#include "migrate/entry.h"

#include <chrono>
#include <memory>
#include <span>
#include <string>
#include <vector>

typedef struct evp_md_ctx_st EVP_MD_CTX;

namespace cairn::migrate {

class Sha256 {
public:
  Sha256();
  ~Sha256();
  Sha256(const Sha256&) = delete;
  Sha256& operator=(const Sha256&) = delete;

  void update(std::span<const std::byte> bytes);
  void update_zeros(std::uint64_t count);
  wire::Bytes finish(); // 32 bytes; once

private:
  EVP_MD_CTX* context_;
};

// A run of bytes that are not a hole.
struct Segment {
  std::uint64_t offset = 0;
  std::uint64_t length = 0;
};

// An open regular file. Any thread, several at once.
class SourceFile {
public:
  // Never waits for a FIFO, never follows a symlink unless told to. Errors: not_found (vanished),
  // denied, is_directory (no regular file any more), those of open.
  static Result<std::shared_ptr<SourceFile>> open(const std::string& path, bool follow);
  ~SourceFile();
  SourceFile(const SourceFile&) = delete;
  SourceFile& operator=(const SourceFile&) = delete;

  // As it was when it was opened.
  const Entry& entry() const { return entry_; }
  // Fills all of `out`. Errors: busy (the file became shorter), io_error.
  Status read(std::uint64_t offset, std::span<std::byte> out) const;
  // Where there are bytes: one run for a dense file. Small holes count as bytes.
  Result<std::vector<Segment>> segments() const;
  // Errors: busy (it was changed since it was opened).
  Status check_unchanged() const;

private:
  SourceFile(std::string path, int fd) : path_(std::move(path)), fd_(fd) {}
  std::string path_;
  int fd_;
  Entry entry_;
};

// A whole file in memory.
struct WholeFile {
  Entry entry;
  std::vector<std::byte> bytes;
  wire::Bytes sha256;
  std::uint32_t crc32 = 0;
  bool racy = false; // see kRowRacy
};

// Reads a file that is at most `size_max` long; a longer one answers without bytes and hash. What
// changes while it is read is read again, a few times. Errors: those of SourceFile; busy (it did
// not hold still).
Result<WholeFile> read_whole(const std::string& path, bool follow, std::uint64_t size_max);

// True when what was changed at this moment may have been changed again since without a trace.
bool is_racy(const Entry& entry, std::chrono::system_clock::time_point read_at);

} // namespace cairn::migrate
