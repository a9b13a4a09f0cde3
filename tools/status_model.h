// What the tracker's "status" says, as far as this program uses it.
#pragma once

#include "cairn/types.h"

#include <nlohmann/json_fwd.hpp>

#include <cstdint>
#include <string>
#include <vector>

namespace cairn::tools {

struct StatusTracker {
  std::string address;
  std::string role;
  bool connected = false;
};

struct StatusGroup {
  std::string name;
  std::uint64_t nodes = 0;
  std::uint64_t active = 0;
  std::uint64_t files = 0;
  std::uint64_t total_bytes = 0;
  std::uint64_t free_bytes = 0;
  bool takes_uploads = false;
};

struct StatusNode {
  ClusterNode node; // without store paths
  std::string state;
  std::uint64_t files = 0;
  std::uint64_t end_seq = 0;
  std::uint64_t total_bytes = 0;
  std::uint64_t free_bytes = 0;
  std::uint64_t last_heartbeat = 0; // unix seconds, by the tracker's clock
};

// How far the changes of node `from` have come at node `to`.
struct StatusSync {
  std::uint32_t from = 0;
  std::uint32_t to = 0;
  std::string phase;
  bool brought_up = false;
  std::uint64_t acked_seq = 0;
  std::uint64_t lag_files = 0;
  std::uint64_t lag_bytes = 0;
  double lag_seconds = 0;
  std::uint64_t bring_up_done = 0;
  std::uint64_t bring_up_total = 0;
  std::uint64_t bring_up_left_seconds = 0; // 0: unknown
};

struct StatusAlarm {
  std::string severity;
  std::string code;
  std::string message;
};

struct ClusterStatus {
  std::string cluster;
  std::uint64_t time = 0; // unix seconds, by the tracker's clock
  std::vector<StatusTracker> trackers;
  std::vector<StatusGroup> groups;
  std::vector<StatusNode> nodes; // removed ones left out
  std::vector<StatusSync> sync;
  std::vector<StatusAlarm> alarms;

  const StatusNode* find(std::uint32_t id) const;
  // Changes that `to` still lacks, over all sources: its missing copies.
  std::uint64_t lag_files_of(std::uint32_t to) const;
  double lag_seconds_of(std::uint32_t to) const;
  // An alarm, a tracker or node that is not up, or a node that is still being brought up.
  bool is_degraded() const;
};

// Reads the answer; what is missing keeps its default, so that versions may differ.
ClusterStatus read_status(const nlohmann::json& reply);

} // namespace cairn::tools
