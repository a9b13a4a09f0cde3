// HostList: which addresses may connect (allow_hosts, admin_hosts). Matching needs no DNS: names
// are looked up by resolve_names(), at start and now and then (common/daemon/host_names.h).
#pragma once

#include "common/base/result.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace cairn::config {

// A set of addresses. IPv4 and IPv4-mapped IPv6 addresses are the same. Const after start but for
// what its names mean, which copies share; any thread may ask.
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

  // What looking up a name has changed.
  struct NameChange {
    std::string name;
    bool found = false;                 // false: looked up in vain, and that is news
    std::vector<std::string> addresses; // that count for it now; of before when not found
  };
  // The numeric addresses of a name. Errors: not_found, with what the resolver says.
  using LookUp = std::function<Result<std::vector<std::string>>(const std::string& name)>;

  bool has_names() const { return !names_.empty(); }
  // Looks up the names and has their addresses count from now on. Of a name that is not found those
  // of before go on counting: like FastDFS, a missing name is no reason not to start, and a name
  // server that is down none to refuse anybody. Blocks, for as long as the resolver takes; any
  // thread, one at a time.
  std::vector<NameChange> resolve_names(const LookUp& look_up = ask_resolver) const;
  // The system's resolver. Blocks.
  static Result<std::vector<std::string>> ask_resolver(const std::string& name);

  // The entries as they were given, in order.
  const std::vector<std::string>& entries() const { return entries_; }

private:
  using Address = std::array<std::uint8_t, 16>; // IPv4 as ::ffff:a.b.c.d

  struct Range {
    Address first;
    Address last;
  };

  // What names mean. Shared by the copies of a list.
  struct Resolved;

  bool covers(const Range& wanted) const;
  void add_name(std::string name);
  Status add_one(std::string_view entry);
  Status add_network(std::string_view entry, std::size_t slash);
  Status add_bracketed(std::string_view entry, std::size_t open);

  bool everybody_ = false;
  std::vector<Range> ranges_;
  std::vector<std::string> names_;
  std::shared_ptr<Resolved> resolved_; // null without names
  std::vector<std::string> entries_;
};

// 127.0.0.0/8 and ::1: the default of every list.
HostList loopback_hosts();

} // namespace cairn::config
