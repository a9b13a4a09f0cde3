// cairn where: what each member of a file's group says of its own copy.
#include "tools/context.h"
#include "tools/nodes.h"
#include "tools/verbs.h"

#include <nlohmann/json.hpp>

namespace cairn::tools {

namespace {

std::string_view describe(wire::Presence presence) {
  switch (presence) {
    case wire::Presence::absent:
      return "absent";
    case wire::Presence::present:
      return "present";
    case wire::Presence::deleted:
      return "deleted";
  }
  return "unknown";
}

} // namespace

int run_where(Context& context, const WhereArgs& args) {
  const std::string what = "where " + args.id;
  const auto parsed = parse_id(args.id);
  if (!parsed) return context.fail(what, parsed.error());
  auto client = context.client();
  if (!client) return context.fail(what, client.error());
  const auto cluster = (*client)->cluster(parsed->group);
  if (!cluster) return context.fail(what, cluster.error());
  const auto nodes = members(*cluster, parsed->group);
  if (nodes.empty())
    return context.fail(what, Error(Errc::not_found, "there is no group " + parsed->group));

  Table table({"NODE", "ADDRESS", "STATE", "COPY", "SIZE", "CRC32", "CHECKSUM"});
  nlohmann::json copies = nlohmann::json::array();
  std::size_t present = 0;
  std::size_t damaged = 0;
  std::size_t silent = 0;
  for (const ClusterNode& node : nodes) {
    nlohmann::json entry{{"node", node_name(node)},
                         {"id", node.id},
                         {"address", node.address.text()},
                         {"state", cairn::describe(node.state)}};
    const auto reply = probe(**client, node, parsed->name);
    if (!reply) {
      ++silent;
      entry["copy"] = "unknown";
      entry["error"] = reply.error().text();
      table.add({node_name(node), node.address.text(), std::string(cairn::describe(node.state)),
                 "unknown", "-", "-", std::string(cairn::describe(reply.code()))});
      copies.push_back(std::move(entry));
      continue;
    }
    const bool here = reply->presence == wire::Presence::present;
    present += here ? 1 : 0;
    damaged += here && reply->damaged ? 1 : 0;
    entry["copy"] = describe(reply->presence);
    if (here) {
      entry["size"] = reply->size;
      entry["mtime"] = reply->mtime;
      entry["crc32"] = hex32(reply->crc32);
      entry["damaged"] = reply->damaged;
    }
    table.add({node_name(node), node.address.text(), std::string(cairn::describe(node.state)),
               std::string(describe(reply->presence)), here ? std::to_string(reply->size) : "-",
               here ? hex32(reply->crc32) : "-",
               here ? (reply->damaged ? "DAMAGED" : "good") : "-"});
    copies.push_back(std::move(entry));
  }
  if (context.json())
    context.answer_json({{"id", args.id}, {"copies", present}, {"nodes", copies}});
  else
    context.answer(table.text());

  if (damaged > 0) return kVerifyFailed;
  if (present > 0) return kGood;
  if (silent > 0)
    return context.fail(
        what, Error(Errc::unavailable,
                    "no node that answered has it, " + std::to_string(silent) + " did not answer"));
  return context.fail(what, Error(Errc::not_found, "no node of " + parsed->group + " has it"));
}

} // namespace cairn::tools
