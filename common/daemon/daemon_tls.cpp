// Opens what the configuration names.
#include "common/daemon/daemon_tls.h"

#include <algorithm>
#include <ctime>
#include <utility>

namespace cairn {

namespace {
constexpr std::int64_t kWarnSeconds = 14 * 86'400;
} // namespace

Result<DaemonTls> DaemonTls::open(const config::ServerConfig& config) {
  DaemonTls tls;
  TlsServerFiles files;
  files.certificate = config.tls_certificate_file;
  files.key = config.tls_key_file;
  if (config.any_tls()) {
    files.client_ca = config.tls_client_ca_file;
    CAIRN_TRY(frames, TlsServer::open(files, /*http=*/false));
    tls.frames = std::move(frames);
  }
  if (config.http_tls != config::TlsMode::off) {
    files.client_ca = config.http_tls_client_ca_file;
    CAIRN_TRY(http, TlsServer::open(files, /*http=*/true));
    tls.http = std::move(http);
  }
  if (config.tls_connect.on) {
    TlsClientFiles trust;
    trust.ca = config.tls_connect.ca_file;
    trust.certificate = config.tls_certificate_file;
    trust.key = config.tls_key_file;
    trust.check_names = config.tls_connect.check_names;
    CAIRN_TRY(connect, TlsClient::open(std::move(trust)));
    tls.connect = std::move(connect);
  }
  return tls;
}

Status DaemonTls::reload() {
  Status first;
  for (const auto& server : {frames, http}) {
    if (!server) continue;
    if (Status done = server->reload(); !done && first) first = std::move(done);
  }
  if (connect) {
    if (Status done = connect->reload(); !done && first) first = std::move(done);
  }
  return first;
}

std::int64_t DaemonTls::expires() const {
  std::int64_t earliest = 0;
  for (const auto& server : {frames, http}) {
    if (server)
      earliest = earliest == 0 ? server->expires() : std::min(earliest, server->expires());
  }
  return earliest;
}

std::vector<std::string> DaemonTls::warnings() const {
  const auto& any = frames ? frames : http;
  const std::int64_t left = expires() - static_cast<std::int64_t>(std::time(nullptr));
  if (!any || left > kWarnSeconds) return {};
  return {any->files().certificate.string() + ": warning: the certificate expires in " +
          std::to_string(std::max<std::int64_t>(left, 0) / 86'400) + " days"};
}

Task<Status> begin_tls(Connection& connection, config::TlsMode mode,
                       std::shared_ptr<const TlsServer> server, std::chrono::milliseconds timeout) {
  if (mode == config::TlsMode::off) co_return Status();
  connection.set_deadline(timeout);
  CAIRN_CO_TRY(by_tls, co_await connection.begins_with_tls());
  if (by_tls) co_return co_await connection.accept_tls(*server);
  if (mode == config::TlsMode::required)
    co_return Error{Errc::denied, connection.peer() + ": this port takes TLS only"};
  co_return Status();
}

} // namespace cairn
