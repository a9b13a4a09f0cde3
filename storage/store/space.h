// The free space of one store path: as measured, less what uploads under way were promised, so that
// many of them together do not overrun the reserve. A plain class; any thread.
#pragma once

#include "common/wire/native.h"

#include <cstdint>
#include <mutex>
#include <optional>
#include <utility>

namespace cairn::storage {

class Space;

// Room for one file that is being made, held until it is destroyed. The Space outlives it.
class SpaceHold {
public:
  SpaceHold(SpaceHold&& other) noexcept
      : space_(std::exchange(other.space_, nullptr)), bytes_(other.bytes_) {}
  SpaceHold& operator=(SpaceHold&&) = delete;
  ~SpaceHold();

private:
  friend class Space;
  SpaceHold(Space& space, std::uint64_t bytes) : space_(&space), bytes_(bytes) {}

  Space* space_;
  std::uint64_t bytes_;
};

class Space {
public:
  // What the file system says now. What uploads under way have written so far is in it and is
  // counted again as promised: for a second too little is given, never too much.
  void measured(const wire::PathUsage& usage);
  // The disk is full: nothing more until the next measurement.
  void exhausted();
  // As measured, less what was promised since. `state` is not filled.
  wire::PathUsage usage() const;

  // Holds room for a file of `bytes`, if `reserved_bytes` stay free besides, and inodes too: a
  // file system without any cannot even rotate its log. nullopt: there is no room.
  std::optional<SpaceHold> hold(std::uint64_t bytes, std::uint64_t reserved_bytes);

private:
  friend class SpaceHold;
  void release(std::uint64_t bytes);

  mutable std::mutex mutex_; // guards all below
  wire::PathUsage measured_;
  std::uint64_t promised_bytes_ = 0; // to uploads under way
  std::uint64_t promised_files_ = 0;
};

} // namespace cairn::storage
