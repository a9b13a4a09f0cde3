// The two ends of `hello` on a native connection: the handshake of common/auth over a socket.
#pragma once

#include "common/auth/access_keys.h"
#include "common/auth/handshake.h"
#include "common/net/session.h"
#include "common/wire/native.h"

#include <chrono>
#include <memory>

namespace cairn {

// What a daemon needs to decide who is on the other side. What it refers to outlives it.
struct HelloGate {
  const auth::ClusterSecret& secret;
  const auth::KeyRing& keys;

  // Whether one who comes from `address` may try. Without a cluster secret only this machine may.
  bool may_try(const asio::ip::address& address) const {
    return address.is_loopback() || secret.is_set();
  }
};

// One who has proved to be what its Hello says.
struct Admitted {
  wire::Hello hello;
  wire::Bytes reply; // of the request being handled
};

// Serves `hello` (and the `prove` that follows it) on `session`: answers the challenge itself and
// reads the proof. `self` tells the other side who we are, once it has proved itself. On success
// the session is marked: a peer (cluster secret), or with the rights of an access key. Errors:
// denied (no or a wrong proof, an unknown or expired key), unsupported (version), invalid_argument,
// closed, timeout. The text is for our log; the other side only gets the code.
Task<Result<Admitted>> admit(Session& session, wire::View hello_body, wire::HelloReply self,
                             HelloGate gate, std::chrono::milliseconds timeout);

} // namespace cairn
