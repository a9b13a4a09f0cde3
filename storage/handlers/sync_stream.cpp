// The sync stream of another member (180-183), and the list of files that members compare (187).
#include "storage/handlers/native.h"
#include "storage/sync/sync_service.h"

namespace cairn::storage {

namespace {

// A stream speaks for the node behind its connection, as `hello` told.
Status check_node(const Session& session) {
  if (session.peer_id != 0 || !session.peer_uuid.empty()) return Status();
  return Error{Errc::denied, session.connection.peer() + " has not said which node it is"};
}

} // namespace

Task<Result<Reply>> sync_hello(Context& context, Session& session, Body& body) {
  CAIRN_CO_RETURN_IF_ERROR(check_node(session));
  CAIRN_CO_TRY(all, co_await take_all(body));
  CAIRN_CO_TRY(request, wire::decode_lenient<wire::SyncHello>(all));
  if (request.group != context.config.group_name)
    co_return Error{Errc::invalid_argument, "sync from group " + request.group};
  session.peer_id = request.source_id;
  CAIRN_CO_TRY(reply, co_await context.sync.receiver().hello(std::move(request)));
  co_return Reply(wire::encode(reply));
}

Task<Result<Reply>> sync_batch(Context& context, Session& session, Body& body) {
  CAIRN_CO_RETURN_IF_ERROR(check_node(session));
  CAIRN_CO_TRY(all, co_await take_all(body));
  CAIRN_CO_TRY(batch, wire::decode_lenient<wire::SyncBatch>(all));
  CAIRN_CO_TRY(ack, co_await context.sync.receiver().apply(session.peer_id, std::move(batch)));
  co_return Reply(wire::encode(ack));
}

Task<Result<Reply>> sync_have(Context& context, Session& session, Body& body) {
  CAIRN_CO_RETURN_IF_ERROR(check_node(session));
  CAIRN_CO_TRY(all, co_await take_all(body));
  CAIRN_CO_TRY(have, wire::decode_lenient<wire::SyncHave>(all));
  CAIRN_CO_TRY(reply, co_await context.sync.receiver().have(session.peer_id, std::move(have)));
  co_return Reply(wire::encode(reply));
}

Task<Result<Reply>> sync_done(Context& context, Session& session, Body& body) {
  CAIRN_CO_RETURN_IF_ERROR(check_node(session));
  CAIRN_CO_TRY(all, co_await take_all(body));
  CAIRN_CO_TRY(request, wire::decode_lenient<wire::SyncDone>(all));
  CAIRN_CO_RETURN_IF_ERROR(co_await context.sync.receiver().done(session.peer_id, request));
  co_return Reply();
}

Task<Result<Reply>> list_files(Context& context, Session&, Body& body) {
  CAIRN_CO_TRY(all, co_await take_all(body));
  CAIRN_CO_TRY(request, wire::decode_lenient<wire::ListFiles>(all));
  CAIRN_CO_TRY(reply, co_await context.sync.list_files(std::move(request)));
  co_return Reply(wire::encode(reply));
}

} // namespace cairn::storage
