// The four pages.
#include "storage/http/admin_pages.h"

namespace cairn::storage {

namespace {

HttpReply not_cached(int status, std::string body, std::string type) {
  HttpReply reply = HttpReply::text(status, std::move(body), std::move(type));
  reply.headers.emplace_back("Cache-Control", "no-store");
  return reply;
}

bool is_admin(const config::HostList& hosts, const Connection& connection) {
  const asio::ip::address& address = connection.peer_address();
  if (address.is_v4()) return hosts.contains(address.to_v4().to_bytes());
  return hosts.contains(address.to_v6().to_bytes());
}

} // namespace

bool is_admin_path(std::string_view path) {
  return path == "/healthz" || path == "/readyz" || path == "/metrics" || path == "/status";
}

AdminPages::AdminPages(const config::HostList& admin_hosts, AdminCallbacks callbacks)
    : admin_hosts_(admin_hosts), callbacks_(std::move(callbacks)) {}

bool AdminPages::claims(const ResolvedUrl& url) const {
  return is_admin_path(url.path());
}

Task<HttpReply> AdminPages::answer(ResolvedUrl url) {
  const HttpRequest& request = url.request();
  if (!url.is_read()) co_return method_not_allowed("GET, HEAD");
  if (url.path() == "/healthz") co_return plain_reply(200, "ok");
  if (url.path() == "/readyz") {
    const std::vector<std::string> failing =
        callbacks_.failing_checks ? callbacks_.failing_checks() : std::vector<std::string>();
    if (failing.empty()) co_return plain_reply(200, "ready");
    std::string text = "not ready:";
    for (const auto& check : failing) text.append(" ").append(check);
    co_return plain_reply(503, text);
  }
  if (!is_admin(admin_hosts_, *request.connection))
    co_return plain_reply(403, "only for admin_hosts");
  if (url.path() == "/metrics") {
    MetricsText out;
    if (callbacks_.metrics) co_await callbacks_.metrics(out);
    co_return not_cached(200, out.text(), "text/plain; version=0.0.4; charset=utf-8");
  }
  std::string json = "{}";
  if (callbacks_.status) json = co_await callbacks_.status();
  co_return not_cached(200, std::move(json), "application/json");
}

} // namespace cairn::storage
