// The hashed texts of the handshake.
#include "common/auth/handshake.h"

#include "common/base/text.h"

namespace cairn::auth {

namespace {

constexpr std::string_view kClientLabel = "cairn handshake 1: client to server";
constexpr std::string_view kServerLabel = "cairn handshake 1: server to client";

} // namespace

wire::Bytes make_nonce() {
  wire::Bytes nonce(kNonceSize);
  random_bytes(nonce);
  return nonce;
}

Transcript::Transcript(wire::View hello, wire::View server_nonce, wire::View channel) {
  // Every part carries its length: no two transcripts have the same bytes.
  wire::Writer writer(text_);
  writer.length_tagged(hello);
  writer.length_tagged(server_nonce);
  writer.length_tagged(channel);
}

Mac Transcript::client_mac(wire::View secret) const {
  wire::Bytes text;
  wire::Writer writer(text);
  writer.length_tagged(wire::as_view(kClientLabel));
  writer.raw(text_);
  return hmac_sha256(secret, text);
}

Mac Transcript::server_mac(wire::View secret, wire::View client_mac, wire::View identity) const {
  wire::Bytes text;
  wire::Writer writer(text);
  writer.length_tagged(wire::as_view(kServerLabel));
  writer.raw(text_);
  writer.length_tagged(client_mac);
  writer.length_tagged(identity);
  return hmac_sha256(secret, text);
}

std::optional<std::size_t> Transcript::check_client(const SecretList& secrets,
                                                    wire::View mac) const {
  for (std::size_t i = 0; i < secrets.size(); ++i) {
    if (same_bytes(client_mac(secrets[i].view()), mac)) return i;
  }
  return std::nullopt;
}

bool Transcript::check_server(wire::View secret, wire::View client_mac, const Proved& reply) const {
  return same_bytes(server_mac(secret, client_mac, reply.identity), reply.mac);
}

} // namespace cairn::auth
