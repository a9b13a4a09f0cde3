// What several command families share.
#include "common/wire/fastdfs.h"
#include "storage/handlers/context.h"

#include <spdlog/spdlog.h>

namespace cairn::storage {

namespace {
// Bodies up to this are kept in memory (while the budget lasts): one hop to the disk instead of
// several.
constexpr std::uint64_t kMemoryMax = 1024 * 1024;
// Piece of a streamed body; the small one while memory is short.
constexpr std::size_t kPiece = 256 * 1024;
constexpr std::size_t kPieceSmall = 16 * 1024;
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

Status takes_changes(const Context& context) {
  if (context.stopping) return Error{Errc::unavailable, "stopping"};
  if (context.store.node_id() == 0) return Error{Errc::unavailable, "not yet a member"};
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

Task<Result<Change>> committed(Context& context, Result<Change> change) {
  if (change && change->seq != 0)
    CAIRN_CO_RETURN_IF_ERROR(co_await context.binlog.commit(change->seq));
  co_return change;
}

wire::Bytes stored_file_reply(const Context& context, const std::string& name) {
  return wire::encode(wire::StoredFile{context.config.group_name, name});
}

Task<Result<Content>> Content::take(Context& context, Body& body, std::uint8_t store_path) {
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
  std::size_t piece_size = kPiece;
  MemoryCharge charge = context.memory.take(kPiece);
  if (!charge) charge = context.memory.take(piece_size = kPieceSmall);
  if (!charge) co_return Error{Errc::busy, "too many uploads at once"};
  DiskPool& pool = context.store.pool(store_path);
  auto stage = [&store = context.store, store_path] { return store.stage(store_path); };
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
    if (!written) co_return context.store.report(store_path, std::move(written).error());
  }
  co_return content;
}

} // namespace cairn::storage
