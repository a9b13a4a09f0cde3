// The rules of Linux's generic_permission() and posix_acl_permission().
#include "tracker/namespace/permissions.h"

#include <algorithm>

namespace cairn::tracker {

namespace {

constexpr std::uint32_t kAclVersion = 2;
constexpr std::size_t kAclHead = 4;
constexpr std::size_t kAclEntry = 8;

// The kernel's format is little-endian.
std::uint32_t load(std::string_view bytes, std::size_t at, std::size_t size) {
  std::uint32_t value = 0;
  for (std::size_t i = size; i-- > 0;)
    value = value << 8 | static_cast<unsigned char>(bytes[at + i]);
  return value;
}
void store(std::string& out, std::uint32_t value, std::size_t size) {
  for (std::size_t i = 0; i < size; ++i, value >>= 8)
    out.push_back(static_cast<char>(value & 0xFF));
}

const AclEntry* find(const Acl& acl, AclTag tag) {
  const auto found = std::ranges::find(acl, tag, &AclEntry::tag);
  return found == acl.end() ? nullptr : &*found;
}
AclEntry* find(Acl& acl, AclTag tag) {
  const auto found = std::ranges::find(acl, tag, &AclEntry::tag);
  return found == acl.end() ? nullptr : &*found;
}

bool listed(const Acl& acl, const Inode& inode, const Caller& caller, unsigned wanted) {
  const AclEntry* mask = find(acl, AclTag::mask);
  const unsigned limit = mask == nullptr ? 7 : mask->permissions;
  const auto grants = [wanted](unsigned permissions) { return (permissions & wanted) == wanted; };
  if (caller.uid == inode.uid) return grants(find(acl, AclTag::user_obj)->permissions);
  for (const AclEntry& entry : acl) {
    if (entry.tag == AclTag::user && entry.id == caller.uid)
      return grants(entry.permissions & limit);
  }
  bool member = false;
  for (const AclEntry& entry : acl) {
    const bool of_group = (entry.tag == AclTag::group_obj && caller.in_group(inode.gid)) ||
                          (entry.tag == AclTag::group && caller.in_group(entry.id));
    if (!of_group) continue;
    member = true;
    if (grants(entry.permissions & limit)) return true;
  }
  return !member && grants(find(acl, AclTag::other)->permissions);
}

} // namespace

bool Caller::in_group(std::uint32_t group) const {
  return gid == group || std::ranges::find(groups, group) != groups.end();
}

Result<Acl> parse_acl(std::string_view value) {
  const Error bad(Errc::invalid_argument, "malformed access control list");
  if (value.size() < kAclHead || (value.size() - kAclHead) % kAclEntry != 0 ||
      load(value, 0, 4) != kAclVersion)
    return bad;
  Acl acl;
  for (std::size_t at = kAclHead; at < value.size(); at += kAclEntry) {
    AclEntry entry;
    entry.tag = static_cast<AclTag>(load(value, at, 2));
    entry.permissions = static_cast<std::uint16_t>(load(value, at + 2, 2));
    entry.id = load(value, at + 4, 4);
    if (entry.permissions > 7) return bad;
    switch (entry.tag) {
      case AclTag::user:
      case AclTag::group:
        break;
      case AclTag::user_obj:
      case AclTag::group_obj:
      case AclTag::mask:
      case AclTag::other:
        if (find(acl, entry.tag) != nullptr) return bad;
        break;
      default:
        return bad;
    }
    acl.push_back(entry);
  }
  if (acl.empty()) return acl;
  const bool named = find(acl, AclTag::user) != nullptr || find(acl, AclTag::group) != nullptr;
  if (find(acl, AclTag::user_obj) == nullptr || find(acl, AclTag::group_obj) == nullptr ||
      find(acl, AclTag::other) == nullptr || (named && find(acl, AclTag::mask) == nullptr))
    return bad;
  return acl;
}

std::string format_acl(const Acl& acl) {
  std::string out;
  store(out, kAclVersion, 4);
  for (const AclEntry& entry : acl) {
    store(out, static_cast<std::uint32_t>(entry.tag), 2);
    store(out, entry.permissions, 2);
    store(out, entry.tag == AclTag::user || entry.tag == AclTag::group ? entry.id : 0xFFFF'FFFFU,
          4);
  }
  return out;
}

bool is_minimal(const Acl& acl) {
  return find(acl, AclTag::user) == nullptr && find(acl, AclTag::group) == nullptr &&
         find(acl, AclTag::mask) == nullptr;
}

std::uint16_t mode_of(const Acl& acl) {
  const AclEntry* mask = find(acl, AclTag::mask);
  const unsigned group = (mask != nullptr ? mask : find(acl, AclTag::group_obj))->permissions;
  return static_cast<std::uint16_t>(find(acl, AclTag::user_obj)->permissions << 6 | group << 3 |
                                    find(acl, AclTag::other)->permissions);
}

void set_mode(Acl& acl, std::uint16_t mode) {
  find(acl, AclTag::user_obj)->permissions = static_cast<std::uint16_t>(mode >> 6 & 7);
  AclEntry* mask = find(acl, AclTag::mask);
  (mask != nullptr ? mask : find(acl, AclTag::group_obj))->permissions =
      static_cast<std::uint16_t>(mode >> 3 & 7);
  find(acl, AclTag::other)->permissions = static_cast<std::uint16_t>(mode & 7);
}

void limit_mode(Acl& acl, std::uint16_t mode) {
  const auto limit = [](AclEntry* entry, unsigned bits) {
    entry->permissions = static_cast<std::uint16_t>(entry->permissions & bits);
  };
  limit(find(acl, AclTag::user_obj), mode >> 6 & 7U);
  AclEntry* mask = find(acl, AclTag::mask);
  limit(mask != nullptr ? mask : find(acl, AclTag::group_obj), mode >> 3 & 7U);
  limit(find(acl, AclTag::other), mode & 7U);
}

bool permits(const Inode& inode, const Acl* acl, const Caller& caller, unsigned wanted) {
  if (caller.checked) return true;
  if (caller.is_root()) {
    // Everything, but to execute a file that nobody may execute.
    return (wanted & kExecute) == 0 || inode.is_directory() || (inode.mode & 0111) != 0;
  }
  // As the kernel: a list counts only when the group's bits (its mask) are not all clear.
  if (acl != nullptr && !acl->empty() && (inode.mode & 070) != 0)
    return listed(*acl, inode, caller, wanted);
  unsigned bits = inode.mode;
  if (caller.uid == inode.uid)
    bits >>= 6;
  else if (caller.in_group(inode.gid))
    bits >>= 3;
  return (bits & wanted) == wanted;
}

} // namespace cairn::tracker
