// One picture of the cluster out of what several trackers say. Plain state.
//
// Versions of different trackers cannot be compared, and neither can a tracker be trusted because
// it spoke last: one that has just started lists only the nodes it has heard of. Three facts
// decide:
//   - a view never loses a node (removed ones stay in it, marked), so what one tracker does not
//   list
//     it merely does not know yet: the result lists what any tracker ever listed. Otherwise a node
//     would vanish with the tracker that knew it, its files would change owner, and a read would be
//     answered "no such file" while their only holder is away.
//   - addresses, groups and aliases come out of one store and reach every tracker in the end: of
//     several versions the one that arrived last counts, and of connected trackers before others
//     (aliases, which can be removed: of those that list the most nodes).
//   - whether a node is alive each tracker sees for itself: the best opinion of a connected tracker
//     counts, so that one tracker cut off from the nodes does not make them look dead. `deleted` is
//     final and counts whoever says it.
#pragma once

#include "common/base/result.h"
#include "common/wire/native.h"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

namespace cairn::storage {

// Of two opinions on the same node the one to believe: deleted, else the more alive.
wire::NodeState better_state(wire::NodeState a, wire::NodeState b);

class ViewMerge {
public:
  explicit ViewMerge(std::size_t tracker_count) : trackers_(tracker_count) {}

  // A view from tracker `index`, which is connected from now on. Errors: invalid_argument when it
  // is of another cluster than the one another connected tracker belongs to. If no other tracker is
  // connected, the former cluster is forgotten: its trackers were set up anew.
  Status take(std::size_t index, wire::ClusterView view);
  // Its opinions on who is alive no longer count.
  void disconnect(std::size_t index) { trackers_[index].is_connected = false; }

  // What all of them say, nodes by ID; its version grows with every call. Without any connected
  // tracker: what they said last.
  wire::ClusterView merged();

private:
  struct Tracker {
    std::optional<wire::ClusterView> view;
    bool is_connected = false;
    std::uint64_t arrival = 0; // of its view; a higher one is later
  };

  std::vector<Tracker> trackers_;
  std::uint64_t arrivals_ = 0;
  std::uint64_t version_ = 0;
};

} // namespace cairn::storage
