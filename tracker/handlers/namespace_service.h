// The namespace as a tracker serves it: sessions with their leases, opens, locks and watches around
// the writer, and what has to be done from time to time. One connection is in namespace_link.h; the
// rules of operations are in tracker/namespace. Everything on the tracker's I/O thread.
#pragma once

#include "common/config/host_list.h"
#include "common/net/frame_client.h"
#include "common/wire/cache_purge.h"
#include "tracker/cluster/cluster_state.h"
#include "tracker/handlers/namespace_writer.h"
#include "tracker/namespace/check.h"
#include "tracker/namespace/locks.h"
#include "tracker/namespace/open_files.h"
#include "tracker/namespace/watch.h"

#include <array>
#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <unordered_map>

namespace cairn {
class CachePurger;
}

namespace cairn::tracker {

class NamespaceBackup;
class NamespaceLink;

// Somebody who works on the namespace; outlives connections.
struct NamespaceSession {
  std::uint64_t number = 0;
  std::uint64_t token = 0;
  wire::NsSessionKind kind = wire::NsSessionKind::reader;
  std::string export_name;
  std::uint64_t root = 0; // inode of the export; 0: all
  std::string label;
  std::string address;
  bool trusted_kernel = false;
  bool read_only = false;
  bool reclaim = false; // it has not told its opens and locks since the tracker started
  std::chrono::steady_clock::time_point seen;
  NamespaceLink* link = nullptr; // its connection, while it has one
};

class NamespaceService {
public:
  // A session that is silent for so long must think it is over; kLeaseSlack later it is.
  static constexpr std::chrono::milliseconds kLease{15'000};
  static constexpr std::chrono::milliseconds kLeaseSlack{5'000};

  struct Counters {
    std::array<std::uint64_t, 256> requests{}; // by operation
    std::array<std::uint64_t, 256> errors{};
    std::uint64_t events = 0; // pushed
    std::uint64_t expired = 0;
    std::uint64_t deleted_files = 0; // stored files whose grace time was over
    std::uint64_t delete_errors = 0;
    std::uint64_t stored_orphans = 0; // stored files without a name that were removed
    // Of fragmented files (namespace_rewrite.h).
    std::uint64_t rewrites = 0;          // new stored files that were named
    std::uint64_t rewritten_bytes = 0;   // in them
    std::uint64_t rewritten_extents = 0; // that they took the place of
    std::uint64_t rewrite_conflicts = 0; // the file was written meanwhile
    std::uint64_t rewrite_errors = 0;    // no node could, for now
    std::uint64_t fragmented = 0;        // files that may have to be rewritten, at the last look
  };

  // `pool` is where the store is read; `credentials` are proved to storage nodes. All references
  // outlive the service.
  NamespaceService(asio::any_io_executor executor, ReplicatedLog& log, const StoreViews& store,
                   DiskPool& pool, const ClusterState& cluster, Credentials credentials,
                   NamespacePolicy policy);
  ~NamespaceService();

  // Reads sessions and orphans. Errors: io_error, corrupt.
  Task<Status> start();
  // Runs until stop(): leases, orphans, trash, deferred deletion.
  Task<void> watch();
  void stop();
  bool stopping() const { return stopping_; }

  // What backups are read from; null: this tracker makes none. It outlives the service.
  void set_backup(NamespaceBackup* backup) { backup_ = backup; }
  NamespaceBackup* backup() const { return backup_; }
  // Who tells caches in front what has changed; null: nobody. It outlives the service.
  void set_purger(CachePurger* purger) { purger_ = purger; }
  CachePurger* purger() const { return purger_; }

  NamespaceWriter& writer() { return writer_; }
  const NamespaceWriter& writer() const { return writer_; }
  const Counters& counters() const { return counters_; }
  Counters& counters() { return counters_; }
  std::size_t sessions() const { return sessions_.size(); }
  std::size_t locks_waiting() const { return locks_.waiting(); }
  std::uint64_t orphans() const { return orphans_.size(); }
  std::uint64_t orphan_age_s() const { return orphan_age_s_; }
  const ClusterState& cluster() const { return cluster_; }
  const asio::any_io_executor& executor() const { return executor_; }
  // True while this tracker may answer for the namespace.
  bool leads() const { return log_.lease_valid(); }
  // Deletes a stored file of the namespace at a member of its group. False: nobody could, for now.
  Task<bool> delete_stored(std::string id);
  // The URLs that storage nodes remember to have answered to caches in front: with one of the tags,
  // or, if there is a pattern, those that match it (common/wire/cache_purge.h). A node that does
  // not answer is left out. Errors: unavailable (none does).
  Task<Result<std::vector<wire::FrontUrl>>> front_urls(std::vector<std::string> tags,
                                                       std::string pattern);
  // A request to a storage node that may take long; stop() ends it. Errors: what the node answers;
  // unavailable, timeout, closed.
  Task<Result<wire::Bytes>> call_storage(Endpoint node, std::uint8_t command, wire::Bytes body,
                                         std::chrono::milliseconds timeout);
  // Exports and their usage, as of the last second.
  const std::vector<wire::NsExport>& exports() const { return exports_; }
  // Compares all tables with each other.
  Task<Result<CheckReport>> check();
  // Puts right what a check has found; answers how many rows. Errors: io_error, unavailable.
  Task<Result<std::uint64_t>> mend(std::vector<RowFix> fixes);

  // What is stored for the namespace and named by nothing.
  struct Sweep {
    std::uint64_t looked_at = 0;     // stored files with an origin mark
    std::uint64_t unknown = 0;       // of those, of sessions that this namespace knows nothing of
    std::vector<std::string> groups; // that could not be asked
    std::vector<std::string> found;  // IDs; at most kSweepMax
    std::uint64_t removed = 0;
  };
  static constexpr std::size_t kSweepMax = 100'000;
  // Looks at every marked stored file that is at least `age_s` old and was uploaded after `since`
  // (unix seconds) by a session that is over, and with `remove` deletes those without a reference.
  // Errors: busy (one is under way); io_error, corrupt (of the store), unavailable.
  Task<Result<Sweep>> sweep(std::uint64_t age_s, std::uint64_t since, bool remove);

  // --- sessions ---

  // What a connection has proved about whoever is behind it.
  struct Proved {
    bool admin = false;     // the cluster's secret, or a key that may administer
    bool read_only = false; // a key that may not write
  };
  // What an attach asks for, from `link`. Errors: denied, not_found (no such export), unavailable.
  Task<Result<wire::NsAttachReply>> attach(wire::NsAttach request, NamespaceLink& link,
                                           Proved proved);
  NamespaceSession* find(std::uint64_t number);
  // The connection has gone; the session stays until its lease ends.
  void detached(NamespaceLink& link);
  // The session is over: durable, then forgotten.
  Task<Status> end(std::uint64_t number);
  // Who a request of `session` stands for.
  Result<Caller> caller(const NamespaceSession& session, const wire::NsHead& head) const;
  wire::NsSessionsReply describe_sessions() const;

  // --- operations that are not rows ---

  Task<Outcome> open(NamespaceSession& session, Caller caller, wire::NsOpen request);
  Outcome close(NamespaceSession& session, wire::NsClose request);
  // Answers when the lock is granted, refused or cancelled. `request` names it for cancel().
  Task<Outcome> lock(NamespaceSession& session, Caller caller, wire::NsLock request,
                     std::uint64_t request_number);
  Task<Outcome> getlock(NamespaceSession& session, Caller caller, wire::NsLock request);
  void cancel(const NamespaceSession& session, std::uint64_t request_number);
  Task<Outcome> reclaim(NamespaceSession& session, Caller caller, wire::NsReclaim request);
  // Adds to statfs of an export without quota what the cluster has.
  void fill_statfs(wire::NsStatfsReply& reply) const;
  // The session caches `ino` from an answer of `position`.
  void watch(NamespaceSession& session, std::uint64_t ino, std::uint64_t position);
  void unwatch(NamespaceSession& session, const wire::NsUnwatch& request);

private:
  struct WaitingLock {
    explicit WaitingLock(const asio::any_io_executor& executor) : done(executor) {}
    std::uint64_t session = 0;
    std::uint64_t request = 0;
    bool granted = false;
    bool finished = false;
    asio::steady_timer done;
  };

  void committed(const std::vector<Published>& events, const std::vector<std::uint64_t>& orphans);
  void tell(const Watches::Told& told);
  void wake_locks();
  void reap_later(std::uint64_t ino);
  Task<void> reap(std::uint64_t ino);
  Task<void> expire();
  Task<void> empty_trash();
  Task<void> refresh_exports();
  Task<void> delete_due();
  Task<void> sweep_sometimes();
  Task<Status> collect_unnamed(std::string group, std::uint64_t age_s, std::uint64_t since,
                               Sweep& out, std::vector<std::string>& suspects);
  // Condemns stored files, so that nothing can name them, or takes that back.
  Task<Status> mark_stored(std::vector<std::string> refs, bool condemned);
  Task<Result<wire::NsExport>> find_export(std::string name);

  asio::any_io_executor executor_;
  ReplicatedLog& log_;
  const StoreViews& store_;
  DiskPool& pool_;
  const ClusterState& cluster_;
  OpenTable opens_;
  LockTable locks_;
  Watches watches_;
  NamespaceWriter writer_;
  Counters counters_;
  std::map<std::uint64_t, std::unique_ptr<NamespaceSession>> sessions_;
  std::uint64_t next_reader_;
  std::map<std::uint64_t, std::shared_ptr<WaitingLock>> waiting_; // by ticket
  std::uint64_t next_ticket_ = 1;
  std::set<std::uint64_t> orphans_;
  std::chrono::steady_clock::time_point grace_until_;
  bool grace_ = true;
  std::vector<wire::NsExport> exports_;
  ClientPool storages_;              // for deferred deletion and rewrites
  std::set<Connection*> long_calls_; // under way
  NamespaceBackup* backup_ = nullptr;
  CachePurger* purger_ = nullptr;
  const std::uint64_t orphan_age_s_;
  std::chrono::steady_clock::time_point next_sweep_;
  std::uint64_t swept_until_ = 0; // unix seconds: what was uploaded before is all named
  std::uint64_t sweep_turn_ = 0;  // which member is asked
  bool sweeping_ = false;
  bool stopping_ = false;
};

} // namespace cairn::tracker
