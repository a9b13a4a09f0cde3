// Changes of appender files: append (24), modify (34), truncate (36), regenerate (38). They run at
// the file's owner.
#include "common/wire/fastdfs.h"
#include "storage/handlers/context.h"

namespace cairn::storage {

namespace {

constexpr std::uint64_t kNameMin = 44;
constexpr std::uint64_t kNameMax = 127;

Status check_name_size(std::uint64_t size) {
  if (size >= kNameMin && size <= kNameMax) return Status();
  return Error{Errc::invalid_argument, "appender name of " + std::to_string(size) + " characters"};
}

// Content goes where the file lies, so that a staged body can be copied inside one file system.
Task<Result<Reply>> write_content(Context& context, Session& session, Body& body, wire::Bytes front,
                                  std::uint64_t name_size, std::uint64_t length,
                                  std::optional<std::uint64_t> offset, OperationCounter& counter) {
  CAIRN_CO_RETURN_IF_ERROR(check_name_size(name_size));
  if (name_size > body.left() || length != body.left() - name_size)
    co_return Error{Errc::invalid_argument, "lengths and body length differ"};
  if (offset && *offset > kFileSizeMax) co_return Error{Errc::invalid_argument, "negative offset"};
  CAIRN_CO_TRY(text, co_await take_text(body, name_size));
  CAIRN_CO_TRY(name, parse_name(context, session, text, auth::kWrite));
  if (belongs_elsewhere(context, session, name)) {
    wire::Writer(front).raw(wire::as_view(text));
    co_return co_await forward_to_owner(context, name, body, std::move(front));
  }
  CAIRN_CO_RETURN_IF_ERROR(takes_changes(context));
  CAIRN_CO_TRY(ticket, begin_under(context.uploads));
  Counted counted(counter, length);
  CAIRN_CO_TRY(content, co_await Content::take(context, body, name.store_path()));
  auto work = [&store = context.store, &name, &content, offset]() -> Result<Change> {
    if (content.in_memory())
      return offset ? store.modify(name, *offset, content.view())
                    : store.append(name, content.view());
    return offset ? store.modify(name, *offset, content.staged())
                  : store.append(name, content.staged());
  };
  DiskPool& pool = context.store.pool(name.store_path());
  CAIRN_CO_TRY(change, co_await committed(context, pool, std::move(work)));
  counted.succeed();
  co_return Reply();
}

Task<Result<Reply>> append_file(Context& context, Session& session, Body& body) {
  std::array<std::byte, wire::size_of<wire::AppendPrefix>> raw;
  CAIRN_CO_RETURN_IF_ERROR(co_await body.read_exact(raw));
  CAIRN_CO_TRY(prefix, wire::decode<wire::AppendPrefix>(raw));
  wire::Bytes front(raw.begin(), raw.end());
  co_return co_await write_content(context, session, body, std::move(front), prefix.name_size,
                                   prefix.length, std::nullopt, context.counters.append);
}

Task<Result<Reply>> modify_file(Context& context, Session& session, Body& body) {
  std::array<std::byte, wire::size_of<wire::ModifyPrefix>> raw;
  CAIRN_CO_RETURN_IF_ERROR(co_await body.read_exact(raw));
  CAIRN_CO_TRY(prefix, wire::decode<wire::ModifyPrefix>(raw));
  wire::Bytes front(raw.begin(), raw.end());
  co_return co_await write_content(context, session, body, std::move(front), prefix.name_size,
                                   prefix.length, prefix.offset, context.counters.modify);
}

Task<Result<Reply>> truncate_file(Context& context, Session& session, Body& body) {
  CAIRN_CO_TRY(all, co_await take_all(body));
  CAIRN_CO_TRY(request, wire::decode<wire::Truncate>(all));
  CAIRN_CO_RETURN_IF_ERROR(check_name_size(request.name_size));
  if (request.name_size != request.name.size())
    co_return Error{Errc::invalid_argument, "name length and body length differ"};
  if (request.size > kFileSizeMax) co_return Error{Errc::invalid_argument, "negative size"};
  CAIRN_CO_TRY(name, parse_name(context, session, request.name, auth::kWrite));
  if (belongs_elsewhere(context, session, name))
    co_return co_await forward_to_owner(context, name, body, std::move(all));
  CAIRN_CO_RETURN_IF_ERROR(takes_changes(context));
  Counted counted(context.counters.truncate);
  auto work = [&store = context.store, &name, size = request.size] {
    return store.truncate(name, size);
  };
  DiskPool& pool = context.store.pool(name.store_path());
  CAIRN_CO_TRY(change, co_await committed(context, pool, std::move(work)));
  counted.succeed();
  co_return Reply();
}

Task<Result<Reply>> regenerate_name(Context& context, Session& session, Body& body) {
  CAIRN_CO_TRY(all, co_await take_all(body));
  CAIRN_CO_RETURN_IF_ERROR(check_name_size(all.size()));
  CAIRN_CO_RETURN_IF_ERROR(may_create(context, session)); // it gets another name
  CAIRN_CO_TRY(name, parse_name(context, session, wire::as_text(all), auth::kWrite));
  if (belongs_elsewhere(context, session, name))
    co_return co_await forward_to_owner(context, name, body, std::move(all));
  CAIRN_CO_RETURN_IF_ERROR(takes_changes(context));
  auto work = [&store = context.store, &name] { return store.regenerate(name); };
  DiskPool& pool = context.store.pool(name.store_path());
  CAIRN_CO_TRY(change, co_await committed(context, pool, std::move(work)));
  co_return Reply(stored_file_reply(context, change.name));
}

} // namespace

void add_appender_handlers(HandlerTable<Context>& table) {
  const CommandRule content{Access::client, kFileSizeMax, auth::kWrite};
  const CommandRule name_only{Access::client, 64 * 1024, auth::kWrite};
  table.on(wire::Command::append_file, &append_file, content);
  table.on(wire::Command::modify_file, &modify_file, content);
  table.on(wire::Command::truncate_file, &truncate_file, name_only);
  table.on(wire::Command::regenerate_appender_name, &regenerate_name, name_only);
}

} // namespace cairn::storage
