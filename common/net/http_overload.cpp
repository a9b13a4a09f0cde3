// The answers of an overloaded daemon.
#include "common/net/http_overload.h"

#include "common/net/http_server.h"

#include <memory>
#include <string_view>
#include <utility>

namespace cairn {

namespace {

constexpr std::chrono::milliseconds kTimeMax{2000};
constexpr std::size_t kSessionsMax = 64;

Task<HttpReply> answer(const HttpRequest& request) {
  if (request.path() == "/healthz" && (request.method == "GET" || request.head))
    co_return HttpReply::text(200, "ok\n");
  HttpReply reply = HttpReply::text(503, "too many connections\n");
  reply.headers.emplace_back("Retry-After", "1");
  co_return reply;
}

Task<void> serve_one(tcp::socket socket, std::shared_ptr<std::size_t> open) {
  static const HttpHandler handler = &answer;
  static const HttpOptions options = [] {
    HttpOptions made;
    made.header_timeout = made.idle_timeout = made.write_timeout = kTimeMax;
    made.keep_alive = false;
    return made;
  }();
  Connection connection(std::move(socket));
  co_await serve_http(connection, handler, options);
  --*open;
}

} // namespace

wire::Bytes http_refusal() {
  return wire::to_bytes(
      "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Length: 0\r\n"
      "Connection: close\r\n\r\n");
}

std::function<bool(tcp::socket&)> http_overload_sessions() {
  return [open = std::make_shared<std::size_t>(0)](tcp::socket& socket) {
    if (*open >= kSessionsMax) return false;
    ++*open;
    const auto executor = socket.get_executor();
    spawn(executor, serve_one(std::move(socket), open), "http.overload");
    return true;
  };
}

} // namespace cairn
