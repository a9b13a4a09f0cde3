// What POSIX says, as simply as it can be said: a tree of nodes with their bytes. The checker of
// model_test.cpp compares every answer of the real namespace with it. Written without a look at the
// real one's tables.
#pragma once

#include "common/wire/namespace_admin.h"

#include <cstdint>
#include <map>
#include <string>
#include <variant>
#include <vector>

namespace cairn::tracker::model {

// Byte `at` of stored file `number`: anything but 0, which is a hole.
inline std::uint8_t stored_byte(std::uint64_t number, std::uint64_t at) {
  return static_cast<std::uint8_t>(1 + (number * 131 + at * 7) % 255);
}

using Operation =
    std::variant<wire::NsCreate, wire::NsCreateCopy, wire::NsMkdir, wire::NsSymlink, wire::NsLink,
                 wire::NsRemove, wire::NsRename, wire::NsSetattr, wire::NsCommit, wire::NsFallocate,
                 wire::NsCopyRange, wire::NsSetXattr, wire::NsRemoveXattr, wire::NsLookup,
                 wire::NsReaddir>;

struct Node {
  wire::NsType type = wire::NsType::none;
  std::uint32_t nlink = 0;
  std::uint16_t mode = 0;
  std::uint64_t size = 0;
  std::map<std::uint64_t, std::uint8_t> bytes; // what is stored; the rest is zeros
  std::string target;
  std::map<std::string, std::string> xattrs;
  std::map<std::string, std::uint64_t> entries;
  std::uint64_t parent = 0; // of a directory
};

class Tree {
public:
  // `root`: inode of the export. 0 is no limit.
  Tree(std::uint64_t root, std::uint64_t inodes_max, std::uint64_t bytes_max);

  // Carries `operation` out; answers its errno, and changes nothing unless that is 0. `rmdir` tells
  // the two uses of NsRemove apart; `made` is the inode that a success made. `number` finds the
  // stored file of an ID.
  int apply(const Operation& operation, bool rmdir, std::uint64_t made,
            const std::map<std::string, std::uint64_t>& numbers);
  const Node* find(std::uint64_t inode) const;
  const std::map<std::uint64_t, Node>& nodes() const { return nodes_; }
  std::uint64_t bytes() const;

private:
  int create(const wire::NsCreate& request, Node fresh, std::uint64_t made, std::uint64_t before);
  int make(std::uint64_t parent, const std::string& name, Node node, std::uint64_t made);
  void put(Node& node, std::uint64_t begin, const wire::NsExtent& extent,
           const std::map<std::string, std::uint64_t>& numbers);
  void drop(std::uint64_t inode);
  bool below(std::uint64_t inode, std::uint64_t ancestor) const;
  bool fits(std::uint64_t before) const;
  int rename(const wire::NsRename& request);

  std::map<std::uint64_t, Node> nodes_;
  std::uint64_t inodes_max_;
  std::uint64_t bytes_max_;
};

} // namespace cairn::tracker::model
