// Node states from facts and heartbeats.
#include "tracker/cluster/cluster_state.h"

#include <algorithm>
#include <utility>

namespace cairn::tracker {

using wire::NodeState;

std::uint64_t Node::total_bytes() const {
  std::uint64_t sum = 0;
  for (const auto& path : report.paths) sum += path.total_bytes;
  return sum;
}

std::uint64_t Node::free_bytes() const {
  std::uint64_t sum = 0;
  for (const auto& path : report.paths) sum += path.free_bytes;
  return sum;
}

ClusterState::ClusterState(std::chrono::milliseconds check_active_interval,
                           const std::vector<config::StorageIdEntry>& entries, Moment started)
    : check_active_interval_(check_active_interval),
      started_(started),
      // A node that has a view of this tracker's former life must not take it for the present one.
      version_(started.unix_s << 20) {
  for (const auto& entry : entries) entries_[entry.id] = entry;
}

void ClusterState::set_facts(ClusterFacts facts) {
  if (facts == facts_) return;
  facts_ = std::move(facts);
  ++version_;
  std::erase_if(nodes_, [this](const auto& item) { return facts_.find(item.first) == nullptr; });
  for (const auto& [id, fact] : facts_.nodes()) {
    Node& node = nodes_[id];
    node.fact = fact;
    if (const auto entry = entries_.find(id); entry != entries_.end()) {
      node.readable = entry->second.readable;
      node.writable = entry->second.writable;
    }
    if (fact.deleted) node.connected = false;
  }
  index_members();
  for (auto& [id, node] : nodes_) refresh(node);
}

void ClusterState::index_members() {
  members_.clear();
  has_ipv6_ = false;
  for (const auto& [id, node] : nodes_) {
    members_[node.fact.group].push_back(&node);
    if (!node.fact.deleted && node.fact.host.find(':') != std::string::npos) has_ipv6_ = true;
  }
  for (auto& [group, members] : members_) {
    std::sort(members.begin(), members.end(),
              [](const Node* a, const Node* b) { return a->fact.id_text() < b->fact.id_text(); });
  }
}

void ClusterState::heard_of(std::uint32_t id, Moment now) {
  heard_of_[id] = now.steady;
}

Result<NodeState> ClusterState::joined(const wire::Join& join, std::uint64_t link, Moment now) {
  const auto found = nodes_.find(join.id);
  if (found == nodes_.end() || found->second.fact.uuid != join.uuid || found->second.fact.deleted)
    return Error{Errc::not_found, "node " + std::to_string(join.id) + " is not a member"};
  Node& node = found->second;
  node.connected = true;
  node.link = link;
  node.heard = now.steady;
  node.last_heartbeat = now.unix_s;
  node.join = join;
  // What it said in its former life; its first heartbeat follows at once.
  node.report.stopping = false;
  refresh(node);
  refresh_group(node.fact.group);
  return node.state;
}

Result<NodeState> ClusterState::heartbeat(const wire::Heartbeat& heartbeat, std::uint64_t link,
                                          Moment now) {
  const auto found = nodes_.find(heartbeat.id);
  if (found == nodes_.end() || found->second.fact.uuid != heartbeat.uuid)
    return Error{Errc::not_found, "node " + std::to_string(heartbeat.id) + " is not a member"};
  Node& node = found->second;
  if (node.fact.deleted) return NodeState::deleted;
  if (node.link != link)
    return Error{Errc::not_found, "node " + std::to_string(heartbeat.id) + " has not joined here"};
  // A node that was silent and goes on speaking on its connection needs no new join.
  node.connected = true;
  node.heard = now.steady;
  node.last_heartbeat = now.unix_s;
  node.report = heartbeat;
  // More paths than it has joined with would be a way to make this tracker's tables grow.
  if (node.report.paths.size() > node.fact.store_path_count)
    node.report.paths.resize(node.fact.store_path_count);
  refresh(node);
  // Its reports on peers decide between wait_sync and syncing.
  refresh_group(node.fact.group);
  return node.state;
}

void ClusterState::disconnected(std::uint64_t link) {
  for (auto& [id, node] : nodes_) {
    if (node.link != link) continue;
    node.connected = false;
    node.link = 0;
    refresh(node);
    refresh_group(node.fact.group);
  }
}

void ClusterState::tick(Moment now) {
  std::erase_if(heard_of_, [&](const auto& item) {
    return now.steady - item.second >= check_active_interval_;
  });
  for (auto& [id, node] : nodes_) {
    if (!node.connected || now.steady - node.heard < check_active_interval_) continue;
    node.connected = false;
    refresh(node);
    refresh_group(node.fact.group);
  }
}

std::set<std::uint32_t> ClusterState::alive(Moment now) const {
  std::set<std::uint32_t> ids;
  for (const auto& [id, node] : nodes_) {
    if (node.connected) ids.insert(id);
  }
  for (const auto& [id, heard] : heard_of_) {
    if (now.steady - heard < check_active_interval_) ids.insert(id);
  }
  return ids;
}

bool ClusterState::just_started(Moment now) const {
  return now.steady - started_.steady < check_active_interval_;
}

std::vector<MarkBroughtUp> ClusterState::brought_up(Moment now) const {
  std::vector<MarkBroughtUp> ready;
  for (const auto& [id, node] : nodes_) {
    if (!node.connected || node.fact.brought_up || node.fact.deleted) continue;
    std::size_t others = 0; // members that could bring it up, alive or not
    std::size_t peers = 0;  // active ones
    std::size_t agreed = 0;
    for (const Node* peer : members(node.fact.group)) {
      if (peer == &node || peer->fact.deleted || !peer->fact.brought_up) continue;
      ++others;
      if (!peer->connected) continue;
      ++peers;
      agreed += static_cast<std::size_t>(std::any_of(
          peer->report.peers.begin(), peer->report.peers.end(),
          [id = id](const auto& sync) { return sync.peer_id == id && sync.brought_up; }));
    }
    // Right after our start a missing peer may be about to come back, and to object.
    const bool complete = peers == others || !just_started(now);
    if (others == 0)
      ready.push_back({id, true});
    else if (peers > 0 && agreed == peers && complete)
      ready.push_back({id, false});
  }
  return ready;
}

NodeState ClusterState::state_of(const Node& node) const {
  if (node.fact.deleted) return NodeState::deleted;
  if (!node.connected) return NodeState::offline;
  if (node.fact.brought_up) return node.report.stopping ? NodeState::online : NodeState::active;
  for (const Node* peer : members(node.fact.group)) {
    if (!peer->connected) continue;
    for (const auto& sync : peer->report.peers) {
      if (sync.peer_id == node.fact.id &&
          (sync.phase == wire::SyncPhase::bring_up || sync.brought_up))
        return NodeState::syncing;
    }
  }
  return NodeState::wait_sync;
}

void ClusterState::refresh(Node& node) {
  const NodeState state = state_of(node);
  if (state == node.state) return;
  node.state = state;
  ++version_;
}

void ClusterState::refresh_group(const std::string& group) {
  for (const Node* member : members(group)) {
    if (!member->fact.brought_up) refresh(nodes_.at(member->fact.id));
  }
}

wire::ClusterView ClusterState::view(std::string_view group) const {
  wire::ClusterView view;
  view.version = version_;
  view.cluster_uuid = facts_.cluster_uuid();
  for (const auto& [name, fact] : facts_.groups()) {
    if (group.empty() || group == name) view.groups.push_back({name});
  }
  for (const auto& [id, node] : nodes_) {
    if (!group.empty() && node.fact.group != group) continue;
    wire::NodeView shown;
    shown.id = id;
    shown.uuid = node.fact.uuid;
    shown.group = node.fact.group;
    shown.host = node.fact.host;
    shown.port = node.fact.port;
    shown.http_port = node.fact.http_port;
    shown.state = node.state;
    shown.draining = node.fact.draining;
    shown.store_path_count = node.fact.store_path_count;
    shown.brought_up = node.fact.brought_up;
    shown.join_time = node.fact.join_time;
    shown.subdir_count = node.fact.subdir_count;
    view.nodes.push_back(std::move(shown));
  }
  for (const auto& [former, alias] : facts_.aliases()) view.aliases.push_back(alias);
  return view;
}

const Node* ClusterState::find(std::uint32_t id) const {
  const auto found = nodes_.find(id);
  return found == nodes_.end() ? nullptr : &found->second;
}

const std::vector<const Node*>& ClusterState::members(std::string_view group) const {
  static const std::vector<const Node*> none;
  const auto found = members_.find(group);
  return found == members_.end() ? none : found->second;
}

} // namespace cairn::tracker
