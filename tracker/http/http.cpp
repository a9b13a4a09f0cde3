// Routing.
#include "tracker/http/http.h"

namespace cairn::tracker {

HttpReply answer_http(Tracker& tracker, const HttpRequest& request) {
  if (request.method != "GET" && request.method != "HEAD") {
    HttpReply reply = HttpReply::text(405, "only GET and HEAD\n");
    reply.headers.emplace_back("Allow", "GET, HEAD");
    return reply;
  }
  const std::string_view path = request.path();
  if (path == "/healthz") return HttpReply::text(200, "ok\n");
  if (path == "/readyz") {
    std::string reason;
    return tracker.is_ready(&reason) ? HttpReply::text(200, "ready\n")
                                     : HttpReply::text(503, "not ready: " + reason + "\n");
  }
  const bool known = path == "/" || path == "/metrics" || path == "/status";
  if (!known) return HttpReply::text(404, "not found\n");
  if (request.connection == nullptr || !tracker.is_admin(request.connection->peer_address()))
    return HttpReply::text(403, "not in admin_hosts\n");

  HttpReply reply;
  if (path == "/metrics")
    reply = HttpReply::text(200, metrics_text(tracker), "text/plain; version=0.0.4; charset=utf-8");
  else if (path == "/status")
    reply = HttpReply::text(200, status_json(tracker, nullptr), "application/json");
  else
    reply = HttpReply::text(200, status_page(tracker), "text/html; charset=utf-8");
  reply.headers.emplace_back("Cache-Control", "no-store");
  reply.headers.emplace_back("X-Content-Type-Options", "nosniff");
  if (path == "/")
    reply.headers.emplace_back("Content-Security-Policy",
                               "default-src 'none'; style-src 'unsafe-inline'");
  return reply;
}

} // namespace cairn::tracker
