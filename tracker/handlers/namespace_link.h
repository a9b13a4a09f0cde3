// One connection of the namespace protocol: reads requests, runs them side by side, writes answers
// and events as they come. What an operation does is the service's.
#pragma once

#include "common/auth/access_keys.h"
#include "common/net/session.h"
#include "common/wire/namespace_admin.h"
#include "tracker/handlers/namespace_service.h"

#include <boost/asio/steady_timer.hpp>

#include <deque>
#include <memory>
#include <string>

namespace cairn::tracker {

class NamespaceLink : public std::enable_shared_from_this<NamespaceLink> {
public:
  // Requests of one connection that are worked on at a time; more are not read until then.
  static constexpr std::size_t kRequestsMax = 1024;
  // Bytes that wait to be written; a client that does not read is cut.
  static constexpr std::size_t kOutboxMax = 64ULL << 20;

  // The caller keeps `connection` and `service` alive until serve() has returned.
  NamespaceLink(NamespaceService& service, Connection& connection,
                const asio::any_io_executor& executor)
      : service_(service), connection_(connection), wake_(executor), room_(executor) {}

  // It came by this access key: when the key is removed, expires, or is given other rights or
  // prefixes, the next request (at the latest a renewal of the lease) finds the connection cut, and
  // what may still be done is decided anew when it comes back. `keys` outlives the link.
  void set_key(std::shared_ptr<const auth::AccessKey> key, const auth::KeyRing& keys);

  // After the answer to the attach: until the connection ends or the session does.
  Task<void> serve();

  // Queues a frame; it is dropped when the connection has gone. Without `hurry` it waits for the
  // next one: at the latest the answer to a renewal of the lease.
  void send(wire::Bytes frame, bool hurry = true);
  // Ends it: nothing more is read.
  void cut();
  std::uint64_t session() const { return session_; }
  void set_session(std::uint64_t session) { session_ = session; }
  std::string address() const { return connection_.peer_address().to_string(); }

private:
  struct Request {
    wire::NsOp op = wire::NsOp::renew;
    wire::NsHead head;
    wire::Bytes message;
  };

  bool key_holds() const;
  Task<Status> read();
  Task<void> write();
  Task<void> handle(Request request);
  Task<Outcome> run(const Request& request);
  void watch(const Request& request, const Outcome& outcome);
  static Outcome succeed(wire::Bytes body, std::uint64_t position);

  NamespaceService& service_;
  Connection& connection_;
  std::shared_ptr<const auth::AccessKey> key_; // as it was at the attach; null: none
  const auth::KeyRing* keys_ = nullptr;        // set with key_
  std::uint64_t session_ = 0;
  bool cut_ = false;
  bool writing_ = false;
  std::size_t working_ = 0;
  std::deque<wire::Bytes> outbox_;
  std::size_t outbox_bytes_ = 0;
  bool to_write_ = false;   // not only what may wait
  asio::steady_timer wake_; // something to write
  asio::steady_timer room_; // a request is done
};

} // namespace cairn::tracker
