// native 200: turns a connection into one of the namespace protocol.
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
  const bool admin = session.peer || tracker.is_admin(session.connection.peer_address());
  auto link = std::make_shared<NamespaceLink>(*service, session.connection,
                                              co_await asio::this_coro::executor);
  auto reply = co_await service->attach(std::move(request), *link, admin);
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

} // namespace cairn::tracker
