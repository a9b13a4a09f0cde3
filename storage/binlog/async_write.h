// One write that goes on while its thread does something else.
#pragma once

#include "common/base/result.h"

#include <cstddef>
#include <cstdint>
#include <libaio.h>

namespace cairn::storage {

// Not thread-safe. Linux native AIO: a write to an O_DIRECT file whose blocks are there does not
// block its caller; to any other it is done by start().
class AsyncWrite {
public:
  AsyncWrite() = default; // the first start() asks the system for what it needs
  ~AsyncWrite();          // waits
  AsyncWrite(const AsyncWrite&) = delete;
  AsyncWrite& operator=(const AsyncWrite&) = delete;

  // Begins to write `size` bytes; `from` and `fd` stay as they are until finish(). False: the
  // system gives no AIO now, and nothing was begun.
  bool start(int fd, std::byte* from, std::size_t size, std::uint64_t offset);
  bool is_started() const { return started_; }
  // Waits for its end. Errors: io_error, no_space. Only after a start().
  Status finish();

private:
  io_context_t context_ = nullptr;
  iocb request_{};
  bool started_ = false;
};

} // namespace cairn::storage
