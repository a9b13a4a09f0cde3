// cairn info
#include "tools/context.h"
#include "tools/nodes.h"
#include "tools/verbs.h"

#include <nlohmann/json.hpp>

#include <optional>

namespace cairn::tools {

namespace {

// How many members have the file, and of how many; nullopt when this machine may not ask.
std::optional<std::pair<std::size_t, std::size_t>> count_copies(Client& client,
                                                                const ParsedId& id) {
  const auto cluster = client.cluster(id.group);
  if (!cluster) return std::nullopt;
  std::size_t copies = 0;
  const auto nodes = members(*cluster, id.group);
  for (const ClusterNode& node : nodes) {
    if (node.state == NodeState::offline) continue;
    const auto reply = probe(client, node, id.name);
    if (reply && reply->presence == wire::Presence::present && !reply->damaged) ++copies;
  }
  return std::pair(copies, nodes.size());
}

} // namespace

int run_info(Context& context, const InfoArgs& args) {
  const std::string what = "info " + args.id;
  auto client = context.client();
  if (!client) return context.fail(what, client.error());
  const auto info = (*client)->info(args.id);
  if (!info) return context.fail(what, info.error());
  const auto copies = count_copies(**client, info->id);

  if (context.json()) {
    nlohmann::json document{{"id", args.id},
                            {"group", info->id.group},
                            {"name", info->id.name},
                            {"size", info->size},
                            {"mtime", info->mtime},
                            {"crc32", hex32(info->crc32)},
                            {"source", info->id.source},
                            {"source_host", info->source_host},
                            {"type", describe(info->id.type)}};
    if (copies) {
      document["copies"] = copies->first;
      document["members"] = copies->second;
    }
    context.answer_json(document);
    return kGood;
  }
  std::string source = info->id.source;
  if (!info->source_host.empty() && info->source_host != source)
    source += source.empty() ? info->source_host : " (" + info->source_host + ")";
  context.answer("size    " + std::to_string(info->size));
  context.answer("time    " + human_time(info->mtime));
  context.answer("crc32   " + hex32(info->crc32));
  context.answer("source  " + (source.empty() ? "unknown" : source));
  context.answer("type    " + std::string(describe(info->id.type)));
  context.answer("copies  " + (copies ? std::to_string(copies->first) + " of " +
                                            std::to_string(copies->second) + " nodes"
                                      : std::string("unknown")));
  return kGood;
}

} // namespace cairn::tools
