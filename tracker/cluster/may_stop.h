// Whether a storage node can be stopped now without its group being the worse for it: what
// `cairn node may-stop` answers, for people and for scripts that restart nodes in turn.
#pragma once

#include "tracker/cluster/cluster_state.h"

#include <cstdint>
#include <string>
#include <vector>

namespace cairn::tracker {

// What would suffer if the node stopped, a line each ("node 7 at 10.0.0.7 still lacks 12 of its
// changes"); empty: it may. A node that is down may always. By the heartbeats, so up to one
// interval old. Precondition: the node exists and is not removed.
std::vector<std::string> reasons_not_to_stop(const ClusterState& cluster, std::uint32_t id);

} // namespace cairn::tracker
