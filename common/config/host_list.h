// HostList: which addresses may connect (allow_hosts, admin_hosts). Matching needs no DNS; names
// are resolved once, at start.
#pragma once

#include "common/base/result.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace cairn::config {

// A set of addresses. IPv4 and IPv4-mapped IPv6 addresses are the same. Const after start, then any
// thread may ask.
class HostList {
public:
  HostList() = default; // nobody

  // Adds one entry, or several separated by commas outside brackets:
  //   *                      everybody
  //   10.0.0.1, ::1          one address
  //   10.0.0.0/8, fd00::/8   a network (bits of the address beyond the prefix are ignored)
  //   10.0.1.[1-15,20]       ranges of the last number, as FastDFS writes them
  //   web[01-08,20].example  names; digits keep their width
  //   web.example            a name: counts once resolve_names() was called
  // invalid_argument says what is wrong with the entry.
  Status add(std::string_view entries);

  // True when an entry was "*", or the networks together are all of IPv4 or of public IPv6.
  bool everybody() const;
  bool empty() const { return !everybody_ && ranges_.empty() && names_.empty(); }

  // `address` is 4 or 16 bytes in network order; other lengths are in no list.
  bool contains(std::span<const std::uint8_t> address) const;
  // Numeric text; an IPv6 zone ("%eth0") is ignored. What is no address is in no list.
  bool contains(std::string_view address) const;

  // Looks up the names (blocks: start-up only) and adds their addresses. Answers the names that did
  // not resolve, for the log: like FastDFS, a missing name is no reason not to start.
  std::vector<std::string> resolve_names();

  // The entries as they were given, in order.
  const std::vector<std::string>& entries() const { return entries_; }

private:
  using Address = std::array<std::uint8_t, 16>; // IPv4 as ::ffff:a.b.c.d

  struct Range {
    Address first;
    Address last;
  };

  bool covers(const Range& wanted) const;
  Status add_one(std::string_view entry);
  Status add_network(std::string_view entry, std::size_t slash);
  Status add_bracketed(std::string_view entry, std::size_t open);

  bool everybody_ = false;
  std::vector<Range> ranges_;
  std::vector<std::string> names_;
  std::vector<std::string> entries_;
};

// 127.0.0.0/8 and ::1: the default of every list.
HostList loopback_hosts();

} // namespace cairn::config
