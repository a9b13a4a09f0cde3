// Commands 94 to 98 and 111, and the commands of FastDFS storage nodes, which are refused.
#include "common/base/text.h"
#include "common/wire/fastdfs.h"
#include "tracker/handlers/layouts.h"
#include "tracker/handlers/queries.h"

#include <algorithm>
#include <array>

namespace cairn::tracker {

namespace {

constexpr std::size_t kHostSize = 52; // "address:port" and NUL
constexpr std::size_t kIdTextMax = 15;

Error invalid() {
  return Error{Errc::invalid_argument, "body length"};
}

template <std::size_t N>
Result<std::array<std::uint8_t, N>> bytes_of(wire::View body) {
  if (body.size() != N) return invalid();
  std::array<std::uint8_t, N> values{};
  std::transform(body.begin(), body.end(), values.begin(),
                 [](std::byte byte) { return std::to_integer<std::uint8_t>(byte); });
  return values;
}

} // namespace

Result<wire::Bytes> set_trunk_server(Query&, wire::View body) {
  CAIRN_TRY(request, wire::decode<wire::GroupFile>(body));
  if (request.name.size() > kIdTextMax) return invalid();
  return Error{Errc::unsupported, "this cluster writes no trunk files"};
}

Result<wire::Bytes> get_leader(Query& query, wire::View body) {
  if (!body.empty()) return invalid();
  for (const auto& tracker : query.trackers()) {
    if (tracker.holder) return wire::to_bytes(tracker.address);
  }
  return Error{Errc::not_found, "no tracker holds the metadata"};
}

Result<wire::Bytes> tracker_cluster_stat(Query& query, wire::View body) {
  constexpr std::uint8_t kByActive = 1;
  constexpr std::uint8_t kByLeader = 2;
  CAIRN_TRY(wanted, bytes_of<3>(body));
  const std::vector<TrackerSeen> trackers = query.trackers();
  if (trackers.empty() || !trackers.front().holder)
    return Error{Errc::unsupported, "ask the tracker that holds the metadata"};
  wire::Bytes rows;
  wire::Writer writer(rows);
  std::uint64_t count = 0;
  for (const auto& tracker : trackers) {
    if ((wanted[0] & kByActive) != 0 && tracker.connected != (wanted[1] != 0)) continue;
    if ((wanted[0] & kByLeader) != 0 && tracker.holder != (wanted[2] != 0)) continue;
    if (count == 255) break; // the count is one byte
    ++count;
    writer.padded(tracker.address.substr(0, kHostSize - 1), kHostSize);
    writer.integer(tracker.holder ? 1 : 0, 1);
    writer.integer(tracker.connected ? 1 : 0, 1);
    writer.integer(query.config.max_connections, 4);
    writer.integer(tracker.connections_now, 4);
    writer.integer(tracker.connections_max, 4);
    writer.padded(std::string_view(CAIRN_VERSION).substr(0, 7), 8);
    writer.integer(tracker.start_time, 8);
    writer.integer(query.now_s, 8);
  }
  wire::Bytes out;
  wire::Writer(out).integer(count, 1);
  out.insert(out.end(), rows.begin(), rows.end());
  return out;
}

Result<wire::Bytes> storage_cluster_stat(Query& query, wire::View body) {
  constexpr std::uint8_t kByTrunk = 1;
  constexpr std::uint8_t kByStatus = 2;
  CAIRN_TRY(wanted, bytes_of<4>(body));
  wire::Bytes rows;
  wire::Writer writer(rows);
  std::uint64_t count = 0;
  for (const auto& [name, fact] : query.cluster.facts().groups()) {
    for (const Node* node : query.cluster.members(name)) {
      if ((wanted[0] & kByTrunk) != 0 && wanted[3] != 0) continue; // there is no trunk server
      const bool same = static_cast<std::uint8_t>(node->state) == wanted[2];
      if ((wanted[0] & kByStatus) != 0 && same == (wanted[1] == '!')) continue;
      ++count;
      const wire::NodeCounters& counters = node->report.counters;
      writer.padded(node->fact.id_text(), 16);
      writer.padded(HostPort{node->fact.host, node->fact.port}.text().substr(0, kHostSize - 1),
                    kHostSize);
      writer.integer(0, 1);
      writer.integer(static_cast<std::uint64_t>(node->state), 1);
      writer.integer(counters.connections_max_allowed, 4);
      writer.integer(counters.connections_now, 4);
      writer.integer(counters.connections_max_seen, 4);
      writer.padded(node->join.program_version.substr(0, 7), 8);
      writer.integer(node->join.start_time, 8);
      writer.integer(node->last_heartbeat, 8);
    }
  }
  wire::Bytes out;
  wire::Writer head(out);
  head.integer(1, 1); // storage IDs are used
  head.integer(0, 1); // trunk files are not
  head.integer(count, 4);
  head.raw(rows);
  return out;
}

Result<wire::Bytes> storage_volume_stat(Query& query, wire::View body) {
  constexpr std::uint8_t kByDisk = 1;
  constexpr std::uint8_t kByTrunk = 2;
  constexpr std::uint8_t kByEither = 4;
  CAIRN_TRY(wanted, bytes_of<4>(body));
  wire::Bytes rows;
  wire::Writer writer(rows);
  std::uint64_t count = 0;
  const auto& reserve = query.config.reserved_storage_space;
  for (const auto& [name, fact] : query.cluster.facts().groups()) {
    const GroupStat stat = GroupStat::of(query.cluster, query.selection, reserve, name);
    const auto members = query.cluster.members(name);
    const bool room = std::any_of(members.begin(), members.end(), [&](const Node* node) {
      return node->can_write() && node_has_room(*node, reserve);
    });
    if ((wanted[0] & kByDisk) != 0 && room != (wanted[1] != 0)) continue;
    if ((wanted[0] & kByTrunk) != 0 && wanted[2] != 0) continue;
    if ((wanted[0] & kByEither) != 0 && room != (wanted[3] != 0)) continue;
    ++count;
    writer.padded(name, kGroupNameMax + 1);
    writer.integer(stat.total_mb, 8);
    writer.integer(stat.free_mb, 8);
    writer.integer(stat.reserved_mb, 8);
    writer.integer(stat.free_mb > stat.reserved_mb ? stat.free_mb - stat.reserved_mb : 0, 8);
    writer.integer(0, 8);
    writer.integer(room ? 1 : 0, 1);
    writer.integer(0, 1);
  }
  wire::Bytes out;
  wire::Writer head(out);
  head.integer(0, 1);
  head.integer(count, 4);
  head.raw(rows);
  return out;
}

Result<wire::Bytes> refuse_storage_command(Query&, wire::View) {
  return Error{Errc::denied, "a command of FastDFS storage nodes"};
}

Result<wire::Bytes> active_test(Query&, wire::View body) {
  if (!body.empty()) return invalid();
  return wire::Bytes();
}

} // namespace cairn::tracker
