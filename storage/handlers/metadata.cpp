// User metadata: set (13) and get (15).
#include "common/wire/fastdfs.h"
#include "storage/handlers/context.h"
#include "storage/sync/sync_service.h"

namespace cairn::storage {

namespace {

Task<Result<Reply>> set_metadata(Context& context, Session& session, Body& body) {
  CAIRN_CO_TRY(all, co_await take_all(body));
  constexpr std::size_t kPrefix = wire::size_of<wire::SetMetadataPrefix>;
  CAIRN_CO_TRY(prefix, wire::decode_prefix<wire::SetMetadataPrefix>(all));
  const std::string_view rest = wire::as_text(all).substr(kPrefix);
  if (prefix.name_size > kRemoteNameMax || prefix.name_size > rest.size() ||
      prefix.meta_size != rest.size() - prefix.name_size)
    co_return Error{Errc::invalid_argument, "lengths and body length differ"};
  if (prefix.flag != 'O' && prefix.flag != 'M')
    co_return Error{Errc::invalid_argument, "metadata flag is neither O nor M"};
  CAIRN_CO_RETURN_IF_ERROR(check_group(context, prefix.group));
  CAIRN_CO_TRY(name, parse_name(context, session, rest.substr(0, prefix.name_size), auth::kWrite));
  CAIRN_CO_RETURN_IF_ERROR(takes_changes(context));
  CAIRN_CO_RETURN_IF_ERROR(co_await refuse_marked(context, session.peer, name));
  Counted counted(context.counters.set_metadata);

  if (belongs_elsewhere(context, session, name)) {
    // At the owner a merge sees all earlier ones. It is taken here when the owner is away and the
    // file is here: stamps settle what meets what later.
    auto forwarded = co_await forward_to_owner(context, name, body, all);
    if (forwarded.code() != Errc::unavailable) {
      if (forwarded) counted.succeed();
      co_return forwarded;
    }
  }
  auto work = [&store = context.store, &name, text = rest.substr(prefix.name_size),
               merge = prefix.flag == 'M'] {
    return store.set_metadata(name, text, merge, Origin());
  };
  DiskPool& pool = context.store.pool(name.store_path());
  CAIRN_CO_TRY(change, co_await committed(context, pool, std::move(work)));
  counted.succeed();
  co_return Reply();
}

Task<Result<Reply>> get_metadata(Context& context, Session& session, Body& body) {
  CAIRN_CO_TRY(all, co_await take_all(body));
  CAIRN_CO_TRY(request, wire::decode<wire::GroupFile>(all));
  CAIRN_CO_RETURN_IF_ERROR(check_group(context, request.group));
  CAIRN_CO_TRY(name, parse_name(context, session, request.name, auth::kRead));
  Counted counted(context.counters.get_metadata);
  if (belongs_elsewhere(context, session, name)) {
    auto text = co_await context.remote().metadata(name);
    if (text) {
      counted.succeed();
      co_return Reply(wire::to_bytes(*text));
    }
    if (text.code() == Errc::not_found) co_return std::move(text).error();
  }
  CAIRN_CO_TRY(text, co_await metadata_here_or_near(context, name));
  counted.succeed();
  co_return Reply(wire::to_bytes(text));
}

} // namespace

Task<Result<std::string>> metadata_here(Context& context, const RemoteName& name) {
  auto work = [&store = context.store, &sync = context.sync, &name]() -> Result<std::string> {
    auto text = store.get_metadata(name);
    if (text.code() != Errc::not_found && text.code() != Errc::corrupt) return text;
    // Were there any? The catalogue knows.
    CAIRN_TRY(row, sync.catalogue().find(name.canonical()));
    if (row && row->summary.meta_crc32 == 0) {
      // A power loss can leave the beginning of metadata that were never acknowledged.
      return Error{Errc::not_found, name.canonical() + " has no metadata"};
    }
    if (!row || text.code() == Errc::corrupt) return text;
    // A removal that the catalogue has not seen yet left its stamp.
    if (store.metadata_stamp(name) > row->summary.meta_stamp) return text;
    CAIRN_TRY(tombstone, store.tombstones().find(name.canonical()));
    if (tombstone) return text;
    store.suspect(name, name.canonical() + ": its metadata are missing");
    return Error{Errc::corrupt, name.canonical() + ": its metadata are missing"};
  };
  co_return co_await context.store.read_pool(name.store_path()).run(std::move(work));
}

Task<Result<std::string>> metadata_here_or_near(Context& context, RemoteName name) {
  auto read = co_await metadata_here(context, name);
  if (read.code() == Errc::corrupt) {
    // Any member that has them whole will do.
    const auto map = context.peers.get();
    const wire::NameRequest asked{name.canonical()};
    for (const wire::NodeView& node : map->members()) {
      auto reply =
          co_await context.remote().ask_node(node, wire::NativeCommand::fetch_meta, encode(asked));
      if (!reply) continue;
      read = std::string(wire::as_text(*reply));
      break;
    }
  }
  co_return read;
}

void add_metadata_handlers(HandlerTable<Context>& table) {
  table.on(wire::Command::set_metadata, &set_metadata, {Access::client, 128 * 1024, auth::kWrite});
  table.on(wire::Command::get_metadata, &get_metadata, {Access::client, 64 * 1024, auth::kRead});
}

} // namespace cairn::storage
