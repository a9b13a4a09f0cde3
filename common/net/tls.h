// TLS by OpenSSL: what a listening side shows and asks for, what a connecting side trusts, and the
// state of one connection between its socket and Connection. Nothing here waits.
#pragma once

#include "common/base/result.h"
#include "common/wire/bytes.h"

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <mutex>
#include <span>
#include <string>

using SSL = struct ssl_st;
using SSL_CTX = struct ssl_ctx_st;

namespace cairn {

// The first byte of a TLS connection. No frame of our protocols and no HTTP request begins with it.
inline constexpr std::byte kTlsFirstByte{0x16};

// What a socket must become before an operation can go on.
enum class TlsNeed : std::uint8_t { nothing, readable, writable };

// One connection's end of TLS over a non-blocking socket that somebody else owns. Errors of all:
// closed (the peer ended it, or broke the protocol; the text says which).
class TlsSession {
public:
  TlsSession(std::shared_ptr<SSL_CTX> context, int fd, bool is_server);
  ~TlsSession();
  TlsSession(const TlsSession&) = delete;
  TlsSession& operator=(const TlsSession&) = delete;

  struct Moved {
    std::size_t count = 0; // bytes of content
    TlsNeed need = TlsNeed::nothing;
  };

  // For a client, before handshake(): the certificate must be one of `host` (a name or a numeric
  // address) unless `check_name` is false.
  void expect_peer(const std::string& host, bool check_name);
  // A step of the handshake; `nothing`: it is done. Errors: also denied (a certificate was not
  // good, ours or theirs).
  Result<TlsNeed> handshake();
  // Between 1 and out.size() bytes of content, or what is needed for that.
  Result<Moved> read(std::span<std::byte> out);
  // True when content can be read, without taking it; also takes in what is no content (tickets).
  Result<Moved> peek();
  // Encrypts and sends a part of `bytes`. When it needs something the next call must begin with the
  // same bytes. `more`: the kernel may wait for what follows.
  Result<Moved> write(wire::View bytes, bool more);
  // Tells the peer that nothing more comes, if that can be done at once.
  void say_goodbye();

  // 32 bytes that both ends of this very session have and nobody else (RFC 5705).
  wire::Bytes channel() const;

private:
  Result<TlsNeed> outcome(int result, bool in_handshake);

  std::shared_ptr<SSL_CTX> context_;
  std::unique_ptr<SSL, void (*)(SSL*)> ssl_;
};

// Files of the listening side, all PEM.
struct TlsServerFiles {
  std::filesystem::path certificate; // and those between it and its authority
  std::filesystem::path key;         // mode 0600
  std::filesystem::path client_ca;   // empty: no certificate is asked of clients
};

// What a listening side shows and asks for: TLS 1.2 and 1.3, forward secrecy and authenticated
// ciphers only, no renegotiation, no compression. Any thread.
class TlsServer {
public:
  // `http`: also agrees on "http/1.1" by ALPN. Errors, one line with the file's name: not_found,
  // denied (the key can be read by others), invalid_argument (no certificate or key, they do not
  // belong together, the certificate has expired or does not hold yet).
  static Result<std::shared_ptr<TlsServer>> open(TlsServerFiles files, bool http);

  // Reads the files again: new connections get what they hold. On an error the former stay. Errors
  // as open().
  Status reload();
  // For a connection that begins now on `fd`.
  std::unique_ptr<TlsSession> accept(int fd) const;
  // Unix seconds: the certificate is refused from then on.
  std::int64_t expires() const;
  const TlsServerFiles& files() const { return files_; }

private:
  TlsServer(TlsServerFiles files, bool http) : files_(std::move(files)), http_(http) {}

  const TlsServerFiles files_;
  const bool http_;
  mutable std::mutex mutex_; // guards both below
  std::shared_ptr<SSL_CTX> context_;
  std::int64_t expires_ = 0;
};

// Files of the connecting side, all PEM.
struct TlsClientFiles {
  std::filesystem::path ca;          // whom we trust: authorities, or the very certificates
  std::filesystem::path certificate; // what we show when we are asked; empty: nothing
  std::filesystem::path key;
  // False: any certificate of `ca` will do for every node. For clusters whose authority signs
  // nothing else.
  bool check_names = true;
};

// What a connecting side trusts and shows. There is no way to connect without a check of the
// certificate, and none from TLS back to plain. Any thread.
class TlsClient {
public:
  // Errors as TlsServer::open().
  static Result<std::shared_ptr<TlsClient>> open(TlsClientFiles files);

  // As TlsServer::reload().
  Status reload();
  // For a connection on `fd` that was made to `host`.
  std::unique_ptr<TlsSession> connect(int fd, const std::string& host) const;

private:
  explicit TlsClient(TlsClientFiles files) : files_(std::move(files)) {}

  const TlsClientFiles files_;
  mutable std::mutex mutex_; // guards context_
  std::shared_ptr<SSL_CTX> context_;
};

} // namespace cairn
