// What several command families share.
#include "common/wire/copies.h"
#include "common/wire/fastdfs.h"
#include "storage/handlers/adopt.h"
#include "storage/handlers/context.h"
#include "storage/handlers/put_named.h"
#include "storage/handlers/upload_files.h"
#include "storage/sync/sync_service.h"

#include <spdlog/spdlog.h>

#include <algorithm>

namespace cairn::storage {

namespace {
// Bodies up to this are kept in memory (while the budget lasts): one hop to the disk instead of
// several.
constexpr std::uint64_t kMemoryMax = 1024 * 1024;
// Piece of a streamed body; the small one while memory is short.
constexpr std::size_t kPiece = 256 * 1024;
constexpr std::size_t kPieceSmall = 16 * 1024;
// One of so many changes with too few copies is told in the log.
constexpr std::uint64_t kShortLogged = 1000;
} // namespace

const HandlerTable<Context>& handler_table() {
  static const HandlerTable<Context> table = [] {
    HandlerTable<Context> made;
    add_upload_handlers(made);
    add_appender_handlers(made);
    add_read_handlers(made);
    add_metadata_handlers(made);
    add_delete_handlers(made);
    add_native_handlers(made);
    add_adopt_handlers(made);
    add_put_named_handlers(made);
    add_upload_files_handlers(made);
    return made;
  }();
  return table;
}

Status check_group(const Context& context, const std::string& group) {
  if (group == context.config.group_name) return Status();
  return Error{Errc::invalid_argument, "group " + group + " is not this node's"};
}

Result<RemoteName> parse_name(const Context& context, std::string_view text) {
  CAIRN_TRY(name, parse_remote_name(text));
  if (name.store_path() >= context.store.path_count())
    return Error{Errc::invalid_argument, "no such store path: " + std::string(text)};
  return name;
}

Result<RemoteName> parse_name(const Context& context, const Session& session, std::string_view text,
                              auth::Rights right) {
  CAIRN_TRY(name, parse_name(context, text));
  // Nodes, and clients without a key, may what the command's rule says.
  if (!session.key) return name;
  const std::string object = context.config.group_name + "/" + name.canonical();
  if (!session.may(right, object)) return Error{Errc::denied, "the access key: not " + object};
  return name;
}

Status may_create(const Context& context, const Session& session) {
  if (session.may(auth::kWrite, context.config.group_name)) return {};
  return Error{Errc::denied, "the access key does not hold for all of the group"};
}

Status takes_changes(const Context& context) {
  if (context.stopping) return Error{Errc::unavailable, "stopping"};
  if (context.store.node_id() == 0) return Error{Errc::unavailable, "not yet a member"};
  if (auto copies = copies_wanted(context, 0); !copies) return std::move(copies).error();
  return Status();
}

Task<Result<std::string>> take_text(Body& body, std::uint64_t size) {
  if (size > body.left()) co_return Error{Errc::invalid_argument, "body is too short"};
  std::string text(size, '\0');
  const std::span<std::byte> out(reinterpret_cast<std::byte*>(text.data()), text.size());
  CAIRN_CO_RETURN_IF_ERROR(co_await body.read_exact(out));
  co_return text;
}

Task<Result<wire::Bytes>> take_all(Body& body) {
  wire::Bytes bytes(body.left());
  CAIRN_CO_RETURN_IF_ERROR(co_await body.read_exact(bytes));
  co_return bytes;
}

bool belongs_elsewhere(Context& context, const Session& session, const RemoteName& name) {
  if (session.peer) return false;
  const auto peers = context.peers.get();
  const std::uint32_t owner = peers->owner_of(name);
  return owner != 0 && owner != context.store.node_id();
}

Task<Result<Reply>> forward_to_owner(Context& context, const RemoteName& name, Body& body,
                                     wire::Bytes front) {
  const std::uint32_t owner = context.peers.get()->owner_of(name);
  CAIRN_CO_TRY(reply, co_await context.remote().forward(owner, body.command(), body.flags(),
                                                        std::move(front), body));
  co_return Reply(std::move(reply));
}

Result<OperationTicket> begin_under(OperationLimit& limit) {
  auto ticket = limit.begin();
  if (!ticket) return Error{Errc::busy, "too many operations at once"};
  return ticket;
}

Result<Copies> copies_wanted(const Context& context, std::uint8_t flags) {
  Copies copies;
  copies.wanted = flags & wire::kCopiesMask;
  if (copies.wanted == 0) copies.wanted = context.config.copies;
  if (copies.wanted <= 1) return copies;
  if ((flags & wire::kCopiesOfMembers) != 0) {
    const auto members = static_cast<unsigned>(context.peers.get()->members().size()) + 1;
    copies.wanted = std::min(copies.wanted, members);
  }
  const unsigned reachable = context.sync.copies().reachable();
  if (context.config.copies_short == config::CopiesShort::refuse && reachable < copies.wanted)
    return Error{Errc::unavailable, std::to_string(reachable) + " of " +
                                        std::to_string(copies.wanted) +
                                        " nodes for copies are there"};
  return copies;
}

void begin_copies(Context& context, const Result<Change>& made, const Copies& copies) {
  if (made && made->seq != 0 && copies.wanted > 1) context.sync.send_ahead(made->seq);
}

Task<Result<Change>> copied(Context& context, Result<Change> change, Copies& copies) {
  if (!change || change->seq == 0 || copies.wanted <= 1) co_return change;
  copies.have = co_await context.sync.wait_for_copies(change->seq, copies.wanted,
                                                      context.config.copies_timeout);
  if (copies.is_short() && context.counters.copies_short.fetch_add(1) % kShortLogged == 0)
    spdlog::warn("too few copies file={} have={} wanted={}", change->name, copies.have,
                 copies.wanted);
  co_return change;
}

Task<Result<Change>> copied(Context& context, Result<Change> change) {
  Copies copies;
  copies.wanted = context.config.copies;
  auto done = co_await copied(context, std::move(change), copies);
  if (done && copies.is_short() && context.config.copies_short == config::CopiesShort::refuse)
    co_return Error{Errc::timeout, done->name + " has too few copies yet"};
  co_return done;
}

Result<Reply> upload_reply(const Context& context, const std::string& name, std::uint8_t flags,
                           const Copies& copies) {
  const bool refused =
      copies.is_short() && context.config.copies_short == config::CopiesShort::refuse;
  if ((flags & wire::kCopiesMask) == 0) {
    // A FastDFS client could not read an ID beside a failure.
    if (refused) return Error{Errc::timeout, name + " has too few copies yet"};
    return Reply(stored_file_reply(context, name));
  }
  wire::StoredCopies stored;
  stored.have = static_cast<std::uint8_t>(std::min(copies.have, 255U));
  stored.wanted = static_cast<std::uint8_t>(copies.wanted);
  stored.refused = refused;
  stored.id = context.config.group_name + "/" + name;
  return Reply(wire::encode(stored));
}

wire::Bytes stored_file_reply(const Context& context, const std::string& name) {
  return wire::encode(wire::StoredFile{context.config.group_name, name});
}

Task<Result<Content>> Content::take(Context& context, Body& body,
                                    std::optional<std::uint8_t> store_path) {
  Content content;
  if (body.is_whole()) {
    // Already in memory, and stays there until the request ends.
    content.view_ = body.whole();
    CAIRN_CO_TRY(taken, co_await body.drain(0));
    CAIRN_ASSERT(taken);
    co_return content;
  }
  const std::uint64_t size = body.left();
  if (size <= kMemoryMax) content.charge_ = context.memory.take(size);
  if (content.charge_) {
    content.memory_ = wire::Buffer(size);
    CAIRN_CO_RETURN_IF_ERROR(co_await body.read_exact(content.memory_.span()));
    content.view_ = content.memory_.view();
    co_return content;
  }
  if (!store_path) co_return Error{Errc::busy, "too many uploads at once"};
  std::size_t piece_size = kPiece;
  MemoryCharge charge = context.memory.take(kPiece);
  if (!charge) charge = context.memory.take(piece_size = kPieceSmall);
  if (!charge) co_return Error{Errc::busy, "too many uploads at once"};
  DiskPool& pool = context.store.pool(*store_path);
  auto stage = [&store = context.store, store_path = *store_path] {
    return store.stage(store_path);
  };
  CAIRN_CO_TRY(staged, co_await pool.run(std::move(stage)));
  content.staged_ = std::move(staged);
  wire::Buffer piece(piece_size);
  while (body.left() > 0) {
    std::size_t have = 0;
    while (have < piece.size() && body.left() > 0) {
      CAIRN_CO_TRY(count, co_await body.read_some(piece.span().subspan(have)));
      have += count;
    }
    auto write = [file = &*content.staged_, bytes = piece.view().first(have)] {
      return file->write(bytes);
    };
    auto written = co_await pool.run(std::move(write));
    if (!written) co_return context.store.report(*store_path, std::move(written).error());
  }
  co_return content;
}

} // namespace cairn::storage
