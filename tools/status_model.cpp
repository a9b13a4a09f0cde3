// Reading the tracker's status.
#include "tools/status_model.h"

#include <nlohmann/json.hpp>

#include <algorithm>

namespace cairn::tools {

namespace {

using nlohmann::json;

// The value under `key`, if it has the right type.
template <class T>
void get(const json& object, const char* key, T& out) {
  const auto found = object.find(key);
  if (found == object.end()) return;
  if constexpr (std::is_same_v<T, bool>) {
    if (found->is_boolean()) out = found->get<bool>();
  } else if constexpr (std::is_arithmetic_v<T>) {
    if (found->is_number()) out = found->get<T>();
  } else {
    if (found->is_string()) out = found->get<T>();
  }
}

template <class F>
void each(const json& reply, const char* key, F take) {
  const auto found = reply.find(key);
  if (found == reply.end() || !found->is_array()) return;
  for (const json& item : *found) {
    if (item.is_object()) take(item);
  }
}

NodeState state_named(const std::string& name) {
  for (const NodeState state :
       {NodeState::init, NodeState::wait_sync, NodeState::syncing, NodeState::deleted,
        NodeState::offline, NodeState::online, NodeState::active, NodeState::recovery}) {
    if (describe(state) == name) return state;
  }
  return NodeState::offline;
}

} // namespace

const StatusNode* ClusterStatus::find(std::uint32_t id) const {
  const auto found =
      std::find_if(nodes.begin(), nodes.end(), [id](const auto& n) { return n.node.id == id; });
  return found == nodes.end() ? nullptr : &*found;
}

std::uint64_t ClusterStatus::lag_files_of(std::uint32_t to) const {
  std::uint64_t files = 0;
  for (const StatusSync& one : sync) files += one.to == to ? one.lag_files : 0;
  return files;
}

double ClusterStatus::lag_seconds_of(std::uint32_t to) const {
  double seconds = 0;
  for (const StatusSync& one : sync) {
    if (one.to == to) seconds = std::max(seconds, one.lag_seconds);
  }
  return seconds;
}

bool ClusterStatus::is_degraded() const {
  const bool tracker_away = std::any_of(trackers.begin(), trackers.end(),
                                        [](const StatusTracker& t) { return !t.connected; });
  const bool node_away = std::any_of(nodes.begin(), nodes.end(), [](const StatusNode& n) {
    return n.node.state != NodeState::active && n.node.state != NodeState::online;
  });
  return tracker_away || node_away || !alarms.empty();
}

ClusterStatus read_status(const json& reply) {
  ClusterStatus status;
  get(reply, "cluster", status.cluster);
  get(reply, "time", status.time);
  each(reply, "trackers", [&](const json& item) {
    StatusTracker tracker;
    get(item, "address", tracker.address);
    get(item, "role", tracker.role);
    get(item, "connected", tracker.connected);
    status.trackers.push_back(std::move(tracker));
  });
  each(reply, "groups", [&](const json& item) {
    StatusGroup group;
    get(item, "name", group.name);
    get(item, "nodes", group.nodes);
    get(item, "active", group.active);
    get(item, "files", group.files);
    get(item, "total_bytes", group.total_bytes);
    get(item, "free_bytes", group.free_bytes);
    get(item, "takes_uploads", group.takes_uploads);
    status.groups.push_back(std::move(group));
  });
  each(reply, "nodes", [&](const json& item) {
    StatusNode node;
    get(item, "id", node.node.id);
    get(item, "uuid", node.node.uuid);
    get(item, "group", node.node.group);
    get(item, "host", node.node.address.host);
    get(item, "port", node.node.address.port);
    get(item, "http_port", node.node.http_port);
    get(item, "draining", node.node.draining);
    get(item, "state", node.state);
    node.node.state = state_named(node.state);
    get(item, "files", node.files);
    get(item, "end_seq", node.end_seq);
    get(item, "total_bytes", node.total_bytes);
    get(item, "free_bytes", node.free_bytes);
    get(item, "last_heartbeat", node.last_heartbeat);
    if (node.node.state != NodeState::deleted) status.nodes.push_back(std::move(node));
  });
  each(reply, "sync", [&](const json& item) {
    StatusSync sync;
    get(item, "from", sync.from);
    get(item, "to", sync.to);
    get(item, "phase", sync.phase);
    get(item, "brought_up", sync.brought_up);
    get(item, "acked_seq", sync.acked_seq);
    get(item, "lag_files", sync.lag_files);
    get(item, "lag_bytes", sync.lag_bytes);
    get(item, "lag_seconds", sync.lag_seconds);
    get(item, "bring_up_done", sync.bring_up_done);
    get(item, "bring_up_total", sync.bring_up_total);
    get(item, "bring_up_left_seconds", sync.bring_up_left_seconds);
    // Removed nodes are nobody's concern any more.
    if (status.find(sync.from) != nullptr && status.find(sync.to) != nullptr)
      status.sync.push_back(std::move(sync));
  });
  each(reply, "alarms", [&](const json& item) {
    StatusAlarm alarm;
    get(item, "severity", alarm.severity);
    get(item, "code", alarm.code);
    get(item, "message", alarm.message);
    status.alarms.push_back(std::move(alarm));
  });
  return status;
}

} // namespace cairn::tools
