// An object while it is being pulled and stored: what of it has come, for all who wait for it. What
// was written lies in the file that will be the stored one, only the last piece is in memory; so
// neither a slow client nor a thousand of them make a pull cost more. Nobody waits in here.
#pragma once

#include "common/base/result.h"
#include "common/wire/bytes.h"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>

namespace cairn::storage {

// Every function is called on one thread, that of the origins; the destructor on any.
class Arriving {
public:
  // Bytes kept in memory: what comes is written in pieces of this size, and a smaller object is
  // never in a file of its own before it is stored.
  static constexpr std::size_t kPiece = 64 * 1024;

  // Bytes of the object from some offset on: a range of a file, or a copy.
  struct Part {
    std::shared_ptr<const int> fd; // null: `bytes`
    std::uint64_t count = 0;       // of them; in the file they lie at their offset in the object
    wire::Bytes bytes;
  };

  // `changed` is called after everything that look() would answer differently.
  explicit Arriving(std::function<void()> changed) : changed_(std::move(changed)) {}

  // --- for the one who stores it

  // The origin has answered. `length` is what it promises; `mtime` (unix seconds, 0: unknown) the
  // time of the old file. Once.
  void begin(std::optional<std::uint64_t> length, std::uint64_t mtime);
  // Where the next bytes go; empty when the piece is full and is to be moved away first.
  std::span<std::byte> room();
  // So many bytes of room() are filled.
  void arrived(std::size_t count);
  // What is not in the file yet.
  wire::View piece() const { return wire::View(piece_).first(have_); }
  // piece() was written to the end of this file, which stays the same one.
  void moved_to(std::shared_ptr<const int> file);
  // The origin has sent all of it, and it is what was promised.
  void complete();
  // It will not be completed. Does nothing after complete().
  void fail(Error error);

  // --- for those who want it

  // Bytes that the origin promised.
  std::optional<std::uint64_t> length() const { return length_; }
  std::uint64_t mtime() const { return mtime_; }
  // Bytes that have come.
  std::uint64_t size() const { return in_file_ + have_; }
  // Whether an answer can begin: bytes come, and how many they will be is known.
  bool can_be_sent() const { return length_ && (size() > 0 || complete_) && !error_; }
  // At most `max` bytes from `offset`; nullopt: they have not come yet. The last byte is held back
  // until complete(): who got all bytes has got the right ones. Errors: that of fail();
  // invalid_argument (behind the end).
  Result<std::optional<Part>> look(std::uint64_t offset, std::uint64_t max) const;

private:
  std::function<void()> changed_;
  std::optional<std::uint64_t> length_;
  std::uint64_t mtime_ = 0;
  wire::Bytes piece_;
  std::size_t have_ = 0; // bytes of it
  std::uint64_t in_file_ = 0;
  std::shared_ptr<const int> file_;
  bool complete_ = false;
  std::optional<Error> error_;
};

} // namespace cairn::storage
