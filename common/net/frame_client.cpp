// Requests to other daemons.
#include "common/net/frame_client.h"

#include "common/auth/handshake.h"

namespace cairn {

namespace {
constexpr std::size_t kIdlePerEndpointMax = 64;
constexpr std::chrono::seconds kIdleMax{300};

} // namespace

Task<Result<std::unique_ptr<FrameClient>>> FrameClient::connect(
    Endpoint endpoint, std::chrono::milliseconds timeout, std::shared_ptr<const TlsClient> tls) {
  CAIRN_CO_TRY(connection, co_await Connection::connect(endpoint.host, endpoint.port, timeout));
  if (tls) {
    connection->set_deadline(timeout);
    CAIRN_CO_RETURN_IF_ERROR(co_await connection->connect_tls(*tls, endpoint.host));
    connection->clear_deadline();
  }
  co_return std::make_unique<FrameClient>(std::move(connection));
}

Task<Result<wire::HelloReply>> FrameClient::hello(wire::Hello hello, Credentials credentials,
                                                  std::chrono::milliseconds timeout) {
  const auto secrets =
      credentials.secret ? credentials.secret->get() : std::make_shared<auth::SecretList>();
  const bool proves = !secrets->empty();
  if (proves) hello.credentials = auth::make_nonce();
  const wire::Bytes body = wire::encode(hello);
  CAIRN_CO_TRY(bytes,
               co_await call(static_cast<std::uint8_t>(wire::NativeCommand::hello), body, timeout));
  CAIRN_CO_TRY(reply, wire::decode_lenient<wire::HelloReply>(bytes));
  if (!proves) co_return reply;
  // Whoever asks for no proof has none to give.
  if (reply.credentials.size() != auth::kNonceSize) {
    broken_ = true;
    co_return Error{Errc::denied, connection_->peer() + " does not prove the cluster's secret"};
  }

  const auth::Transcript transcript(body, reply.credentials, connection_->channel());
  const wire::View secret = secrets->front().view();
  const auth::Mac mac = transcript.client_mac(secret);
  auth::Proof proof;
  proof.mac.assign(mac.begin(), mac.end());
  const wire::Bytes proof_body = wire::encode(proof);
  auto answer = co_await call(auth::kProveCommand, proof_body, timeout);
  if (!answer) {
    broken_ = true;
    co_return std::move(answer).error();
  }
  CAIRN_CO_TRY(proved, wire::decode_lenient<auth::Proved>(*answer));
  if (!transcript.check_server(secret, mac, proved)) {
    broken_ = true;
    co_return Error{Errc::denied, connection_->peer() + " does not prove the cluster's secret"};
  }
  co_return wire::decode_lenient<wire::HelloReply>(proved.identity);
}

Task<Status> FrameClient::send_header(std::uint8_t command, std::uint64_t body_size,
                                      std::uint8_t flags) {
  const wire::FrameHeader header{body_size, command, flags};
  const wire::Bytes bytes = wire::encode(header);
  auto sent = co_await connection_->write(bytes, body_size > 0);
  if (!sent) broken_ = true;
  co_return sent;
}

Task<Result<std::uint64_t>> FrameClient::receive() {
  auto header = co_await connection_->read_header();
  if (!header) {
    broken_ = true;
    co_return std::move(header).error();
  }
  if (header->command != static_cast<std::uint8_t>(wire::Command::reply)) {
    broken_ = true;
    co_return Error{Errc::invalid_argument, connection_->peer() + " does not speak our protocol"};
  }
  if (header->status != 0) {
    if (header->body_size != 0) broken_ = true;
    co_return Error{static_cast<Errc>(header->status), connection_->peer()};
  }
  co_return header->body_size;
}

Task<Result<wire::Bytes>> FrameClient::call(std::uint8_t command, wire::View body,
                                            std::chrono::milliseconds timeout,
                                            std::uint64_t reply_max, std::uint8_t flags) {
  connection_->set_deadline(timeout);
  const wire::FrameHeader header{body.size(), command, flags};
  const wire::Bytes head = wire::encode(header);
  auto sent = co_await connection_->write(head, body);
  if (!sent) {
    broken_ = true;
    co_return std::move(sent).error();
  }
  CAIRN_CO_TRY(size, co_await receive());
  if (size > reply_max) {
    broken_ = true;
    co_return Error{Errc::invalid_argument, connection_->peer() + ": reply of " +
                                                std::to_string(size) + " bytes is too long"};
  }
  wire::Bytes reply(size);
  if (auto got = co_await connection_->read_exact(reply); !got) {
    broken_ = true;
    co_return std::move(got).error();
  }
  connection_->clear_deadline();
  co_return reply;
}

ClientPool::ClientPool(std::optional<wire::Hello> hello, Credentials credentials,
                       std::chrono::milliseconds connect_timeout)
    : hello_(std::move(hello)),
      credentials_(std::move(credentials)),
      connect_timeout_(connect_timeout) {}

ClientPool::Lease::~Lease() {
  if (!client_ || !client_->is_usable() || pool_->closed_) return;
  auto& idle = pool_->idle_[endpoint_];
  if (idle.size() >= kIdlePerEndpointMax) return;
  client_->connection().clear_deadline();
  idle.push_back({std::move(client_), std::chrono::steady_clock::now()});
}

Task<Result<ClientPool::Lease>> ClientPool::acquire(Endpoint endpoint, bool fresh) {
  auto& idle = idle_[endpoint];
  const auto oldest = std::chrono::steady_clock::now() - kIdleMax;
  while (!fresh && !idle.empty()) {
    Idle candidate = std::move(idle.back());
    idle.pop_back();
    if (candidate.since > oldest &&
        candidate.client->connection().look() == Connection::Arrived::nothing)
      co_return Lease(*this, std::move(endpoint), std::move(candidate.client), true);
  }
  CAIRN_CO_TRY(client, co_await FrameClient::connect(endpoint, connect_timeout_, credentials_.tls));
  if (hello_)
    CAIRN_CO_RETURN_IF_ERROR(co_await client->hello(*hello_, credentials_, connect_timeout_));
  co_return Lease(*this, std::move(endpoint), std::move(client), false);
}

Task<Result<wire::Bytes>> ClientPool::call(Endpoint endpoint, std::uint8_t command,
                                           wire::Bytes body, std::chrono::milliseconds timeout,
                                           std::uint64_t reply_max, std::uint8_t flags) {
  for (bool fresh = false;; fresh = true) {
    CAIRN_CO_TRY(lease, co_await acquire(endpoint, fresh));
    auto reply = co_await lease->call(command, body, timeout, reply_max, flags);
    if (reply.code() == Errc::closed && lease.reused() && !fresh) continue;
    co_return reply;
  }
}

} // namespace cairn
