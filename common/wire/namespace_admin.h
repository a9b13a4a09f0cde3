// The namespace protocol, part 3: exports, trash, and the upkeep of stored files (deferred
// deletion, orphans, fsck). Errors as in namespace_ops.h; EPERM for a session that is no
// administrator's.
#pragma once

#include "common/wire/namespace_ops.h"

namespace cairn::wire {

enum class NsSquash : std::uint8_t {
  none = 0,
  root = 1, // uid 0 acts as squash_uid:squash_gid
  all = 2,  // everybody does
};

// A tree of its own with its own rights and quota; `/NAME` of the namespace.
struct NsExport {
  std::string name;       // 1 to 64 of A-Z a-z 0-9 - _ . ; not "." first, not a group's name
  std::uint64_t root = 0; // inode
  bool is_public = false; // readable by HTTP without a key
  bool read_only = false;
  bool listing = false;           // HTTP shows directories as JSON
  std::uint64_t quota_bytes = 0;  // 0: no limit
  std::uint64_t quota_inodes = 0; // 0: no limit
  std::uint64_t used_bytes = 0;   // of all extents
  std::uint64_t used_inodes = 0;  // the root included
  std::vector<NsText> clients;    // networks that may attach, "10.0.0.0/8"; none: allow_hosts
  std::uint32_t copies = 2;       // nodes that have data before it is named; capped at members
  std::vector<NsText> groups;     // storage groups for new data; none: all
  NsSquash squash = NsSquash::none;
  std::uint32_t squash_uid = 65534;
  std::uint32_t squash_gid = 65534;
  std::uint64_t trash_seconds = 0; // how long removed files can be restored; 0: no trash
  std::uint64_t created = 0;       // unix seconds

  static constexpr auto fields() {
    using M = NsExport;
    return std::tuple{string(&M::name),           integer(&M::root),       integer(&M::is_public),
                      integer(&M::read_only),     integer(&M::listing),    integer(&M::quota_bytes),
                      integer(&M::quota_inodes),  integer(&M::used_bytes), integer(&M::used_inodes),
                      list(&M::clients),          integer(&M::copies),     list(&M::groups),
                      integer(&M::squash),        integer(&M::squash_uid), integer(&M::squash_gid),
                      integer(&M::trash_seconds), integer(&M::created)};
  }
};

// All exports the session may see, or one. Errors: ENOENT.
struct NsExports {
  std::string name; // empty: all

  static constexpr auto fields() { return std::tuple{string(&NsExports::name)}; }
};
struct NsExportsReply {
  std::vector<NsExport> exports;

  static constexpr auto fields() { return std::tuple{list(&NsExportsReply::exports)}; }
};

// Fields of NsExport that export_set changes; the others stay.
inline constexpr std::uint32_t kNsExportPublic = 1;
inline constexpr std::uint32_t kNsExportReadOnly = 2;
inline constexpr std::uint32_t kNsExportListing = 4;
inline constexpr std::uint32_t kNsExportQuotaBytes = 8;
inline constexpr std::uint32_t kNsExportQuotaInodes = 16;
inline constexpr std::uint32_t kNsExportClients = 32;
inline constexpr std::uint32_t kNsExportCopies = 64;
inline constexpr std::uint32_t kNsExportGroups = 128;
inline constexpr std::uint32_t kNsExportSquash = 256; // with its uid and gid
inline constexpr std::uint32_t kNsExportTrash = 512;
inline constexpr std::uint32_t kNsExportOwner = 1024; // of the root directory
inline constexpr std::uint32_t kNsExportMode = 2048;  // of the root directory

// Errors: EEXIST (add; also when a group has the name), ENOENT (set), EINVAL (name, networks).
struct NsExportChange {
  NsExport values;
  std::uint32_t set = 0; // of export_set; export_add takes all fields
  std::uint32_t owner_uid = 0;
  std::uint32_t owner_gid = 0;
  std::uint16_t mode = 0755;

  static constexpr auto fields() {
    using M = NsExportChange;
    return std::tuple{nested(&M::values), integer(&M::set), integer(&M::owner_uid),
                      integer(&M::owner_gid), integer(&M::mode)};
  }
};
struct NsExportReply {
  NsExport made;

  static constexpr auto fields() { return std::tuple{nested(&NsExportReply::made)}; }
};

// Removes an export whose tree is empty. Errors: ENOENT, ENOTEMPTY.
struct NsExportName {
  std::string name;

  static constexpr auto fields() { return std::tuple{string(&NsExportName::name)}; }
};

// --- trash -------------------------------------------------------------------------------------

struct NsTrashItem {
  std::uint64_t inode = 0;
  std::string path; // in the export, where it was: "2012/03/a.jpg"
  std::uint64_t size = 0;
  std::uint64_t removed = 0; // unix seconds
  std::uint64_t expires = 0;

  static constexpr auto fields() {
    using M = NsTrashItem;
    return std::tuple{integer(&M::inode), string(&M::path), integer(&M::size), integer(&M::removed),
                      integer(&M::expires)};
  }
};
// In order of expiry, `limit` at a time.
struct NsTrashList {
  std::string export_name;
  std::string prefix;              // of the path
  std::uint64_t removed_since = 0; // unix seconds
  std::uint64_t after_expires = 0; // where the last page ended
  std::uint64_t after_inode = 0;
  std::uint32_t limit = 1000;

  static constexpr auto fields() {
    using M = NsTrashList;
    return std::tuple{string(&M::export_name),    string(&M::prefix),
                      integer(&M::removed_since), integer(&M::after_expires),
                      integer(&M::after_inode),   integer(&M::limit)};
  }
};
struct NsTrashListReply {
  std::vector<NsTrashItem> items;
  bool end = false;

  static constexpr auto fields() {
    using M = NsTrashListReply;
    return std::tuple{list(&M::items), integer(&M::end)};
  }
};
// Puts a file back under a name of a directory that exists (trash_purge uses only `inode`). Errors:
// ENOENT (not in the trash), EEXIST, EDQUOT.
struct NsTrashRestore {
  std::uint64_t inode = 0;
  std::uint64_t parent = 0;
  std::string name;

  static constexpr auto fields() {
    using M = NsTrashRestore;
    return std::tuple{integer(&M::inode), integer(&M::parent), string(&M::name)};
  }
};

// --- upkeep ------------------------------------------------------------------------------------

// Stored files that nothing refers to since the grace time: to be deleted on the storage nodes.
struct NsDue {
  std::uint32_t limit = 1000;

  static constexpr auto fields() { return std::tuple{integer(&NsDue::limit)}; }
};
struct NsDueItem {
  std::uint64_t due_ms = 0; // unix milliseconds
  std::string id;

  static constexpr auto fields() {
    using M = NsDueItem;
    return std::tuple{integer(&M::due_ms), string(&M::id)};
  }
};
struct NsDueReply {
  std::vector<NsDueItem> items;
  std::uint64_t waiting = 0; // the whole queue, about

  static constexpr auto fields() {
    using M = NsDueReply;
    return std::tuple{list(&M::items), integer(&M::waiting)};
  }
};
struct NsDeleted {
  std::vector<NsDueItem> items;

  static constexpr auto fields() { return std::tuple{list(&NsDeleted::items)}; }
};

// Of one stored file, by its origin mark: does anything refer to it, or may something still?
struct NsReferencedItem {
  std::string id;
  std::uint64_t inode = 0;   // origin mark: for which inode it was uploaded, 0: unknown
  std::uint64_t session = 0; // origin mark: by which session

  static constexpr auto fields() {
    using M = NsReferencedItem;
    return std::tuple{string(&M::id), integer(&M::inode), integer(&M::session)};
  }
};
struct NsReferenced {
  std::vector<NsReferencedItem> items; // at most 1000

  static constexpr auto fields() { return std::tuple{list(&NsReferenced::items)}; }
};
struct NsReferencedReply {
  // A byte for each: '1' in use or its session lives, 'd' waits for deletion, '0' no reference.
  std::string answers;

  static constexpr auto fields() { return std::tuple{string(&NsReferencedReply::answers)}; }
};

// Every inode, in order of its number: what a dump or fsck reads. A walk is no snapshot: what
// changes meanwhile is seen before or after.
struct NsWalk {
  std::uint64_t after = 0; // inode
  std::uint32_t limit = 500;
  bool paths = false; // a path to each

  static constexpr auto fields() {
    using M = NsWalk;
    return std::tuple{integer(&M::after), integer(&M::limit), integer(&M::paths)};
  }
};
struct NsWalkItem {
  NsAttributes attributes;
  std::vector<NsExtent> extents; // all of them
  std::string target;
  std::string path; // "/images/2012/a.jpg"; empty: unlinked but open, or in the trash

  static constexpr auto fields() {
    using M = NsWalkItem;
    return std::tuple{nested(&M::attributes), list(&M::extents), string(&M::target),
                      string(&M::path)};
  }
};
struct NsWalkReply {
  std::vector<NsWalkItem> items;
  bool end = false;

  static constexpr auto fields() {
    using M = NsWalkReply;
    return std::tuple{list(&M::items), integer(&M::end)};
  }
};

struct NsSessionItem {
  std::uint64_t session = 0;
  NsSessionKind kind = NsSessionKind::client;
  std::string address;
  std::string label;
  std::string export_name;
  bool connected = false;
  std::uint64_t idle_ms = 0;
  std::uint64_t opens = 0;
  std::uint64_t locks = 0;
  std::uint64_t watches = 0;

  static constexpr auto fields() {
    using M = NsSessionItem;
    return std::tuple{integer(&M::session), integer(&M::kind),       string(&M::address),
                      string(&M::label),    string(&M::export_name), integer(&M::connected),
                      integer(&M::idle_ms), integer(&M::opens),      integer(&M::locks),
                      integer(&M::watches)};
  }
};
struct NsSessions {
  static constexpr auto fields() { return std::tuple{}; }
};
struct NsSessionsReply {
  std::vector<NsSessionItem> sessions;

  static constexpr auto fields() { return std::tuple{list(&NsSessionsReply::sessions)}; }
};
struct NsEvict {
  std::uint64_t session = 0;

  static constexpr auto fields() { return std::tuple{integer(&NsEvict::session)}; }
};

} // namespace cairn::wire
