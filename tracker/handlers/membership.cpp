// hello, join, heartbeat and the cluster view: how nodes become and stay members.
#include "common/base/text.h"
#include "common/daemon/log.h"
#include "tracker/handlers/commands.h"

#include <utility>

namespace cairn::tracker {

namespace {

spdlog::logger& log() {
  static spdlog::logger& one = logger("tracker.membership");
  return one;
}

// A join this tracker can answer from what it knows: nothing would change.
bool is_known(const ClusterState& cluster, const wire::Join& join) {
  const NodeFact* fact = cluster.facts().find(join.id);
  return fact != nullptr && fact->uuid == join.uuid && !fact->deleted &&
         fact->group == join.group && fact->host == join.host && fact->port == join.port &&
         fact->http_port == join.http_port && fact->store_path_count == join.store_path_count;
}

Task<Status> make_member(Tracker& tracker, const wire::Join& join) {
  if (tracker.is_holder()) {
    const Moment now = tracker.now();
    JoinNode command;
    command.join = join;
    command.now = now.unix_s;
    command.alive = tracker.cluster().alive(now);
    command.just_started = tracker.cluster().just_started(now);
    // After alive(): the node itself does not count.
    tracker.cluster().heard_of(join.id, now);
    FactsCommand change(std::move(command));
    co_return co_await tracker.change(std::move(change));
  }
  wire::Bytes body = wire::encode(join);
  auto reply = co_await tracker.forward(static_cast<std::uint8_t>(wire::NativeCommand::join),
                                        std::move(body));
  if (!reply && reply.code() == Errc::unavailable && is_known(tracker.cluster(), join))
    co_return Status();
  if (!reply) co_return std::move(reply).error();
  CAIRN_CO_TRY(joined, wire::decode_lenient<wire::JoinReply>(*reply));
  tracker.learn(joined.view);
  co_return Status();
}

} // namespace

Task<Result<Reply>> say_hello(Tracker& tracker, Session& session, Body& body) {
  wire::HelloReply self;
  self.role = wire::Role::tracker;
  self.uuid = tracker.uuid();
  auto admitted = co_await admit(session, body.whole(), std::move(self), tracker.gate(),
                                 tracker.config().connect_timeout);
  if (!admitted) {
    log().warn("hello refused peer={} error={}", session.connection.peer(),
               admitted.error().text());
    co_return std::move(admitted).error();
  }
  Link& link = tracker.link(session);
  link.role = admitted->hello.role;
  link.uuid = admitted->hello.uuid;
  link.address = admitted->hello.address;
  co_return Reply(std::move(admitted->reply));
}

Task<Result<Reply>> join(Tracker& tracker, Session& session, Body& body) {
  CAIRN_CO_TRY(join, wire::decode_lenient<wire::Join>(body.whole()));
  const wire::Role role = tracker.link(session).role;
  const bool forwarded = role == wire::Role::tracker;
  if (forwarded && !tracker.is_holder())
    co_return Error{Errc::unsupported, "this tracker holds no metadata"};
  if (!forwarded && (role != wire::Role::storage || session.peer_uuid != join.uuid))
    co_return Error{Errc::denied, "a node joins for itself, after hello"};

  if (auto member = co_await make_member(tracker, join); !member) {
    log().warn("join refused node={} uuid={} group={} host={} error={}", join.id, join.uuid,
               join.group, join.host, member.error().text());
    co_return std::move(member).error();
  }
  wire::JoinReply reply;
  if (forwarded) {
    if (const Node* node = tracker.cluster().find(join.id)) reply.state = node->state;
  } else {
    CAIRN_CO_TRY(state,
                 tracker.cluster().joined(join, tracker.link(session).number, tracker.now()));
    session.peer_id = join.id;
    reply.state = state;
    log().info("node joined node={} group={} address={} state={}", join.id, join.group,
               HostPort{join.host, join.port}.text(), describe(state));
  }
  reply.view = tracker.cluster().view("");
  reply.view.access_keys = tracker.sealed_keys();
  co_return Reply(wire::encode(reply));
}

Task<Result<Reply>> heartbeat(Tracker& tracker, Session& session, Body& body) {
  CAIRN_CO_TRY(heartbeat, wire::decode_lenient<wire::Heartbeat>(body.whole()));
  CAIRN_CO_TRY(state,
               tracker.cluster().heartbeat(heartbeat, tracker.link(session).number, tracker.now()));
  tracker.note_brought_up();
  wire::HeartbeatReply reply;
  reply.state = state;
  reply.has_view = heartbeat.known_view != tracker.cluster().version();
  if (reply.has_view) {
    reply.view = tracker.cluster().view("");
    reply.view.access_keys = tracker.sealed_keys();
  }
  co_return Reply(wire::encode(reply));
}

Task<Result<Reply>> cluster_view(Tracker& tracker, Session& session, Body& body) {
  CAIRN_CO_TRY(request, wire::decode_lenient<wire::ViewRequest>(body.whole()));
  wire::ClusterView view = tracker.cluster().view(request.group);
  if (session.peer) view.access_keys = tracker.sealed_keys();
  co_return Reply(wire::encode(view));
}

} // namespace cairn::tracker
