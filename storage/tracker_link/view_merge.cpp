// Merging the views of several trackers.
#include "storage/tracker_link/view_merge.h"

#include <algorithm>
#include <map>
#include <string>
#include <utility>

namespace cairn::storage {

namespace {

int rank(wire::NodeState state) {
  switch (state) {
    case wire::NodeState::deleted:
      return 8;
    case wire::NodeState::active:
      return 7;
    case wire::NodeState::online:
      return 6;
    case wire::NodeState::recovery:
      return 5;
    case wire::NodeState::syncing:
      return 4;
    case wire::NodeState::wait_sync:
      return 3;
    case wire::NodeState::init:
      return 2;
    case wire::NodeState::offline:
      return 1;
  }
  return 0; // a number of a later version
}

} // namespace

wire::NodeState better_state(wire::NodeState a, wire::NodeState b) {
  return rank(a) >= rank(b) ? a : b;
}

Status ViewMerge::take(std::size_t index, wire::ClusterView view) {
  const auto differs = [&](const Tracker& other) {
    return &other != &trackers_[index] && other.view && !other.view->cluster_uuid.empty() &&
           !view.cluster_uuid.empty() && other.view->cluster_uuid != view.cluster_uuid;
  };
  for (const Tracker& other : trackers_) {
    if (other.is_connected && differs(other))
      return Error{Errc::invalid_argument, "belongs to cluster " + view.cluster_uuid +
                                               ", another tracker to " + other.view->cluster_uuid};
  }
  for (Tracker& other : trackers_) {
    if (differs(other)) other.view.reset();
  }
  trackers_[index] = Tracker{std::move(view), true, ++arrivals_};
  return Status();
}

wire::ClusterView ViewMerge::merged() {
  std::vector<const Tracker*> order; // the one to believe first comes last
  bool any_connected = false;
  for (const Tracker& tracker : trackers_) {
    if (!tracker.view) continue;
    order.push_back(&tracker);
    any_connected = any_connected || tracker.is_connected;
  }
  std::sort(order.begin(), order.end(), [](const Tracker* a, const Tracker* b) {
    return std::pair(a->is_connected, a->arrival) < std::pair(b->is_connected, b->arrival);
  });

  struct Known {
    wire::NodeView node;
    bool is_current = false; // its state is the opinion of a tracker whose opinion counts
  };
  std::map<std::uint32_t, Known> nodes;
  wire::ClusterView result;
  result.version = ++version_;
  std::size_t nodes_most = 0;
  for (const Tracker* tracker : order) {
    const bool counts = tracker->is_connected || !any_connected;
    for (const wire::NodeView& said : tracker->view->nodes) {
      auto [place, is_new] = nodes.try_emplace(said.id);
      Known& known = place->second;
      wire::NodeState state = said.state;
      // What a tracker that is gone said of a node is history, unless it is final.
      if (!counts && state != wire::NodeState::deleted) state = wire::NodeState::offline;
      if (!is_new && (known.is_current || known.node.state == wire::NodeState::deleted))
        state = better_state(known.node.state, state);
      known.node = said;
      known.node.state = state;
      known.is_current = known.is_current || counts;
    }
    if (!tracker->view->cluster_uuid.empty()) result.cluster_uuid = tracker->view->cluster_uuid;
    // An alias can be removed, so they are not united; a tracker that knows fewer nodes than
    // another has not heard of all aliases either.
    if (tracker->view->nodes.size() >= nodes_most) {
      nodes_most = tracker->view->nodes.size();
      result.aliases = tracker->view->aliases;
    }
  }
  for (auto& [id, known] : nodes) result.nodes.push_back(std::move(known.node));
  return result;
}

} // namespace cairn::storage
