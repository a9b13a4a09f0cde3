// The body of an HTTP request while it arrives: by length or chunked, read piece by piece.
#pragma once

#include "common/base/result.h"
#include "common/net/connection.h"
#include "common/net/task.h"

#include <chrono>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace cairn {

// Takes chunks apart. Strict: no extensions, no trailers, no bare line feeds, since another server
// in front of us might read them differently. Pure.
class ChunkDecoder {
public:
  // What one step has used of the input and put into the output.
  struct Step {
    std::size_t taken = 0;
    std::size_t given = 0;
  };

  // Errors: invalid_argument. A step that takes and gives nothing needs more input.
  Result<Step> step(std::string_view in, std::span<std::byte> out);
  // The last chunk has been read.
  bool done() const { return state_ == State::done; }

private:
  enum class State : std::uint8_t { size, data, data_end, last_line, done };

  State state_ = State::size;
  std::uint64_t left_ = 0; // of the chunk
};

class RequestBody {
public:
  // `length`: nullopt for a chunked body. `ahead` are bytes behind the head that have been read
  // already. With `expects_continue` the client is told to send at the first read. Each piece has
  // `progress_max` to arrive.
  RequestBody(Connection& connection, std::optional<std::uint64_t> length, std::string ahead,
              bool expects_continue, std::chrono::milliseconds progress_max)
      : connection_(connection),
        length_(length),
        left_(length.value_or(0)),
        pending_(std::move(ahead)),
        waits_for_continue_(expects_continue),
        progress_max_(progress_max) {}

  // Bytes of the whole body; nullopt when nobody knows yet.
  std::optional<std::uint64_t> length() const { return length_; }
  bool finished() const { return length_ ? left_ == 0 : chunks_.done(); }

  // Reads between 1 and out.size() bytes; 0 only at the end. Errors: closed, timeout,
  // invalid_argument (malformed chunks).
  Task<Result<std::size_t>> read_some(std::span<std::byte> out);

  // For the server: reads and throws away what is left if that is known and at most `bytes_max`;
  // false: it is not, and the connection must end. Errors: as read_some().
  Task<Result<bool>> finish(std::uint64_t bytes_max);
  // Bytes that were read ahead and belong to the next request.
  std::string take_ahead() { return std::move(pending_); }

private:
  Task<Status> fill();

  Connection& connection_;
  std::optional<std::uint64_t> length_;
  std::uint64_t left_;
  std::string pending_; // read, not yet taken
  bool waits_for_continue_;
  std::chrono::milliseconds progress_max_;
  ChunkDecoder chunks_;
};

} // namespace cairn
