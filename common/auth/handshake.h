// The mutual proof at the beginning of a native connection, without sockets: what is hashed, and
// the two messages beside Hello and HelloReply.
//
//   client                                   server
//   hello(Hello, client nonce)        ->
//                                     <-     HelloReply with nothing but the server's nonce
//   prove(HMAC of the client)         ->
//                                     <-     who the server is, and its HMAC
//
// Both nonces are fresh, so nothing recorded earlier fits. The texts under the two HMACs begin with
// the direction, and hold the whole Hello (role, UUID, group, key) and the server's identity: no
// message of one side can be sent back as the other's, nor be used for another role or node.
// A server shows a stranger a random number and nothing else.
#pragma once

#include "common/auth/crypto.h"
#include "common/auth/secret.h"
#include "common/base/result.h"
#include "common/wire/codec.h"

#include <cstdint>
#include <optional>
#include <string>

namespace cairn::auth {

inline constexpr std::size_t kNonceSize = 32;
// The native command that carries Proof -> Proved.
inline constexpr std::uint8_t kProveCommand = 165;

struct Proof {
  wire::Bytes mac; // 32 bytes

  static constexpr auto fields() { return std::tuple{wire::blob(&Proof::mac)}; }
};

struct Proved {
  wire::Bytes identity; // the server's HelloReply, encoded
  wire::Bytes mac;      // 32 bytes

  static constexpr auto fields() {
    return std::tuple{wire::blob(&Proved::identity), wire::blob(&Proved::mac)};
  }
};

// kNonceSize random bytes.
wire::Bytes make_nonce();

// What both sides know once the nonces are exchanged: the encoded Hello as it was sent, the
// server's nonce, and (on TLS) what ties the proof to this very session.
class Transcript {
public:
  Transcript(wire::View hello, wire::View server_nonce, wire::View channel);

  // The client's proof under `secret`.
  Mac client_mac(wire::View secret) const;
  // The server's, given after it has seen the client's.
  Mac server_mac(wire::View secret, wire::View client_mac, wire::View identity) const;

  // Index of the secret that makes `mac` the client's proof; nullopt: none does.
  std::optional<std::size_t> check_client(const SecretList& secrets, wire::View mac) const;
  // True when `reply` proves the server under `secret`, which our own `client_mac` was made with.
  bool check_server(wire::View secret, wire::View client_mac, const Proved& reply) const;

private:
  wire::Bytes text_;
};

} // namespace cairn::auth
