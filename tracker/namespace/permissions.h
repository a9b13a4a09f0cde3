// Who may do what to an inode, as Linux decides it: owner, group and others, POSIX access control
// lists, the rights of uid 0. Pure rules.
#pragma once

#include "tracker/namespace/rows.h"

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace cairn::tracker {

inline constexpr unsigned kRead = 4;
inline constexpr unsigned kWrite = 2;
inline constexpr unsigned kExecute = 1;

inline constexpr unsigned kSetUid = 04000;
inline constexpr unsigned kSetGid = 02000;
inline constexpr unsigned kSticky = 01000;

// Who asks, after squashing.
struct Caller {
  std::uint64_t session = 0;
  std::uint32_t uid = 0;
  std::uint32_t gid = 0;
  std::vector<std::uint32_t> groups;
  bool checked = false; // permissions were checked by a kernel that is believed
  bool opened = false;  // an open handle permits access to the file itself
  bool admin = false;
  bool read_only = false;
  std::uint64_t root = 0; // inode of the only export that may be touched; 0: all

  bool is_root() const { return uid == 0; }
  bool in_group(std::uint32_t group) const;
};

// --- access control lists, in the form of the attributes system.posix_acl_*
// ------------------------

enum class AclTag : std::uint16_t {
  user_obj = 1,
  user = 2,
  group_obj = 4,
  group = 8,
  mask = 16,
  other = 32,
};
struct AclEntry {
  AclTag tag = AclTag::other;
  std::uint16_t permissions = 0; // kRead …
  std::uint32_t id = 0;          // uid or gid of user and group
};
using Acl = std::vector<AclEntry>;

inline constexpr std::string_view kAccessAcl = "system.posix_acl_access";
inline constexpr std::string_view kDefaultAcl = "system.posix_acl_default";

// Errors: invalid_argument (also: an entry that must be there is missing, or twice).
Result<Acl> parse_acl(std::string_view value);
std::string format_acl(const Acl& acl);
// True when the permission bits say as much: it needs no list.
bool is_minimal(const Acl& acl);
// The nine permission bits that show `acl` (the group's are its mask).
std::uint16_t mode_of(const Acl& acl);
// `acl` with owner, mask (or group) and others taken from permission bits: chmod.
void set_mode(Acl& acl, std::uint16_t mode);
// `acl` limited to what `mode` permits: a new file below a default list.
void limit_mode(Acl& acl, std::uint16_t mode);

// May `caller` use `inode` for `wanted`? `acl` is its access list, nullptr without one.
bool permits(const Inode& inode, const Acl* acl, const Caller& caller, unsigned wanted);

} // namespace cairn::tracker
