// cairn trash ls|restore|purge: deleted files that can still be restored, by ID. (What exports keep
// of removed names is `cairn trash PATH`.)
#include "common/base/text.h"
#include "common/wire/native.h"
#include "tools/admin.h"
#include "tools/context.h"
#include "tools/nodes.h"
#include "tools/verbs.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <map>

namespace cairn::tools {

namespace {

using nlohmann::json;

constexpr std::uint64_t kPage = 1000;

Result<json> ask(Client& client, const ClusterNode& node, const json& request) {
  const std::string text = request.dump();
  auto reply = client.native_call(
      node.address, static_cast<std::uint8_t>(wire::NativeCommand::admin), wire::to_bytes(text));
  if (!reply) return Error{reply.code(), node_name(node) + ": " + reply.error().detail};
  return read_admin_reply(wire::as_text(*reply));
}

// A file as the nodes that have it in their trash say.
struct Trashed {
  std::uint64_t size = 0;
  std::int64_t deleted = 0;
  std::int64_t expires = 0;
  std::vector<std::string> nodes;
};

// All that one node has, added to `files`.
Status list_node(Client& client, const ClusterNode& node, std::map<std::string, Trashed>& files) {
  std::string after;
  for (;;) {
    CAIRN_TRY(page, ask(client, node, {{"verb", "trash.ls"}, {"after", after}, {"limit", kPage}}));
    for (const json& file : page.value("files", json::array())) {
      const std::string id = file.value("id", "");
      Trashed& entry = files[id];
      entry.size = file.value("size", std::uint64_t{0});
      entry.deleted = std::max(entry.deleted, file.value("deleted", std::int64_t{0}));
      entry.expires = std::max(entry.expires, file.value("expires", std::int64_t{0}));
      entry.nodes.push_back(node_name(node));
      after = id.substr(id.find('/') + 1);
    }
    if (page.value("done", true)) return {};
  }
}

int list(Context& context, Client& client, const std::vector<ClusterNode>& nodes) {
  std::map<std::string, Trashed> files;
  int failed = kGood;
  std::size_t answered = 0;
  for (const ClusterNode& node : nodes) {
    if (const Status listed = list_node(client, node, files); !listed)
      failed = context.fail("trash", listed.error());
    else
      ++answered;
  }
  if (answered == 0 && failed != kGood) return failed;
  if (context.json()) {
    json shown = json::array();
    for (const auto& [id, file] : files)
      shown.push_back({{"id", id},
                       {"size", file.size},
                       {"deleted", file.deleted},
                       {"expires", file.expires},
                       {"nodes", file.nodes}});
    context.answer_json({{"files", std::move(shown)}});
  } else {
    Table table({"ID", "SIZE", "DELETED", "EXPIRES"});
    for (const auto& [id, file] : files)
      table.add({id, human_bytes(file.size), human_time(file.deleted), human_time(file.expires)});
    context.answer(table.text());
  }
  return failed == kGood ? kGood : kPartial;
}

// The first node that has it gives it back to the whole group.
Status restore_one(Client& client, const std::vector<ClusterNode>& nodes, const std::string& id) {
  CAIRN_TRY(parsed, parse_id(id));
  Status last = Error{Errc::not_found, "no node has it in its trash"};
  for (const ClusterNode& node : nodes) {
    if (node.group != parsed.group) continue;
    const auto reply = ask(client, node, {{"verb", "trash.restore"}, {"id", id}});
    if (reply) return {};
    // Who cannot be asked, or has a damaged one, says more than who has none.
    if (reply.code() != Errc::not_found) last = reply.error();
    if (reply.code() == Errc::exists || reply.code() == Errc::denied) break;
  }
  return last;
}

int restore(Context& context, Client& client, const std::vector<ClusterNode>& nodes,
            const std::vector<std::string>& ids) {
  int failed = kGood;
  std::size_t good = 0;
  for (const std::string& id : ids) {
    if (const Status done = restore_one(client, nodes, id); !done) {
      const int code = context.fail("restore " + id, done.error());
      if (failed == kGood) failed = code;
      continue;
    }
    ++good;
    if (!context.json()) context.say(id);
  }
  if (context.json()) context.answer_json({{"restored", good}});
  return failed == kGood || good == 0 ? failed : static_cast<int>(kPartial);
}

// Every node has its own copy: what one of them keeps is not purged.
int purge(Context& context, Client& client, const std::vector<ClusterNode>& nodes,
          const StoredTrashArgs& args) {
  std::vector<std::pair<std::string, json>> requests; // group ("": all), request
  for (const std::string& id : args.ids) {
    const auto parsed = parse_id(id);
    if (!parsed) return context.fail("purge " + id, parsed.error());
    requests.emplace_back(parsed->group, json{{"verb", "trash.purge"}, {"id", id}});
  }
  if (args.ids.empty()) {
    const auto age = parse_duration(args.older_than.empty() ? "0" : args.older_than);
    if (!age) return context.fail("trash purge --older-than", age.error());
    requests.emplace_back("", json{{"verb", "trash.purge"},
                                   {"older_than_s", static_cast<std::uint64_t>(age->count())}});
  }
  int failed = kGood;
  std::uint64_t most = 0;
  std::size_t answered = 0;
  for (const auto& [group, request] : requests) {
    std::uint64_t found = 0; // every member had it: it is one file
    for (const ClusterNode& node : nodes) {
      if (!group.empty() && node.group != group) continue;
      const auto reply = ask(client, node, request);
      if (!reply) {
        failed = context.fail("trash purge", reply.error());
        continue;
      }
      ++answered;
      found = std::max(found, reply->value("purged", std::uint64_t{0}));
    }
    most += found;
  }
  if (answered == 0) return failed == kGood ? static_cast<int>(kNotFound) : failed;
  if (context.json())
    context.answer_json({{"purged", most}});
  else if (!args.ids.empty() || args.all || !args.older_than.empty())
    context.say("purged");
  if (failed != kGood) return kPartial;
  if (most == 0 && !args.ids.empty())
    return context.fail("trash purge", Error{Errc::not_found, "no node has it in its trash"});
  return kGood;
}

} // namespace

int run_stored_trash(Context& context, const StoredTrashArgs& args) {
  if (args.action == TrashAction::purge && static_cast<int>(!args.ids.empty()) +
                                                   static_cast<int>(args.all) +
                                                   static_cast<int>(!args.older_than.empty()) !=
                                               1)
    return context.usage("trash purge: IDs, --older-than AGE, or --all");
  auto client = context.client();
  if (!client) return context.fail("trash", client.error());
  auto cluster = (*client)->cluster();
  if (!cluster) return context.fail("trash", cluster.error());
  const auto nodes = members(*cluster, args.group);
  if (nodes.empty()) return context.fail("trash", Error{Errc::not_found, "no such group"});
  switch (args.action) {
    case TrashAction::list:
      return list(context, **client, nodes);
    case TrashAction::restore:
      return restore(context, **client, nodes, args.ids);
    case TrashAction::purge:
      return purge(context, **client, nodes, args);
  }
  return kUsage;
}

} // namespace cairn::tools
