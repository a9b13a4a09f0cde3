// What the handlers of a storage node work with.
#pragma once

#include "common/auth/audit.h"
#include "common/config/storage_config.h"
#include "common/net/memory_budget.h"
#include "common/net/native_hello.h"
#include "common/net/operation_limit.h"
#include "common/net/session.h"
#include "common/wire/integrity.h"
#include "storage/binlog/binlog.h"
#include "storage/peers/peers.h"
#include "storage/peers/remote.h"
#include "storage/store/store.h"

#include <atomic>
#include <functional>
#include <string>

namespace cairn::storage {

class FrontMemory;
class SyncService;

// What Session::peer_uuid says of a tracker that deletes what the namespace no longer needs.
inline constexpr const char* kTrackerUuid = "tracker";

// How often an operation was asked for and done, and the bytes it moved.
struct OperationCounter {
  std::atomic<std::uint64_t> total{0};
  std::atomic<std::uint64_t> success{0};
  std::atomic<std::uint64_t> bytes_total{0};
  std::atomic<std::uint64_t> bytes_success{0};
};

struct Counters {
  OperationCounter upload, append, modify, truncate, set_metadata, remove, download, get_metadata,
      create_link;
  std::atomic<std::uint64_t> remote_reads{0};       // answered from another node's disk
  std::atomic<std::uint64_t> hello_refused{0};      // native connections without the right proof
  std::atomic<std::uint64_t> copies_short{0};       // changes acknowledged with too few copies
  std::atomic<std::uint64_t> damaged_reads{0};      // a local copy did not hold what its name says
  std::atomic<std::uint64_t> last_source_update{0}; // unix seconds
};

// Counts one operation: asked for when made, done by succeed().
class Counted {
public:
  explicit Counted(OperationCounter& counter, std::uint64_t bytes = 0)
      : counter_(counter), bytes_(bytes) {
    counter_.total.fetch_add(1, std::memory_order_relaxed);
    counter_.bytes_total.fetch_add(bytes, std::memory_order_relaxed);
  }
  void succeed() {
    counter_.success.fetch_add(1, std::memory_order_relaxed);
    counter_.bytes_success.fetch_add(bytes_, std::memory_order_relaxed);
  }
  // For operations whose size is known only later.
  void add_bytes(std::uint64_t bytes) {
    bytes_ += bytes;
    counter_.bytes_total.fetch_add(bytes, std::memory_order_relaxed);
  }

private:
  OperationCounter& counter_;
  std::uint64_t bytes_;
};

// The parts of the node, made by the server and alive as long as any session.
struct Context {
  const config::StorageConfig& config;
  std::string uuid;
  Store& store;
  Binlog& binlog;
  Peers& peers;
  SyncService& sync;
  // The Remote of the I/O thread that asks.
  std::function<Remote&()> remote;
  // Decides who is a node or administrator of this cluster, or has an access key.
  HelloGate gate;
  // Deletes are noted here.
  auth::AuditLog& audit;
  // What `admin` verbs answer (JSON), see status.cpp.
  std::function<std::string()> status_json;
  // A reader was served by another node although the file should be here, perhaps: to be looked at.
  // Must only post. May be empty.
  std::function<void(const RemoteName&)> seen_elsewhere;
  // Compares this node's copy with those of the others and repairs it. Any I/O thread. May be
  // empty.
  std::function<Task<Result<wire::RepairReply>>(RemoteName)> repair;
  // What the admin verb "rules.status" answers (JSON).
  std::function<std::string()> rules_json;
  // What caches in front were answered that cannot be told by tags. After start-up never null.
  FrontMemory* fronts = nullptr;

  Counters counters{};
  MemoryBudget memory{config.max_request_memory};
  OperationLimit uploads{config.max_uploads}; // and other changes of content
  OperationLimit downloads{config.max_downloads};
  std::atomic<bool> stopping{false};
};

// The command table of a storage node's port.
const HandlerTable<Context>& handler_table();

// For each command family: adds its handlers.
void add_upload_handlers(HandlerTable<Context>& table);
void add_appender_handlers(HandlerTable<Context>& table);
void add_read_handlers(HandlerTable<Context>& table);
void add_metadata_handlers(HandlerTable<Context>& table);
void add_delete_handlers(HandlerTable<Context>& table);
void add_native_handlers(HandlerTable<Context>& table);

// --- shared by the families

// The group of a request must be this node's. Errors: invalid_argument.
Status check_group(const Context& context, const std::string& group);
// Parses a remote file name and checks its store path. Errors: invalid_argument.
Result<RemoteName> parse_name(const Context& context, std::string_view text);
// The same for a client who wants to use `right` on that file. Errors: also denied (its access key
// does not hold there).
Result<RemoteName> parse_name(const Context& context, const Session& session, std::string_view text,
                              auth::Rights right);
// Whether a client may make files whose names the node chooses. Errors: denied (its access key does
// not hold for all of the group).
Status may_create(const Context& context, const Session& session);
// Whether changes are taken now. Errors: unavailable (stopping, or no tracker has accepted this
// node yet, so that it has no ID to write into names).
Status takes_changes(const Context& context);
// Takes `size` bytes of text from the body. Errors: invalid_argument.
Task<Result<std::string>> take_text(Body& body, std::uint64_t size);
// A body that must be short: all of it.
Task<Result<wire::Bytes>> take_all(Body& body);
// True when changes to that file are made at another node, and this connection is not a node that
// has sent us the request as the owner.
bool belongs_elsewhere(Context& context, const Session& session, const RemoteName& name);
// Sends the request on to the owner: `front` is what was taken of the body.
Task<Result<Reply>> forward_to_owner(Context& context, const RemoteName& name, Body& body,
                                     wire::Bytes front);
// Metadata text as it is on this node's disk. Errors: not_found (no file, or it has none), corrupt
// (damaged, or gone although the catalogue lists them: they are being repaired).
Task<Result<std::string>> metadata_here(Context& context, const RemoteName& name);
// The same, but from any member that has them whole where ours are corrupt.
Task<Result<std::string>> metadata_here_or_near(Context& context, RemoteName name);
// Files that were uploaded for the namespace are its own: by their ID they are only read. `peer`: a
// node or an administrator asks. Errors: not_permitted (the file has an origin mark).
Task<Status> refuse_marked(Context& context, bool peer, RemoteName name);
// Deletes a file of this group wherever it is, durably; it waits in the trash, where there is one,
// if `to_trash`. Errors: not_found; unavailable, timeout (it may be at a node that cannot be
// asked).
Task<Result<Change>> remove_file(Context& context, RemoteName name, bool to_trash);
// Notes in the audit log what became of a delete; a log that fails is told in ours.
void audit_delete(Context& context, std::string who, std::string from, std::string_view name,
                  const Result<Change>& outcome);
// Begins an operation under a limit. Errors: busy.
Result<OperationTicket> begin_under(OperationLimit& limit);
// How many nodes must have a change before it is acknowledged, and how many have it.
struct Copies {
  unsigned wanted = 1;
  unsigned have = 1;
  bool is_short() const { return have < wanted; }
};
// What the status byte of an upload (common/wire/copies.h; 0: nothing) and the configuration ask
// for. Errors: unavailable (too few nodes are there, and `copies_short` is refuse).
Result<Copies> copies_wanted(const Context& context, std::uint8_t flags);
// Waits until `copies.wanted` nodes have a durable change or copies_timeout is over; answers it.
Task<Result<Change>> copied(Context& context, Result<Change> change, Copies& copies);
// The same with the copies that the group is configured for. Errors besides: timeout (it is stored,
// but has too few copies, and `copies_short` is refuse).
Task<Result<Change>> copied(Context& context, Result<Change> change);

// Runs `work` (answers a Result<Change>) on `pool` and resumes the caller once, when the change it
// made is durable: a resumption in between would cost as much as writing the record. Errors: those
// of `work`, and io_error.
template <class F>
Task<Result<Change>> durable(Context& context, DiskPool& pool, F work) {
  auto initiate = [&binlog = context.binlog, &pool, &work](auto handler) {
    pool.post([&binlog, &pool, work = std::move(work), handler = std::move(handler)]() mutable {
      Result<Change> made = work();
      const std::uint64_t seq = made ? made->seq : 0;
      auto answer = [handler = std::move(handler), made = std::move(made)](Status status) mutable {
        if (made && !status) made = std::move(status).error();
        resume(std::move(handler), std::move(made));
      };
      std::optional<decltype(answer)> later(std::move(answer));
      if (binlog.committed_seq() < seq && pool.queued() > 0) {
        // A flush on this thread would hold up the files that wait for it.
        binlog.when_committed(seq, std::move(*later));
        later.reset();
      }
      return [&binlog, seq, later = std::move(later)]() mutable {
        if (later) binlog.commit_then(seq, std::move(*later));
      };
    });
  };
  co_return co_await asio::async_initiate<const asio::use_awaitable_t<>, void(Result<Change>)>(
      std::move(initiate), asio::use_awaitable);
}

// Tells the peers of a change that will wait for copies, so that they store it while it is being
// committed here. Does not block; any thread.
void begin_copies(Context& context, const Result<Change>& made, const Copies& copies);

// durable(), then copied(); what peers may have before that (ChangeSource::may_go_ahead()) they get
// meanwhile.
template <class F>
Task<Result<Change>> committed(Context& context, DiskPool& pool, F work, Copies& copies) {
  const Binlog::UnderWay here(context.binlog);
  auto begun = [&context, &copies, work = std::move(work)]() mutable {
    Result<Change> made = work();
    begin_copies(context, made, copies);
    return made;
  };
  auto made = co_await durable(context, pool, std::move(begun));
  co_return co_await copied(context, std::move(made), copies);
}
template <class F>
Task<Result<Change>> committed(Context& context, DiskPool& pool, F work) {
  const Binlog::UnderWay here(context.binlog);
  auto made = co_await durable(context, pool, std::move(work));
  co_return co_await copied(context, std::move(made));
}
// "group + remote name", the reply of everything that makes a file.
wire::Bytes stored_file_reply(const Context& context, const std::string& name);
// The reply to an upload: that, or StoredCopies when `flags` asked for copies. Errors: timeout, as
// committed().
Result<Reply> upload_reply(const Context& context, const std::string& name, std::uint8_t flags,
                           const Copies& copies);

// Request content of known size, taken from the connection: in memory while the budget lasts, else
// in a staged file.
class Content {
public:
  // Takes the rest of the body. `store_path`: where a staged file is made; none: it is kept in
  // memory or refused. Errors: no_space, io_error, closed, timeout, busy (max_request_memory is
  // used up).
  static Task<Result<Content>> take(Context& context, Body& body,
                                    std::optional<std::uint8_t> store_path);

  bool in_memory() const { return !staged_.has_value(); }
  wire::View view() const { return view_; }
  StagedFile& staged() { return *staged_; }

private:
  MemoryCharge charge_;
  wire::Buffer memory_;
  wire::View view_;
  std::optional<StagedFile> staged_;
};

} // namespace cairn::storage
