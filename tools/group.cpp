// cairn group
#include "tools/admin.h"
#include "tools/context.h"
#include "tools/verbs.h"

#include <nlohmann/json.hpp>

namespace cairn::tools {

int run_group(Context& context, const GroupArgs& args) {
  nlohmann::json request;
  switch (args.action) {
    case GroupAction::list:
      request["verb"] = "group.ls";
      break;
    case GroupAction::add:
      request["verb"] = "group.add";
      break;
    case GroupAction::remove:
      request["verb"] = "group.rm";
      break;
  }
  const std::string what = "group " + args.group;
  if (!args.group.empty()) request["group"] = args.group;
  auto client = context.client();
  if (!client) return context.fail(what, client.error());
  const auto reply = admin(**client, request);
  if (!reply) return context.fail(what, reply.error());
  if (context.json()) {
    context.answer_json(*reply);
    return kGood;
  }
  if (args.action == GroupAction::list) {
    Table table({"GROUP", "NODES"});
    for (const auto& group : reply->value("groups", nlohmann::json::array()))
      table.add({group.value("name", ""), std::to_string(group.value("nodes", 0U))});
    context.answer(table.text());
  }
  return kGood;
}

} // namespace cairn::tools
