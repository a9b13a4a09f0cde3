// HTTP/1.1 to other servers: one request, one response. Parsed by Beast in http_client.cpp; bodies
// are read piece by piece, so a response takes no memory of its size. A connection serves one
// exchange, unless the caller keeps it for the next (`HttpAsk::keep`, HttpCall::release()).
#pragma once

#include "common/base/result.h"
#include "common/net/connection.h"
#include "common/net/frame_client.h"
#include "common/net/task.h"

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace cairn {

// What is asked. `target` and `host` are sent as they are, without control characters and blanks.
struct HttpAsk {
  std::string method = "GET";
  std::string target = "/";
  std::string host;
  std::vector<std::pair<std::string, std::string>> headers;
  bool keep = false; // the server may leave the connection open
};

class HttpCall {
public:
  HttpCall(HttpCall&&) noexcept;
  HttpCall& operator=(HttpCall&&) noexcept;
  ~HttpCall(); // cuts the connection

  // Connects, sends, and reads the head of the response. `timeout` is that of the connect and of
  // every wait for bytes afterwards. Errors: as Connection::connect(); timeout, closed;
  // invalid_argument (no HTTP, a head over 16 KiB, a target with a blank or control character).
  static Task<Result<HttpCall>> send(Endpoint to, HttpAsk ask, std::chrono::milliseconds timeout);
  // The same over a connection that an earlier exchange has left open. Errors: closed also when the
  // server has closed it meanwhile, which is no fault of the request: ask again over a new one.
  static Task<Result<HttpCall>> send_over(std::unique_ptr<Connection> connection, Endpoint to,
                                          HttpAsk ask, std::chrono::milliseconds timeout);

  int status() const { return status_; }
  // First value of a header by name, without regard to case; empty when absent.
  std::string_view header(std::string_view name) const;
  const std::vector<std::pair<std::string, std::string>>& headers() const { return headers_; }
  // Bytes of the body, if the response says so.
  std::optional<std::uint64_t> length() const { return length_; }

  // The next bytes of the body; 0 at its end. Errors: timeout, closed (before the body's end),
  // invalid_argument (a broken chunk).
  Task<Result<std::size_t>> read_some(std::span<std::byte> out);

  // The connection, when the body has been read to its end and the server leaves it open; else
  // null. Nothing else may be called afterwards.
  std::unique_ptr<Connection> release();

private:
  struct Parser;
  HttpCall();

  std::unique_ptr<Connection> connection_;
  std::unique_ptr<Parser> parser_;
  std::chrono::milliseconds timeout_{0};
  int status_ = 0;
  std::vector<std::pair<std::string, std::string>> headers_;
  std::optional<std::uint64_t> length_;
};

} // namespace cairn
