// The client side of a frame connection: one request, one reply, in order. Used between nodes and
// by the client library.
#pragma once

#include "common/auth/secret.h"
#include "common/net/connection.h"
#include "common/wire/native.h"

#include <chrono>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace cairn {

// What a connecting side proves in `hello`, and by which TLS it goes there.
struct Credentials {
  std::shared_ptr<const auth::ClusterSecret> secret; // exchanged by its reload() while in use
  std::shared_ptr<const TlsClient> tls;              // null: plain connections

  Credentials() {}
  Credentials(std::shared_ptr<const auth::ClusterSecret> s,
              std::shared_ptr<const TlsClient> t = nullptr)
      : secret(std::move(s)), tls(std::move(t)) {}
  template <class T>
  Credentials(std::shared_ptr<T> s) : secret(std::move(s)) {}
};

struct Endpoint {
  std::string host;
  std::uint16_t port = 0;

  bool operator==(const Endpoint&) const = default;
  auto operator<=>(const Endpoint&) const = default;
  std::string text() const { return host + ":" + std::to_string(port); }
};

// A reply larger than this is taken for a broken peer unless the caller expects more.
inline constexpr std::uint64_t kReplyMax = 16 * 1024 * 1024;

class FrameClient {
public:
  explicit FrameClient(std::unique_ptr<Connection> connection)
      : connection_(std::move(connection)) {}

  // Connects, by TLS when `tls` is set. Errors as Connection::connect() and connect_tls().
  static Task<Result<std::unique_ptr<FrameClient>>> connect(Endpoint endpoint,
                                                            std::chrono::milliseconds timeout,
                                                            std::shared_ptr<const TlsClient> tls);

  // Introduces this side as a node or an administrator (native command `hello`): each side proves
  // to the other that it knows `credentials`, whose ClusterSecret holds the secret of the cluster
  // or, with `hello.key_id`, of that access key. Null or empty: there is none, and then the other
  // side must not ask for one. Errors: denied (either side lacks the secret, or has another).
  Task<Result<wire::HelloReply>> hello(wire::Hello hello, Credentials credentials,
                                       std::chrono::milliseconds timeout);

  // Sends a request and reads its reply. A non-zero status becomes the Error's code. After an Error
  // with code closed, timeout or invalid_argument from this side the connection is not usable any
  // more (is_usable()).
  Task<Result<wire::Bytes>> call(std::uint8_t command, wire::View body,
                                 std::chrono::milliseconds timeout,
                                 std::uint64_t reply_max = kReplyMax, std::uint8_t flags = 0);

  // The pieces of call(), for streaming: send() a frame header and then the body by connection();
  // receive() reads a reply's header (a non-zero status is an Error) and leaves its body unread.
  Task<Status> send_header(std::uint8_t command, std::uint64_t body_size, std::uint8_t flags = 0);
  Task<Result<std::uint64_t>> receive();

  Connection& connection() { return *connection_; }
  bool is_usable() const { return !broken_ && connection_->is_open(); }
  // To be said by who leaves a request or reply half done.
  void mark_broken() { broken_ = true; }

private:
  std::unique_ptr<Connection> connection_;
  bool broken_ = false;
};

// Idle connections by endpoint. One pool per io_context; all calls on its thread.
class ClientPool {
public:
  // `hello` is said on each new connection when it is set (node to node), proving `credentials`.
  ClientPool(std::optional<wire::Hello> hello, Credentials credentials,
             std::chrono::milliseconds connect_timeout);

  // A lease gives its connection back when it goes, unless that is broken.
  class Lease {
  public:
    Lease(ClientPool& pool, Endpoint endpoint, std::unique_ptr<FrameClient> client, bool reused)
        : pool_(&pool),
          endpoint_(std::move(endpoint)),
          client_(std::move(client)),
          reused_(reused) {}
    Lease(Lease&&) = default;
    Lease& operator=(Lease&&) = delete;
    ~Lease();

    FrameClient* operator->() { return client_.get(); }
    FrameClient& operator*() { return *client_; }
    // True when the connection came from the pool: its peer may have gone in the meantime, so a
    // first failure says little.
    bool reused() const { return reused_; }

  private:
    ClientPool* pool_;
    Endpoint endpoint_;
    std::unique_ptr<FrameClient> client_;
    bool reused_;
  };

  // An idle connection, or a new one. Errors as FrameClient::connect() and hello().
  Task<Result<Lease>> acquire(Endpoint endpoint, bool fresh = false);
  // One call on a leased connection, tried once more on a fresh one when a reused one turns out to
  // be dead before anything was answered. Only for requests that may be repeated.
  Task<Result<wire::Bytes>> call(Endpoint endpoint, std::uint8_t command, wire::Bytes body,
                                 std::chrono::milliseconds timeout,
                                 std::uint64_t reply_max = kReplyMax, std::uint8_t flags = 0);
  // Closes the idle connections.
  void clear() { idle_.clear(); }
  // The same, and leases give nothing back any more: before the io_context goes.
  void close() {
    closed_ = true;
    idle_.clear();
  }

private:
  struct Idle {
    std::unique_ptr<FrameClient> client;
    std::chrono::steady_clock::time_point since;
  };

  std::optional<wire::Hello> hello_;
  Credentials credentials_;
  std::chrono::milliseconds connect_timeout_;
  std::map<Endpoint, std::vector<Idle>> idle_;
  bool closed_ = false;
};

} // namespace cairn
