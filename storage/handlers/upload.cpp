// Uploads: normal (11), appender (23) and slave files (21), and links (20).
#include "common/wire/fastdfs.h"
#include "common/wire/origin_mark.h"
#include "storage/handlers/context.h"

#include <ctime>

namespace cairn::storage {

namespace {

constexpr std::uint64_t kBodyMax = kFileSizeMax;

Task<Result<Reply>> upload_any(Context& context, const Session& session, Body& body, bool appender,
                               std::string mark) {
  std::array<std::byte, wire::size_of<wire::UploadPrefix>> raw;
  CAIRN_CO_RETURN_IF_ERROR(co_await body.read_exact(raw));
  CAIRN_CO_TRY(prefix, wire::decode<wire::UploadPrefix>(raw));
  if (prefix.file_size != body.left())
    co_return Error{Errc::invalid_argument, "file size and body length differ"};
  CAIRN_CO_RETURN_IF_ERROR(validate_extension(prefix.extension));
  CAIRN_CO_RETURN_IF_ERROR(may_create(context, session));
  CAIRN_CO_RETURN_IF_ERROR(takes_changes(context));
  CAIRN_CO_TRY(copies, copies_wanted(context, body.flags()));
  CAIRN_CO_TRY(ticket, begin_under(context.uploads));
  Counted counted(context.counters.upload, prefix.file_size);
  CAIRN_CO_TRY(place, context.store.choose_path(prefix.store_path, prefix.file_size));
  const std::uint8_t store_path = place.store_path;

  NewFile file;
  file.extension = std::move(prefix.extension);
  file.appender = appender;
  file.mark = std::move(mark);
  CAIRN_CO_TRY(content, co_await Content::take(context, body, store_path));
  auto create = [&store = context.store, &file, store_path, &content] {
    return content.in_memory() ? store.create(file, store_path, content.view())
                               : store.publish(file, std::move(content.staged()));
  };
  DiskPool& pool = context.store.pool(store_path);
  CAIRN_CO_TRY(change, co_await committed(context, pool, std::move(create), copies));
  counted.succeed();
  context.counters.last_source_update = static_cast<std::uint64_t>(std::time(nullptr));
  co_return upload_reply(context, change.name, body.flags(), copies);
}

Task<Result<Reply>> upload_file(Context& context, Session& session, Body& body) {
  return upload_any(context, session, body, false, {});
}

// For the namespace: the same, with the mark that says what for.
Task<Result<Reply>> upload_marked(Context& context, Session& session, Body& body) {
  std::array<std::byte, 4> length;
  CAIRN_CO_RETURN_IF_ERROR(co_await body.read_exact(length));
  const std::uint64_t size = wire::load_big_endian(length.data(), length.size());
  if (size == 0 || size > wire::kOriginMarkMax)
    co_return Error{Errc::invalid_argument, "an origin mark of " + std::to_string(size) + " bytes"};
  CAIRN_CO_TRY(mark, co_await take_text(body, size));
  CAIRN_CO_RETURN_IF_ERROR(wire::decode_origin(mark));
  co_return co_await upload_any(context, session, body, false, std::move(mark));
}

Task<Result<Reply>> upload_appender(Context& context, Session& session, Body& body) {
  return upload_any(context, session, body, true, {});
}

Task<Result<Reply>> upload_slave(Context& context, Session& session, Body& body) {
  std::array<std::byte, wire::size_of<wire::SlavePrefix>> raw;
  CAIRN_CO_RETURN_IF_ERROR(co_await body.read_exact(raw));
  CAIRN_CO_TRY(prefix, wire::decode<wire::SlavePrefix>(raw));
  if (prefix.master_size > body.left() || prefix.file_size != body.left() - prefix.master_size)
    co_return Error{Errc::invalid_argument, "lengths and body length differ"};
  CAIRN_CO_RETURN_IF_ERROR(validate_prefix(prefix.prefix));
  CAIRN_CO_RETURN_IF_ERROR(validate_extension(prefix.extension));
  CAIRN_CO_TRY(master_text, co_await take_text(body, prefix.master_size));
  CAIRN_CO_TRY(master, parse_name(context, master_text));
  CAIRN_CO_TRY(slave_text, slave_name(master, prefix.prefix, std::string_view(prefix.extension)));
  CAIRN_CO_TRY(slave, parse_name(context, session, slave_text, auth::kWrite));
  // A name that reads as a normal file's would promise the master's size and checksum.
  if (slave.kind() == FileKind::normal)
    co_return Error{Errc::invalid_argument, slave_text + " reads as the name of a normal file"};

  if (belongs_elsewhere(context, session, master)) {
    wire::Bytes front(raw.begin(), raw.end());
    wire::Writer(front).raw(wire::as_view(master_text));
    co_return co_await forward_to_owner(context, master, body, std::move(front));
  }
  CAIRN_CO_RETURN_IF_ERROR(takes_changes(context));
  CAIRN_CO_TRY(copies, copies_wanted(context, body.flags()));
  CAIRN_CO_TRY(ticket, begin_under(context.uploads));
  Counted counted(context.counters.upload, prefix.file_size);
  auto look = [&store = context.store, &master, &slave] {
    return std::pair(store.exists(master), store.exists(slave));
  };
  DiskPool& pool = context.store.pool(master.store_path());
  const auto [master_here, slave_here] = co_await pool.run(std::move(look));
  if (slave_here) co_return Error{Errc::exists, slave_text};
  if (!master_here) {
    // The owner of a file whose source has left may not have it itself yet.
    CAIRN_CO_TRY(elsewhere, co_await context.remote().probe(master));
    if (elsewhere.presence != wire::Presence::present)
      co_return Error{Errc::not_found, master_text};
  }
  CAIRN_CO_TRY(content, co_await Content::take(context, body, slave.store_path()));
  auto put = [&store = context.store, &slave, &content] {
    return content.in_memory() ? store.put(slave, content.view(), Origin())
                               : store.put(slave, std::move(content.staged()), Origin());
  };
  CAIRN_CO_TRY(change, co_await committed(context, pool, std::move(put), copies));
  counted.succeed();
  context.counters.last_source_update = static_cast<std::uint64_t>(std::time(nullptr));
  co_return upload_reply(context, change.name, body.flags(), copies);
}

Task<Result<Reply>> create_link(Context& context, Session& session, Body& body) {
  CAIRN_CO_TRY(all, co_await take_all(body));
  CAIRN_CO_TRY(prefix, wire::decode_prefix<wire::CreateLinkPrefix>(all));
  const auto names = wire::as_text(all).substr(wire::size_of<wire::CreateLinkPrefix>);
  constexpr std::uint64_t kNamesMax = 256;
  if (prefix.master_size > kNamesMax || prefix.source_size > kNamesMax ||
      prefix.signature_size > kNamesMax || prefix.signature_size == 0 ||
      prefix.master_size + prefix.source_size + prefix.signature_size != names.size() ||
      names.size() > kNamesMax)
    co_return Error{Errc::invalid_argument, "lengths and body length differ"};
  CAIRN_CO_RETURN_IF_ERROR(check_group(context, prefix.group));
  CAIRN_CO_RETURN_IF_ERROR(validate_extension(prefix.extension));
  const std::string master_text(names.substr(0, prefix.master_size));
  const std::string source_text(names.substr(prefix.master_size, prefix.source_size));
  // Who makes another name for a file may read it by that name.
  CAIRN_CO_TRY(source, parse_name(context, session, source_text, auth::kWrite | auth::kRead));
  std::optional<RemoteName> wanted;
  if (!master_text.empty()) {
    CAIRN_CO_RETURN_IF_ERROR(validate_prefix(prefix.prefix));
    CAIRN_CO_TRY(master, parse_name(context, master_text));
    CAIRN_CO_TRY(text, slave_name(master, prefix.prefix, std::string_view(prefix.extension)));
    CAIRN_CO_TRY(name, parse_name(context, session, text, auth::kWrite));
    // A link is a second name of one inode: it lies where its source lies.
    if (name.store_path() != source.store_path())
      co_return Error{Errc::invalid_argument, "source and master are on different store paths"};
    wanted = name;
  } else {
    CAIRN_CO_RETURN_IF_ERROR(may_create(context, session));
  }
  if (belongs_elsewhere(context, session, source))
    co_return co_await forward_to_owner(context, source, body, std::move(all));
  CAIRN_CO_RETURN_IF_ERROR(co_await refuse_marked(context, session.peer, source));
  Counted counted(context.counters.create_link);
  auto link = [&store = context.store, &source, &prefix, &wanted] {
    return store.link(source, prefix.extension, wanted ? &*wanted : nullptr, Origin());
  };
  DiskPool& pool = context.store.pool(source.store_path());
  CAIRN_CO_TRY(change, co_await committed(context, pool, std::move(link)));
  counted.succeed();
  co_return Reply(stored_file_reply(context, change.name));
}

} // namespace

void add_upload_handlers(HandlerTable<Context>& table) {
  const CommandRule rule{Access::client, kBodyMax, auth::kWrite};
  table.on(wire::Command::upload_file, &upload_file, rule);
  table.on(static_cast<wire::Command>(wire::kUploadMarked), &upload_marked, rule);
  table.on(wire::Command::upload_appender_file, &upload_appender, rule);
  table.on(wire::Command::upload_slave_file, &upload_slave, rule);
  table.on(wire::Command::create_link, &create_link, {Access::client, 64 * 1024, auth::kWrite});
}

} // namespace cairn::storage
