// What need not be asked about directories, because it follows from what was done here: how a
// directory is after a change made here, and which names cannot be in one that was made here. The
// tracker tells what others change, and that ends it. Lives on the mount's loop.
#pragma once

#include "common/wire/namespace_ops.h"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <list>
#include <optional>
#include <string_view>
#include <unordered_map>
#include <unordered_set>

namespace cairn::fuse {

class KnownDirectories {
public:
  // Remembers at most so many directories, and names in all of them together; what was used longest
  // ago goes first.
  explicit KnownDirectories(std::size_t directories = 1024, std::size_t names = 65'536)
      : directories_most_(directories), names_most_(names) {}

  using Time = std::chrono::steady_clock::time_point;
  struct Attributes {
    wire::NsAttributes now;
    Time told; // when the tracker's answer came
  };

  // A change made here has left a directory like this, at log position `position`. Older news than
  // what is known or was forgotten is no news.
  void changed(const wire::NsAttributes& now, std::uint64_t position, Time told);
  // It has changed at `position`, and nobody has said how. 0: nobody knows when, either.
  void forget_attributes(std::uint64_t inode, std::uint64_t position);
  // As it is after the last change made here, or nullptr. Good until the next call of anything.
  const Attributes* attributes(std::uint64_t inode);

  // It was made here a moment ago, and is empty.
  void made(std::uint64_t inode);
  // From now on `name` may be in it: to be called before a change that can make it is sent, and
  // when another's is told. A name that goes may still be in it.
  void may_have(std::uint64_t inode, std::string_view name);
  // There is certainly no `name` in it.
  bool lacks(std::uint64_t inode, std::string_view name);

  // What was known of it does not hold any more.
  void forget(std::uint64_t inode);
  void clear();

private:
  struct Directory {
    std::uint64_t inode = 0;
    std::optional<Attributes> attributes;
    std::uint64_t position = 0; // of these, or of what made them old
    bool all_names = false;     // `names` has all that may be in it
    // Hashes: two names with the same one are asked for once too often.
    std::unordered_set<std::uint64_t> names;
  };
  using Order = std::list<Directory>; // the one used last in front

  Directory* find(std::uint64_t inode);
  Directory& add(std::uint64_t inode);
  void forget_names(Directory& directory);
  void make_room();

  std::size_t directories_most_;
  std::size_t names_most_;
  std::size_t names_ = 0; // in all of them
  Order order_;
  std::unordered_map<std::uint64_t, Order::iterator> by_inode_;
};

} // namespace cairn::fuse
