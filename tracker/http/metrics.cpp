// /metrics of the tracker. Labels are groups, nodes, store paths and commands: all bounded.
#include "common/base/metrics_text.h"
#include "common/net/cache_purger.h"
#include "tracker/handlers/namespace_service.h"
#include "tracker/http/http.h"

#include <array>
#include <string>

namespace cairn::tracker {

namespace {

constexpr std::array kStates{wire::NodeState::init,    wire::NodeState::wait_sync,
                             wire::NodeState::syncing, wire::NodeState::offline,
                             wire::NodeState::online,  wire::NodeState::active};

// One sample for each store path of each node.
template <class Value>
void path_family(MetricsText& out, const ClusterState& cluster, std::string_view name,
                 std::string_view help, Value value) {
  out.family(name, "gauge", help);
  for (const auto& [id, node] : cluster.nodes()) {
    if (node.fact.deleted) continue;
    const std::string node_text = node.fact.id_text();
    for (std::size_t i = 0; i < node.report.paths.size(); ++i) {
      const std::string path = std::to_string(i);
      out.sample(static_cast<std::uint64_t>(value(node.report.paths[i])),
                 {{"group", node.fact.group}, {"node", node_text}, {"path", path}});
    }
  }
}

// One sample for each pair of nodes that sync.
template <class Value>
void sync_family(MetricsText& out, const ClusterState& cluster, std::string_view name,
                 std::string_view help, Value value) {
  out.family(name, "gauge", help);
  for (const auto& [id, node] : cluster.nodes()) {
    if (node.fact.deleted) continue;
    const std::string from = node.fact.id_text();
    for (const auto& sync : node.report.peers) {
      const std::string to = std::to_string(sync.peer_id);
      out.sample(static_cast<double>(value(sync)),
                 {{"group", node.fact.group}, {"from", from}, {"to", to}});
    }
  }
}

void tracker_families(MetricsText& out, Tracker& tracker) {
  out.family("cairn_build_info", "gauge", "Version of this program.");
  out.sample(std::uint64_t{1}, {{"version", CAIRN_VERSION}, {"revision", ""}, {"role", "tracker"}});
  out.family("cairn_start_time_seconds", "gauge", "When this process started, unix time.");
  out.sample(tracker.start_time());
  out.family("cairn_tracker_ready", "gauge", "1 when this tracker should get traffic.");
  out.sample(std::uint64_t{tracker.is_ready() ? 1U : 0U});
  out.family("cairn_tracker_is_holder", "gauge", "1 when this tracker holds the metadata.");
  out.sample(std::uint64_t{tracker.is_holder() ? 1U : 0U});
  out.family("cairn_tracker_view_version", "gauge", "Version of the cluster view.");
  out.sample(tracker.cluster().version());
  if (const ReplicatedLog* log = tracker.log()) {
    const LogStatus status = log->status();
    out.family("cairn_log_healthy", "gauge", "1 while the metadata log takes changes.");
    out.sample(std::uint64_t{status.healthy ? 1U : 0U});
    out.family("cairn_log_applied_index", "gauge", "Last entry of the metadata log.");
    out.sample(status.applied.index);
  }

  const ConnectionGauge& connections = tracker.connections();
  out.family("cairn_connections", "gauge", "Open connections on the frame port.");
  out.sample(std::uint64_t{connections.open.load()});
  out.family("cairn_connections_accepted_total", "counter", "Accepted since start.");
  out.sample(connections.accepted.load());
  out.family("cairn_connections_refused_total", "counter", "Closed at once, by max_connections.");
  out.sample(connections.refused.load());

  out.family("cairn_tracker_requests_total", "counter", "Requests by command number.");
  for (std::size_t i = 0; i < tracker.counts().size(); ++i) {
    if (tracker.counts()[i].requests == 0) continue;
    const std::string command = std::to_string(i);
    out.sample(tracker.counts()[i].requests, {{"command", command}});
  }
  out.family("cairn_tracker_request_errors_total", "counter",
             "Requests answered with a status other than 0, by command number.");
  for (std::size_t i = 0; i < tracker.counts().size(); ++i) {
    if (tracker.counts()[i].requests == 0) continue;
    const std::string command = std::to_string(i);
    out.sample(tracker.counts()[i].errors, {{"command", command}});
  }
}

void node_families(MetricsText& out, const ClusterState& cluster) {
  out.family("cairn_nodes", "gauge", "Storage nodes of a group by state.");
  for (const auto& [name, fact] : cluster.facts().groups()) {
    const auto members = cluster.members(name);
    for (const wire::NodeState state : kStates) {
      std::uint64_t count = 0;
      for (const Node* node : members) count += node->state == state ? 1U : 0U;
      out.sample(count, {{"group", name}, {"state", describe(state)}});
    }
  }
  out.family("cairn_node_up", "gauge", "1 when a storage node serves its clients.");
  for (const auto& [id, node] : cluster.nodes()) {
    if (node.fact.deleted) continue;
    const std::string text = node.fact.id_text();
    out.sample(std::uint64_t{node.is_up() ? 1U : 0U}, {{"group", node.fact.group}, {"node", text}});
  }
  out.family("cairn_store_objects", "gauge", "Files a storage node holds.");
  for (const auto& [id, node] : cluster.nodes()) {
    if (node.fact.deleted) continue;
    const std::string text = node.fact.id_text();
    out.sample(node.report.file_count, {{"group", node.fact.group}, {"node", text}});
  }
  path_family(out, cluster, "cairn_store_bytes", "Size of a store path's file system.",
              [](const wire::PathUsage& path) { return path.total_bytes; });
  path_family(out, cluster, "cairn_store_free_bytes", "Free bytes of a store path.",
              [](const wire::PathUsage& path) { return path.free_bytes; });
  path_family(out, cluster, "cairn_store_inodes_free", "Free inodes of a store path.",
              [](const wire::PathUsage& path) { return path.free_inodes; });
  path_family(out, cluster, "cairn_disk_state", "0 good, 1 read-only, 2 failed.",
              [](const wire::PathUsage& path) { return path.state; });
  sync_family(out, cluster, "cairn_sync_lag_seconds", "Age of the oldest change a peer lacks.",
              [](const wire::PeerSync& sync) { return static_cast<double>(sync.lag_ms) / 1000.0; });
  sync_family(out, cluster, "cairn_sync_backlog_files", "Changes a peer lacks.",
              [](const wire::PeerSync& sync) { return sync.backlog_files; });
  sync_family(out, cluster, "cairn_sync_backlog_bytes", "Bytes of the changes a peer lacks.",
              [](const wire::PeerSync& sync) { return sync.backlog_bytes; });
}

void namespace_families(MetricsText& out, const NamespaceService& service) {
  const auto& counters = service.counters();
  out.family("cairn_ns_requests_total", "counter", "Namespace requests by operation number.");
  for (std::size_t i = 0; i < counters.requests.size(); ++i) {
    if (counters.requests[i] == 0) continue;
    const std::string operation = std::to_string(i);
    out.sample(counters.requests[i], {{"op", operation}});
  }
  out.family("cairn_ns_request_errors_total", "counter",
             "Namespace requests answered with an errno, by operation number.");
  for (std::size_t i = 0; i < counters.requests.size(); ++i) {
    if (counters.requests[i] == 0) continue;
    const std::string operation = std::to_string(i);
    out.sample(counters.errors[i], {{"op", operation}});
  }
  const auto& writer = service.writer();
  out.family("cairn_ns_position", "gauge", "Changes of the namespace so far.");
  out.sample(writer.position());
  out.family("cairn_ns_batches_total", "counter", "Batches logged; each is one synced write.");
  out.sample(writer.counters().batches);
  out.family("cairn_ns_queue", "gauge", "Changes that wait for the writer.");
  out.sample(std::uint64_t{writer.queued()});
  out.family("cairn_ns_sessions", "gauge", "Sessions, connected or within their lease.");
  out.sample(std::uint64_t{service.sessions()});
  out.family("cairn_ns_sessions_expired_total", "counter", "Sessions that fell silent.");
  out.sample(counters.expired);
  out.family("cairn_ns_events_total", "counter", "Events pushed to caches.");
  out.sample(counters.events);
  out.family("cairn_ns_lock_waits", "gauge", "Lock requests that wait.");
  out.sample(std::uint64_t{service.locks_waiting()});
  out.family("cairn_ns_orphans", "gauge", "Inodes without a name that are open.");
  out.sample(service.orphans());
  out.family("cairn_ns_deleted_files_total", "counter",
             "Stored files deleted after their grace time.");
  out.sample(counters.deleted_files);
  out.family("cairn_ns_delete_errors_total", "counter", "Deletions to be tried again.");
  out.sample(counters.delete_errors);
  out.family("cairn_ns_stored_orphans_total", "counter",
             "Stored files that a crash left without a name, removed.");
  out.sample(counters.stored_orphans);
  out.family("cairn_ns_fragmented_files", "gauge", "Files that may have to be rewritten.");
  out.sample(counters.fragmented);
  out.family("cairn_ns_rewrites_total", "counter", "Stored files made of fragmented ones.");
  out.sample(counters.rewrites);
  out.family("cairn_ns_rewritten_bytes_total", "counter", "Bytes in them.");
  out.sample(counters.rewritten_bytes);
  out.family("cairn_ns_rewritten_extents_total", "counter", "Extents they took the place of.");
  out.sample(counters.rewritten_extents);
  out.family("cairn_ns_rewrite_conflicts_total", "counter",
             "Rewrites in vain: the file was written meanwhile.");
  out.sample(counters.rewrite_conflicts);
  out.family("cairn_ns_rewrite_errors_total", "counter", "Rewrites to be tried again.");
  out.sample(counters.rewrite_errors);
  if (const CachePurger* purger = service.purger()) {
    out.family("cairn_cache_purges_total", "counter", "Requests that caches in front have taken.");
    out.sample(purger->counters().requests);
    out.family("cairn_cache_refreshes_total", "counter", "URLs that caches in front fetched anew.");
    out.sample(purger->counters().refreshes);
    out.family("cairn_cache_purge_failures_total", "counter", "Those to be made again.");
    out.sample(purger->counters().failures);
    out.family("cairn_cache_purge_overflows_total", "counter",
               "Caches that were told to forget everything, since there was too much to tell.");
    out.sample(purger->counters().everything);
    out.family("cairn_cache_purge_waiting", "gauge", "What a cache has not been told yet.");
    out.sample(std::uint64_t{purger->waiting()});
  }
  const auto per_export = [&](std::string_view name, std::string_view help, auto value) {
    out.family(name, "gauge", help);
    for (const wire::NsExport& one : service.exports())
      out.sample(value(one), {{"export", one.name}});
  };
  per_export("cairn_export_bytes", "Bytes an export uses.",
             [](const wire::NsExport& one) { return one.used_bytes; });
  per_export("cairn_export_inodes", "Files and directories of an export.",
             [](const wire::NsExport& one) { return one.used_inodes; });
  per_export("cairn_export_quota_bytes", "Most bytes of an export, 0: no limit.",
             [](const wire::NsExport& one) { return one.quota_bytes; });
  per_export("cairn_export_quota_inodes", "Most files and directories, 0: no limit.",
             [](const wire::NsExport& one) { return one.quota_inodes; });
}

} // namespace

std::string metrics_text(Tracker& tracker) {
  MetricsText out;
  tracker_families(out, tracker);
  node_families(out, tracker.cluster());
  if (const NamespaceService* service = tracker.namespace_service())
    namespace_families(out, *service);
  if (const std::int64_t expires = tracker.certificate_expires(); expires != 0) {
    out.family("cairn_tls_certificate_expires_seconds", "gauge",
               "When the certificate of this node expires, unix time.");
    out.sample(static_cast<std::uint64_t>(expires));
  }
  out.family("cairn_alarms", "gauge", "What needs attention, by kind.");
  std::map<std::string, std::uint64_t> kinds;
  for (const Alarm& alarm : alarms(tracker)) ++kinds[alarm.code];
  for (const auto& [code, count] : kinds) out.sample(count, {{"code", code}});
  return out.text();
}

} // namespace cairn::tracker
