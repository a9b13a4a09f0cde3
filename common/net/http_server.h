// HTTP/1.1 on a listening port: heads are parsed by Beast in http_server.cpp, handlers are plain
// coroutines from request to reply. Files go out by sendfile.
#pragma once

#include "common/base/result.h"
#include "common/net/connection.h"
#include "common/net/disk_pool.h"
#include "common/net/io_pool.h"
#include "common/net/listener.h"
#include "common/net/task.h"

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace cairn {

class RequestBody;

// A request. Views live as long as the handler.
struct HttpRequest {
  std::string_view method; // "GET"
  std::string_view target; // as sent: "/group1/M00/…?token=…"; always begins with '/', or is "*"
  std::string_view host;   // of the target if that was absolute, else the Host header; with port
  bool head = false;       // HEAD: the reply's body is not sent, its headers are
  // First value of a header, by name without regard to case; empty when absent.
  std::function<std::string_view(std::string_view)> header;
  std::string_view fields; // all header lines, each with its CR LF; see for_each_header()
  // Null without a body. What the handler leaves unread is thrown away, or ends the connection.
  RequestBody* body = nullptr;
  const Connection* connection = nullptr; // for the peer's address

  // `target` up to the '?', and what follows it (empty without one). Not decoded.
  std::string_view path() const { return target.substr(0, target.find('?')); }
  std::string_view query() const {
    const std::size_t mark = target.find('?');
    return mark == std::string_view::npos ? std::string_view() : target.substr(mark + 1);
  }
};

// A piece of a reply's body.
struct HttpBodyPart {
  std::string text;              // sent first
  std::shared_ptr<const int> fd; // then `length` bytes of this file (closed with the last owner)
  std::uint64_t offset = 0;
  std::uint64_t length = 0;
  // Reads the file ahead where it is not cached; null: HttpOptions::disk. Outlives the reply.
  DiskPool* disk = nullptr;
};

struct HttpReply {
  int status = 200;
  // Content-Length, Date, Server and Connection are added by the server. Control characters in
  // values are dropped: a header cannot become two.
  std::vector<std::pair<std::string, std::string>> headers;
  std::vector<HttpBodyPart> body;
  // When set, the body ends with `stream_length` bytes which this writes to the connection itself
  // (bytes passed through from another node), after `body`. When it fails or writes another number
  // of bytes the connection is cut, so that the client can tell. Not called for HEAD.
  std::function<Task<Status>(Connection&)> stream;
  std::uint64_t stream_length = 0;

  static HttpReply text(int status, std::string body,
                        std::string type = "text/plain; charset=utf-8");
};

using HttpHandler = std::function<Task<HttpReply>(const HttpRequest&)>;

// One answered request, for counters and access logs.
struct HttpExchange {
  std::string_view method; // empty: the request could not be parsed
  std::string_view target;
  int status = 0;
  std::uint64_t bytes = 0;             // sent, head included
  std::chrono::nanoseconds duration{}; // from the parsed head to the last byte given to the socket
  bool complete = false;               // false: the client went away, or a source failed
};

struct HttpOptions {
  std::chrono::milliseconds header_timeout{15'000}; // for a whole request header once it began
  std::chrono::milliseconds idle_timeout{75'000};   // keep-alive without a request
  std::chrono::milliseconds write_timeout{60'000};  // without progress while sending
  std::size_t header_bytes_max = 16 * 1024;         // 431 beyond
  std::size_t target_bytes_max = 8 * 1024;          // 414 beyond
  std::size_t header_count_max = 100;               // fields; 431 beyond
  std::chrono::milliseconds body_timeout{30'000};   // for each piece of a request body
  // An unread request body of at most this many bytes is read and thrown away; a longer or a
  // chunked one ends the connection after the reply.
  std::uint64_t drain_bytes_max = 64 * 1024;
  // False: the connection ends after the first reply.
  bool keep_alive = true;
  // Set to end every connection after the request it is in; may be null.
  const std::atomic<bool>* stopping = nullptr;
  // Requests being answered now; may be null.
  std::atomic<std::size_t>* busy = nullptr;
  std::string server = "cairn"; // the Server header
  // Reads ahead files that are not cached, where a part names no pool. Without any, a cold file
  // blocks the I/O thread.
  DiskPool* disk = nullptr;
  // Called once for each reply, refusals of malformed requests included. May be empty.
  std::function<void(const HttpExchange&)> observe;
};

// Serves one connection until it ends: keep-alive, pipelining, HEAD, limits, time-outs. Called on
// the connection's thread; the caller keeps all three arguments alive. While no request is being
// read or answered it holds no buffer.
Task<void> serve_http(Connection& connection, const HttpHandler& handler,
                      const HttpOptions& options);

// Calls `each` with name and value of every header line in `fields`.
void for_each_header(std::string_view fields,
                     const std::function<void(std::string_view, std::string_view)>& each);

// "Not Found" for 404; "Unknown" for numbers that have no name.
std::string_view http_reason(int status);

// Percent-decodes a path once. Errors: invalid_argument (bad escape, or a decoded '/' or NUL).
Result<std::string> decode_path(std::string_view raw);

} // namespace cairn
