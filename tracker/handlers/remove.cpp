// Commands 93 and 108: FastDFS's way to remove a node or a group.
#include "common/base/text.h"
#include "common/wire/fastdfs.h"
#include "tracker/handlers/commands.h"

#include <utility>

namespace cairn::tracker {

namespace {

constexpr std::size_t kIdTextMax = 15;

Task<Result<Reply>> ask_holder(Tracker& tracker, const Body& body) {
  wire::Bytes request(body.whole().begin(), body.whole().end());
  CAIRN_CO_TRY(reply, co_await tracker.forward(body.command(), std::move(request)));
  co_await tracker.catch_up();
  co_return Reply(std::move(reply));
}

// These change the cluster, and FastDFS gives them to every client.
Status check_administrator(const Tracker& tracker, const Session& session) {
  const auto& address = session.connection.peer_address();
  if (session.peer || tracker.is_admin(address)) return {};
  return Error{Errc::denied, address.to_string() + " is not in admin_hosts"};
}

Status outcome_of(const Result<Reply>& reply) {
  if (reply) return {};
  return reply.error();
}

Task<Result<Reply>> remove_storage(Tracker& tracker, Session& session, Body& body,
                                   const wire::GroupFile& request) {
  CAIRN_CO_RETURN_IF_ERROR(check_administrator(tracker, session));
  const std::string id_text = request.name.c_str();
  if (id_text.empty() || request.name.size() > kIdTextMax)
    co_return Error{Errc::invalid_argument, "a storage ID of 1 to 15 bytes expected"};
  if (!tracker.is_holder()) co_return co_await ask_holder(tracker, body);

  const Node* node = nullptr;
  for (const Node* member : tracker.cluster().members(request.group)) {
    if (member->fact.id_text() == id_text || member->fact.host == id_text) node = member;
  }
  if (node == nullptr)
    co_return Error{Errc::not_found, "no node " + id_text + " in " + request.group};
  if (node->is_up()) co_return Error{Errc::busy, "node " + id_text + " is up"};
  RemoveNode remove;
  remove.id = node->fact.id;
  FactsCommand command(remove);
  CAIRN_CO_RETURN_IF_ERROR(co_await tracker.change(std::move(command)));
  co_return Reply();
}

Task<Result<Reply>> remove_group(Tracker& tracker, Session& session, Body& body,
                                 const wire::GroupRequest& request) {
  CAIRN_CO_RETURN_IF_ERROR(check_administrator(tracker, session));
  if (!tracker.is_holder()) co_return co_await ask_holder(tracker, body);
  RemoveGroup remove;
  remove.name = request.group;
  FactsCommand command(std::move(remove));
  CAIRN_CO_RETURN_IF_ERROR(co_await tracker.change(std::move(command)));
  co_return Reply();
}

} // namespace

Task<Result<Reply>> delete_storage(Tracker& tracker, Session& session, Body& body) {
  CAIRN_CO_TRY(request, wire::decode<wire::GroupFile>(body.whole()));
  auto reply = co_await remove_storage(tracker, session, body, request);
  audit_change(tracker, session, "delete_storage", request.group + " " + request.name.c_str(),
               outcome_of(reply));
  co_return reply;
}

Task<Result<Reply>> delete_group(Tracker& tracker, Session& session, Body& body) {
  CAIRN_CO_TRY(request, wire::decode<wire::GroupRequest>(body.whole()));
  auto reply = co_await remove_group(tracker, session, body, request);
  audit_change(tracker, session, "delete_group", request.group, outcome_of(reply));
  co_return reply;
}

} // namespace cairn::tracker
