// The server's end of the handshake; the client's is FrameClient::hello().
#include "common/net/native_hello.h"

#include <ctime>
#include <utility>

namespace cairn {

namespace {

constexpr std::uint64_t kProofBodyMax = 256;

Task<Result<auth::Proof>> read_proof(Connection& connection) {
  CAIRN_CO_TRY(header, co_await connection.read_header());
  if (header.command != auth::kProveCommand || header.body_size > kProofBodyMax)
    co_return Error{Errc::denied, "no proof follows hello"};
  wire::Bytes body(header.body_size);
  CAIRN_CO_RETURN_IF_ERROR(co_await connection.read_exact(body));
  co_return wire::decode_lenient<auth::Proof>(body);
}

Admitted welcome(Session& session, wire::Hello hello, wire::Bytes reply) {
  session.peer = true;
  session.rights = auth::kEverything;
  session.peer_uuid = hello.uuid;
  session.peer_id = hello.role == wire::Role::storage ? hello.node_id : 0;
  return Admitted{std::move(hello), std::move(reply)};
}

} // namespace

Task<Result<Admitted>> admit(Session& session, wire::View hello_body, wire::HelloReply self,
                             HelloGate gate, std::chrono::milliseconds timeout) {
  Connection& connection = session.connection;
  CAIRN_CO_TRY(hello, wire::decode_lenient<wire::Hello>(hello_body));
  if (hello.version < 1)
    co_return Error{Errc::unsupported, "native protocol version " + std::to_string(hello.version)};
  if (!gate.may_try(connection.peer_address()))
    co_return Error{Errc::denied,
                    "no cluster_secret_file: only this machine may join or administer"};

  const auto now = static_cast<std::uint64_t>(std::time(nullptr));
  const std::shared_ptr<const auth::AccessKey> key =
      hello.key_id.empty() ? nullptr : gate.keys.find(hello.key_id);
  const bool by_key = !hello.key_id.empty();
  const auto cluster = gate.secret.get();
  if (!by_key && cluster->empty()) {
    wire::Bytes identity = wire::encode(self);
    co_return welcome(session, std::move(hello), std::move(identity));
  }
  if (hello.credentials.size() != auth::kNonceSize)
    co_return Error{Errc::denied, "hello without the cluster's secret"};
  if (by_key && hello.role != wire::Role::client && hello.role != wire::Role::admin)
    co_return Error{Errc::denied, "an access key does not make a node"};

  connection.set_deadline(timeout);
  wire::HelloReply challenge;
  challenge.role = self.role;
  challenge.credentials = auth::make_nonce();
  const wire::Bytes frame = wire::make_reply(Errc::ok, wire::encode(challenge));
  CAIRN_CO_RETURN_IF_ERROR(co_await connection.write(frame));
  CAIRN_CO_TRY(proof, co_await read_proof(connection));

  const auth::Transcript transcript(hello_body, challenge.credentials, connection.channel());
  // An unknown key takes the same steps, so that nobody learns which ones exist.
  const auth::SecretList secrets =
      !by_key ? *cluster
              : (key ? key->secrets(now) : auth::SecretList{auth::Secret(auth::make_secret())});
  const auto proved = transcript.check_client(secrets, proof.mac);
  if (!proved)
    co_return Error{Errc::denied, by_key ? "wrong or unknown access key " + hello.key_id
                                         : std::string("wrong cluster secret")};
  if (key && key->has_expired(now))
    co_return Error{Errc::denied, "access key " + hello.key_id + " has expired"};
  auth::Proved reply;
  reply.identity = wire::encode(self);
  const auth::Mac mac = transcript.server_mac(secrets[*proved].view(), proof.mac, reply.identity);
  reply.mac.assign(mac.begin(), mac.end());
  wire::Bytes answer = wire::encode(reply);
  if (!by_key) co_return welcome(session, std::move(hello), std::move(answer));

  // What the address may do, not what a former key of this connection did.
  if (!session.key) session.everywhere = session.allowed ? session.rights : auth::kNothing;
  session.key = key;
  session.rights = static_cast<auth::Rights>(session.everywhere | key->rights);
  co_return Admitted{std::move(hello), std::move(answer)};
}

} // namespace cairn
