// Delete (12): accepted at any member of the group.
#include "common/wire/fastdfs.h"
#include "storage/handlers/context.h"

namespace cairn::storage {

Task<Result<Change>> remove_file(Context& context, RemoteName name) {
  CAIRN_CO_RETURN_IF_ERROR(takes_changes(context));
  Counted counted(context.counters.remove);
  DiskPool& pool = context.store.pool(name.store_path());
  auto work = [&store = context.store, &name]() -> Result<Change> {
    auto made = store.remove(name, Origin());
    if (made.code() != Errc::not_found) return made;
    CAIRN_TRY(tombstone, store.tombstones().find(name.canonical()));
    // `seq` 0 stands for "unknown here": the caller asks the others.
    if (!tombstone) return Change{};
    return made;
  };
  auto made = co_await pool.run(std::move(work));
  if (made && made->name.empty()) {
    // It has not arrived here yet, or it never was: the tombstone meets it when it comes.
    CAIRN_CO_TRY(found, co_await context.remote().probe(name));
    if (found.presence != wire::Presence::present)
      co_return Error{Errc::not_found, std::string(name.text())};
    auto force = [&store = context.store, &name] { return store.remove(name, Origin(), true); };
    made = co_await pool.run(std::move(force));
  }
  CAIRN_CO_TRY(change, co_await committed(context, std::move(made)));
  counted.succeed();
  co_return change;
}

namespace {

Task<Result<Reply>> delete_file(Context& context, Session&, Body& body) {
  CAIRN_CO_TRY(all, co_await take_all(body));
  CAIRN_CO_TRY(request, wire::decode<wire::GroupFile>(all));
  CAIRN_CO_RETURN_IF_ERROR(check_group(context, request.group));
  CAIRN_CO_TRY(name, parse_name(context, request.name));
  CAIRN_CO_RETURN_IF_ERROR(co_await remove_file(context, std::move(name)));
  co_return Reply();
}

} // namespace

void add_delete_handlers(HandlerTable<Context>& table) {
  table.on(wire::Command::delete_file, &delete_file, {Access::client, 64 * 1024, auth::kDelete});
}

} // namespace cairn::storage
