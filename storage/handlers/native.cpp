// What other nodes and administrators ask: hello, reads from this disk only, admin verbs.
#include "storage/handlers/native.h"

#include "common/base/crc32.h"
#include "common/rules/pattern.h"
#include "common/wire/cache_purge.h"
#include "common/wire/fastdfs.h"
#include "common/wire/have_files.h"
#include "common/wire/origin_mark.h"
#include "common/wire/rewrite.h"
#include "storage/handlers/context.h"
#include "storage/handlers/locate.h"
#include "storage/handlers/trash_verbs.h"
#include "storage/http/front_memory.h"
#include "storage/scrub/inspect.h"
#include "storage/sync/sync_service.h"

#include <nlohmann/json.hpp>
#include <spdlog/spdlog.h>

#include <map>

namespace cairn::storage {

namespace {

void on_native(HandlerTable<Context>& table, wire::NativeCommand command,
               HandlerTable<Context>::Function function, CommandRule rule) {
  table.on(static_cast<wire::Command>(command), function, rule);
}

Task<Result<Reply>> hello(Context& context, Session& session, Body& body) {
  CAIRN_CO_TRY(all, co_await take_all(body));
  wire::HelloReply self;
  self.uuid = context.uuid;
  self.node_id = context.store.node_id();
  auto admitted =
      co_await admit(session, all, std::move(self), context.gate, context.config.connect_timeout);
  if (!admitted) {
    context.counters.hello_refused.fetch_add(1, std::memory_order_relaxed);
    spdlog::warn("hello refused peer={} cause={}", session.connection.peer(),
                 admitted.error().text());
    co_return std::move(admitted).error();
  }
  if (session.peer && admitted->hello.role == wire::Role::tracker) session.peer_uuid = kTrackerUuid;
  co_return Reply(std::move(admitted->reply));
}

Task<Result<Reply>> admin(Context& context, Session& session, Body& body) {
  CAIRN_CO_TRY(all, co_await take_all(body));
  const auto request = nlohmann::json::parse(wire::as_text(all), nullptr, false);
  if (!request.is_object() || !request.contains("verb") || !request["verb"].is_string())
    co_return Error{Errc::invalid_argument, "an admin request is a JSON object with a verb"};
  if (request["verb"] == "rules.status") co_return Reply(wire::to_bytes(context.rules_json()));
  if (is_trash_verb(request["verb"].get_ref<const std::string&>()))
    co_return co_await answer_trash(context, session, request);
  if (request["verb"] != "status") co_return Error{Errc::unsupported, "unknown verb"};
  co_return Reply(wire::to_bytes(context.status_json()));
}

Task<Result<Reply>> fetch(Context& context, Session& session, Body& body) {
  CAIRN_CO_TRY(all, co_await take_all(body));
  CAIRN_CO_TRY(request, wire::decode_lenient<wire::Fetch>(all));
  CAIRN_CO_TRY(name, parse_name(context, request.name));
  DiskPool& pool = context.store.pool(name.store_path());
  auto open = [&store = context.store, &name, &request]() -> Result<OpenedFile> {
    CAIRN_TRY(opened, store.open_file(name));
    // First: a copy that was cut short has the wrong end.
    const std::uint64_t rest = opened.size > request.offset ? opened.size - request.offset : 0;
    const std::uint64_t wanted = request.length == 0 ? rest : std::min(request.length, rest);
    CAIRN_RETURN_IF_ERROR(
        store.verify(name, opened, request.offset, std::min(wanted, kVerifyAhead)));
    if (request.offset > opened.size) return Error{Errc::invalid_argument, "beyond the end"};
    return opened;
  };
  CAIRN_CO_TRY(opened, co_await pool.run(std::move(open)));
  const std::uint64_t rest = opened.size - request.offset;
  const std::uint64_t length = request.length == 0 || request.length > rest ? rest : request.length;

  wire::Bytes front;
  wire::Writer writer(front);
  wire::FrameHeader header;
  header.body_size = wire::size_of<wire::FetchHead> + length;
  header.command = static_cast<std::uint8_t>(wire::Command::reply);
  wire::FetchHead head;
  head.file_size = opened.size;
  head.mtime = opened.mtime;
  wire::encode_into(writer, header);
  wire::encode_into(writer, head);
  CAIRN_CO_RETURN_IF_ERROR(co_await session.connection.write(front, /*more=*/length > 0));
  auto sent = co_await send_verified(context, session.connection, name, opened, request.offset,
                                     length, /*only_here=*/true);
  if (!sent) session.connection.close();
  co_return Reply::already_sent();
}

// What is on the disk under a name, with its checksum read anew.
Result<wire::ProbeReply> probe_now(Store& store, const RemoteName& name) {
  wire::ProbeReply reply;
  auto opened = store.open_file(name);
  if (opened.code() == Errc::not_found) {
    CAIRN_TRY(tombstone, store.tombstones().find(name.canonical()));
    if (tombstone) reply.presence = wire::Presence::deleted;
    return reply;
  }
  reply.presence = wire::Presence::present;
  if (!opened) {
    reply.damaged = true;
    return reply;
  }
  reply.size = opened->size;
  reply.mtime = opened->mtime;
  auto crc = store.content_crc32(name, true);
  if (crc) reply.crc32 = *crc;
  reply.damaged = !crc || !store.verify(name, *opened, 0, opened->size);
  const bool constant = name.kind() == FileKind::normal && name.fields();
  if (crc && constant && *crc != name.fields()->crc32)
    // Changed since it was verified, or in a way that left no trace.
    reply.damaged = !store.scrub(name, [](std::uint64_t) { return true; });
  if (auto text = store.get_metadata(name)) reply.meta_crc32 = crc32(0, wire::as_view(*text));
  return reply;
}

Task<Result<Reply>> probe(Context& context, Session&, Body& body) {
  CAIRN_CO_TRY(all, co_await take_all(body));
  CAIRN_CO_TRY(request, wire::decode_lenient<wire::NameRequest>(all));
  CAIRN_CO_TRY(name, parse_name(context, request.name));
  auto work = [&store = context.store, &name] { return probe_now(store, name); };
  CAIRN_CO_TRY(reply, co_await context.store.pool(name.store_path()).run(std::move(work)));
  co_return Reply(wire::encode(reply));
}

Task<Result<Reply>> fetch_meta(Context& context, Session&, Body& body) {
  CAIRN_CO_TRY(all, co_await take_all(body));
  CAIRN_CO_TRY(request, wire::decode_lenient<wire::NameRequest>(all));
  CAIRN_CO_TRY(name, parse_name(context, request.name));
  CAIRN_CO_TRY(text, co_await metadata_here(context, name));
  co_return Reply(wire::to_bytes(text));
}

Task<Result<Reply>> inspect(Context& context, Session&, Body& body) {
  CAIRN_CO_TRY(all, co_await take_all(body));
  CAIRN_CO_TRY(request, wire::decode_lenient<wire::InspectCopy>(all));
  CAIRN_CO_TRY(name, parse_name(context, request.name));
  auto work = [&context, &name, verify = request.verify] {
    return inspect_copy(context.store, context.sync.catalogue(), name, verify);
  };
  CAIRN_CO_TRY(facts, co_await context.store.pool(name.store_path()).run(std::move(work)));
  co_return Reply(wire::encode(facts));
}

// Which of these files are here: by their names in the directory, without reading them.
Task<Result<Reply>> have_files(Context& context, Session&, Body& body) {
  CAIRN_CO_TRY(all, co_await take_all(body));
  CAIRN_CO_TRY(request, wire::decode_lenient<wire::HaveFiles>(all));
  if (request.files.size() > wire::kHaveFilesMax)
    co_return Error{Errc::invalid_argument, "too many names at once"};
  std::map<std::uint8_t, std::vector<std::pair<std::size_t, RemoteName>>> by_path;
  for (std::size_t i = 0; i < request.files.size(); ++i) {
    CAIRN_CO_TRY(name, parse_name(context, request.files[i].name));
    by_path[name.store_path()].emplace_back(i, name);
  }
  wire::HaveFilesReply reply;
  reply.present.assign(request.files.size(), '0');
  for (const auto& of_path : by_path) {
    auto work = [&store = context.store, &names = of_path.second, &reply] {
      for (const auto& [index, name] : names)
        if (store.open_file(name)) reply.present[index] = '1';
      return true;
    };
    co_await context.store.pool(of_path.first).run(std::move(work));
  }
  co_return Reply(wire::encode(reply));
}

Task<Result<Reply>> digest(Context& context, Session&, Body& body) {
  CAIRN_CO_TRY(all, co_await take_all(body));
  CAIRN_CO_TRY(request, wire::decode_lenient<wire::DigestFiles>(all));
  auto work = [&context, &request] {
    return digest_files(context.store, context.sync.catalogue(), request);
  };
  CAIRN_CO_TRY(reply, co_await context.sync.run_in_background(std::move(work)));
  co_return Reply(wire::encode(reply));
}

Task<Result<Reply>> repair(Context& context, Session&, Body& body) {
  CAIRN_CO_TRY(all, co_await take_all(body));
  CAIRN_CO_TRY(request, wire::decode_lenient<wire::NameRequest>(all));
  CAIRN_CO_TRY(name, parse_name(context, request.name));
  if (!context.repair) co_return Error{Errc::unavailable, "starting"};
  CAIRN_CO_TRY(reply, co_await context.repair(name));
  co_return Reply(wire::encode(reply));
}

// Files with an origin mark, for the tracker that looks for what a crash has left.
Task<Result<Reply>> list_marked(Context& context, Session&, Body& body) {
  CAIRN_CO_TRY(all, co_await take_all(body));
  CAIRN_CO_TRY(request, wire::decode_lenient<wire::ListMarked>(all));
  auto work = [&context, &request] { return marked_files(context.sync.catalogue(), request); };
  CAIRN_CO_TRY(reply, co_await context.sync.run_in_background(std::move(work)));
  co_return Reply(wire::encode(reply));
}

// For the tracker that has caches in front fetch anew what has changed.
Task<Result<Reply>> front_urls(Context& context, Session&, Body& body) {
  CAIRN_CO_TRY(all, co_await take_all(body));
  CAIRN_CO_TRY(request, wire::decode_lenient<wire::FrontUrls>(all));
  if (request.tags.size() > wire::kCacheWordsMax)
    co_return Error{Errc::invalid_argument, "too many tags at once"};
  const auto now = std::chrono::steady_clock::now();
  if (request.pattern.empty())
    co_return Reply(wire::encode(
        context.fronts->with_tags(request.tags, request.after, wire::kFrontUrlsMost, now)));
  CAIRN_CO_TRY(pattern, rules::Pattern::compile(request.pattern, false));
  const auto fits = [&pattern](const std::string& target) { return pattern.search(target); };
  co_return Reply(
      wire::encode(context.fronts->fitting(fits, request.after, wire::kFrontUrlsMost, now)));
}

} // namespace

void add_native_handlers(HandlerTable<Context>& table) {
  const CommandRule peer{Access::peer, 64 * 1024};
  on_native(table, wire::NativeCommand::hello, &hello, {Access::anyone, 4096});
  on_native(table, wire::NativeCommand::admin, &admin, {Access::admin, 64 * 1024});
  on_native(table, wire::NativeCommand::fetch, &fetch, peer);
  on_native(table, wire::NativeCommand::probe, &probe, peer);
  on_native(table, wire::NativeCommand::fetch_meta, &fetch_meta, peer);
  on_native(table, wire::kInspectCopy, &inspect, peer);
  on_native(table, wire::kHaveFiles, &have_files, {Access::peer, 512 * 1024});
  on_native(table, wire::kDigestFiles, &digest, peer);
  on_native(table, wire::kRepairFile, &repair, peer);
  on_native(table, wire::kListMarked, &list_marked, peer);
  on_native(table, wire::kFrontUrls, &front_urls, peer);
  on_native(table, wire::kRewrite, &rewrite, {Access::peer, wire::kRewriteFrameMax});
  const CommandRule sync{Access::peer, kSyncFrameMax};
  on_native(table, wire::NativeCommand::sync_hello, &sync_hello, peer);
  on_native(table, wire::NativeCommand::sync_batch, &sync_batch, sync);
  on_native(table, wire::NativeCommand::sync_have, &sync_have, sync);
  on_native(table, wire::NativeCommand::sync_done, &sync_done, peer);
  on_native(table, wire::NativeCommand::list_files, &list_files, peer);
}

} // namespace cairn::storage
