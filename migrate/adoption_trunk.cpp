// What is in trunk files becomes plain files. The log names the files; only a slot that is what
// the name says is believed.
#include "common/base/crc32.h"
#include "migrate/adoption.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <fcntl.h>
#include <sys/statvfs.h>
#include <unistd.h>

namespace cairn::migrate {

namespace {

// Left on a disk by what is copied out of trunk files: a full one would stop its other users.
constexpr std::uint64_t kRoomLeft = 64 << 20;
// Of a row of the sorted log: store path, two directories, number of the trunk file; then the slot.
constexpr std::size_t kFileKeySize = 7;
constexpr std::size_t kPlaceKeySize = 11;
constexpr std::size_t kSequenceSize = 9; // with the NUL before it

} // namespace

Status Adoption::take_trunks() {
  TrunkClaims claims;
  std::string file_key;
  std::string name_key;
  char last_op = 0;
  const auto finish_name = [&]() -> Status {
    if (name_key.empty()) return {};
    const auto name = parse_remote_name(std::string_view(name_key).substr(kPlaceKeySize));
    if (!name || !name->trunk()) return {}; // it was one when it was put there
    claims.file = std::string(name->canonical().substr(0, 10)) + trunk_leaf(name->trunk()->file);
    claims.slots[name->trunk()->offset] = name->trunk()->slot_size;
    if (last_op == 'D' || last_op == 'd')
      ++report_.deleted;
    else
      claims.alive.push_back(*name);
    return {};
  };
  const auto finish_file = [&]() -> Status {
    CAIRN_RETURN_IF_ERROR(finish_name());
    name_key.clear();
    if (claims.file.empty()) return {};
    return take_trunk(std::exchange(claims, TrunkClaims()));
  };
  const auto visit = [&](const std::string& row, std::uint8_t op) -> Status {
    if (row.compare(0, kFileKeySize, file_key) != 0) {
      CAIRN_RETURN_IF_ERROR(finish_file());
      file_key = row.substr(0, kFileKeySize);
    }
    std::string key = row.substr(0, row.size() - kSequenceSize);
    if (key != name_key) {
      CAIRN_RETURN_IF_ERROR(finish_name());
      name_key = std::move(key);
    }
    last_op = static_cast<char>(op);
    return {};
  };
  CAIRN_RETURN_IF_ERROR(trunk_.each(visit));
  CAIRN_RETURN_IF_ERROR(finish_file());
  // Those of which the log knows nothing.
  for (const std::string& file : std::set<std::string>(trunk_files_)) {
    TrunkClaims none;
    none.file = file;
    CAIRN_RETURN_IF_ERROR(take_trunk(std::move(none)));
  }
  return {};
}

Status Adoption::take_trunk(TrunkClaims claims) {
  trunk_files_.erase(claims.file);
  const auto index = parse_remote_name(claims.file);
  const AdoptedPath* path = index ? path_of(*index) : nullptr;
  if (path == nullptr) {
    for (const RemoteName& name : claims.alive)
      found(Finding::missing, id_of(name.canonical()), "there is no such store path");
    return {};
  }
  const auto file = TrunkFile::open(path->data() / index->true_name());
  if (!file) {
    for (const RemoteName& name : claims.alive)
      found(Finding::missing, id_of(name.canonical()),
            "its trunk file " + claims.file + " cannot be read: " + file.error().text());
    return {};
  }
  std::set<std::uint32_t> taken;
  for (const RemoteName& name : claims.alive) {
    CAIRN_TRY(is_its, take_slot(*path, *file, name));
    if (is_its) taken.insert(name.trunk()->offset);
  }
  return look_for_unnamed(*file, claims, taken);
}

Result<bool> Adoption::take_slot(const AdoptedPath& path, const TrunkFile& file,
                                 const RemoteName& name) {
  const std::string id = id_of(name.canonical());
  const std::uint32_t offset = name.trunk()->offset;
  const auto slot = file.slot(offset);
  if (!slot) {
    found(Finding::damaged, id, slot.error().text());
    return false;
  }
  if (!slot->holds(name)) {
    found(Finding::missing, id, "its place in the trunk file is free or holds another file");
    return false;
  }
  std::vector<std::byte> bytes;
  if (!options_.dry_run || options_.checksum || slot->type == 'L') {
    auto content = file.content(offset, *slot);
    if (content.code() == Errc::corrupt) {
      found(Finding::damaged, id, content.error().detail);
      return true;
    }
    if (!content) return std::move(content).error();
    bytes = *std::move(content);
  }
  if (slot->type == 'L') {
    trunk_links_.emplace_back(
        name, std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size()));
    return true;
  }
  if (!options_.dry_run) {
    CAIRN_RETURN_IF_ERROR(keep_room(path, bytes.size()));
    const std::string below(name.true_name());
    struct stat owner {};
    static_cast<void>(!::fstatat(path.fd(), below.substr(0, 5).c_str(), &owner, 0));
    Status put = path.put(below, bytes, slot->mtime, owner);
    if (put.code() == Errc::exists) {
      // From a run before this one; a power loss may have left less than was written.
      const auto there = TrunkFile::open(path.data() / below);
      std::vector<std::byte> old(there ? static_cast<std::size_t>(there->size()) : 0);
      const bool whole = there && old.size() == bytes.size() &&
                         there->read(0, old.data(), old.size()) && old == bytes;
      if (!whole) {
        if (::unlinkat(path.fd(), below.c_str(), 0) != 0) return errno_error(below, errno);
        put = path.put(below, bytes, slot->mtime, owner);
      } else {
        put = {};
      }
    }
    CAIRN_RETURN_IF_ERROR(put);
  }
  count(name, slot->file_size);
  report_.trunk_bytes += slot->file_size;
  return true;
}

Status Adoption::keep_room(const AdoptedPath& path, std::uint64_t bytes) const {
  struct statvfs room {};
  if (::fstatvfs(path.fd(), &room) != 0) return errno_error(path.data().string(), errno);
  if (std::uint64_t{room.f_bavail} * room.f_frsize >= bytes + kRoomLeft) return {};
  return Error{Errc::no_space, path.data().string() +
                                   " has no room for what is in its trunk files; make some and "
                                   "run this again, or give all back by --undo"};
}

// Follows the slots from the first to the last. Where nothing valid stands, what the log knows of
// former slots tells where the next one begins.
Status Adoption::look_for_unnamed(const TrunkFile& file, const TrunkClaims& claims,
                                  const std::set<std::uint32_t>& taken) {
  std::uint64_t offset = 0;
  while (offset + kSlotHeaderSize <= file.size()) {
    CAIRN_TRY(slot, file.slot(offset));
    const auto at = static_cast<std::uint32_t>(offset);
    const bool fits = slot.slot_size >= kSlotHeaderSize && offset + slot.slot_size <= file.size();
    const bool used = (slot.type == 'F' || slot.type == 'L') && fits &&
                      std::uint64_t{slot.file_size} + kSlotHeaderSize <= slot.slot_size;
    if (used && !taken.contains(at))
      found(Finding::unnamed, node_.group + "/" + claims.file + " at " + std::to_string(offset),
            "a file of " + std::to_string(slot.file_size) + " bytes that the log does not name");
    if (used || (slot.type == 0 && fits)) {
      offset += slot.slot_size;
    } else if (const auto known = claims.slots.find(at);
               known != claims.slots.end() && known->second >= kSlotHeaderSize) {
      offset += known->second;
    } else {
      const auto next = claims.slots.upper_bound(at);
      if (next == claims.slots.end()) return {};
      offset = next->first;
    }
  }
  return {};
}

Status Adoption::take_trunk_links() {
  for (const auto& [name, target] : trunk_links_) {
    const std::string id = id_of(name.canonical());
    const auto meant = parse_remote_name(target);
    const AdoptedPath* from = meant ? path_of(*meant) : nullptr;
    struct stat status {};
    const bool there =
        from != nullptr &&
        ::fstatat(from->fd(), meant->true_name().data(), &status, AT_SYMLINK_NOFOLLOW) == 0 &&
        S_ISREG(status.st_mode);
    // A dry run has not made the files that are in trunk files.
    const bool will_be = options_.dry_run && meant && meant->trunk();
    if (!there && !will_be) {
      found(Finding::damaged, id, "a link to " + target + ", which is not there");
      continue;
    }
    if (!options_.dry_run) {
      const AdoptedPath* to = path_of(name);
      const Status linked =
          to->link(from->data() / meant->true_name(), std::string(name.true_name()));
      if (!linked && linked.code() != Errc::exists) return linked;
    }
    ++report_.links;
    report_.bytes += static_cast<std::uint64_t>(status.st_size);
  }
  return {};
}

bool Adoption::came_from_trunk(const AdoptedPath& path, const RemoteName& name) const {
  if (!name.trunk()) return false;
  const std::string file =
      std::string(name.true_name().substr(0, 6)) + trunk_leaf(name.trunk()->file);
  const auto opened = TrunkFile::open(path.data() / file);
  if (!opened) return false;
  const auto slot = opened->slot(name.trunk()->offset);
  return slot && slot->holds(name);
}

} // namespace cairn::migrate
