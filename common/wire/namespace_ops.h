// The namespace protocol, part 2: one request and one reply for each POSIX operation. Numbers and
// names mean what they mean in the system call; what may fail is told beside each request, besides
// what every operation may answer: EINVAL (malformed), ESTALE 116 (no such inode, or the session is
// over), EACCES, EPERM, EROFS, EAGAIN 11 (no leader now: again with the same sequence), EIO (the
// metadata log has failed).
#pragma once

#include "common/wire/namespace.h"

namespace cairn::wire {

// --- what everything is made of ---------------------------------------------------------------

enum class NsType : std::uint8_t {
  none = 0,
  fifo = 1, // as DT_FIFO …: d_type of readdir
  character_device = 2,
  directory = 4,
  block_device = 6,
  regular = 8,
  symlink = 10,
  socket = 12,
};

// Everything stat(2) and statx(2) tell, and the versions that caches go by.
struct NsAttributes {
  std::uint64_t inode = 0; // never used again: a generation is not needed
  NsType type = NsType::none;
  std::uint16_t mode = 0; // 07777: permission, set-ID and sticky bits
  std::uint32_t nlink = 0;
  std::uint32_t uid = 0;
  std::uint32_t gid = 0;
  std::uint64_t rdev = 0;  // major << 32 | minor
  std::uint64_t size = 0;  // bytes; of a symlink: of its target
  std::uint64_t bytes = 0; // in extents: st_blocks is this / 512, rounded up
  NsTime atime, mtime, ctime, btime;
  std::uint64_t parent = 0;       // a directory that has it (its own of a directory), 0: unlinked
  std::uint64_t version = 0;      // log position of the last change of anything of it
  std::uint64_t data_version = 0; // grows with every change of content or size
  std::uint8_t flags = 0;         // kNsHasXattr …

  static constexpr auto fields() {
    using M = NsAttributes;
    return std::tuple{integer(&M::inode),        integer(&M::type),   integer(&M::mode),
                      integer(&M::nlink),        integer(&M::uid),    integer(&M::gid),
                      integer(&M::rdev),         integer(&M::size),   integer(&M::bytes),
                      time(&M::atime),           time(&M::mtime),     time(&M::ctime),
                      time(&M::btime),           integer(&M::parent), integer(&M::version),
                      integer(&M::data_version), integer(&M::flags)};
  }
  friend bool operator==(const NsAttributes&, const NsAttributes&) = default;
};
inline constexpr std::uint8_t kNsHasXattr = 1; // clear: no getxattr needs to be asked
inline constexpr std::uint8_t kNsHasAcl = 2;
inline constexpr std::uint8_t kNsExtentsMore = 4; // NsNodeReply does not hold all extents

// A run of a file's bytes in a stored file. What no extent covers reads as zeros.
struct NsExtent {
  std::uint64_t offset = 0; // in the file
  std::uint64_t length = 0; // bytes, not 0
  std::string id;           // stored file, "group1/M00/…"; its name tells its size and CRC32
  std::uint64_t source = 0; // offset in the stored file
  // The stored file belongs to the namespace, which deletes it when nothing refers to it. False for
  // adopted files and those uploaded by ID.
  bool owned = true;

  static constexpr auto fields() {
    using M = NsExtent;
    return std::tuple{integer(&M::offset), integer(&M::length), string(&M::id), integer(&M::source),
                      integer(&M::owned)};
  }
  friend bool operator==(const NsExtent&, const NsExtent&) = default;
};

// One inode, and for small files all there is to know: an answer for lookup, getattr, open, create.
struct NsNodeReply {
  NsAttributes attributes;
  // Of a regular file with at most kNsExtentsInline extents all of them, in order of offset; else
  // none and kNsExtentsMore is set.
  std::vector<NsExtent> extents;
  std::string target;   // of a symlink
  bool created = false; // by create: the file is new
  // By changes that gave it a name: the directory as it is after that. Older trackers leave it out.
  std::vector<NsAttributes> directories;

  static constexpr auto fields() {
    using M = NsNodeReply;
    return std::tuple{nested(&M::attributes), list(&M::extents), string(&M::target),
                      integer(&M::created), list(&M::directories)};
  }
};
inline constexpr std::size_t kNsExtentsInline = 4;

// An inode and nothing else.
struct NsInode {
  std::uint64_t inode = 0;

  static constexpr auto fields() { return std::tuple{integer(&NsInode::inode)}; }
};
struct NsText {
  std::string text;

  static constexpr auto fields() { return std::tuple{string(&NsText::text)}; }
};
struct NsBlob {
  Bytes bytes;

  static constexpr auto fields() { return std::tuple{blob(&NsBlob::bytes)}; }
};
struct NsNames {
  std::vector<NsText> names;

  static constexpr auto fields() { return std::tuple{list(&NsNames::names)}; }
};

// --- questions ---------------------------------------------------------------------------------

// "." and ".." are names too. Errors: ENOENT (cacheable with kNsWatch: an entry event tells when
// the name is made), ENOTDIR, ENAMETOOLONG.
struct NsLookup {
  std::uint64_t parent = 0;
  std::string name;

  static constexpr auto fields() {
    using M = NsLookup;
    return std::tuple{integer(&M::parent), string(&M::name)};
  }
};

// A path, walked at the tracker with the caller's permissions; symlinks are followed inside the
// export. Errors: ENOENT, ENOTDIR, ELOOP, ENAMETOOLONG.
struct NsResolve {
  std::uint64_t start = kNsRootInode;
  std::string path;        // "images/2012/a.jpg"; a leading '/' means nothing
  bool follow_last = true; // also when the last part is a symlink
  // Demands a public export and other-read permission, whoever asks: for HTTP without a key.
  bool as_public = false;

  static constexpr auto fields() {
    using M = NsResolve;
    return std::tuple{integer(&M::start), string(&M::path), integer(&M::follow_last),
                      integer(&M::as_public)};
  }
};
struct NsResolveReply {
  NsNodeReply node;
  std::uint64_t parent = 0; // of the last part
  std::string export_name;  // "" for the root of all exports
  bool listing = false;     // the export shows directories over HTTP

  static constexpr auto fields() {
    using M = NsResolveReply;
    return std::tuple{nested(&M::node), integer(&M::parent), string(&M::export_name),
                      integer(&M::listing)};
  }
};

// A page of a directory, in order of cookies (the order of creation). A cookie belongs to its entry
// for good: entries that come and go move no others. "." and ".." are not listed: the directory
// itself and NsAttributes::parent. Errors: ENOTDIR.
struct NsReaddir {
  std::uint64_t inode = 0;
  std::uint64_t after = 0;             // cookie of the last entry seen; 0: from the beginning
  std::uint32_t bytes_max = 64 * 1024; // of the reply; at most 1 MiB
  std::uint32_t entries_max = 4096;    // at most 65,536
  bool attributes = false;             // readdirplus

  static constexpr auto fields() {
    using M = NsReaddir;
    return std::tuple{integer(&M::inode), integer(&M::after), integer(&M::bytes_max),
                      integer(&M::entries_max), integer(&M::attributes)};
  }
};
struct NsEntry {
  std::uint64_t cookie = 0;
  std::uint64_t inode = 0;
  NsType type = NsType::none;
  std::string name;
  // With readdirplus one element (with extents as in lookup), else none.
  std::vector<NsNodeReply> node;

  static constexpr auto fields() {
    using M = NsEntry;
    return std::tuple{integer(&M::cookie), integer(&M::inode), integer(&M::type), string(&M::name),
                      list(&M::node)};
  }
};
struct NsReaddirReply {
  std::vector<NsEntry> entries;
  bool end = false;          // nothing after these
  std::uint64_t version = 0; // of the directory
  std::uint64_t parent = 0;  // its ".."

  static constexpr auto fields() {
    using M = NsReaddirReply;
    return std::tuple{list(&M::entries), integer(&M::end), integer(&M::version),
                      integer(&M::parent)};
  }
};

struct NsGetExtents {
  std::uint64_t inode = 0;
  std::uint64_t offset = 0; // the first extent wanted ends after this byte
  std::uint32_t count_max = 1024;

  static constexpr auto fields() {
    using M = NsGetExtents;
    return std::tuple{integer(&M::inode), integer(&M::offset), integer(&M::count_max)};
  }
};
struct NsExtentsReply {
  NsAttributes attributes;
  std::vector<NsExtent> extents;
  bool end = false;

  static constexpr auto fields() {
    using M = NsExtentsReply;
    return std::tuple{nested(&M::attributes), list(&M::extents), integer(&M::end)};
  }
};

// Errors: ENXIO (nothing after offset).
struct NsSeek {
  std::uint64_t inode = 0;
  std::uint64_t offset = 0;
  bool hole = false; // SEEK_HOLE, else SEEK_DATA

  static constexpr auto fields() {
    using M = NsSeek;
    return std::tuple{integer(&M::inode), integer(&M::offset), integer(&M::hole)};
  }
};
struct NsSeekReply {
  std::uint64_t offset = 0;

  static constexpr auto fields() { return std::tuple{integer(&NsSeekReply::offset)}; }
};

// Errors: ENODATA 61 (no such attribute). POSIX ACLs are the attributes system.posix_acl_access and
// system.posix_acl_default, in the kernel's format.
struct NsGetXattr {
  std::uint64_t inode = 0;
  std::string name; // "user.comment"

  static constexpr auto fields() {
    using M = NsGetXattr;
    return std::tuple{integer(&M::inode), string(&M::name)};
  }
};

// Sizes in bytes; of the quota where there is one, else of the cluster.
struct NsStatfsReply {
  std::uint64_t bytes_total = 0;
  std::uint64_t bytes_free = 0;
  std::uint64_t inodes_total = 0;
  std::uint64_t inodes_free = 0;
  std::uint64_t bytes_used = 0; // by the export
  std::uint64_t inodes_used = 0;

  static constexpr auto fields() {
    using M = NsStatfsReply;
    return std::tuple{integer(&M::bytes_total), integer(&M::bytes_free), integer(&M::inodes_total),
                      integer(&M::inodes_free), integer(&M::bytes_used), integer(&M::inodes_used)};
  }
};

struct NsAccess {
  std::uint64_t inode = 0;
  std::uint8_t mask = 0; // R_OK 4, W_OK 2, X_OK 1

  static constexpr auto fields() {
    using M = NsAccess;
    return std::tuple{integer(&M::inode), integer(&M::mask)};
  }
};

// --- opens and locks -----------------------------------------------------------------------------

// Says that the session has the file open: it stays readable when its last name goes. The tracker
// counts opens of an inode per session; it does not log them. Errors: ESTALE (it is gone).
struct NsOpen {
  std::uint64_t inode = 0;
  std::uint8_t mask = 0; // R_OK | W_OK as the open needs it; checked

  static constexpr auto fields() {
    using M = NsOpen;
    return std::tuple{integer(&M::inode), integer(&M::mask)};
  }
};
struct NsClose {
  std::uint64_t inode = 0;
  std::uint64_t lock_owner = 0; // POSIX locks of this owner go, as close(2) does it; 0: none

  static constexpr auto fields() {
    using M = NsClose;
    return std::tuple{integer(&M::inode), integer(&M::lock_owner)};
  }
};

enum class NsLockKind : std::uint8_t { posix = 0, flock = 1 }; // OFD locks: posix, owner per open
enum class NsLockType : std::uint8_t { read = 0, write = 1, unlock = 2 };

// Locks of a session end with it. Errors: EAGAIN (held, without `wait`), EINTR (cancelled), EDEADLK
// (a real cycle), ENOLCK (over 4096 locks of one inode).
struct NsLock {
  std::uint64_t inode = 0;
  NsLockKind kind = NsLockKind::posix;
  NsLockType type = NsLockType::read;
  std::uint64_t owner = 0; // of the session: what the kernel calls lock_owner
  std::uint64_t start = 0; // first byte; flock: 0
  std::uint64_t end = 0;   // last byte, included; ~0 is the end of all files
  std::uint32_t pid = 0;   // for F_GETLK
  bool wait = false;

  static constexpr auto fields() {
    using M = NsLock;
    return std::tuple{integer(&M::inode), integer(&M::kind), integer(&M::type), integer(&M::owner),
                      integer(&M::start), integer(&M::end),  integer(&M::pid),  integer(&M::wait)};
  }
};
// To `lock`: the attributes to revalidate by. To `getlock`: also who is in the way; type unlock:
// nobody.
struct NsLockReply {
  NsAttributes attributes;
  NsLockType type = NsLockType::unlock;
  std::uint64_t start = 0;
  std::uint64_t end = 0;
  std::uint32_t pid = 0; // 0 when another session's

  static constexpr auto fields() {
    using M = NsLockReply;
    return std::tuple{nested(&M::attributes), integer(&M::type), integer(&M::start),
                      integer(&M::end), integer(&M::pid)};
  }
};

// Told again after NsAttachReply::reclaim.
struct NsReclaim {
  std::vector<std::uint64_t> opens; // an inode as often as it is open
  std::vector<NsLock> locks;

  static constexpr auto fields() {
    using M = NsReclaim;
    return std::tuple{integers(&M::opens), list(&M::locks)};
  }
};
struct NsReclaimReply {
  std::vector<std::uint64_t> lost_opens; // gone in the meantime: ESTALE from now on
  std::vector<NsLock> lost_locks;        // somebody else has them

  static constexpr auto fields() {
    using M = NsReclaimReply;
    return std::tuple{integers(&M::lost_opens), list(&M::lost_locks)};
  }
};

// --- changes -----------------------------------------------------------------------------------

// Which fields of a request are to be set (setattr, create, mkdir).
inline constexpr std::uint32_t kNsSetMode = 1;
inline constexpr std::uint32_t kNsSetUid = 2;
inline constexpr std::uint32_t kNsSetGid = 4;
inline constexpr std::uint32_t kNsSetSize = 8;
inline constexpr std::uint32_t kNsSetAtime = 16;
inline constexpr std::uint32_t kNsSetMtime = 32;
inline constexpr std::uint32_t kNsSetAtimeNow = 64; // the tracker's clock, in place of `atime`
inline constexpr std::uint32_t kNsSetMtimeNow = 128;
inline constexpr std::uint32_t kNsKillSuid =
    256; // clear set-ID bits as a write by this caller does

enum class NsExisting : std::uint8_t {
  fail = 0,     // O_EXCL: EEXIST
  keep = 1,     // O_CREAT: the file as it is
  truncate = 2, // O_CREAT | O_TRUNC: its content becomes the request's
};

// Makes a regular file, with content at once if there is some. Errors: EEXIST, EISDIR (the name is
// a directory), ELOOP (a symlink), ENAMETOOLONG, ENOTDIR, ENOENT (the directory was removed),
// EDQUOT, EMLINK, EINVAL (extents that overlap, or that their stored file is too short for).
struct NsCreate {
  std::uint64_t parent = 0;
  std::string name;
  std::uint16_t mode = 0644; // umask taken off already
  NsExisting existing = NsExisting::fail;
  bool open = false; // as NsOpen with the answer; of an existing file `mask` is checked
  std::uint8_t mask = 0;
  std::vector<NsExtent> extents; // all of the content, in order of offset
  std::uint64_t size = 0;        // bytes; at least the end of the last extent
  std::uint32_t set = 0;         // kNsSetUid, Gid, Atime, Mtime: as setattr after it would
  std::uint32_t uid = 0;
  std::uint32_t gid = 0;
  NsTime atime, mtime;

  static constexpr auto fields() {
    using M = NsCreate;
    return std::tuple{integer(&M::parent),   string(&M::name),  integer(&M::mode),
                      integer(&M::existing), integer(&M::open), integer(&M::mask),
                      list(&M::extents),     integer(&M::size), integer(&M::set),
                      integer(&M::uid),      integer(&M::gid),  time(&M::atime),
                      time(&M::mtime)};
  }
};

// As create, with the content of the file `from`: both refer to the same stored files from then on,
// and no data moves. All of it is one change, so the content is that of `data_version` for certain.
// Errors: those of create; EBUSY (the content of `from` is another by now), ESTALE (it has gone),
// EXDEV (it is in another export), EFBIG (it is in too many pieces), EINVAL (`from` is no regular
// file, `existing` is keep, or `create` brings content), ENOSYS (the tracker does not know it yet).
struct NsCreateCopy {
  NsCreate create; // without extents; `size` is compared as the version is
  std::uint64_t from = 0;
  std::uint64_t data_version = 0; // that `from` has to have, plus 1; 0: whatever it has

  static constexpr auto fields() {
    using M = NsCreateCopy;
    return std::tuple{nested(&M::create), integer(&M::from), integer(&M::data_version)};
  }
};

// Errors: EEXIST, ENAMETOOLONG, ENOTDIR, ENOENT, EMLINK, EDQUOT.
struct NsMkdir {
  std::uint64_t parent = 0;
  std::string name;
  std::uint16_t mode = 0755;
  std::uint32_t set = 0; // as in NsCreate
  std::uint32_t uid = 0;
  std::uint32_t gid = 0;
  NsTime atime, mtime;

  static constexpr auto fields() {
    using M = NsMkdir;
    return std::tuple{integer(&M::parent), string(&M::name), integer(&M::mode), integer(&M::set),
                      integer(&M::uid),    integer(&M::gid), time(&M::atime),   time(&M::mtime)};
  }
};

// FIFOs, sockets, devices (the latter two by uid 0), and empty regular files. Errors as NsMkdir.
struct NsMknod {
  std::uint64_t parent = 0;
  std::string name;
  NsType type = NsType::fifo;
  std::uint16_t mode = 0644;
  std::uint64_t rdev = 0;

  static constexpr auto fields() {
    using M = NsMknod;
    return std::tuple{integer(&M::parent), string(&M::name), integer(&M::type), integer(&M::mode),
                      integer(&M::rdev)};
  }
};

// Errors as NsMkdir; ENAMETOOLONG also for a target over kNsPathMax - 1, ENOENT for an empty one.
struct NsSymlink {
  std::uint64_t parent = 0;
  std::string name;
  std::string target;    // any bytes but NUL
  std::uint32_t set = 0; // as in NsCreate
  std::uint32_t uid = 0;
  std::uint32_t gid = 0;
  NsTime atime, mtime;

  static constexpr auto fields() {
    using M = NsSymlink;
    return std::tuple{integer(&M::parent), string(&M::name), string(&M::target), integer(&M::set),
                      integer(&M::uid),    integer(&M::gid), time(&M::atime),    time(&M::mtime)};
  }
};

// A hard link. Errors: EPERM (a directory), EEXIST, EMLINK, EXDEV (another export), ENOENT (the
// file has no name any more).
struct NsLink {
  std::uint64_t inode = 0;
  std::uint64_t parent = 0;
  std::string name;

  static constexpr auto fields() {
    using M = NsLink;
    return std::tuple{integer(&M::inode), integer(&M::parent), string(&M::name)};
  }
};

// unlink: EISDIR. rmdir: ENOTDIR, ENOTEMPTY, EINVAL ("."), EBUSY (the root of an export). Both:
// ENOENT, EPERM (sticky directory).
struct NsRemove {
  std::uint64_t parent = 0;
  std::string name;
  std::uint64_t inode = 0; // not 0: only if it is this one (ESTALE otherwise)

  static constexpr auto fields() {
    using M = NsRemove;
    return std::tuple{integer(&M::parent), string(&M::name), integer(&M::inode)};
  }
};
struct NsRemoveReply {
  std::uint64_t inode = 0;               // what was removed
  std::uint32_t nlink = 0;               // names left
  bool orphan = false;                   // no names left, but open somewhere
  std::vector<NsAttributes> directories; // the one it was in, as in NsNodeReply

  static constexpr auto fields() {
    using M = NsRemoveReply;
    return std::tuple{integer(&M::inode), integer(&M::nlink), integer(&M::orphan),
                      list(&M::directories)};
  }
};

inline constexpr std::uint32_t kNsRenameNoreplace = 1; // as RENAME_NOREPLACE …
inline constexpr std::uint32_t kNsRenameExchange = 2;

// Errors: ENOENT, EEXIST, ENOTEMPTY, EISDIR, ENOTDIR, EINVAL (into itself; flags), EXDEV, EBUSY,
// EPERM (sticky directory).
struct NsRename {
  std::uint64_t parent = 0;
  std::string name;
  std::uint64_t new_parent = 0;
  std::string new_name;
  std::uint32_t flags = 0;

  static constexpr auto fields() {
    using M = NsRename;
    return std::tuple{integer(&M::parent), string(&M::name), integer(&M::new_parent),
                      string(&M::new_name), integer(&M::flags)};
  }
};
struct NsRenameReply {
  NsNodeReply node;           // what was moved
  std::uint64_t replaced = 0; // inode that lost this name, or the one exchanged; 0: none
  // The one it was in, and the one it is in if that is another; as in NsNodeReply.
  std::vector<NsAttributes> directories;

  static constexpr auto fields() {
    using M = NsRenameReply;
    return std::tuple{nested(&M::node), integer(&M::replaced), list(&M::directories)};
  }
};

// chmod, chown, truncate, utimensat. Errors: EPERM, EFBIG, EISDIR (size of a directory), EDQUOT.
struct NsSetattr {
  std::uint64_t inode = 0;
  std::uint32_t set = 0;
  std::uint16_t mode = 0;
  std::uint32_t uid = 0;
  std::uint32_t gid = 0;
  std::uint64_t size = 0;
  NsTime atime, mtime;

  static constexpr auto fields() {
    using M = NsSetattr;
    return std::tuple{integer(&M::inode), integer(&M::set),  integer(&M::mode), integer(&M::uid),
                      integer(&M::gid),   integer(&M::size), time(&M::atime),   time(&M::mtime)};
  }
};

// Names data that is stored already: the ranges of `extents` read as them from now on, all at once.
// Commits of one file are applied in the order they come, so a client sends them in the order of
// the writes. Errors: EDQUOT, EFBIG, EINVAL, EISDIR, EBUSY 16 (data_version is another: compare and
// set failed), ESTALE.
struct NsCommit {
  std::uint64_t inode = 0;
  // Not 0: only if the file's data_version is this (rewriting of fragmented files; a writer that
  // must know of others).
  std::uint64_t if_data_version = 0;
  // O_APPEND: the extents' offsets count from the end of the file as it is then; NsCommitReply
  // tells where that was.
  bool append = false;
  std::vector<NsExtent> extents; // in order of offset, without overlap
  // The file's size is at least this afterwards (0: the end of the extents): data that ends in
  // zeros needs no extent for them.
  std::uint64_t size_at_least = 0;
  std::uint32_t set = kNsSetMtimeNow; // mtime; kNsKillSuid for a writer without CAP_FSETID
  NsTime mtime;
  // A rewrite: the content is the same, times and data_version stay. With if_data_version only.
  bool same_content = false;

  static constexpr auto fields() {
    using M = NsCommit;
    return std::tuple{integer(&M::inode), integer(&M::if_data_version), integer(&M::append),
                      list(&M::extents),  integer(&M::size_at_least),   integer(&M::set),
                      time(&M::mtime),    integer(&M::same_content)};
  }
};
struct NsCommitReply {
  NsAttributes attributes;
  std::uint64_t offset = 0;       // where the extents begin
  std::uint32_t extent_count = 0; // of the whole file: many mean that a rewrite is due

  static constexpr auto fields() {
    using M = NsCommitReply;
    return std::tuple{nested(&M::attributes), integer(&M::offset), integer(&M::extent_count)};
  }
};

enum class NsFallocateMode : std::uint8_t {
  allocate = 0, // the size grows to offset + length, as zeros; quota is taken for what is written
  keep_size = 1,
  punch = 2, // a hole; the size stays
  zero = 3,  // zeros; the size grows
  zero_keep_size = 4,
};

// Errors: EFBIG, ENODEV (no regular file), EDQUOT.
struct NsFallocate {
  std::uint64_t inode = 0;
  NsFallocateMode mode = NsFallocateMode::allocate;
  std::uint64_t offset = 0;
  std::uint64_t length = 0;

  static constexpr auto fields() {
    using M = NsFallocate;
    return std::tuple{integer(&M::inode), integer(&M::mode), integer(&M::offset),
                      integer(&M::length)};
  }
};

// copy_file_range and reflink: the target's range refers to the source's stored files; no data
// moves. Errors: EINVAL (same file, ranges overlap), EDQUOT, EISDIR, EXDEV.
struct NsCopyRange {
  std::uint64_t from = 0;
  std::uint64_t from_offset = 0;
  std::uint64_t to = 0;
  std::uint64_t to_offset = 0;
  std::uint64_t length = 0; // cut at the source's end

  static constexpr auto fields() {
    using M = NsCopyRange;
    return std::tuple{integer(&M::from), integer(&M::from_offset), integer(&M::to),
                      integer(&M::to_offset), integer(&M::length)};
  }
};
struct NsCopyRangeReply {
  NsAttributes attributes; // of the target
  std::uint64_t copied = 0;

  static constexpr auto fields() {
    using M = NsCopyRangeReply;
    return std::tuple{nested(&M::attributes), integer(&M::copied)};
  }
};

enum class NsXattrMode : std::uint8_t { either = 0, create = 1, replace = 2 };

// Errors: EEXIST (create), ENODATA (replace), E2BIG 7 (value), ERANGE 34 (name), ENOTSUP 95 (name
// space), EDQUOT.
struct NsSetXattr {
  std::uint64_t inode = 0;
  std::string name;
  Bytes value;
  NsXattrMode mode = NsXattrMode::either;

  static constexpr auto fields() {
    using M = NsSetXattr;
    return std::tuple{integer(&M::inode), string(&M::name), blob(&M::value), integer(&M::mode)};
  }
};
// Errors: ENODATA.
struct NsRemoveXattr {
  std::uint64_t inode = 0;
  std::string name;

  static constexpr auto fields() {
    using M = NsRemoveXattr;
    return std::tuple{integer(&M::inode), string(&M::name)};
  }
};

} // namespace cairn::wire
