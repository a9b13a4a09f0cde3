// URL rules and aliases on the wire: answered where the metadata is, passed on elsewhere.
#include "common/wire/rules.h"

#include "common/base/cache_tag.h"
#include "common/daemon/log.h"
#include "common/net/cache_purger.h"
#include "tracker/handlers/commands.h"
#include "tracker/handlers/namespace_service.h"
#include "tracker/rules/rules_table.h"

#include <utility>

namespace cairn::tracker {

namespace {

spdlog::logger& log() {
  static spdlog::logger& one = logger("tracker.rules");
  return one;
}

// To the tracker that holds the metadata.
Task<Result<Reply>> pass_on(Tracker& tracker, const Session& session, const Body& body) {
  if (tracker.link(session).role == wire::Role::tracker)
    co_return Error{Errc::unsupported, "this tracker holds no metadata"};
  wire::Bytes bytes(body.whole().begin(), body.whole().end());
  CAIRN_CO_TRY(reply, co_await tracker.forward(body.command(), std::move(bytes)));
  co_return Reply(std::move(reply));
}

// Notes who asked for a change. Rules are a change of the cluster, and so are names by hand; what
// storage nodes add as they pull is not.
void note(const Tracker& tracker, const Session& session, std::string_view what, std::string object,
          std::string result) {
  if (tracker.audit() == nullptr || session.peer_id != 0) return;
  auth::AuditEvent event;
  event.who = session.key                 ? "key " + session.key->id
              : session.peer_uuid.empty() ? std::string("administrator")
                                          : "tracker " + session.peer_uuid;
  event.from = session.connection.peer_address().to_string();
  event.what = what;
  event.object = std::move(object);
  event.result = std::move(result);
  if (const Status noted = tracker.audit()->append(event); !noted)
    log().error("the audit log cannot be written error={}", noted.error().text());
}

} // namespace

Task<Result<Reply>> get_rules(Tracker& tracker, Session& session, Body& body) {
  if (tracker.rules() == nullptr) co_return co_await pass_on(tracker, session, body);
  CAIRN_CO_TRY(request, wire::decode_lenient<wire::RulesGet>(body.whole()));
  CAIRN_CO_TRY(reply, co_await tracker.rules()->rules(std::move(request)));
  co_return Reply(wire::encode(reply));
}

Task<Result<Reply>> put_rules(Tracker& tracker, Session& session, Body& body) {
  if (tracker.rules() == nullptr) co_return co_await pass_on(tracker, session, body);
  CAIRN_CO_TRY(request, wire::decode_lenient<wire::RulesPut>(body.whole()));
  auto put = co_await tracker.rules()->put(std::move(request), tracker.now().unix_s);
  const bool taken = put && put->version != 0;
  note(tracker, session, "rules.load", taken ? "version " + std::to_string(put->version) : "",
       taken ? "ok" : (put ? "refused" : put.error().text()));
  CAIRN_CO_TRY(reply, std::move(put));
  if (reply.version != 0)
    log().info("rules loaded version={} peer={}", reply.version, session.connection.peer());
  co_return Reply(wire::encode(reply));
}

Task<Result<Reply>> get_aliases(Tracker& tracker, Session& session, Body& body) {
  if (tracker.rules() == nullptr) co_return co_await pass_on(tracker, session, body);
  CAIRN_CO_TRY(request, wire::decode_lenient<wire::AliasGet>(body.whole()));
  CAIRN_CO_TRY(reply, co_await tracker.rules()->aliases(std::move(request)));
  co_return Reply(wire::encode(reply));
}

Task<Result<Reply>> change_aliases(Tracker& tracker, Session& session, Body& body) {
  if (tracker.rules() == nullptr) co_return co_await pass_on(tracker, session, body);
  CAIRN_CO_TRY(request, wire::decode_lenient<wire::AliasPut>(body.whole()));
  const std::string what =
      request.change == wire::AliasChange::remove ? "alias.remove" : "alias.put";
  // One line a request; a bulk load is named by its first row.
  std::string object = request.rows.empty() ? std::string() : request.rows.front().path;
  if (request.rows.size() > 1)
    object += " and " + std::to_string(request.rows.size() - 1) + " more";
  std::vector<std::string> tags;
  for (const wire::AliasRow& row : request.rows)
    tags.push_back(cache_tag_of_alias(row.host, row.path));
  auto changed = co_await tracker.rules()->change(std::move(request));
  NamespaceService* const service = tracker.namespace_service();
  if (changed && service != nullptr && service->purger() != nullptr)
    for (const std::string& tag : tags) service->purger()->changed(tag);
  note(tracker, session, what, std::move(object), changed ? "ok" : changed.error().text());
  CAIRN_CO_TRY(reply, std::move(changed));
  co_return Reply(wire::encode(reply));
}

Task<Result<Reply>> list_aliases(Tracker& tracker, Session& session, Body& body) {
  if (tracker.rules() == nullptr) co_return co_await pass_on(tracker, session, body);
  CAIRN_CO_TRY(request, wire::decode_lenient<wire::AliasList>(body.whole()));
  CAIRN_CO_TRY(reply, co_await tracker.rules()->list(std::move(request)));
  co_return Reply(wire::encode(reply));
}

} // namespace cairn::tracker
