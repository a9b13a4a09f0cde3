// FastDFS reply layouts.
#include "tracker/handlers/layouts.h"

#include <algorithm>

namespace cairn::tracker {

namespace {

using config::CompatStat;

constexpr std::size_t kV4Width = 16;
constexpr std::size_t kV6Width = 46;
constexpr std::size_t kDomainSize = 128;
constexpr unsigned kMebiShift = 20;

void append_endpoint(wire::Writer& writer, const Node& node, std::size_t width) {
  writer.padded(node.fact.host, width - 1);
  writer.integer(node.fact.port, 8);
}

// A text field that old clients read as a C string: the last byte is always NUL.
void append_c_string(wire::Writer& writer, std::string_view text, std::size_t size) {
  writer.padded(text.substr(0, size - 1), size);
}

// Bit 2 writable, bit 4 readable, as rw= of storage_ids.conf.
std::uint64_t rw_mode(const Node& node) {
  return (node.writable ? 2U : 0U) + (node.readable ? 4U : 0U);
}

} // namespace

std::size_t address_width(const config::TrackerConfig& config, const ClusterState& cluster) {
  switch (config.response_ip_addr_size) {
    case config::IpAddrSize::v4:
      return kV4Width;
    case config::IpAddrSize::v6:
      return kV6Width;
    case config::IpAddrSize::automatic:
      break;
  }
  return cluster.has_ipv6() ? kV6Width : kV4Width;
}

wire::Bytes layout_upload_target(const UploadTarget& target, std::size_t width) {
  wire::Bytes out;
  wire::Writer writer(out);
  writer.padded(target.node->fact.group, kGroupNameMax);
  append_endpoint(writer, *target.node, width);
  writer.integer(target.store_path, 1);
  return out;
}

wire::Bytes layout_upload_targets(const UploadTargets& targets, std::size_t width) {
  wire::Bytes out;
  wire::Writer writer(out);
  writer.padded(targets.group, kGroupNameMax);
  for (const Node* node : targets.nodes) append_endpoint(writer, *node, width);
  writer.integer(targets.store_path, 1);
  return out;
}

wire::Bytes layout_fetch_target(const Node& node, std::size_t width) {
  wire::Bytes out;
  out.reserve(kGroupNameMax + width + 8);
  wire::Writer writer(out);
  writer.padded(node.fact.group, kGroupNameMax);
  append_endpoint(writer, node, width);
  return out;
}

wire::Bytes layout_fetch_targets(const std::vector<const Node*>& nodes, const Node* keep,
                                 std::size_t width, config::FetchAllLayout layout) {
  CAIRN_ASSERT(!nodes.empty());
  std::vector<const Node*> shown = nodes;
  const bool ports_differ = std::any_of(shown.begin(), shown.end(), [&](const Node* node) {
    return node->fact.port != shown.front()->fact.port;
  });
  const bool extended = ports_differ || layout == config::FetchAllLayout::extended;
  if (!extended && width == kV4Width && shown.size() % 3 == 0)
    shown.erase(shown.back() == keep ? shown.end() - 2 : shown.end() - 1);

  wire::Bytes out = layout_fetch_target(*shown.front(), width);
  wire::Writer writer(out);
  for (std::size_t i = 1; i < shown.size(); ++i) {
    if (extended)
      append_endpoint(writer, *shown[i], width);
    else
      writer.padded(shown[i]->fact.host, width - 1);
  }
  return out;
}

GroupStat GroupStat::of(const ClusterState& cluster, const Selection& selection,
                        const config::ReservedSpace& reserve, std::string_view group) {
  GroupStat stat;
  stat.name = group;
  bool first = true;
  std::uint64_t least = 0;
  for (const Node* node : cluster.members(group)) {
    if (node->fact.deleted) continue;
    ++stat.storage_count;
    stat.active_count += node->is_up() ? 1U : 0U;
    stat.readable_count += node->can_read() ? 1U : 0U;
    stat.writable_count += node->can_write() ? 1U : 0U;
    if (stat.storage_count == 1) {
      stat.storage_port = node->fact.port;
      stat.http_port = node->fact.http_port;
      stat.store_path_count = node->fact.store_path_count;
      stat.subdir_count = node->fact.subdir_count;
    }
    // A node that never reported says nothing about the group's space.
    if (node->report.paths.empty()) continue;
    if (first || node->free_bytes() < least) {
      least = node->free_bytes();
      stat.total_mb = node->total_bytes() >> kMebiShift;
      stat.free_mb = least >> kMebiShift;
      stat.reserved_mb = reserve.of(node->total_bytes()) >> kMebiShift;
      first = false;
    }
  }
  stat.write_index = selection.write_index(cluster, group);
  return stat;
}

void append_group_stat(const GroupStat& group, CompatStat version, wire::Bytes& out) {
  wire::Writer writer(out);
  const bool with_reserved = version == CompatStat::v6_15;
  append_c_string(writer, group.name, kGroupNameMax + 1);
  writer.integer(group.total_mb, 8);
  writer.integer(group.free_mb, 8);
  if (with_reserved) writer.integer(group.reserved_mb, 8);
  writer.integer(0, 8); // free space of trunk files
  writer.integer(group.storage_count, 8);
  writer.integer(group.storage_port, 8);
  if (with_reserved || version == CompatStat::v6_13) {
    writer.integer(group.readable_count, 8);
    writer.integer(group.writable_count, 8);
  } else {
    writer.integer(group.http_port, 8);
    writer.integer(group.active_count, 8);
  }
  writer.integer(group.write_index, 8);
  writer.integer(group.store_path_count, 8);
  writer.integer(group.subdir_count, 8);
  // No trunk file is being written: -1 since 6.13.1, 0 before.
  writer.integer(with_reserved ? ~std::uint64_t{0} : 0, 8);
}

void append_node_stat(const Node& node, const config::ReservedSpace& reserve,
                      std::uint8_t current_path, CompatStat version, std::size_t width,
                      wire::Bytes& out) {
  const bool before_6_13 =
      version == CompatStat::v5 || version == CompatStat::v6_11 || version == CompatStat::v6_12;
  std::size_t address = kV6Width;
  if (version == CompatStat::v5) address = kV4Width;
  if (version == CompatStat::v6_15) address = width;
  const std::size_t version_size =
      version == CompatStat::v5 || version == CompatStat::v6_11 ? 6 : 8;

  wire::Writer writer(out);
  writer.integer(static_cast<std::uint64_t>(node.state), 1);
  if (!before_6_13) writer.integer(rw_mode(node), 1);
  append_c_string(writer, node.fact.id_text(), 16);
  append_c_string(writer, node.fact.host, address);
  if (before_6_13) writer.padded("", kDomainSize);
  writer.padded("", 16); // ID of the node it was brought up by: all of its peers
  append_c_string(writer, node.join.program_version, version_size);
  writer.integer(node.fact.join_time, 8);
  writer.integer(node.join.start_time, 8);
  writer.integer(node.total_bytes() >> kMebiShift, 8);
  writer.integer(node.free_bytes() >> kMebiShift, 8);
  if (version == CompatStat::v6_15) writer.integer(reserve.of(node.total_bytes()) >> kMebiShift, 8);
  writer.integer(node.join.upload_priority, 8);
  writer.integer(node.fact.store_path_count, 8);
  writer.integer(node.fact.subdir_count, 8);
  writer.integer(current_path, 8);
  writer.integer(node.fact.port, 8);
  if (before_6_13) writer.integer(node.fact.http_port, 8);
  wire::NodeCounters counters = node.report.counters;
  counters.last_heartbeat = node.last_heartbeat;
  wire::encode_into(writer, counters);
  writer.integer(0, 1); // is the trunk server
}

wire::Bytes layout_brief(const Node& node, CompatStat version) {
  wire::Bytes out;
  wire::Writer writer(out);
  writer.integer(static_cast<std::uint64_t>(node.state), 1);
  writer.integer(node.fact.port, 4);
  append_c_string(writer, node.fact.id_text(), 16);
  append_c_string(writer, node.fact.host, version == CompatStat::v5 ? kV4Width : kV6Width);
  return out;
}

} // namespace cairn::tracker
