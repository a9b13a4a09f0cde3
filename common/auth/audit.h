// The audit log of a daemon: who did what from where, one JSON line each, chained by hashes so that
// a line that is altered, removed or inserted shows. It is only ever appended to.
//
//   {"seq":7,"time":1900000000,"who":"key CK…","from":"10.0.0.1","what":"delete",
//    "object":"group1/M00/…","result":"ok","prev":"<hash of line 6>","hash":"<hash>"}
//
// `hash` is the SHA-256 of the line as it is without its `hash` member (keys sorted, no spaces);
// `prev` of the first line is 64 zeros. Files are DIR/audit-<first seq, 12 digits>.log.
#pragma once

#include "common/base/result.h"

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>

namespace cairn::auth {

// One event.
struct AuditEvent {
  std::string who;    // "key CK…", "node <uuid>", "administrator", "client"
  std::string from;   // address
  std::string what;   // "delete", "key.add", …
  std::string object; // file ID, key ID, node; may be empty. Never a secret.
  std::string result; // "ok", or why not
};

// Any thread.
class AuditLog {
public:
  // Makes the directory and continues the log in it. Blocks. Errors: io_error, denied; corrupt (its
  // last line cannot be read: the chain would break).
  static Result<std::unique_ptr<AuditLog>> open(const std::filesystem::path& directory);
  ~AuditLog();

  AuditLog(const AuditLog&) = delete;
  AuditLog& operator=(const AuditLog&) = delete;

  // Writes one line; it is with the kernel when this returns, so that it survives the death of the
  // process (a power loss may take the last seconds). Errors: io_error, no_space.
  Status append(const AuditEvent& event);

  // The directory in which a daemon with this base_path keeps its log.
  static std::filesystem::path directory_of(const std::filesystem::path& base_path);

private:
  explicit AuditLog(std::filesystem::path directory) : directory_(std::move(directory)) {}
  Status begin_file();

  const std::filesystem::path directory_;
  std::mutex mutex_; // guards all below
  int fd_ = -1;
  std::uint64_t size_ = 0; // of the file
  std::uint64_t seq_ = 0;  // of the last line
  std::string hash_;       // of the last line
};

// The end of a log that holds.
struct AuditEnd {
  std::uint64_t lines = 0;
  std::uint64_t seq = 0; // of the last line
  std::string hash;      // of the last line
};

// Reads all files of a log in order, checks every line, and gives each to `line` (may be empty).
// Blocks. Errors: corrupt, with file and line where the chain breaks; not_found (no log there);
// io_error.
Result<AuditEnd> read_audit_log(const std::filesystem::path& directory,
                                const std::function<void(std::string_view)>& line);

} // namespace cairn::auth
