// HTTP/1.1 on a listening port: parsing by Beast in http_server.cpp, handlers are plain coroutines
// from request to reply. Files go out by sendfile.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/base/result.h"
#include "common/net/connection.h"
#include "common/net/io_pool.h"
#include "common/net/listener.h"
#include "common/net/task.h"

namespace cairn {

// A request without its body (bodies come with HTTP upload). Views live as long as the handler.
struct HttpRequest {
  std::string_view method;  // "GET"
  std::string_view target;  // as sent: "/group1/M00/…?token=…"
  bool head = false;        // HEAD: the reply's body is not sent, its headers are
  // First value of a header, by name without regard to case; empty when absent.
  std::function<std::string_view(std::string_view)> header;
  const Connection* connection = nullptr; // for the peer's address
};

// A piece of a reply's body.
struct HttpBodyPart {
  std::string text;             // sent first
  std::shared_ptr<const int> fd; // then `length` bytes of this file (closed with the last owner)
  std::uint64_t offset = 0;
  std::uint64_t length = 0;
};

struct HttpReply {
  int status = 200;
  // Content-Length, Date, Server and Connection are added by the server.
  std::vector<std::pair<std::string, std::string>> headers;
  std::vector<HttpBodyPart> body;
  // When set, the body is `stream_length` bytes which this writes to the connection itself (bytes
  // passed through from another node). Only after `body`.
  std::function<Task<Status>(Connection&)> stream;
  std::uint64_t stream_length = 0;

  static HttpReply text(int status, std::string body, std::string type = "text/plain; charset=utf-8");
};

using HttpHandler = std::function<Task<HttpReply>(const HttpRequest&)>;

struct HttpOptions {
  std::chrono::milliseconds header_timeout{15'000}; // for a whole request header once it began
  std::chrono::milliseconds idle_timeout{75'000};   // keep-alive without a request
  std::chrono::milliseconds write_timeout{60'000};  // without progress while sending
  std::size_t header_bytes_max = 16 * 1024;         // 431 beyond
  std::size_t target_bytes_max = 8 * 1024;          // 414 beyond
};

// Serves one connection until it ends: keep-alive, pipelining, HEAD, limits, time-outs. Called on
// the connection's thread.
Task<void> serve_http(Connection& connection, const HttpHandler& handler, const HttpOptions& options);

// Percent-decodes a path once. Errors: invalid_argument (bad escape, or a decoded '/' or NUL).
Result<std::string> decode_path(std::string_view raw);

} // namespace cairn
