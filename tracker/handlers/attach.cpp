// native 200: turns a connection into one of the namespace protocol. native 201: one question
// without a session.
#include "common/auth/access_keys.h"
#include "common/daemon/log.h"
#include "tracker/handlers/commands.h"
#include "tracker/handlers/namespace_link.h"

#include <boost/asio/this_coro.hpp>

#include <utility>

namespace cairn::tracker {

Task<Result<Reply>> attach_namespace(Tracker& tracker, Session& session, Body& body) {
  CAIRN_CO_TRY(request, wire::decode_lenient<wire::NsAttach>(body.whole()));
  NamespaceService* service = tracker.namespace_service();
  if (service == nullptr) {
    wire::NsAttachReply elsewhere;
    elsewhere.leader = tracker.config().metadata_holder->text();
    co_return Reply(wire::encode(elsewhere));
  }
  if (service->stopping()) co_return Error{Errc::unavailable, "stopping"};
  // A key holds where its prefixes say; without a prefix everywhere.
  if (session.key != nullptr && !session.key->covers(request.export_name))
    co_return Error{Errc::denied, "the access key is not for this export"};
  NamespaceService::Proved proved;
  proved.admin = session.peer || (session.rights & auth::kAdmin) != 0;
  proved.read_only = !session.peer && (session.rights & auth::kWrite) == 0;
  auto link = std::make_shared<NamespaceLink>(*service, session.connection,
                                              co_await asio::this_coro::executor);
  if (session.key != nullptr) link->set_key(session.key, tracker.gate().keys);
  auto reply = co_await service->attach(std::move(request), *link, proved);
  if (!reply) {
    logger("tracker.namespace")
        .info("attach refused peer={} error={}", session.connection.peer(), reply.error().text());
    co_return std::move(reply).error();
  }
  const wire::Bytes payload = wire::encode(*reply);
  const Status answered = co_await session.connection.write(wire::make_reply(Errc::ok, payload));
  if (answered)
    co_await link->serve();
  else
    service->detached(*link);
  co_return Error{Errc::closed, "the namespace connection has ended"};
}

Task<Result<Reply>> ask_namespace(Tracker& tracker, Session& session, Body& body) {
  // The questions name inodes: whose export they belong to is not asked.
  if (session.key && !session.key->prefixes.empty() && (session.everywhere & auth::kRead) == 0)
    co_return Error{Errc::denied, "the access key does not hold for every export"};
  if (tracker.namespace_service() == nullptr) {
    wire::Bytes request(body.whole().begin(), body.whole().end());
    CAIRN_CO_TRY(reply, co_await tracker.forward(wire::kNsAskOnce, std::move(request)));
    co_return Reply(std::move(reply));
  }
  NamespaceService& service = *tracker.namespace_service();
  CAIRN_CO_TRY(once, wire::decode_lenient<wire::NsOnce>(body.whole()));
  switch (once.op) {
    case wire::NsOp::resolve:
    case wire::NsOp::lookup:
    case wire::NsOp::getattr:
    case wire::NsOp::readdir:
    case wire::NsOp::extents:
      break;
    default:
      co_return Error{Errc::invalid_argument, "not a question of everybody's"};
  }
  constexpr std::uint32_t kNobody = 65534;
  Caller nobody;
  nobody.uid = kNobody;
  nobody.gid = kNobody;
  Outcome outcome =
      co_await service.writer().ask(once.op, std::move(nobody), std::move(once.request));
  wire::NsOnceReply reply;
  reply.status = outcome.status;
  reply.position = outcome.position;
  reply.reply = std::move(outcome.body);
  co_return Reply(wire::encode(reply));
}

} // namespace cairn::tracker
