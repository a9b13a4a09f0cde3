// Where the HTTP service gets files from: implemented over the store, and by tests.
#pragma once

#include "common/base/file_id.h"
#include "common/base/result.h"
#include "common/net/connection.h"
#include "common/net/disk_pool.h"
#include "common/net/task.h"

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace cairn::storage {

// A file ready to be sent, or how to pass it through from another node.
struct OpenFile {
  std::shared_ptr<const int> fd;      // closed with its last owner; null when `remote` is set
  std::uint64_t size = 0;             // bytes
  std::uint32_t mtime = 0;            // unix seconds, on disk
  std::optional<std::uint32_t> crc32; // of the content as it is now, if known without reading it
  bool immutable = false;             // the content under this name never changes
  // Of a file that can change: a number that every change moves and that is the same at every node
  // (for example its log position at the owner). 0: unknown.
  std::uint64_t version = 0;
  DiskPool* disk = nullptr; // reads `fd` ahead when it is cold; null: that of HttpOptions
  // Set instead of `fd` when the bytes are at another node: writes [offset, offset + length) to the
  // connection. May be called several times, one after the other. Errors end the connection.
  std::function<Task<Status>(Connection&, std::uint64_t offset, std::uint64_t length)> remote;
};

class FileSource {
public:
  virtual ~FileSource() = default;

  // Opens a file of this group for reading; `name` lives until the answer. Called on any I/O
  // thread. Errors and what they become: not_found 404; denied, not_permitted 403;
  // invalid_argument 400; all others (unavailable, timeout, corrupt, io_error …) 503.
  virtual Task<Result<OpenFile>> open(const RemoteName& name) = 0;
  // Metadata text of a file as FastDFS has it. Errors: not_found (none); others as open().
  virtual Task<Result<std::string>> metadata(const RemoteName&) {
    co_return Error{Errc::not_found, "no metadata"};
  }
  // The group of this node; constant.
  virtual std::string_view group() const = 0;
};

} // namespace cairn::storage
