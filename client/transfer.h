// The insides of Source and Sink, behind the public handles.
#pragma once

#include "cairn/types.h"
#include "common/wire/bytes.h"

#include <optional>

namespace cairn {

// Bytes to send. read() and rewind() may block: helper thread only.
struct Source::Body {
  virtual ~Body() = default;

  virtual std::uint64_t size() const = 0;
  // All bytes, when they are in memory; then nothing else is called.
  virtual std::optional<wire::View> view() const { return std::nullopt; }
  // Fills all of `out`, which is never more than what is left of size(). Errors: io_error (shorter
  // than promised), those of a reader.
  virtual Status read(std::span<std::byte> out) = 0;
  // True when rewind() can work.
  virtual bool repeatable() const = 0;
  virtual Status rewind() = 0;
};

// Where received bytes go. May block, unless in_memory(): helper thread only.
struct Sink::Body {
  virtual ~Body() = default;

  virtual bool in_memory() const { return false; }
  virtual Status write(std::span<const std::byte> bytes) = 0;
  // Forgets everything that was written. False: that cannot be done.
  virtual bool restart() = 0;
  // Everything has come and holds.
  virtual Status commit() { return {}; }
};

} // namespace cairn
