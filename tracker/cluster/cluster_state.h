// The cluster as this tracker sees it now: the durable facts, and what heartbeats say. Plain state:
// time is an argument, nothing is sent or stored here.
//
//   joins, heartbeats, lost connections, facts  ->  ClusterState  ->  node states, views, numbers
//
// States of a node that is not removed:
//
//   offline    not joined here, silent for check_active_interval, or its connection is gone
//   wait_sync  joined, has not had everything yet
//   syncing    the same, and a peer is bringing it up
//   active     joined and brought up
//   online     as active, but it is stopping: reads yes, uploads no
#pragma once

#include "common/base/result.h"
#include "common/config/tracker_config.h"
#include "common/wire/native.h"
#include "tracker/cluster/cluster_facts.h"

#include <chrono>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace cairn::tracker {

// A point in time on both clocks: file names carry unix seconds, silence is measured by the clock
// that nobody sets.
struct Moment {
  std::uint64_t unix_s = 0;
  std::chrono::milliseconds steady{0};
};

// A node: its facts, and what it said last.
struct Node {
  NodeFact fact;
  wire::NodeState state = wire::NodeState::offline;
  bool readable = true; // by storage_ids.conf
  bool writable = true;

  bool connected = false;
  std::uint64_t link = 0;             // the connection it joined on
  std::chrono::milliseconds heard{0}; // its last join or heartbeat here
  std::uint64_t last_heartbeat = 0;   // unix seconds
  wire::Join join;                    // of the last join
  wire::Heartbeat report;             // the last heartbeat

  // Serves its clients, by state alone.
  bool is_up() const {
    return state == wire::NodeState::active || state == wire::NodeState::online;
  }
  bool can_read() const { return readable && is_up(); }
  // May take uploads, if it has room.
  bool can_write() const { return writable && state == wire::NodeState::active && !fact.draining; }
  // Sums over the store paths, in bytes.
  std::uint64_t total_bytes() const;
  std::uint64_t free_bytes() const;
};

class ClusterState {
public:
  // `entries` are the rules of storage_ids.conf. `started` is now: for check_active_interval after
  // it a silent node may just not have come back yet.
  ClusterState(std::chrono::milliseconds check_active_interval,
               const std::vector<config::StorageIdEntry>& entries, Moment started);
  ClusterState(const ClusterState&) = delete; // members_ points into nodes_
  ClusterState& operator=(const ClusterState&) = delete;

  // Takes new facts over. Nodes that are no longer in them vanish.
  void set_facts(ClusterFacts facts);
  const ClusterFacts& facts() const { return facts_; }

  // --- what is heard ---

  // The node is about to join, here or at another tracker.
  void heard_of(std::uint32_t id, Moment now);
  // The node, which must be in the facts, has joined on connection `link` (any number that is
  // never 0 nor used again). Answers its state. Errors: not_found.
  Result<wire::NodeState> joined(const wire::Join& join, std::uint64_t link, Moment now);
  // Errors: not_found (it has not joined here, or another UUID has the ID: join again).
  Result<wire::NodeState> heartbeat(const wire::Heartbeat& heartbeat, std::uint64_t link,
                                    Moment now);
  // Connection `link` is gone; its node is offline at once, unless it has joined on another since.
  void disconnected(std::uint64_t link);
  // Finds silent nodes. Call about twice a second.
  void tick(Moment now);

  // --- what follows ---

  // For JoinNode: who is alive, and whether silence means nothing yet.
  std::set<std::uint32_t> alive(Moment now) const;
  bool just_started(Moment now) const;
  // Nodes that have everything now, by the word of all their active peers: to be made facts by the
  // tracker that holds them.
  std::vector<MarkBroughtUp> brought_up(Moment now) const;

  // --- what is shown ---

  // Grows with every change of a view.
  std::uint64_t version() const { return version_; }
  // Of one group, or of all ("").
  wire::ClusterView view(std::string_view group) const;
  const Node* find(std::uint32_t id) const;
  // Removed ones included, ordered by the text of their IDs as FastDFS does; empty for an unknown
  // group. Lives until the facts change.
  const std::vector<const Node*>& members(std::string_view group) const;
  bool has_group(std::string_view name) const { return facts_.groups().contains(name); }
  const std::map<std::uint32_t, Node>& nodes() const { return nodes_; }
  // True when a node has an IPv6 address: replies to clients then need wider fields.
  bool has_ipv6() const { return has_ipv6_; }

private:
  wire::NodeState state_of(const Node& node) const;
  // Sets the node's state by what is known; a change makes a new view.
  void refresh(Node& node);
  void refresh_group(const std::string& group);
  void index_members();

  std::chrono::milliseconds check_active_interval_;
  std::map<std::uint32_t, config::StorageIdEntry> entries_; // by ID
  Moment started_;
  ClusterFacts facts_;
  std::map<std::uint32_t, Node> nodes_;
  // By group, made anew with the facts: every query asks for members.
  std::map<std::string, std::vector<const Node*>, std::less<>> members_;
  bool has_ipv6_ = false;
  // Joins of the last check_active_interval, also of nodes that are no members yet.
  std::map<std::uint32_t, std::chrono::milliseconds> heard_of_;
  std::uint64_t version_;
};

} // namespace cairn::tracker
