// HTTP requests as they come off a socket: heads, bodies, pipelining, ranges. The first byte says
// after how many bytes the rest is sent, so that requests arrive in two pieces.
#include "common/net/http_range.h"
#include "common/net/http_server.h"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>

#include <array>
#include <cstdint>
#include <fcntl.h>
#include <string_view>
#include <sys/socket.h>
#include <unistd.h>

namespace {

using namespace cairn;

Task<HttpReply> answer(const HttpRequest& request) {
  // What handlers rely on.
  CAIRN_ASSERT(!request.target.empty() && (request.target[0] == '/' || request.target == "*"));
  CAIRN_ASSERT(request.method.find_first_of(" \r\n") == std::string_view::npos);
  if (auto path = decode_path(request.path())) CAIRN_ASSERT(path->find('\0') == std::string::npos);
  static_cast<void>(parse_http_date(request.header("If-Modified-Since"), 1'700'000'000));
  HttpReply reply = HttpReply::text(200, "ok");
  reply.headers.emplace_back("X-Echo", std::string(request.header("X-Echo")));
  reply.headers.emplace_back("Content-Disposition", content_disposition(request.query()));
  co_return reply;
}

Task<void> serve_one(int fd) {
  static const HttpHandler handler = &answer;
  static const HttpOptions options;
  tcp::socket socket(co_await asio::this_coro::executor);
  boost::system::error_code bad;
  socket.assign(tcp::v4(), fd, bad);
  CAIRN_ASSERT(!bad);
  Connection connection(std::move(socket));
  co_await serve_http(connection, handler, options);
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 2 || size > 32'000) return 0;
  std::array<int, 2> ends{};
  CAIRN_ASSERT(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends.data()) ==
               0);
  const std::size_t first = std::min<std::size_t>(data[0] * 4, size - 1);
  ++data;
  --size;
  asio::io_context context(1);
  asio::co_spawn(context, serve_one(ends[0]), [](std::exception_ptr failure) {
    if (failure) std::rethrow_exception(failure);
  });
  CAIRN_ASSERT(::send(ends[1], data, first, MSG_NOSIGNAL) == static_cast<ssize_t>(first));
  context.poll();
  static_cast<void>(::send(ends[1], data + first, size - first, MSG_NOSIGNAL));
  ::shutdown(ends[1], SHUT_WR);
  // All input is there and its end: nothing is left to wait for.
  for (int i = 0; i < 1000 && !context.stopped(); ++i) context.poll();
  CAIRN_ASSERT(context.stopped());
  ::close(ends[1]);
  return 0;
}
