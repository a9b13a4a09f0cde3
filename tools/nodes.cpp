// Names of nodes and native requests to them.
#include "tools/nodes.h"

#include "common/base/text.h"
#include "tools/local_plan.h"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <tuple>

namespace cairn::tools {

namespace {

Result<wire::Bytes> ask(Client& client, const ClusterNode& node, wire::NativeCommand command,
                        wire::Bytes body, Timeout timeout) {
  return client.native_call(node.address, static_cast<std::uint8_t>(command), std::move(body),
                            timeout);
}

bool means(const ClusterNode& node, std::string_view text) {
  return text == node_name(node) || text == std::to_string(node.id) || text == node.uuid ||
         text == node.address.text() || text == node.address.host;
}

} // namespace

std::string node_name(const ClusterNode& node) {
  if (const auto local = local_storage_at(node.address.host)) {
    if (node.group == local_group_name(local->group)) return local_storage_name(*local);
  }
  return std::to_string(node.id);
}

Result<ClusterNode> find_node(const Cluster& cluster, std::string_view text) {
  const ClusterNode* found = nullptr;
  for (const ClusterNode& node : cluster.nodes) {
    if (!means(node, text)) continue;
    // A new node may have taken over the address of a removed one.
    if (found != nullptr && found->state != NodeState::deleted) {
      if (node.state == NodeState::deleted) continue;
      return Error{Errc::invalid_argument,
                   "'" + std::string(text) + "' means several nodes; give the storage ID"};
    }
    found = &node;
  }
  if (found == nullptr)
    return Error{Errc::not_found,
                 "no node is called '" + std::string(text) + "'; `cairn status` lists them"};
  return *found;
}

std::vector<ClusterNode> members(const Cluster& cluster, std::string_view group) {
  std::vector<ClusterNode> nodes;
  for (const ClusterNode& node : cluster.nodes) {
    if (node.state == NodeState::deleted) continue;
    if (group.empty() || node.group == group) nodes.push_back(node);
  }
  std::sort(nodes.begin(), nodes.end(), [](const ClusterNode& a, const ClusterNode& b) {
    return std::tie(a.group, a.address, a.id) < std::tie(b.group, b.address, b.id);
  });
  return nodes;
}

Result<wire::ProbeReply> probe(Client& client, const ClusterNode& node, const std::string& name,
                               Timeout timeout) {
  wire::NameRequest request;
  request.name = name;
  CAIRN_TRY(reply, ask(client, node, wire::NativeCommand::probe, wire::encode(request), timeout));
  return wire::decode_lenient<wire::ProbeReply>(reply);
}

Result<wire::ListFilesReply> list_files(Client& client, const ClusterNode& node,
                                        const std::string& after, std::uint32_t limit,
                                        Timeout timeout) {
  wire::ListFiles request;
  request.after = after;
  request.limit = limit;
  CAIRN_TRY(reply,
            ask(client, node, wire::NativeCommand::list_files, wire::encode(request), timeout));
  return wire::decode_lenient<wire::ListFilesReply>(reply);
}

Result<wire::DigestFilesReply> digest_files(Client& client, const ClusterNode& node,
                                            const wire::DigestFiles& request, Timeout timeout) {
  CAIRN_TRY(reply, ask(client, node, wire::kDigestFiles, wire::encode(request), timeout));
  return wire::decode_lenient<wire::DigestFilesReply>(reply);
}

Result<wire::RepairReply> repair_file(Client& client, const ClusterNode& node,
                                      const std::string& name, Timeout timeout) {
  wire::NameRequest request;
  request.name = name;
  CAIRN_TRY(reply, ask(client, node, wire::kRepairFile, wire::encode(request), timeout));
  return wire::decode_lenient<wire::RepairReply>(reply);
}

} // namespace cairn::tools
