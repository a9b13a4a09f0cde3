// What the handlers of a tracker work on: cluster state and selection, the writer of facts (at the
// tracker that holds them) or the way to that tracker, and what is known about each connection.
// Everything on one I/O thread.
#pragma once

#include "common/auth/audit.h"
#include "common/config/tracker_config.h"
#include "common/net/frame_client.h"
#include "common/net/listener.h"
#include "common/net/native_hello.h"
#include "common/net/session.h"
#include "tracker/cluster/cluster_state.h"
#include "tracker/cluster/selection.h"
#include "tracker/handlers/facts_writer.h"
#include "tracker/handlers/queries.h"
#include "tracker/log/replicated_log.h"

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>

namespace cairn::tracker {

class NamespaceService;

// One connection on the frame port, besides what its Session says.
struct Link {
  std::uint64_t number = 0; // never used again
  wire::Role role = wire::Role::client;
  std::string uuid;
  std::string address; // of a tracker that said hello: where it listens
};

// Requests by command, for metrics.
struct CommandCount {
  std::uint64_t requests = 0;
  std::uint64_t errors = 0;
};

class RulesTable;

class Tracker {
public:
  // `executor` is the I/O thread's. `log` is the log of the tracker that holds the metadata, with
  // the facts it has; nullptr when `config.metadata_holder` names another tracker. All references
  // outlive the tracker. `secret` is not null; `tls` is how the holder is reached, null: plain.
  Tracker(asio::any_io_executor executor, const config::TrackerConfig& config, std::string uuid,
          ReplicatedLog* log, ClusterFacts facts, const ConnectionGauge& connections,
          std::shared_ptr<auth::ClusterSecret> secret, std::shared_ptr<const TlsClient> tls);

  const config::TrackerConfig& config() const { return config_; }
  const std::string& uuid() const { return uuid_; }
  ClusterState& cluster() { return cluster_; }
  Selection& selection() { return selection_; }
  const ConnectionGauge& connections() const { return connections_; }
  Moment now() const;
  std::uint64_t start_time() const { return started_.unix_s; } // unix seconds

  // Runs until stop(): silent nodes, finished bring-ups, and (without a store) the holder's facts.
  Task<void> watch();
  // Ends watch() and the connections to the holder.
  void stop();

  // --- metadata ---

  bool is_holder() const { return log_ != nullptr; }
  // At the holder. Errors: those of FactsWriter::submit().
  Task<Status> change(FactsCommand command);
  // URL rules and aliases, at the holder once the server has given them; nullptr elsewhere.
  RulesTable* rules() { return rules_; }
  void set_rules(RulesTable* rules) { rules_ = rules; }
  // Elsewhere: asks the holder. Errors: its status; unavailable when it cannot be reached.
  Task<Result<wire::Bytes>> forward(std::uint8_t command, wire::Bytes body);
  // After the holder has changed something for us: shows it here too, if the holder still answers.
  Task<void> catch_up();
  // Takes the facts of the holder over.
  void learn(const wire::ClusterView& view);
  // At the holder: makes durable what peers say about nodes they have brought up.
  void note_brought_up();
  // False while this tracker knows no facts it could answer from; `reason` then says why.
  bool is_ready(std::string* reason = nullptr) const;
  // The log, nullptr without one.
  const ReplicatedLog* log() const { return log_; }
  // True when the holder has answered lately; always at the holder itself.
  bool holder_reachable() const;

  // The namespace, nullptr at a tracker that does not hold it. It outlives the tracker's sessions.
  NamespaceService* namespace_service() const { return namespace_; }
  void set_namespace(NamespaceService* service) { namespace_ = service; }

  // --- connections ---

  // What decides who is a node or administrator.
  HelloGate gate() const { return {*secret_, keys_}; }
  // Where administration is noted; null: nowhere (set before serving).
  void set_audit(auth::AuditLog* audit) { audit_ = audit; }
  auth::AuditLog* audit() const { return audit_; }
  // Tells when the node's certificate expires, unix seconds, 0: it has none (set before serving).
  void set_certificate_expiry(std::function<std::int64_t()> expires) {
    certificate_expires_ = std::move(expires);
  }
  std::int64_t certificate_expires() const {
    return certificate_expires_ ? certificate_expires_() : 0;
  }
  // The access keys for a node, sealed.
  wire::Bytes sealed_keys() const;
  // True for addresses in allow_hosts.
  bool is_allowed(const asio::ip::address& address) const;
  bool is_admin(const asio::ip::address& address) const;
  Link& link(const Session& session);
  // The connection is gone; its node is offline at once.
  void closed(const Session& session);
  // Where clients reach this tracker: its first bind_addr, or the address the connection came to.
  std::string address(const Session* session) const;
  // This tracker first, then the others it knows.
  std::vector<TrackerSeen> trackers(const Session* session) const;
  Query query(const Session& session);

  void count(std::uint8_t command, bool ok);
  const std::array<CommandCount, 256>& counts() const { return counts_; }

private:
  void show(const ClusterFacts& facts);
  Task<Status> pull();
  Task<void> commit_brought_up(MarkBroughtUp command);

  asio::any_io_executor executor_;
  const config::TrackerConfig& config_;
  std::string uuid_;
  ReplicatedLog* log_;
  NamespaceService* namespace_ = nullptr;
  const ConnectionGauge& connections_;
  std::shared_ptr<auth::ClusterSecret> secret_;
  auth::KeyRing keys_;
  std::function<std::int64_t()> certificate_expires_;
  auth::AuditLog* audit_ = nullptr;
  Moment started_;
  ClusterState cluster_;
  Selection selection_;
  std::optional<FactsWriter> writer_;
  RulesTable* rules_ = nullptr;
  std::optional<ClientPool> holder_; // connections to the tracker that holds the metadata
  std::chrono::milliseconds holder_answered_{0};
  bool stopping_ = false;
  std::unordered_map<const Session*, Link> links_;
  std::uint64_t next_link_ = 1;
  std::set<std::uint32_t> being_marked_; // brought-up facts on their way
  std::array<CommandCount, 256> counts_{};
};

// Every command of the frame port.
const HandlerTable<Tracker>& handlers();

// The JSON of `/status` and of the admin verb "status"; described in docs/protocol.md.
std::string status_json(Tracker& tracker, const Session* session);

// One thing an operator should look at.
struct Alarm {
  std::string severity; // "error": act now; "warning"
  std::string code;     // "node_offline", …
  std::string group;
  std::uint32_t node = 0; // 0: the group or the cluster as a whole
  std::string message;
};
std::vector<Alarm> alarms(Tracker& tracker);

// The name of a state in JSON, metrics and logs ("wait_sync").
std::string_view describe(wire::NodeState state);

} // namespace cairn::tracker
