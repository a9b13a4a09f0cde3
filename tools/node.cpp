// cairn node
#include "tools/admin.h"
#include "tools/context.h"
#include "tools/nodes.h"
#include "tools/verbs.h"

#include <nlohmann/json.hpp>

#include <cstdio>
#include <unistd.h>

namespace cairn::tools {

namespace {

const char* verb_of(NodeAction action) {
  switch (action) {
    case NodeAction::drain:
      return "node.drain";
    case NodeAction::undrain:
      return "node.undrain";
    case NodeAction::may_stop:
      return "node.may_stop";
    case NodeAction::remove:
      return "node.remove";
    case NodeAction::alias_add:
      return "node.alias.add";
    case NodeAction::alias_remove:
      return "node.alias.rm";
    case NodeAction::alias_list:
      return "node.alias.ls";
  }
  return "";
}

// Asks a person; a script has said what it wants.
bool is_confirmed(const ClusterNode& node) {
  if (::isatty(STDIN_FILENO) != 1 || ::isatty(STDERR_FILENO) != 1) return true;
  std::fprintf(stderr,
               "Remove node %s (%s, %s) for ever? Files that only it has are lost to the cluster. "
               "[y/N] ",
               node_name(node).c_str(), node.address.text().c_str(), node.group.c_str());
  const int answer = std::getchar();
  return answer == 'y' || answer == 'Y';
}

} // namespace

int run_node(Context& context, const NodeArgs& args) {
  const std::string what =
      std::string(verb_of(args.action)) + " " + (args.node.empty() ? args.former : args.node);
  auto client = context.client();
  if (!client) return context.fail(what, client.error());
  nlohmann::json request{{"verb", verb_of(args.action)}};
  if (!args.node.empty()) {
    const auto cluster = (*client)->cluster();
    if (!cluster) return context.fail(what, cluster.error());
    const auto node = find_node(*cluster, args.node);
    if (!node) return context.fail(what, node.error());
    if (args.action == NodeAction::remove && !args.yes && !is_confirmed(*node)) {
      context.note("nothing was changed");
      return kUsage;
    }
    request["node"] = node->id;
    if (args.force) request["force"] = true;
  }
  if (!args.former.empty()) request["former"] = args.former;
  const auto reply = admin(**client, request);
  if (!reply) return context.fail(what, reply.error());
  const bool refused = args.action == NodeAction::may_stop && !reply->value("may_stop", false);
  if (context.json()) {
    context.answer_json(*reply);
    return refused ? kDegraded : kGood;
  }
  if (refused) {
    for (const auto& reason : reply->value("reasons", std::vector<std::string>()))
      context.answer(reason);
    return kDegraded;
  }
  if (args.action == NodeAction::alias_list) {
    Table table({"FORMER", "NODE"});
    for (const auto& alias : reply->value("aliases", nlohmann::json::array()))
      table.add({alias.value("former", ""), std::to_string(alias.value("node", 0U))});
    context.answer(table.text());
  }
  return kGood;
}

} // namespace cairn::tools
