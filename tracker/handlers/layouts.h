// Replies to FastDFS clients as bytes: the layouts that exist in several widths and generations.
// Numbers, names and offsets are those of the FastDFS protocol; text fields are padded with zeros.
#pragma once

#include "common/config/tracker_config.h"
#include "tracker/cluster/cluster_state.h"
#include "tracker/cluster/selection.h"

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace cairn::tracker {

// Width of an address field with its NUL: 16, or 46 once there are IPv6 addresses (or by
// `response_ip_addr_size`). Most replies carry it without the NUL, as 15 or 45 bytes.
std::size_t address_width(const config::TrackerConfig& config, const ClusterState& cluster);

// Reply to 101 and 104: 40 or 70 bytes.
wire::Bytes layout_upload_target(const UploadTarget& target, std::size_t width);
// Reply to 106 and 107: 17 + 23 n or 17 + 53 n bytes.
wire::Bytes layout_upload_targets(const UploadTargets& targets, std::size_t width);
// Reply to 102 and 103: 39 or 69 bytes.
wire::Bytes layout_fetch_target(const Node& node, std::size_t width);
// Reply to 105. The classic layout has one port for all; the extended one is taken when asked for
// and when ports differ. In the classic 16-byte form a reply for 3, 6, 9 … nodes has a length that
// old Java clients take for an IPv6 reply: then the last node but `keep` is left out.
wire::Bytes layout_fetch_targets(const std::vector<const Node*>& nodes, const Node* keep,
                                 std::size_t width, config::FetchAllLayout layout);

// One group for commands 90 and 91; space in MiB.
struct GroupStat {
  std::string name;
  std::uint64_t total_mb = 0; // of the member with the least free space
  std::uint64_t free_mb = 0;
  std::uint64_t reserved_mb = 0;
  std::uint64_t storage_count = 0;
  std::uint64_t storage_port = 0;
  std::uint64_t http_port = 0;
  std::uint64_t active_count = 0;
  std::uint64_t readable_count = 0;
  std::uint64_t writable_count = 0;
  std::uint64_t write_index = 0;
  std::uint64_t store_path_count = 0;
  std::uint64_t subdir_count = 0;

  static GroupStat of(const ClusterState& cluster, const Selection& selection,
                      const config::ReservedSpace& reserve, std::string_view group);
};

// Appends 105 or 113 bytes, by version.
void append_group_stat(const GroupStat& group, config::CompatStat version, wire::Bytes& out);

// Appends one node for command 92: 612 (v5), 642 (6.11), 644 (6.12), 509 (6.13), 487 or 517 bytes
// (6.15, by width).
void append_node_stat(const Node& node, const config::ReservedSpace& reserve,
                      std::uint8_t current_path, config::CompatStat version, std::size_t width,
                      wire::Bytes& out);

// "Storage brief" of command 71: 67 bytes, 37 for v5.
wire::Bytes layout_brief(const Node& node, config::CompatStat version);

} // namespace cairn::tracker
