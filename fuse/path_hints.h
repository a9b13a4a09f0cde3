// Where files are, as the kernel has looked them up: what is stored for a file says it too, so that
// a namespace can be rebuilt with names when the tracker's disk is lost. Only hints: another client
// may have moved a directory since.
#pragma once

#include <cstddef>
#include <cstdint>
#include <list>
#include <string>
#include <string_view>
#include <unordered_map>

namespace cairn::fuse {

class PathHints {
public:
  // Remembers at most `most` inodes; those that were used longest ago go.
  explicit PathHints(std::size_t most = 32'768) : most_(most) {}

  // `inode` is, or was made, as `name` in `parent`.
  void note(std::uint64_t parent, std::string_view name, std::uint64_t inode);
  // It has no name any more.
  void forget(std::uint64_t inode);

  struct Path {
    std::string text;         // "2012/03/a.jpg"; empty: nothing is known
    bool is_complete = false; // from `root` on; else only its end is known
  };
  // The path of an inode below `root`.
  Path path_of(std::uint64_t inode, std::uint64_t root);

private:
  struct Hint {
    std::uint64_t inode = 0;
    std::uint64_t parent = 0;
    std::string name;
  };
  using Order = std::list<Hint>; // the one used last in front

  std::size_t most_;
  Order order_;
  std::unordered_map<std::uint64_t, Order::iterator> by_inode_;
};

} // namespace cairn::fuse
