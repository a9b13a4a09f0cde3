// The namespace protocol, part 1: the conversation. Paths, inodes and extents are asked for on one
// connection to the tracker that carries many requests at once. Operations are in
// namespace_ops.h, exports and upkeep in namespace_admin.h; docs/namespace.md tells the story.
//
//   client                                 tracker
//   hello (native.h)                ->
//                                   <-     HelloReply
//   ns_attach: NsAttach             ->     from here on both sides send whenever they like
//                                   <-     NsAttachReply
//   op: NsHead, request             ->     in any number, in any order
//                                   <-     reply: NsReplyHead, reply        (any order)
//                                   <-     event: NsReplyHead, NsEvents     (unasked)
//
// Every frame has the 10-byte header of frame.h. Its command byte is the NsOp of a request, `reply`
// (100) of an answer, NsOp::event of a push. Its status byte is 0 in requests; in answers it is the
// errno of the operation as on Linux (0, ENOENT 2, ENOTEMPTY 39, ESTALE 116, EDQUOT 122, …). The
// body is the length of the head (u32), the head (NsHead or NsReplyHead), and then the message of
// the operation, or after an errno one line of text for people; make_ns_frame() and split_ns_body()
// do that.
#pragma once

#include "common/wire/native.h"

#include <compare>

namespace cairn::wire {

// The native command that turns a connection into one of the namespace protocol. Its own reply is
// an ordinary frame (NsAttachReply, or a status without body: 11 unavailable, 13 denied, 22).
inline constexpr std::uint8_t kNsAttach = 200;

inline constexpr std::uint32_t kNsVersion = 1;

inline constexpr std::size_t kNsNameMax = 255;      // bytes of one name; any but '/' and NUL
inline constexpr std::size_t kNsPathMax = 4096;     // bytes of a path and of a symlink target
inline constexpr std::size_t kNsXattrNameMax = 255; // bytes
inline constexpr std::size_t kNsXattrValueMax = 64 * 1024; // bytes
inline constexpr std::size_t kNsGroupsMax = 1024;          // supplementary groups of a caller
inline constexpr std::size_t kNsExtentsMax = 4096;         // in one request
inline constexpr std::uint64_t kNsBodyMax = 1024 * 1024;   // bytes of one request
inline constexpr std::uint64_t kNsReplyMax = 4 * 1024 * 1024;
// Changing requests of one session that may be unanswered at a time; the width of the table that
// makes retries exact.
inline constexpr std::uint64_t kNsWindow = 256;
inline constexpr std::uint64_t kNsFileSizeMax = (std::uint64_t{1} << 62) - 1; // bytes
inline constexpr std::uint64_t kNsRootInode = 1; // its entries are the exports
inline constexpr std::uint32_t kNsLinkMax = 65000;

// One byte each; numbers are never used again for something else.
enum class NsOp : std::uint8_t {
  // conversation
  renew = 1,   // empty -> empty. Any frame renews the lease; this one when there is nothing else
  detach = 2,  // empty -> empty. Ends the session for good: locks and opens go
  event = 3,   // tracker -> client: NsEvents
  reclaim = 4, // NsReclaim -> NsReclaimReply: opens and locks, told again
  unwatch = 5, // NsUnwatch -> no answer at all
  cancel = 6,  // NsCancel -> empty: gives up a lock request that waits (it then answers EINTR)
  // questions; nothing is logged
  lookup = 20,    // NsLookup -> NsNodeReply
  getattr = 21,   // NsInode -> NsNodeReply
  resolve = 22,   // NsResolve -> NsResolveReply: a whole path at once
  readdir = 23,   // NsReaddir -> NsReaddirReply
  readlink = 24,  // NsInode -> NsText
  extents = 25,   // NsGetExtents -> NsExtentsReply
  getxattr = 26,  // NsGetXattr -> NsBlob
  listxattr = 27, // NsInode -> NsNames
  statfs = 28,    // NsInode -> NsStatfsReply
  access = 29,    // NsAccess -> NsNodeReply
  getlock = 30,   // NsLock -> NsLockReply: who is in the way (F_GETLK)
  path_of = 31,   // NsInode -> NsText: a path that leads to the inode
  seek = 32,      // NsSeek -> NsSeekReply: SEEK_DATA and SEEK_HOLE
  // state of the session; nothing is logged
  open = 40,  // NsOpen -> NsNodeReply
  close = 41, // NsClose -> empty
  lock = 42,  // NsLock -> NsLockReply; with `wait` the answer comes when it is granted
  // changes; one log entry holds many of them, each is atomic
  create = 60,      // NsCreate -> NsNodeReply
  mkdir = 61,       // NsMkdir -> NsNodeReply
  mknod = 62,       // NsMknod -> NsNodeReply
  symlink = 63,     // NsSymlink -> NsNodeReply
  link = 64,        // NsLink -> NsNodeReply
  unlink = 65,      // NsRemove -> NsRemoveReply
  rmdir = 66,       // NsRemove -> NsRemoveReply
  rename = 67,      // NsRename -> NsRenameReply
  setattr = 68,     // NsSetattr -> NsNodeReply
  commit = 69,      // NsCommit -> NsCommitReply
  fallocate = 70,   // NsFallocate -> NsNodeReply
  copy_range = 71,  // NsCopyRange -> NsCopyRangeReply
  setxattr = 72,    // NsSetXattr -> NsNodeReply
  removexattr = 73, // NsRemoveXattr -> NsNodeReply
  create_copy = 74, // NsCreateCopy -> NsNodeReply
  // exports and upkeep (namespace_admin.h); changes of them need an administrator's session
  exports = 90,       // NsExports -> NsExportsReply
  export_add = 91,    // NsExportChange -> NsExportReply
  export_set = 92,    // NsExportChange -> NsExportReply
  export_remove = 93, // NsExportName -> empty
  trash_list = 94,    // NsTrashList -> NsTrashListReply
  trash_restore = 95, // NsTrashRestore -> NsNodeReply
  trash_purge = 96,   // NsTrashRestore -> empty
  due = 97,           // NsDue -> NsDueReply: stored files whose grace time is over
  deleted = 98,       // NsDeleted -> empty: they are gone from the storage nodes
  referenced = 99,    // NsReferenced -> NsReferencedReply: which of these files are in use
  walk = 100,         // NsWalk -> NsWalkReply: all inodes in order, for fsck and dumps
  sessions = 101,     // NsSessions -> NsSessionsReply
  evict = 102,        // NsEvict -> empty: ends another session
};

// True for operations that are logged: they need a session and a sequence number.
constexpr bool is_change(NsOp op) {
  const auto number = static_cast<std::uint8_t>(op);
  return (number >= 60 && number < 90) || op == NsOp::export_add || op == NsOp::export_set ||
         op == NsOp::export_remove || op == NsOp::trash_restore || op == NsOp::trash_purge ||
         op == NsOp::deleted;
}

// --- fields of this family ---------------------------------------------------------------------

// A moment: seconds since 1970, also before and far after it, and the nanoseconds in them.
struct NsTime {
  std::int64_t seconds = 0;
  std::uint32_t nanoseconds = 0; // below 1,000,000,000

  friend constexpr auto operator<=>(const NsTime&, const NsTime&) = default;
};

// 12 bytes: i64 seconds, u32 nanoseconds. Refuses nanoseconds of a second or more.
template <class M>
struct TimeField {
  NsTime M::*member;
  static constexpr std::size_t size = 12;
  void encode(Writer& w, const M& m) const {
    w.integer(static_cast<std::uint64_t>((m.*member).seconds), 8);
    w.integer((m.*member).nanoseconds, 4);
  }
  bool decode(Reader& r, M& m, bool) const {
    std::uint64_t seconds = 0;
    std::uint64_t nanoseconds = 0;
    if (!r.integer(8, seconds) || !r.integer(4, nanoseconds) || nanoseconds >= 1'000'000'000)
      return false;
    m.*member = NsTime{static_cast<std::int64_t>(seconds), static_cast<std::uint32_t>(nanoseconds)};
    return true;
  }
};

// u32 count, then that many integers as wide as T.
template <class M, class T>
struct IntegersField {
  std::vector<T> M::*member;
  static constexpr std::size_t size = kVariable;
  void encode(Writer& w, const M& m) const {
    w.integer((m.*member).size(), 4);
    for (const T value : m.*member) w.integer(static_cast<std::uint64_t>(value), sizeof(T));
  }
  bool decode(Reader& r, M& m, bool) const {
    std::uint64_t count = 0;
    if (!r.integer(4, count) || count > r.left() / sizeof(T)) return false;
    (m.*member).resize(count);
    for (T& out : m.*member) {
      std::uint64_t value = 0;
      if (!r.integer(sizeof(T), value)) return false;
      out = static_cast<T>(value);
    }
    return true;
  }
};

template <class M>
constexpr auto time(NsTime M::*member) {
  return TimeField<M>{member};
}
template <class M, class T>
constexpr auto integers(std::vector<T> M::*member) {
  return IntegersField<M, T>{member};
}

// --- heads ---------------------------------------------------------------------------------------

// In front of every request.
struct NsHead {
  std::uint64_t request = 0; // any number that no unanswered request of this connection has; not 0
  // Of a change: 1, 2, 3, … in the session. Sent again with the same number (on whatever
  // connection, to whatever tracker) it gets the answer of the first time and is not done twice. 0:
  // no change. At most kNsWindow above the lowest number without an answer.
  std::uint64_t sequence = 0;
  std::uint32_t uid = 0; // who asks
  std::uint32_t gid = 0;
  std::uint32_t flags = 0;           // kNsChecked …
  std::vector<std::uint32_t> groups; // supplementary ones

  static constexpr auto fields() {
    using M = NsHead;
    return std::tuple{integer(&M::request), integer(&M::sequence), integer(&M::uid),
                      integer(&M::gid),     integer(&M::flags),    integers(&M::groups)};
  }
};

// Flags of NsHead.
// The kernel has checked permissions already (default_permissions). Believed from sessions that
// attached with `trusted_kernel` on exports that squash nobody.
inline constexpr std::uint32_t kNsChecked = 1;
// Answer with what may be cached: the tracker pushes an event when it changes (see NsEvents).
inline constexpr std::uint32_t kNsWatch = 2;
// The caller has an open handle that permits this (ftruncate, fallocate, commit after an open):
// the file's permissions are not asked again.
inline constexpr std::uint32_t kNsOpened = 4;
// Nobody waits for the answer: it may be kept back until another one is sent. (A tracker that does
// not know this answers at once.)
inline constexpr std::uint32_t kNsNoHurry = 8;

// In front of every answer and event.
struct NsReplyHead {
  std::uint64_t request = 0; // of the request; 0 in events
  // Log position the answer is true at: an answer with a position below that of an event already
  // seen about the same thing must not be cached.
  std::uint64_t position = 0;

  static constexpr auto fields() {
    using M = NsReplyHead;
    return std::tuple{integer(&M::request), integer(&M::position)};
  }
};

// --- session -------------------------------------------------------------------------------------

enum class NsSessionKind : std::uint8_t {
  reader = 0, // asks only: nothing is logged for it, it has no sequence numbers, opens or locks
  client = 1, // a program or a mount
  admin = 2,  // may change exports and ask for upkeep (from admin_hosts or with the cluster secret)
};

// The first message of the protocol on a connection. Errors of its frame: denied (address, key),
// unsupported (version).
struct NsAttach {
  std::uint32_t version = kNsVersion;
  NsSessionKind kind = NsSessionKind::reader;
  std::uint64_t session = 0;   // 0: a new one; else this one goes on, with `token`
  std::uint64_t token = 0;     // from NsAttachReply; nobody else knows it
  std::string export_name;     // paths and inodes outside it are ESTALE; "": all that is allowed
  std::string label;           // for people: "web3 /mnt/images"
  bool trusted_kernel = false; // kNsChecked will be used
  bool read_only = false;      // changes answer EROFS
  std::uint64_t seen = 0;      // position of the last event or answer seen; 0: nothing is cached
  Bytes credentials;           // access key proof; empty: the rights of the connection

  static constexpr auto fields() {
    using M = NsAttach;
    return std::tuple{integer(&M::version),        integer(&M::kind),       integer(&M::session),
                      integer(&M::token),          string(&M::export_name), string(&M::label),
                      integer(&M::trusted_kernel), integer(&M::read_only),  integer(&M::seen),
                      blob(&M::credentials)};
  }
};

struct NsAttachReply {
  std::uint32_t version = kNsVersion;
  // "host:port" of the tracker that leads; not empty: ask there, the rest means nothing.
  std::string leader;
  std::uint64_t session = 0; // another number than asked for: the old session is over. Whatever
                             // was dirty or locked under it is lost, every cache is stale
  std::uint64_t token = 0;
  std::uint64_t root = kNsRootInode; // inode of the export's root, or of all exports
  std::uint64_t position = 0;        // log position now
  std::uint32_t lease_ms = 0;        // without a frame for so long the client must think it is over
  // Everything cached must be asked again: the tracker no longer knows what changed since `seen`.
  bool drop_caches = true;
  // Opens and locks are not known here (it is another leader, or the same after a restart): tell
  // them by NsReclaim within lease_ms.
  bool reclaim = false;
  std::string cluster_uuid;
  std::uint64_t extent_bytes = 0; // files are cut into stored files of at most so many bytes
  std::uint32_t copies = 0;       // of the export: how many nodes must have data before it is named
  bool read_only = false;         // the export is, or the session

  static constexpr auto fields() {
    using M = NsAttachReply;
    return std::tuple{integer(&M::version),     string(&M::leader),        integer(&M::session),
                      integer(&M::token),       integer(&M::root),         integer(&M::position),
                      integer(&M::lease_ms),    integer(&M::drop_caches),  integer(&M::reclaim),
                      string(&M::cluster_uuid), integer(&M::extent_bytes), integer(&M::copies),
                      integer(&M::read_only)};
  }
};

// What has changed and may be in somebody's cache.
enum class NsEventKind : std::uint8_t {
  attributes = 1, // of `inode`
  data = 2,       // content and attributes of `inode`
  entry = 3,      // `name` in the directory `inode`: made, removed, or something else now
  gone = 4,       // `inode` does not exist any more
  forgotten = 5,  // the tracker watches `inode` no longer for this session: drop what is cached
  drop_all = 6,   // everything
};

struct NsEvent {
  NsEventKind kind = NsEventKind::attributes;
  std::uint64_t inode = 0;
  std::uint64_t version = 0; // of attributes and data: what it is now
  std::string name;          // of entry

  static constexpr auto fields() {
    using M = NsEvent;
    return std::tuple{integer(&M::kind), integer(&M::inode), integer(&M::version),
                      string(&M::name)};
  }
  friend bool operator==(const NsEvent&, const NsEvent&) = default;
};

// Pushed after the commit of the changes, to sessions that watch what changed, but for the session
// that changed it. Events of one position are in one message.
struct NsEvents {
  std::vector<NsEvent> events;

  static constexpr auto fields() { return std::tuple{list(&NsEvents::events)}; }
};

// Inodes the client caches nothing of any more.
struct NsUnwatch {
  std::vector<std::uint64_t> inodes;

  static constexpr auto fields() { return std::tuple{integers(&NsUnwatch::inodes)}; }
};

struct NsCancel {
  std::uint64_t request = 0; // NsHead::request of a lock request on this connection

  static constexpr auto fields() { return std::tuple{integer(&NsCancel::request)}; }
};

// --- one question without a session --------------------------------------------------------------

// A native command with an ordinary reply, NsOnce -> NsOnceReply: a question of anybody's (resolve,
// lookup, getattr, readdir, extents), asked with the rights of nobody. Every tracker answers it or
// passes it on. Storage nodes serve paths over HTTP with it.
inline constexpr std::uint8_t kNsAskOnce = 201;

struct NsOnce {
  NsOp op = NsOp::resolve;
  Bytes request;

  static constexpr auto fields() {
    return std::tuple{integer(&NsOnce::op), blob(&NsOnce::request)};
  }
};
struct NsOnceReply {
  std::uint8_t status = 0; // an errno
  std::uint64_t position = 0;
  Bytes reply; // as the operation answers it; with a status: text

  static constexpr auto fields() {
    using M = NsOnceReply;
    return std::tuple{integer(&M::status), integer(&M::position), blob(&M::reply)};
  }
};

// --- frames ------------------------------------------------------------------------------------

// A whole frame of this protocol. `message` may be empty (a View) or already encoded.
template <class Head>
Bytes make_ns_frame(std::uint8_t command, std::uint8_t status, const Head& head, View message) {
  Bytes out(kHeaderSize);
  Writer writer(out);
  const Bytes encoded = encode(head);
  writer.length_tagged(encoded);
  writer.raw(message);
  store_big_endian(out.data(), out.size() - kHeaderSize, 8);
  out[8] = static_cast<std::byte>(command);
  out[9] = static_cast<std::byte>(status);
  return out;
}

// The two parts of a body; `message` points into it.
template <class Head>
struct NsParts {
  Head head;
  View message;
};
// Errors: invalid_argument.
template <class Head>
Result<NsParts<Head>> split_ns_body(View body) {
  Reader reader(body);
  View head;
  if (!reader.length_tagged(head)) return Error{Errc::invalid_argument, "malformed head"};
  CAIRN_TRY(decoded, decode_lenient<Head>(head));
  NsParts<Head> parts;
  parts.head = std::move(decoded);
  parts.message = reader.rest();
  return parts;
}

} // namespace cairn::wire
