// The rules.
#include "tracker/cluster/may_stop.h"

#include "common/base/result.h"

#include <algorithm>

namespace cairn::tracker {

namespace {

std::string name_of(const Node& node) {
  return "node " + node.fact.id_text() + " at " + node.fact.host;
}

} // namespace

std::vector<std::string> reasons_not_to_stop(const ClusterState& cluster, std::uint32_t id) {
  std::vector<std::string> reasons;
  const Node* const node = cluster.find(id);
  CAIRN_ASSERT(node != nullptr);
  if (!node->is_up()) return reasons;

  std::size_t others = 0;
  bool takes_uploads = false;
  for (const Node* member : cluster.members(node->fact.group)) {
    if (member->fact.deleted || member == node) continue;
    ++others;
    if (!member->is_up()) {
      reasons.push_back(name_of(*member) + " is not serving");
      continue;
    }
    takes_uploads = takes_uploads || member->can_write();
    const auto& peers = node->report.peers;
    const auto peer = std::find_if(peers.begin(), peers.end(), [&](const wire::PeerSync& p) {
      return p.peer_id == member->fact.id;
    });
    if (peer == peers.end() || peer->phase != wire::SyncPhase::tail || !peer->brought_up)
      reasons.push_back(name_of(*member) + " is not in sync with it");
    else if (peer->backlog_files > 0)
      reasons.push_back(name_of(*member) + " still lacks " + std::to_string(peer->backlog_files) +
                        " of its changes");
  }
  if (others == 0)
    reasons.push_back("it is the only node of " + node->fact.group);
  else if (!takes_uploads)
    reasons.push_back("no other node of " + node->fact.group + " takes uploads");
  return reasons;
}

} // namespace cairn::tracker
