// Cairn's own messages, between nodes, trackers and the command line. They use the FastDFS frame
// with commands from 160 and length-tagged fields that are decoded leniently, so that neighbouring
// versions understand each other. docs/protocol.md describes the conversation.
#pragma once

#include "common/wire/frame.h"

namespace cairn::wire {

inline constexpr std::uint32_t kNativeVersion = 1;

enum class NativeCommand : std::uint8_t {
  // to every daemon
  hello = 160, // Hello -> HelloReply: who I am; first on every native connection
  admin = 161, // JSON -> JSON: {"verb": …}; verbs in docs/protocol.md
  // storage node -> tracker
  join = 162,      // Join -> JoinReply
  heartbeat = 163, // Heartbeat -> HeartbeatReply
  // anyone -> tracker
  cluster_view = 164, // ViewRequest -> ClusterView
  // 165, prove, belongs to hello: common/auth/handshake.h
  // storage node -> storage node
  sync_hello = 180, // SyncHello -> SyncHelloReply: opens a sync stream
  sync_batch = 181, // SyncBatch -> SyncAck
  sync_have = 182,  // SyncHave -> SyncHaveReply: which of these do you lack?
  sync_done = 183,  // SyncDone -> empty: the bring-up is complete up to this position
  fetch = 184,      // Fetch -> FetchHead and the bytes; from the node's own disk only
  probe = 185,      // NameRequest -> ProbeReply; from the node's own disk only
  fetch_meta = 186, // NameRequest -> metadata text; from the node's own disk only
  list_files = 187, // ListFiles -> ListFilesReply
};

enum class Role : std::uint8_t { client = 0, storage = 1, tracker = 2, admin = 3 };

struct Hello {
  std::uint32_t version = kNativeVersion;
  Role role = Role::client;
  std::string uuid;          // of the node; empty for people
  std::uint32_t node_id = 0; // numeric storage ID, 0 when it has none
  std::string group;
  Bytes credentials;   // nonce of the mutual proof (common/auth/handshake.h); empty: has no secret
  std::string address; // "host:port" this side listens on; empty for people
  std::string key_id;  // proves this access key; empty: the cluster's secret

  static constexpr auto fields() {
    using M = Hello;
    return std::tuple{integer(&M::version), integer(&M::role), string(&M::uuid),
                      integer(&M::node_id), string(&M::group), blob(&M::credentials),
                      string(&M::address),  string(&M::key_id)};
  }
};

struct HelloReply {
  std::uint32_t version = kNativeVersion;
  Role role = Role::storage;
  std::string uuid;
  std::uint32_t node_id = 0;
  Bytes credentials; // nonce of a challenge; the other fields then come with the proof

  static constexpr auto fields() {
    using M = HelloReply;
    return std::tuple{integer(&M::version), integer(&M::role), string(&M::uuid),
                      integer(&M::node_id), blob(&M::credentials)};
  }
};

// Storage states, with the numbers FastDFS shows to its monitors.
enum class NodeState : std::uint8_t {
  init = 0,      // has joined, knows no peer yet
  wait_sync = 1, // waits for peers to bring it up
  syncing = 2,   // is being brought up
  deleted = 4,   // removed by an administrator
  offline = 5,
  online = 6, // stops soon or is read-only: reads yes, uploads no
  active = 7,
  recovery = 9, // a store path is being rebuilt
};

struct NodeView {
  std::uint32_t id = 0; // numeric storage ID
  std::string uuid;
  std::string group;
  std::string host; // address told to clients
  std::uint16_t port = 0;
  std::uint16_t http_port = 0;
  NodeState state = NodeState::offline;
  bool draining = false; // takes no uploads, by an administrator's wish
  std::uint16_t store_path_count = 0;
  bool brought_up = false;     // has had everything of its group once
  std::uint64_t join_time = 0; // unix seconds of the first join
  std::uint16_t subdir_count = 256;

  static constexpr auto fields() {
    using M = NodeView;
    return std::tuple{
        integer(&M::id),         string(&M::uuid),       string(&M::group),
        string(&M::host),        integer(&M::port),      integer(&M::http_port),
        integer(&M::state),      integer(&M::draining),  integer(&M::store_path_count),
        integer(&M::brought_up), integer(&M::join_time), integer(&M::subdir_count)};
  }
};

// A former address or storage ID that stands in file IDs and means node `id` now.
struct AliasView {
  std::string former; // IPv4 text or decimal ID
  std::uint32_t id = 0;

  static constexpr auto fields() {
    using M = AliasView;
    return std::tuple{string(&M::former), integer(&M::id)};
  }
  friend bool operator==(const AliasView&, const AliasView&) = default;
};

// A group, also one without nodes.
struct GroupView {
  std::string name;

  static constexpr auto fields() { return std::tuple{string(&GroupView::name)}; }
};

struct ViewRequest {
  std::string group; // empty: all groups

  static constexpr auto fields() { return std::tuple{string(&ViewRequest::group)}; }
};

// All nodes the tracker knows, deleted ones included (their IDs stand in file names).
struct ClusterView {
  std::uint64_t version = 0; // grows with every change; per tracker
  std::string cluster_uuid;
  std::vector<NodeView> nodes;
  std::vector<AliasView> aliases;
  std::vector<GroupView> groups;
  Bytes access_keys; // an auth::KeyTable, sealed; for nodes only

  static constexpr auto fields() {
    using M = ClusterView;
    return std::tuple{integer(&M::version), string(&M::cluster_uuid), list(&M::nodes),
                      list(&M::aliases),    list(&M::groups),         blob(&M::access_keys)};
  }
};

// A node asks to be a member of its group. Errors: exists (the ID belongs to another UUID: try the
// next one, unless it is configured), invalid_argument (other number of store paths than the group,
// illegal group name), denied.
struct Join {
  std::string uuid;
  std::uint32_t id = 0; // wanted storage ID
  std::string group;
  std::string host; // advertise_addr; empty: the tracker takes the connection's peer address only
                    // to answer with it, the node must send one
  std::uint16_t port = 0;
  std::uint16_t http_port = 0;
  std::uint16_t store_path_count = 0;
  std::uint16_t subdir_count = 256;
  std::uint32_t upload_priority = 10;
  std::uint64_t start_time = 0; // unix seconds
  std::string program_version;
  bool has_files = false; // it holds files already (rejoin, adopted directory)

  static constexpr auto fields() {
    using M = Join;
    return std::tuple{string(&M::uuid),
                      integer(&M::id),
                      string(&M::group),
                      string(&M::host),
                      integer(&M::port),
                      integer(&M::http_port),
                      integer(&M::store_path_count),
                      integer(&M::subdir_count),
                      integer(&M::upload_priority),
                      integer(&M::start_time),
                      string(&M::program_version),
                      integer(&M::has_files)};
  }
};

struct JoinReply {
  NodeState state = NodeState::init;
  ClusterView view;

  static constexpr auto fields() {
    using M = JoinReply;
    return std::tuple{integer(&M::state), nested(&M::view)};
  }
};

enum class PathState : std::uint8_t { ok = 0, read_only = 1, failed = 2 };

struct PathUsage {
  std::uint64_t total_bytes = 0;
  std::uint64_t free_bytes = 0; // for ordinary users
  std::uint64_t total_inodes = 0;
  std::uint64_t free_inodes = 0;
  PathState state = PathState::ok;

  static constexpr auto fields() {
    using M = PathUsage;
    return std::tuple{integer(&M::total_bytes), integer(&M::free_bytes), integer(&M::total_inodes),
                      integer(&M::free_inodes), integer(&M::state)};
  }
};

enum class SyncPhase : std::uint8_t { disconnected = 0, bring_up = 1, tail = 2 };

// How far the reporting node's changes have come at one peer.
struct PeerSync {
  std::uint32_t peer_id = 0;
  SyncPhase phase = SyncPhase::disconnected;
  bool brought_up = false;         // the peer has had everything once
  std::uint64_t acked_seq = 0;     // last binlog record it has applied
  std::uint64_t backlog_files = 0; // records it lacks
  std::uint64_t backlog_bytes = 0;
  std::uint64_t lag_ms = 0;        // age of the oldest record it lacks
  std::uint64_t bring_up_done = 0; // files compared so far, and of how many
  std::uint64_t bring_up_total = 0;
  std::uint32_t bring_up_left_s = 0; // seconds it will take at the rate so far, 0: unknown

  static constexpr auto fields() {
    using M = PeerSync;
    return std::tuple{integer(&M::peer_id),        integer(&M::phase),
                      integer(&M::brought_up),     integer(&M::acked_seq),
                      integer(&M::backlog_files),  integer(&M::backlog_bytes),
                      integer(&M::lag_ms),         integer(&M::bring_up_done),
                      integer(&M::bring_up_total), integer(&M::bring_up_left_s)};
  }
};

// Up to which time the reporting node has all of a source's files (rule 3 of query fetch).
struct SourceSync {
  std::uint32_t source_id = 0;
  std::uint32_t synced_until = 0; // unix seconds

  static constexpr auto fields() {
    using M = SourceSync;
    return std::tuple{integer(&M::source_id), integer(&M::synced_until)};
  }
};

// Counters a FastDFS monitor shows, in the order of its 348-byte block: pairs are total, success.
struct NodeCounters {
  std::uint32_t connections_max_allowed = 0;
  std::uint32_t connections_now = 0;
  std::uint32_t connections_max_seen = 0;
  std::uint64_t upload_total = 0, upload_success = 0;
  std::uint64_t append_total = 0, append_success = 0;
  std::uint64_t modify_total = 0, modify_success = 0;
  std::uint64_t truncate_total = 0, truncate_success = 0;
  std::uint64_t set_meta_total = 0, set_meta_success = 0;
  std::uint64_t delete_total = 0, delete_success = 0;
  std::uint64_t download_total = 0, download_success = 0;
  std::uint64_t get_meta_total = 0, get_meta_success = 0;
  std::uint64_t create_link_total = 0, create_link_success = 0;
  std::uint64_t delete_link_total = 0, delete_link_success = 0;
  std::uint64_t upload_bytes_total = 0, upload_bytes_success = 0;
  std::uint64_t append_bytes_total = 0, append_bytes_success = 0;
  std::uint64_t modify_bytes_total = 0, modify_bytes_success = 0;
  std::uint64_t download_bytes_total = 0, download_bytes_success = 0;
  std::uint64_t sync_in_bytes_total = 0, sync_in_bytes_success = 0;
  std::uint64_t sync_out_bytes_total = 0, sync_out_bytes_success = 0;
  std::uint64_t file_open_total = 0, file_open_success = 0;
  std::uint64_t file_read_total = 0, file_read_success = 0;
  std::uint64_t file_write_total = 0, file_write_success = 0;
  std::uint64_t last_source_update = 0; // unix seconds
  std::uint64_t last_sync_update = 0;
  std::uint64_t last_synced_timestamp = 0;
  std::uint64_t last_heartbeat = 0;

  static constexpr auto fields() {
    using M = NodeCounters;
    return std::tuple{integer(&M::connections_max_allowed), integer(&M::connections_now),
                      integer(&M::connections_max_seen),    integer(&M::upload_total),
                      integer(&M::upload_success),          integer(&M::append_total),
                      integer(&M::append_success),          integer(&M::modify_total),
                      integer(&M::modify_success),          integer(&M::truncate_total),
                      integer(&M::truncate_success),        integer(&M::set_meta_total),
                      integer(&M::set_meta_success),        integer(&M::delete_total),
                      integer(&M::delete_success),          integer(&M::download_total),
                      integer(&M::download_success),        integer(&M::get_meta_total),
                      integer(&M::get_meta_success),        integer(&M::create_link_total),
                      integer(&M::create_link_success),     integer(&M::delete_link_total),
                      integer(&M::delete_link_success),     integer(&M::upload_bytes_total),
                      integer(&M::upload_bytes_success),    integer(&M::append_bytes_total),
                      integer(&M::append_bytes_success),    integer(&M::modify_bytes_total),
                      integer(&M::modify_bytes_success),    integer(&M::download_bytes_total),
                      integer(&M::download_bytes_success),  integer(&M::sync_in_bytes_total),
                      integer(&M::sync_in_bytes_success),   integer(&M::sync_out_bytes_total),
                      integer(&M::sync_out_bytes_success),  integer(&M::file_open_total),
                      integer(&M::file_open_success),       integer(&M::file_read_total),
                      integer(&M::file_read_success),       integer(&M::file_write_total),
                      integer(&M::file_write_success),      integer(&M::last_source_update),
                      integer(&M::last_sync_update),        integer(&M::last_synced_timestamp),
                      integer(&M::last_heartbeat)};
  }
};
static_assert(size_of<NodeCounters> == 348);

// Sent every heart_beat_interval, and at once when something changes. Errors: not_found (the
// tracker does not know the node: join again).
struct Heartbeat {
  std::string uuid;
  std::uint32_t id = 0;
  std::string group;
  std::uint64_t known_view = 0; // version of the view the node holds from this tracker
  bool stopping = false;        // it drains: no new uploads
  std::uint64_t end_seq = 0;    // its last binlog record
  std::uint64_t file_count = 0; // files it holds
  std::vector<PathUsage> paths;
  std::vector<PeerSync> peers;
  std::vector<SourceSync> sources;
  NodeCounters counters;
  std::uint64_t damaged_copies = 0; // found damaged or missing, not yet replaced
  std::uint64_t lost_copies = 0;    // of those, nobody that was asked has a good one

  static constexpr auto fields() {
    using M = Heartbeat;
    return std::tuple{string(&M::uuid),        integer(&M::id),       string(&M::group),
                      integer(&M::known_view), integer(&M::stopping), integer(&M::end_seq),
                      integer(&M::file_count), list(&M::paths),       list(&M::peers),
                      list(&M::sources),       nested(&M::counters),  integer(&M::damaged_copies),
                      integer(&M::lost_copies)};
  }
};

struct HeartbeatReply {
  NodeState state = NodeState::active; // of the sender, as this tracker sees it
  bool has_view = false;               // the view changed since known_view
  ClusterView view;

  static constexpr auto fields() {
    using M = HeartbeatReply;
    return std::tuple{integer(&M::state), integer(&M::has_view), nested(&M::view)};
  }
};

// --- storage node to storage node
// -----------------------------------------------------------------

// Names in these messages are remote file names: "M00/00/1A/….jpg".

struct NameRequest {
  std::string name;

  static constexpr auto fields() { return std::tuple{string(&NameRequest::name)}; }
};

struct Fetch {
  std::string name;
  std::uint64_t offset = 0;
  std::uint64_t length = 0; // 0: to the end

  static constexpr auto fields() {
    using M = Fetch;
    return std::tuple{string(&M::name), integer(&M::offset), integer(&M::length)};
  }
};

// Stands before the bytes in the reply to `fetch`; how many follow is the body length less 16.
struct FetchHead {
  std::uint64_t file_size = 0;
  std::uint32_t mtime = 0;
  std::uint32_t reserved = 0;

  static constexpr auto fields() {
    using M = FetchHead;
    return std::tuple{integer(&M::file_size), integer(&M::mtime), integer(&M::reserved)};
  }
};
static_assert(size_of<FetchHead> == 16);

enum class Presence : std::uint8_t { absent = 0, present = 1, deleted = 2 };

struct ProbeReply {
  Presence presence = Presence::absent;
  std::uint64_t size = 0;
  std::uint32_t mtime = 0;
  std::uint32_t crc32 = 0; // of the bytes on disk, read for this answer
  bool damaged = false;    // the bytes do not match the file's checksum
  std::uint32_t meta_crc32 = 0;

  static constexpr auto fields() {
    using M = ProbeReply;
    return std::tuple{integer(&M::presence), integer(&M::size),    integer(&M::mtime),
                      integer(&M::crc32),    integer(&M::damaged), integer(&M::meta_crc32)};
  }
};

// One file as the catalogue knows it; what members of a group compare.
struct FileSummary {
  std::string name;
  std::uint64_t size = 0;
  std::uint32_t crc32 = 0; // of the content as of the last recorded change
  std::uint32_t mtime = 0;
  std::uint64_t meta_stamp = 0; // stamp of the last set-metadata, 0 without metadata
  std::uint32_t meta_crc32 = 0;
  std::uint64_t stamp = 0; // hybrid clock of the file's creation, to be compared with a tombstone's
  bool reused = false; // and at `stamp` the name was used again after a delete: slaves, restored

  static constexpr auto fields() {
    using M = FileSummary;
    return std::tuple{string(&M::name),   integer(&M::size),       integer(&M::crc32),
                      integer(&M::mtime), integer(&M::meta_stamp), integer(&M::meta_crc32),
                      integer(&M::stamp), integer(&M::reused)};
  }
};

struct ListFiles {
  std::string after; // names greater than this; "" for the first page
  std::uint32_t limit = 1000;

  static constexpr auto fields() {
    using M = ListFiles;
    return std::tuple{string(&M::after), integer(&M::limit)};
  }
};

struct ListFilesReply {
  std::vector<FileSummary> files; // in name order
  bool done = false;              // no more after these

  static constexpr auto fields() {
    using M = ListFilesReply;
    return std::tuple{list(&M::files), integer(&M::done)};
  }
};

// Errors: busy (a batch of the source's former stream is still being applied: say it again soon),
// invalid_argument (another group, or the receiver itself).
struct SyncHello {
  std::uint32_t source_id = 0;
  std::string source_uuid;
  std::string group;
  std::string log_id;       // of the source's binlog: positions mean nothing in another one
  std::uint64_t stream = 0; // random; ends every earlier stream of this source

  static constexpr auto fields() {
    using M = SyncHello;
    return std::tuple{integer(&M::source_id), string(&M::source_uuid), string(&M::group),
                      string(&M::log_id), integer(&M::stream)};
  }
};

struct SyncHelloReply {
  std::uint64_t applied_seq = 0; // last record of this source applied here, when `known`
  bool known = false;            // this log has brought the receiver up before

  static constexpr auto fields() {
    using M = SyncHelloReply;
    return std::tuple{integer(&M::applied_seq), integer(&M::known)};
  }
};

enum class SyncKind : std::uint8_t {
  put = 1,   // whole file, in one piece or several (offset, last)
  range = 2, // changed bytes of an appender: write `content` at `offset`, then set total_size
  remove = 3,
  set_meta = 4, // content is the canonical metadata text; empty: none
  link = 5,     // extra is the name it points to
  rename = 6,   // extra is the former name (regenerate)
  skip = 7,     // nothing left to do for this record: ends a put that was begun and given up
};

// One change, as it travels. `seq` is the source's binlog position, 0 during a bring-up.
struct SyncOp {
  std::uint64_t seq = 0;
  SyncKind kind = SyncKind::put;
  std::string name;
  std::string extra;
  std::uint64_t stamp = 0;     // hybrid clock of the change
  std::uint32_t origin_id = 0; // node where the change was made
  std::uint32_t mtime = 0;
  std::uint64_t total_size = 0; // of the whole file after the change
  std::uint64_t offset = 0;
  bool last = true;                // last piece of a put
  std::uint32_t file_crc32 = 0;    // of the whole file (put)
  std::uint32_t content_crc32 = 0; // of `content`
  Bytes content;

  static constexpr auto fields() {
    using M = SyncOp;
    return std::tuple{integer(&M::seq),   integer(&M::kind),       string(&M::name),
                      string(&M::extra),  integer(&M::stamp),      integer(&M::origin_id),
                      integer(&M::mtime), integer(&M::total_size), integer(&M::offset),
                      integer(&M::last),  integer(&M::file_crc32), integer(&M::content_crc32),
                      blob(&M::content)};
  }
};

// Errors: closed (the stream was ended by a newer one, or the batch is not the next in it: say
// hello again), invalid_argument.
struct SyncBatch {
  std::vector<SyncOp> ops;          // empty: sent every second when idle
  std::uint64_t stream = 0;         // as said in SyncHello
  std::uint64_t number = 0;         // 1, 2, 3… in the stream, sync_have and sync_done not counted
  std::uint64_t through_seq = 0;    // all of the source's records up to here have been sent
  std::uint64_t end_seq = 0;        // the source's last record
  std::uint32_t complete_until = 0; // unix seconds: no change made before then is left to send

  static constexpr auto fields() {
    using M = SyncBatch;
    return std::tuple{list(&M::ops),        integer(&M::stream),
                      integer(&M::number),  integer(&M::through_seq),
                      integer(&M::end_seq), integer(&M::complete_until)};
  }
};

struct SyncFailure {
  std::uint32_t index = 0;    // in the batch
  Errc code = Errc::io_error; // not_found for a range: send the whole file
  std::string detail;

  static constexpr auto fields() {
    using M = SyncFailure;
    return std::tuple{integer(&M::index), integer(&M::code), string(&M::detail)};
  }
};

struct SyncAck {
  std::uint64_t applied_seq = 0;
  std::vector<SyncFailure> failures; // everything else was applied and is durable

  static constexpr auto fields() {
    using M = SyncAck;
    return std::tuple{integer(&M::applied_seq), list(&M::failures)};
  }
};

// Errors as SyncBatch.
struct SyncHave {
  std::vector<FileSummary> files;
  std::uint64_t stream = 0;

  static constexpr auto fields() {
    return std::tuple{list(&SyncHave::files), integer(&SyncHave::stream)};
  }
};

struct SyncHaveReply {
  std::string wanted; // a byte per file: '1' send it, '0' it is here (or was deleted), 'm' only its
                      // metadata

  static constexpr auto fields() { return std::tuple{string(&SyncHaveReply::wanted)}; }
};

// Errors as SyncBatch.
struct SyncDone {
  std::uint64_t position = 0; // the stream goes on after this record
  std::uint64_t stream = 0;

  static constexpr auto fields() {
    return std::tuple{integer(&SyncDone::position), integer(&SyncDone::stream)};
  }
};

} // namespace cairn::wire
