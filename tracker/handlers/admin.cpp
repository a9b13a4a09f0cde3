// The administration verbs: JSON in, JSON out. docs/protocol.md lists them.
#include "common/base/text.h"
#include "common/daemon/log.h"
#include "common/wire/native.h"
#include "tracker/cluster/may_stop.h"
#include "tracker/handlers/commands.h"
#include "tracker/handlers/key_verbs.h"
#include "tracker/handlers/namespace_service.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <array>
#include <utility>

namespace cairn::tracker {

namespace {

using nlohmann::json;

spdlog::logger& log() {
  static spdlog::logger& one = logger("tracker.admin");
  return one;
}

Reply reply_of(const json& object) {
  const std::string text = object.dump(-1, ' ', false, json::error_handler_t::replace);
  return Reply(wire::to_bytes(text));
}

// The names of codes are part of the protocol: Errc in snake case.
std::string_view code_name(Errc code) {
  switch (code) {
    case Errc::not_found:
      return "not_found";
    case Errc::unavailable:
      return "unavailable";
    case Errc::denied:
      return "denied";
    case Errc::busy:
      return "busy";
    case Errc::exists:
      return "exists";
    case Errc::invalid_argument:
      return "invalid_argument";
    case Errc::unsupported:
      return "unsupported";
    case Errc::already:
      return "already";
    case Errc::timeout:
      return "timeout";
    default:
      return "failed";
  }
}

Reply error_reply(const Error& error) {
  return reply_of({{"error",
                    {{"code", code_name(error.code)},
                     {"status", wire_status(error.code)},
                     {"message", error.detail}}}});
}

Result<std::string> text_of(const json& request, const char* key) {
  const auto found = request.find(key);
  if (found == request.end() || !found->is_string() || found->get_ref<const std::string&>().empty())
    return Error{Errc::invalid_argument, std::string("'") + key + "' is missing"};
  return found->get<std::string>();
}

// "node": a storage ID (number or text), an address, or address:port.
Result<std::uint32_t> node_of(const ClusterState& cluster, const json& request) {
  const auto found = request.find("node");
  if (found == request.end()) return Error{Errc::invalid_argument, "'node' is missing"};
  std::string text;
  if (found->is_number_unsigned()) text = std::to_string(found->get<std::uint64_t>());
  if (found->is_string()) text = found->get<std::string>();
  if (const auto id = parse_u64(text); id && *id <= kServerIdMax) {
    const auto number = static_cast<std::uint32_t>(*id);
    if (cluster.find(number) != nullptr) return number;
  }
  std::vector<std::uint32_t> matches;
  for (const auto& [id, node] : cluster.nodes()) {
    const HostPort address{node.fact.host, node.fact.port};
    if (!node.fact.deleted && (text == node.fact.host || text == address.text()))
      matches.push_back(id);
  }
  if (matches.size() > 1)
    return Error{Errc::invalid_argument, text + " is the address of several nodes"};
  if (matches.empty()) return Error{Errc::not_found, "no node '" + text + "'"};
  return matches.front();
}

bool flag_of(const json& request, const char* key) {
  const auto found = request.find(key);
  return found != request.end() && found->is_boolean() && found->get<bool>();
}

Result<FactsCommand> drain(const ClusterState& cluster, const json& request, bool draining) {
  CAIRN_TRY(id, node_of(cluster, request));
  return FactsCommand(SetDraining{id, draining});
}

Result<FactsCommand> remove_node(const ClusterState& cluster, const json& request) {
  CAIRN_TRY(id, node_of(cluster, request));
  const Node* node = cluster.find(id);
  if (node->connected && !flag_of(request, "force"))
    return Error{Errc::busy, "node " + node->fact.id_text() + " is " +
                                 std::string(describe(node->state)) +
                                 "; stop it first, or give \"force\""};
  return FactsCommand(RemoveNode{id});
}

Result<FactsCommand> add_alias(const ClusterState& cluster, const json& request) {
  CAIRN_TRY(id, node_of(cluster, request));
  CAIRN_TRY(former, text_of(request, "former"));
  return FactsCommand(AddAlias{std::move(former), id});
}

Result<FactsCommand> remove_alias(const json& request) {
  CAIRN_TRY(former, text_of(request, "former"));
  return FactsCommand(RemoveAlias{std::move(former)});
}

Result<FactsCommand> add_group(const json& request) {
  CAIRN_TRY(name, text_of(request, "group"));
  return FactsCommand(AddGroup{std::move(name)});
}

Result<FactsCommand> remove_group(const json& request) {
  CAIRN_TRY(name, text_of(request, "group"));
  return FactsCommand(RemoveGroup{std::move(name)});
}

constexpr std::array<std::string_view, 10> kChangingVerbs{
    "node.drain", "node.undrain", "node.remove", "node.alias.add", "node.alias.rm",
    "group.add",  "group.rm",     "key.add",     "key.rotate",     "key.rm"};

bool is_changing(std::string_view verb) {
  return std::find(kChangingVerbs.begin(), kChangingVerbs.end(), verb) != kChangingVerbs.end();
}

// What a changing verb asks of the facts; `answer` gets what is told beside "ok".
Result<FactsCommand> command_of(const Tracker& tracker, const ClusterState& cluster,
                                std::string_view verb, const json& request, json& answer) {
  if (verb.starts_with("key.")) return key_command(verb, request, tracker.now().unix_s, answer);
  if (verb == "node.drain") return drain(cluster, request, true);
  if (verb == "node.undrain") return drain(cluster, request, false);
  if (verb == "node.remove") return remove_node(cluster, request);
  if (verb == "node.alias.add") return add_alias(cluster, request);
  if (verb == "node.alias.rm") return remove_alias(request);
  if (verb == "group.add") return add_group(request);
  return remove_group(request);
}

json list_aliases(const ClusterState& cluster) {
  json aliases = json::array();
  for (const auto& [former, alias] : cluster.facts().aliases())
    aliases.push_back({{"former", former}, {"node", alias.id}});
  return {{"aliases", std::move(aliases)}};
}

Result<json> may_stop(const ClusterState& cluster, const json& request) {
  CAIRN_TRY(id, node_of(cluster, request));
  const std::vector<std::string> reasons = reasons_not_to_stop(cluster, id);
  return json{{"may_stop", reasons.empty()}, {"reasons", reasons}};
}

json list_groups(const ClusterState& cluster) {
  json groups = json::array();
  for (const auto& [name, fact] : cluster.facts().groups()) {
    std::size_t nodes = 0;
    for (const Node* node : cluster.members(name)) nodes += node->fact.deleted ? 0U : 1U;
    groups.push_back({{"name", name}, {"nodes", nodes}});
  }
  return {{"groups", std::move(groups)}};
}

// Notes who asked for a change. Never the request itself: the answer of some holds a secret.
void note(const Tracker& tracker, const Session& session, std::string_view verb,
          const json& request, const json& answer, const Status& done) {
  std::string object;
  for (const char* name : {"id", "node", "group", "former"}) {
    const auto found = request.find(name);
    if (found == request.end()) continue;
    if (!object.empty()) object += ' ';
    object += found->is_string() ? found->get<std::string>() : found->dump();
  }
  if (object.empty()) object = answer.value("id", "");
  audit_change(tracker, session, verb, std::move(object), done);
}

Task<Result<Reply>> change(Tracker& tracker, const Session& session, const Body& body,
                           std::string verb, const json& request) {
  if (!tracker.is_holder()) {
    if (tracker.link(session).role == wire::Role::tracker)
      co_return error_reply(Error{Errc::unsupported, "this tracker holds no metadata"});
    wire::Bytes bytes(body.whole().begin(), body.whole().end());
    auto reply = co_await tracker.forward(body.command(), std::move(bytes));
    if (!reply) co_return error_reply(reply.error());
    co_await tracker.catch_up();
    co_return Reply(*std::move(reply));
  }
  json ok = {{"ok", true}};
  auto command = command_of(tracker, tracker.cluster(), verb, request, ok);
  if (!command) co_return error_reply(command.error());
  const Status done = co_await tracker.change(*std::move(command));
  note(tracker, session, verb, request, ok, done);
  if (!done) co_return error_reply(done.error());
  log().info("changed by an administrator verb={} peer={}", verb, session.connection.peer());
  co_return reply_of(ok);
}

// Reads all tables of the namespace, in the background of everything else. With "repair" puts right
// what can be.
Task<Result<Reply>> check_namespace(NamespaceService& service, const json& request) {
  auto report = co_await service.check();
  if (!report) co_return error_reply(report.error());
  std::uint64_t mended = 0;
  if (flag_of(request, "repair") && !report->fixes.empty()) {
    auto done = co_await service.mend(std::move(report->fixes));
    if (!done) co_return error_reply(done.error());
    mended = *done;
  }
  co_return reply_of({{"inodes", report->inodes},
                      {"entries", report->entries},
                      {"extents", report->extents},
                      {"stored_files", report->references},
                      {"faults", report->faults},
                      {"mended", mended}});
}

// Looks for stored files of the namespace that nothing names.
Task<Result<Reply>> sweep_namespace(NamespaceService& service, const json& request) {
  auto swept = co_await service.sweep(service.orphan_age_s(), 0, flag_of(request, "repair"));
  if (!swept) co_return error_reply(swept.error());
  co_return reply_of({{"looked_at", swept->looked_at},
                      {"unknown", swept->unknown},
                      {"groups_away", swept->groups},
                      {"unnamed", swept->found},
                      {"removed", swept->removed}});
}

Task<Result<Reply>> namespace_verb(Tracker& tracker, std::string verb, json request) {
  NamespaceService* service = tracker.namespace_service();
  if (service == nullptr)
    co_return error_reply(Error{Errc::unavailable,
                                "the namespace is at " + tracker.config().metadata_holder->text()});
  if (verb == "namespace.check") co_return co_await check_namespace(*service, request);
  if (verb == "namespace.sweep") co_return co_await sweep_namespace(*service, request);
  co_return error_reply(Error{Errc::unsupported, "unknown verb '" + verb + "'"});
}

} // namespace

void audit_change(const Tracker& tracker, const Session& session, std::string_view what,
                  std::string object, const Status& done) {
  if (tracker.audit() == nullptr) return;
  auth::AuditEvent event;
  event.who = "client";
  if (session.key)
    event.who = "key " + session.key->id;
  else if (session.peer)
    event.who = session.peer_uuid.empty() ? "administrator" : "tracker " + session.peer_uuid;
  event.from = session.connection.peer_address().to_string();
  event.what = what;
  event.object = std::move(object);
  event.result = done ? "ok" : done.error().text();
  if (const Status noted = tracker.audit()->append(event); !noted)
    log().error("the audit log cannot be written error={}", noted.error().text());
}

Task<Result<Reply>> admin(Tracker& tracker, Session& session, Body& body) {
  const json request = json::parse(wire::as_text(body.whole()), nullptr, false);
  if (request.is_discarded() || !request.is_object())
    co_return error_reply(Error{Errc::invalid_argument, "the request is no JSON object"});
  auto verb = text_of(request, "verb");
  if (!verb) co_return error_reply(verb.error());

  if (*verb == "status") {
    const std::string text = status_json(tracker, &session);
    co_return Reply(wire::to_bytes(text));
  }
  if (verb->starts_with("namespace."))
    co_return co_await namespace_verb(tracker, *std::move(verb), request);
  if (*verb == "node.alias.ls") co_return reply_of(list_aliases(tracker.cluster()));
  if (*verb == "key.ls")
    co_return reply_of(list_keys(tracker.cluster().facts(), tracker.now().unix_s));
  if (*verb == "node.may_stop") {
    auto answer = may_stop(tracker.cluster(), request);
    co_return answer ? reply_of(*answer) : error_reply(answer.error());
  }
  if (*verb == "group.ls") co_return reply_of(list_groups(tracker.cluster()));
  if (is_changing(*verb))
    co_return co_await change(tracker, session, body, *std::move(verb), request);
  co_return error_reply(Error{Errc::unsupported, "unknown verb '" + *verb + "'"});
}

} // namespace cairn::tracker
