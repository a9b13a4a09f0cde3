// trash.ls, trash.restore, trash.purge
#include "storage/handlers/trash_verbs.h"

#include <nlohmann/json.hpp>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <ctime>

namespace cairn::storage {

namespace {

using nlohmann::json;

constexpr std::uint64_t kPageMax = 10'000;
constexpr std::uint64_t kDaySeconds = 86'400;
constexpr std::uint64_t kSecondsMax = std::uint64_t{3650} * kDaySeconds;

Error invalid(std::string what) {
  return Error{Errc::invalid_argument, std::move(what)};
}

Reply reply_of(const json& object) {
  return Reply(wire::to_bytes(object.dump(-1, ' ', false, json::error_handler_t::replace)));
}

// The file that "id" names, of this group.
Result<RemoteName> file_of(const Context& context, const json& request) {
  const auto found = request.find("id");
  if (found == request.end() || !found->is_string()) return invalid("'id' is missing");
  CAIRN_TRY(id, parse_file_id(found->get_ref<const std::string&>()));
  CAIRN_RETURN_IF_ERROR(check_group(context, id.group));
  return parse_name(context, id.name.text());
}

Result<std::uint64_t> number_of(const json& request, const char* name, std::uint64_t absent,
                                std::uint64_t max) {
  const auto found = request.find(name);
  if (found == request.end()) return absent;
  if (!found->is_number_unsigned() || found->get<std::uint64_t>() > max)
    return invalid(std::string("'") + name + "' is no number up to " + std::to_string(max));
  return found->get<std::uint64_t>();
}

// Store path after store path: their names begin with its index.
Task<Result<Reply>> list(Context& context, const json& request) {
  CAIRN_CO_TRY(limit, number_of(request, "limit", 1000, kPageMax));
  const auto given = request.find("after");
  const std::string after =
      given != request.end() && given->is_string() ? given->get<std::string>() : std::string();
  json files = json::array();
  bool done = true;
  for (std::size_t path = 0; path < context.store.path_count(); ++path) {
    const auto index = static_cast<std::uint8_t>(path);
    const std::size_t left = static_cast<std::size_t>(limit) - files.size();
    auto work = [&store = context.store, index, &after, left] {
      return store.list_trash(index, after, left + 1);
    };
    std::vector<TrashedFile> page = co_await context.store.read_pool(index).run(std::move(work));
    if (page.size() > left) {
      page.resize(left);
      done = false;
    }
    for (const TrashedFile& file : page) {
      json entry{{"id", context.config.group_name + "/" + file.name},
                 {"size", file.size},
                 {"deleted", file.deleted},
                 {"expires", (file.deleted_day + 1 + context.config.trash_days) * kDaySeconds}};
      files.push_back(std::move(entry));
    }
    if (!done) break;
  }
  co_return reply_of(
      {{"trash_days", context.config.trash_days}, {"files", std::move(files)}, {"done", done}});
}

Task<Result<Reply>> restore(Context& context, const json& request) {
  CAIRN_CO_TRY(name, file_of(context, request));
  CAIRN_CO_RETURN_IF_ERROR(takes_changes(context));
  // As every change of an appender file: others may have less of it in their trash.
  const std::uint32_t owner = context.peers.get()->owner_of(name);
  if (name.kind() == FileKind::appender && owner != 0 && owner != context.store.node_id())
    co_return Error{Errc::not_found, "only node " + std::to_string(owner) + " restores this file"};
  auto work = [&store = context.store, &name] { return store.restore_from_trash(name); };
  DiskPool& pool = context.store.pool(name.store_path());
  CAIRN_CO_TRY(change, co_await committed(context, pool, std::move(work)));
  co_return reply_of({{"restored", true}});
}

Task<Result<Reply>> purge(Context& context, const json& request) {
  std::uint64_t purged = 0;
  if (request.contains("id")) {
    CAIRN_CO_TRY(name, file_of(context, request));
    auto work = [&store = context.store, &name] { return store.purge_from_trash(name); };
    purged = co_await context.store.pool(name.store_path()).run(std::move(work)) ? 1 : 0;
  } else {
    if (!request.contains("older_than_s"))
      co_return invalid("either 'id' or 'older_than_s' is needed");
    CAIRN_CO_TRY(age, number_of(request, "older_than_s", 0, kSecondsMax));
    // A day counts when it is over; with no age at all, today's too.
    const auto now = static_cast<std::uint64_t>(std::time(nullptr));
    const std::uint64_t before = age == 0 ? now + 2 * kDaySeconds : now - std::min(now, age);
    auto work = [&store = context.store, before] { return store.empty_trash(before); };
    purged = co_await context.store.pool(0).run(std::move(work));
  }
  co_return reply_of({{"purged", purged}});
}

} // namespace

bool is_trash_verb(std::string_view verb) {
  return verb == "trash.ls" || verb == "trash.restore" || verb == "trash.purge";
}

Task<Result<Reply>> answer_trash(Context& context, const Session& session,
                                 const nlohmann::json& request) {
  const std::string verb = request["verb"].get<std::string>();
  if (verb == "trash.ls") co_return co_await list(context, request);
  Result<Reply> reply = Errc::unsupported;
  if (verb == "trash.restore")
    reply = co_await restore(context, request);
  else
    reply = co_await purge(context, request);
  auth::AuditEvent event;
  event.who = session.key ? "key " + session.key->id : std::string("administrator");
  event.from = session.connection.peer_address().to_string();
  event.what = verb;
  const auto id = request.find("id");
  if (id != request.end() && id->is_string()) event.object = id->get<std::string>();
  event.result = reply ? "ok" : std::string(describe(reply.code()));
  if (const Status noted = context.audit.append(event); !noted)
    spdlog::error("the audit log cannot be written cause={}", noted.error().text());
  co_return reply;
}

} // namespace cairn::storage
