// The cluster in JSON, and what about it needs attention.
#include "tracker/handlers/namespace_service.h"
#include "tracker/handlers/tracker.h"

#include <nlohmann/json.hpp>

#include <map>

namespace cairn::tracker {

namespace {

using nlohmann::json;

constexpr std::uint64_t kLagAlarmMs = 300'000;

std::string_view path_state(wire::PathState state) {
  switch (state) {
    case wire::PathState::ok:
      return "ok";
    case wire::PathState::read_only:
      return "read_only";
    case wire::PathState::failed:
      return "failed";
  }
  return "unknown";
}

std::string_view sync_phase(wire::SyncPhase phase) {
  switch (phase) {
    case wire::SyncPhase::disconnected:
      return "disconnected";
    case wire::SyncPhase::bring_up:
      return "bring_up";
    case wire::SyncPhase::tail:
      return "tail";
  }
  return "unknown";
}

json node_json(const Node& node, const config::ReservedSpace& reserve) {
  json paths = json::array();
  for (std::size_t i = 0; i < node.report.paths.size(); ++i) {
    const auto& path = node.report.paths[i];
    paths.push_back({{"index", i},
                     {"total_bytes", path.total_bytes},
                     {"free_bytes", path.free_bytes},
                     {"total_inodes", path.total_inodes},
                     {"free_inodes", path.free_inodes},
                     {"state", path_state(path.state)},
                     {"has_room", path_has_room(path, node.report.paths.size(), reserve)}});
  }
  return {{"id", node.fact.id},
          {"uuid", node.fact.uuid},
          {"group", node.fact.group},
          {"host", node.fact.host},
          {"port", node.fact.port},
          {"http_port", node.fact.http_port},
          {"state", describe(node.state)},
          {"draining", node.fact.draining},
          {"brought_up", node.fact.brought_up},
          {"takes_uploads", node.can_write() && node_has_room(node, reserve)},
          {"version", node.join.program_version},
          {"join_time", node.fact.join_time},
          {"start_time", node.join.start_time},
          {"last_heartbeat", node.last_heartbeat},
          {"files", node.report.file_count},
          {"end_seq", node.report.end_seq},
          {"damaged_copies", node.report.damaged_copies},
          {"lost_copies", node.report.lost_copies},
          {"total_bytes", node.total_bytes()},
          {"free_bytes", node.free_bytes()},
          {"store_paths", std::move(paths)}};
}

json sync_json(const Node& node, const wire::PeerSync& sync) {
  return {{"group", node.fact.group},
          {"from", node.fact.id},
          {"to", sync.peer_id},
          {"phase", sync_phase(sync.phase)},
          {"brought_up", sync.brought_up},
          {"acked_seq", sync.acked_seq},
          {"lag_files", sync.backlog_files},
          {"lag_bytes", sync.backlog_bytes},
          {"lag_seconds", static_cast<double>(sync.lag_ms) / 1000.0},
          {"bring_up_done", sync.bring_up_done},
          {"bring_up_total", sync.bring_up_total},
          {"bring_up_left_seconds", sync.bring_up_left_s}};
}

} // namespace

std::string_view describe(wire::NodeState state) {
  switch (state) {
    case wire::NodeState::init:
      return "init";
    case wire::NodeState::wait_sync:
      return "wait_sync";
    case wire::NodeState::syncing:
      return "syncing";
    case wire::NodeState::deleted:
      return "deleted";
    case wire::NodeState::offline:
      return "offline";
    case wire::NodeState::online:
      return "online";
    case wire::NodeState::active:
      return "active";
    case wire::NodeState::recovery:
      return "recovery";
  }
  return "unknown";
}

std::vector<Alarm> alarms(Tracker& tracker) {
  std::vector<Alarm> found;
  const auto raise = [&found](std::string severity, std::string code, const Node& node,
                              std::string message) {
    found.push_back({std::move(severity), std::move(code), node.fact.group, node.fact.id,
                     "node " + node.fact.id_text() + " " + std::move(message)});
  };
  std::string reason;
  if (!tracker.is_ready(&reason)) found.push_back({"error", "tracker_not_ready", "", 0, reason});

  const auto& reserve = tracker.config().reserved_storage_space;
  for (const auto& [name, fact] : tracker.cluster().facts().groups()) {
    const auto members = tracker.cluster().members(name);
    std::size_t up = 0;
    std::size_t kept = 0;
    bool room = false;
    for (const Node* node : members) {
      if (node->fact.deleted) continue;
      ++kept;
      if (node->is_up()) ++up;
      if (node->can_write() && node_has_room(*node, reserve)) room = true;
    }
    if (kept > 0 && up == 0)
      found.push_back({"error", "group_down", name, 0, "no node of " + name + " is up"});
    else if (kept > 0 && !room)
      found.push_back({"error", "group_full", name, 0, "no node of " + name + " takes uploads"});
  }

  for (const auto& [id, node] : tracker.cluster().nodes()) {
    if (node.fact.deleted) continue;
    if (!node.connected) {
      raise("error", "node_offline", node, "is offline");
      continue;
    }
    for (std::size_t i = 0; i < node.report.paths.size(); ++i) {
      const auto& path = node.report.paths[i];
      const std::string which = "store path " + std::to_string(i);
      if (path.state == wire::PathState::failed)
        raise("error", "path_failed", node, which + " has failed");
      else if (path.state == wire::PathState::read_only)
        raise("warning", "path_read_only", node, which + " is read-only");
      else if (!path_has_room(path, node.report.paths.size(), reserve))
        raise("warning", "path_full", node, which + " is full");
    }
    if (node.report.lost_copies > 0)
      raise("error", "copies_lost", node,
            "has " + std::to_string(node.report.lost_copies) +
                " damaged or missing copies that no member can replace");
    else if (node.report.damaged_copies > 0)
      raise("warning", "copies_damaged", node,
            "has " + std::to_string(node.report.damaged_copies) +
                " damaged or missing copies that are not replaced yet");
    for (const auto& sync : node.report.peers) {
      const Node* peer = tracker.cluster().find(sync.peer_id);
      if (peer == nullptr || peer->fact.deleted || !peer->connected) continue;
      const std::string to = "does not reach " + std::to_string(sync.peer_id);
      if (sync.phase == wire::SyncPhase::disconnected && sync.backlog_files > 0)
        raise("warning", "sync_disconnected", node, to);
      else if (sync.phase == wire::SyncPhase::tail && sync.lag_ms > kLagAlarmMs)
        raise("warning", "sync_lag", node,
              "lags behind to " + std::to_string(sync.peer_id) + " by " +
                  std::to_string(sync.lag_ms / 1000) + " s");
    }
  }
  return found;
}

std::string status_json(Tracker& tracker, const Session* session) {
  const ClusterState& cluster = tracker.cluster();
  const auto& reserve = tracker.config().reserved_storage_space;
  json out;
  out["program"] = "cairn-tracker";
  out["version"] = CAIRN_VERSION;
  out["cluster"] = cluster.facts().cluster_uuid();
  out["view_version"] = cluster.version();
  out["time"] = tracker.now().unix_s;

  std::string reason;
  const bool ready = tracker.is_ready(&reason);
  json self = {{"uuid", tracker.uuid()},
               {"ready", ready},
               {"reason", reason},
               {"start_time", tracker.start_time()},
               {"connections", tracker.connections().open.load()}};
  if (const ReplicatedLog* log = tracker.log()) {
    const LogStatus status = log->status();
    self["log"] = {{"engine", status.engine},
                   {"healthy", status.healthy},
                   {"leader", status.leader},
                   {"epoch", status.applied.epoch},
                   {"index", status.applied.index}};
  }
  out["self"] = std::move(self);

  out["trackers"] = json::array();
  bool first = true;
  for (const TrackerSeen& seen : tracker.trackers(session)) {
    out["trackers"].push_back({{"address", seen.address},
                               {"role", seen.holder ? "holder" : "follower"},
                               {"connected", seen.connected},
                               {"self", first}});
    first = false;
  }

  out["groups"] = json::array();
  for (const auto& [name, fact] : cluster.facts().groups()) {
    std::uint64_t nodes = 0;
    std::uint64_t active = 0;
    bool any_report = false;
    std::uint64_t total = 0;
    std::uint64_t free = 0;
    std::uint64_t files = 0;
    bool room = false;
    for (const Node* node : cluster.members(name)) {
      if (node->fact.deleted) continue;
      ++nodes;
      if (node->state == wire::NodeState::active) ++active;
      files = std::max(files, node->report.file_count);
      room = room || (node->can_write() && node_has_room(*node, reserve));
      if (node->report.paths.empty()) continue;
      // A group is as large as its smallest member.
      total = any_report ? std::min(total, node->total_bytes()) : node->total_bytes();
      free = any_report ? std::min(free, node->free_bytes()) : node->free_bytes();
      any_report = true;
    }
    out["groups"].push_back({{"name", name},
                             {"nodes", nodes},
                             {"active", active},
                             {"total_bytes", total},
                             {"free_bytes", free},
                             {"files", files},
                             {"takes_uploads", room}});
  }

  out["nodes"] = json::array();
  out["sync"] = json::array();
  for (const auto& [id, node] : cluster.nodes()) {
    out["nodes"].push_back(node_json(node, reserve));
    if (node.fact.deleted) continue;
    for (const auto& sync : node.report.peers) {
      const Node* peer = cluster.find(sync.peer_id);
      if (peer != nullptr && !peer->fact.deleted) out["sync"].push_back(sync_json(node, sync));
    }
  }

  if (const NamespaceService* service = tracker.namespace_service()) {
    out["exports"] = json::array();
    for (const wire::NsExport& one : service->exports())
      out["exports"].push_back({{"name", one.name},
                                {"bytes", one.used_bytes},
                                {"inodes", one.used_inodes},
                                {"quota_bytes", one.quota_bytes},
                                {"quota_inodes", one.quota_inodes}});
  }

  out["aliases"] = json::array();
  for (const auto& [former, alias] : cluster.facts().aliases())
    out["aliases"].push_back({{"former", former}, {"node", alias.id}});

  out["alarms"] = json::array();
  for (const Alarm& alarm : alarms(tracker)) {
    json one = {{"severity", alarm.severity}, {"code", alarm.code}, {"message", alarm.message}};
    if (!alarm.group.empty()) one["group"] = alarm.group;
    if (alarm.node != 0) one["node"] = alarm.node;
    out["alarms"].push_back(std::move(one));
  }
  // What a node sends need not be UTF-8.
  return out.dump(-1, ' ', false, json::error_handler_t::replace);
}

} // namespace cairn::tracker
