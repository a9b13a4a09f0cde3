// The table of commands: which function, who may send it, how long its body may be.
#include "common/wire/cache_purge.h"
#include "common/wire/namespace.h"
#include "common/wire/namespace_backup.h"
#include "common/wire/namespace_paths.h"
#include "common/wire/native.h"
#include "common/wire/rules.h"
#include "tracker/handlers/commands.h"
#include "tracker/handlers/queries.h"

namespace cairn::tracker {

namespace {

using Handler = Task<Result<Reply>> (*)(Tracker&, Session&, Body&);

// FastDFS requests are a group and a name; everything longer is nonsense.
constexpr std::uint64_t kQueryBodyMax = 1024;
// A heartbeat with 256 store paths and a thousand peers stays below this.
constexpr std::uint64_t kNativeBodyMax = 256 * 1024;
// Rules and batches of aliases.
constexpr std::uint64_t kRulesBodyMax = 1024 * 1024;

// Puts a query on the wire.
template <Result<wire::Bytes> (*F)(Query&, wire::View)>
Task<Result<Reply>> answer(Tracker& tracker, Session& session, Body& body) {
  Query query = tracker.query(session);
  auto bytes = F(query, body.whole());
  tracker.count(body.command(), bytes.has_value());
  if (!bytes) co_return std::move(bytes).error();
  co_return Reply(*std::move(bytes));
}

template <Handler F>
Task<Result<Reply>> counted(Tracker& tracker, Session& session, Body& body) {
  auto reply = co_await F(tracker, session, body);
  tracker.count(body.command(), reply.has_value());
  co_return reply;
}

HandlerTable<Tracker> make_table() {
  using wire::Command;
  using wire::NativeCommand;
  HandlerTable<Tracker> table;
  const auto on = [&table](auto command, Handler handler, Access access, std::uint64_t body_max,
                           auth::Rights needs = auth::kNothing) {
    table.on(static_cast<Command>(command), handler, CommandRule{access, body_max, needs});
  };
  const auto query = [&on](auto command, Handler handler, auth::Rights needs = auth::kRead) {
    on(command, handler, Access::client, kQueryBodyMax, needs);
  };

  query(Command::query_store, answer<query_store>, auth::kWrite);
  query(Command::query_store_in_group, answer<query_store_in_group>, auth::kWrite);
  query(Command::query_store_all, answer<query_store_all>, auth::kWrite);
  query(Command::query_store_in_group_all, answer<query_store_in_group_all>, auth::kWrite);
  query(Command::query_fetch_one, answer<query_fetch_one>);
  query(Command::query_update, answer<query_update>, auth::kNothing);
  query(Command::query_fetch_all, answer<query_fetch_all>);
  query(Command::list_group, answer<list_group>);
  query(Command::list_all_groups, answer<list_all_groups>);
  query(Command::list_storages, answer<list_storages>);
  query(Command::fetch_storage_ids, answer<fetch_storage_ids>, auth::kNothing);
  query(Command::get_storage_id, answer<get_storage_id>, auth::kNothing);
  query(Command::get_storage_status, answer<get_storage_status>);
  query(Command::get_parameters, answer<get_parameters>, auth::kNothing);
  query(Command::set_trunk_server, answer<set_trunk_server>);
  query(Command::get_leader, answer<get_leader>);
  query(Command::tracker_cluster_stat, answer<tracker_cluster_stat>);
  query(Command::storage_cluster_stat, answer<storage_cluster_stat>);
  query(Command::storage_volume_stat, answer<storage_volume_stat>);
  query(Command::active_test, answer<active_test>, auth::kNothing);
  query(Command::delete_storage, counted<delete_storage>, auth::kDelete);
  query(Command::delete_group, counted<delete_group>, auth::kDelete);
  // What a FastDFS storage node would say after joining; numbers from the protocol.
  for (const int refused : {59, 72, 73, 74, 79, 83, 84, 85, 87, 88, 89})
    query(refused, answer<refuse_storage_command>);

  on(NativeCommand::hello, counted<say_hello>, Access::anyone, kNativeBodyMax);
  on(NativeCommand::admin, counted<admin>, Access::admin, kNativeBodyMax);
  on(NativeCommand::join, counted<join>, Access::peer, kNativeBodyMax);
  on(NativeCommand::heartbeat, counted<heartbeat>, Access::peer, kNativeBodyMax);
  on(wire::kNsAskOnce, counted<ask_namespace>, Access::client, kNativeBodyMax, auth::kRead);
  on(wire::kNsAttach, counted<attach_namespace>, Access::client, kNativeBodyMax, auth::kRead);
  on(wire::kNsAskTrusted, counted<ask_trusted>, Access::peer, kNativeBodyMax);
  on(wire::kNsChangePath, counted<change_path>, Access::peer, kNativeBodyMax);
  on(wire::kBackupBegin, counted<begin_backup>, Access::peer, kQueryBodyMax);
  on(wire::kBackupRead, counted<read_backup>, Access::peer, kQueryBodyMax);
  on(wire::kBackupEnd, counted<end_backup>, Access::peer, kQueryBodyMax);
  on(NativeCommand::cluster_view, counted<cluster_view>, Access::client, kNativeBodyMax);
  on(wire::kRulesGet, counted<get_rules>, Access::admin, kNativeBodyMax);
  on(wire::kRulesPut, counted<put_rules>, Access::admin, kRulesBodyMax);
  on(wire::kAliasGet, counted<get_aliases>, Access::admin, kRulesBodyMax);
  on(wire::kAliasPut, counted<change_aliases>, Access::admin, kRulesBodyMax);
  on(wire::kAliasList, counted<list_aliases>, Access::admin, kNativeBodyMax);
  on(wire::kCachesChanged, counted<caches_changed>, Access::admin, kRulesBodyMax);
  return table;
}

} // namespace

const HandlerTable<Tracker>& handlers() {
  static const HandlerTable<Tracker> table = make_table();
  return table;
}

} // namespace cairn::tracker
