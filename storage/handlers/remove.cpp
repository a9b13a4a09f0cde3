// Delete (12): accepted at any member of the group.
#include "common/wire/fastdfs.h"
#include "storage/handlers/cache_changes.h"
#include "storage/handlers/context.h"

#include <boost/asio/this_coro.hpp>
#include <spdlog/spdlog.h>

namespace cairn::storage {

Task<Result<Change>> remove_file(Context& context, RemoteName name, bool to_trash) {
  CAIRN_CO_RETURN_IF_ERROR(takes_changes(context));
  Counted counted(context.counters.remove);
  DiskPool& pool = context.store.pool(name.store_path());
  Origin here;
  here.to_trash = to_trash && context.config.trash_days != 0;
  auto work = [&store = context.store, &name, here]() -> Result<Change> {
    auto made = store.remove(name, here);
    if (made.code() != Errc::not_found) return made;
    CAIRN_TRY(tombstone, store.tombstones().find(name.canonical()));
    // `seq` 0 stands for "unknown here": the caller asks the others.
    if (!tombstone) return Change{};
    return made;
  };
  auto made = co_await durable(context, pool, std::move(work));
  if (made && made->name.empty()) {
    // It has not arrived here yet, or it never was: the tombstone meets it when it comes.
    CAIRN_CO_TRY(found, co_await context.remote().probe(name));
    if (found.presence != wire::Presence::present)
      co_return Error{Errc::not_found, std::string(name.text())};
    auto force = [&store = context.store, &name, here] { return store.remove(name, here, true); };
    made = co_await durable(context, pool, std::move(force));
  }
  CAIRN_CO_TRY(change, co_await copied(context, std::move(made)));
  counted.succeed();
  co_return change;
}

Task<Status> refuse_marked(Context& context, bool peer, RemoteName name) {
  if (peer || name.kind() != FileKind::normal) co_return Status();
  auto work = [&store = context.store, &name] { return store.mark_of(name).empty(); };
  const bool free = co_await context.store.read_pool(name.store_path()).run(std::move(work));
  if (free) co_return Status();
  co_return Error{Errc::not_permitted,
                  std::string(name.text()) + " belongs to a file of the namespace"};
}

void audit_delete(Context& context, std::string who, std::string from, std::string_view name,
                  const Result<Change>& outcome) {
  auth::AuditEvent event;
  event.who = std::move(who);
  event.from = std::move(from);
  event.what = "delete";
  event.object = context.config.group_name + "/" + std::string(name);
  event.result = outcome ? "ok" : std::string(describe(outcome.code()));
  if (const Status noted = context.audit.append(event); !noted)
    spdlog::error("the audit log cannot be written cause={}", noted.error().text());
}

namespace {

std::string who(const Session& session) {
  if (session.key) return "key " + session.key->id;
  if (session.peer)
    return session.peer_uuid.empty() ? "administrator" : "node " + session.peer_uuid;
  return "client";
}

Task<Result<Reply>> delete_file(Context& context, Session& session, Body& body) {
  CAIRN_CO_TRY(all, co_await take_all(body));
  CAIRN_CO_TRY(request, wire::decode<wire::GroupFile>(all));
  CAIRN_CO_RETURN_IF_ERROR(check_group(context, request.group));
  CAIRN_CO_TRY(name, parse_name(context, session, request.name, auth::kDelete));
  // What the namespace deletes was in its own trash, or nobody has ever seen it.
  const bool by_tracker = session.peer_uuid == kTrackerUuid;
  Result<Change> removed = Change();
  if (Status allowed = co_await refuse_marked(context, session.peer, name); !allowed)
    removed = std::move(allowed).error();
  else
    removed = co_await remove_file(context, name, !by_tracker);
  audit_delete(context, who(session), session.connection.peer_address().to_string(), name.text(),
               removed);
  if (!removed) co_return removed.error();
  // What the tracker deletes was named by nobody any more.
  if (!by_tracker) tell_caches(context, co_await asio::this_coro::executor, name);
  co_return Reply();
}

} // namespace

void add_delete_handlers(HandlerTable<Context>& table) {
  table.on(wire::Command::delete_file, &delete_file, {Access::client, 64 * 1024, auth::kDelete});
}

} // namespace cairn::storage
