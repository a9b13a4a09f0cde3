// TLS of a daemon: what its configuration names, opened; and the beginning of every connection that
// comes in.
#pragma once

#include "common/base/result.h"
#include "common/config/server_config.h"
#include "common/net/connection.h"
#include "common/net/task.h"
#include "common/net/tls.h"

#include <chrono>
#include <memory>
#include <string>
#include <vector>

namespace cairn {

// All of it; null where nothing is configured.
struct DaemonTls {
  std::shared_ptr<TlsServer> frames;  // the ports of the FastDFS and Cairn protocols
  std::shared_ptr<TlsServer> http;    // the HTTP port
  std::shared_ptr<TlsClient> connect; // to other nodes

  // Reads certificates and keys. Errors: one line that names the file (TlsServer::open()).
  static Result<DaemonTls> open(const config::ServerConfig& config);
  // Reads all of them again; one that is bad leaves the former in place. Errors: the first of them.
  Status reload();
  // Certificates that expire within two weeks, a line each.
  std::vector<std::string> warnings() const;
  // Unix seconds when the first of them expires; 0: there is none.
  std::int64_t expires() const;
};

// Makes an incoming connection what `mode` asks for, within `timeout`. A plain connection to a port
// that requires TLS is an error. Errors: denied, closed, timeout.
Task<Status> begin_tls(Connection& connection, config::TlsMode mode,
                       std::shared_ptr<const TlsServer> server, std::chrono::milliseconds timeout);

} // namespace cairn
