// Commands 90 to 92: statistics of groups and nodes.
#include "common/base/text.h"
#include "common/wire/fastdfs.h"
#include "tracker/handlers/layouts.h"
#include "tracker/handlers/queries.h"

namespace cairn::tracker {

namespace {
constexpr std::size_t kIdTextMax = 15;
}

Result<wire::Bytes> list_group(Query& query, wire::View body) {
  CAIRN_TRY(request, wire::decode<wire::GroupRequest>(body));
  if (!query.cluster.has_group(request.group))
    return Error{Errc::not_found, "no group " + request.group};
  wire::Bytes out;
  append_group_stat(GroupStat::of(query.cluster, query.selection,
                                  query.config.reserved_storage_space, request.group),
                    query.config.compat_stat_version, out);
  return out;
}

Result<wire::Bytes> list_all_groups(Query& query, wire::View body) {
  if (!body.empty()) return Error{Errc::invalid_argument, "this command has no body"};
  wire::Bytes out;
  for (const auto& [name, fact] : query.cluster.facts().groups())
    append_group_stat(
        GroupStat::of(query.cluster, query.selection, query.config.reserved_storage_space, name),
        query.config.compat_stat_version, out);
  return out;
}

Result<wire::Bytes> list_storages(Query& query, wire::View body) {
  CAIRN_TRY(request, wire::decode<wire::GroupFile>(body));
  // Java sends an address here, padded or not.
  const std::string wanted = request.name.c_str();
  if (request.name.size() > kIdTextMax)
    return Error{Errc::invalid_argument,
                 "a storage ID of " + std::to_string(request.name.size()) + " bytes"};
  if (!query.cluster.has_group(request.group))
    return Error{Errc::not_found, "no group " + request.group};
  wire::Bytes out;
  bool found = wanted.empty();
  for (const Node* node : query.cluster.members(request.group)) {
    if (!wanted.empty() && wanted != node->fact.id_text() && wanted != node->fact.host) continue;
    found = true;
    append_node_stat(*node, query.config.reserved_storage_space,
                     query.selection.current_path(node->fact.id), query.config.compat_stat_version,
                     address_width(query.config, query.cluster), out);
  }
  if (!found) return Error{Errc::not_found, "no node " + wanted + " in " + request.group};
  return out;
}

} // namespace cairn::tracker
