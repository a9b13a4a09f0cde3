// Commands 69 to 71 and 75: nodes by ID and address, and what clients of FastDFS ask about the
// cluster's habits.
#include "common/base/text.h"
#include "common/wire/fastdfs.h"
#include "tracker/handlers/layouts.h"
#include "tracker/handlers/queries.h"

#include <array>
#include <cstdio>

namespace cairn::tracker {

namespace {

// Text of one page of storage IDs; clients ask for the next one by its index.
constexpr std::size_t kPageBytesMax = 16 * 1024;

std::string storage_id_line(const Node& node) {
  std::string line = node.fact.id_text() + " " + node.fact.group + " " +
                     HostPort{node.fact.host, node.fact.port}.text();
  if (!node.readable && !node.writable)
    line += " rw=none";
  else if (!node.writable)
    line += " rw=read";
  else if (!node.readable)
    line += " rw=write";
  return line + "\n";
}

// The node of a group by "address:port", "address", or (empty) the caller's address.
Result<const Node*> find_by_address(const Query& query, wire::View body) {
  CAIRN_TRY(request, wire::decode<wire::GroupFile>(body));
  if (!query.cluster.has_group(request.group))
    return Error{Errc::not_found, "no group " + request.group};
  const std::string text = request.name.c_str();
  std::string host = text.empty() ? query.caller.to_string() : text;
  std::uint16_t port = 0;
  if (!is_ip_address(host)) {
    CAIRN_TRY(address, parse_host_port(host));
    host = address.host;
    port = address.port;
  }
  const Node* found = nullptr;
  for (const Node* node : query.cluster.members(request.group)) {
    if (node->fact.host != host || (port != 0 && node->fact.port != port)) continue;
    // Of several, one that is not removed.
    if (found == nullptr || found->fact.deleted) found = node;
  }
  if (found == nullptr) return Error{Errc::not_found, "no node at " + host};
  return found;
}

} // namespace

Result<wire::Bytes> fetch_storage_ids(Query& query, wire::View body) {
  // Four bytes before 6.11, then five: whether an empty list is welcome. It always is.
  if (body.size() != 4 && body.size() != 5)
    return Error{Errc::invalid_argument, "4 or 5 bytes expected"};
  const std::uint64_t start = wire::load_big_endian(body.data(), 4);
  std::vector<const Node*> nodes;
  for (const auto& [id, node] : query.cluster.nodes()) {
    if (!node.fact.deleted) nodes.push_back(&node);
  }
  if (start >= nodes.size() && !(start == 0 && nodes.empty()))
    return Error{Errc::invalid_argument, "start beyond the end"};
  std::string text;
  std::uint64_t count = 0;
  for (std::size_t i = static_cast<std::size_t>(start); i < nodes.size(); ++i, ++count) {
    const std::string line = storage_id_line(*nodes[i]);
    if (text.size() + line.size() > kPageBytesMax) break;
    text += line;
  }
  wire::Bytes out;
  wire::Writer writer(out);
  writer.integer(nodes.size(), 4);
  writer.integer(count, 4);
  writer.raw(wire::as_view(text));
  return out;
}

Result<wire::Bytes> get_storage_id(Query& query, wire::View body) {
  CAIRN_TRY(node, find_by_address(query, body));
  return wire::to_bytes(node->fact.id_text());
}

Result<wire::Bytes> get_storage_status(Query& query, wire::View body) {
  CAIRN_TRY(node, find_by_address(query, body));
  return layout_brief(*node, query.config.compat_stat_version);
}

Result<wire::Bytes> get_parameters(Query& query, wire::View body) {
  if (!body.empty()) return Error{Errc::invalid_argument, "this command has no body"};
  const config::TrackerConfig& config = query.config;
  std::string reserve = std::to_string(config.reserved_storage_space.bytes >> 20) + "MB";
  if (config.reserved_storage_space.is_percent) {
    std::array<char, 16> percent{};
    std::snprintf(percent.data(), percent.size(), "%.2f%%", config.reserved_storage_space.percent);
    reserve = percent.data();
  }
  // All keys of FastDFS 6.16, in its order: the nginx module and others read a few of them.
  const std::string text =
      "use_storage_id=true\n"
      "id_type_in_filename=id\n"
      "trust_storage_server_id=true\n"
      "response_ip_addr_size=" +
      std::to_string(address_width(config, query.cluster)) +
      "\n"
      "storage_ip_changed_auto_adjust=true\n"
      "storage_sync_file_max_delay=" +
      std::to_string(config.storage_sync_file_max_delay.count()) +
      "\n"
      "store_path=" +
      std::to_string(static_cast<int>(config.store_path)) +
      "\n"
      "reserved_storage_space=" +
      reserve +
      "\n"
      "use_trunk_file=false\n"
      "slot_min_size=256\n"
      "slot_max_size=1048576\n"
      "trunk_alloc_alignment_size=256\n"
      "trunk_file_size=67108864\n"
      "trunk_create_file_advance=false\n"
      "trunk_create_file_time_base=02:00\n"
      "trunk_create_file_interval=86400\n"
      "trunk_create_file_space_threshold=21474836480\n"
      "trunk_init_check_occupying=false\n"
      "trunk_init_reload_from_binlog=false\n"
      "trunk_free_space_merge=false\n"
      "delete_unused_trunk_files=false\n"
      "trunk_compress_binlog_min_interval=0\n"
      "trunk_compress_binlog_interval=0\n"
      "trunk_compress_binlog_time_base=03:00\n"
      "trunk_binlog_max_backups=0\n"
      "store_slave_file_use_link=false\n";
  return wire::to_bytes(text);
}

} // namespace cairn::tracker
