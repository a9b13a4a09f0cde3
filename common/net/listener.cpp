// Accept loop.
#include "common/net/listener.h"

#include <boost/asio/ip/v6_only.hpp>
#include <boost/asio/steady_timer.hpp>
#include <spdlog/spdlog.h>

#include <cerrno>
#include <cstring>
#include <sys/socket.h>
#include <unistd.h>

namespace cairn {

namespace {
// One connection per loop turn makes the last of 1,000 simultaneous clients wait half a second.
constexpr int kAcceptBurst = 64;
// A thousand senders of large files with the kernel's default (6 MiB each) exhaust its TCP memory
// and everything stalls; the kernel doubles this figure.
constexpr int kReceiveBuffer = 256 * 1024;
} // namespace

Listener::Listener(IoPool& pool, ConnectionGauge& gauge, std::size_t connections_max,
                   OnConnection on_connection)
    : pool_(pool),
      gauge_(gauge),
      connections_max_(connections_max),
      on_connection_(std::move(on_connection)) {}

namespace {

Status open_acceptor(asio::ip::tcp::acceptor& acceptor, const std::string& text,
                     std::uint16_t port) {
  boost::system::error_code error;
  const auto address = asio::ip::make_address(text, error);
  if (error) return Error{Errc::invalid_argument, "bind_addr " + text + " is not an IP address"};
  const asio::ip::tcp::endpoint endpoint(address, port);
  acceptor.open(endpoint.protocol(), error);
  if (!error) acceptor.set_option(asio::ip::tcp::acceptor::reuse_address(true), error);
  if (!error) acceptor.set_option(asio::socket_base::receive_buffer_size(kReceiveBuffer), error);
  if (!error && address.is_v6()) acceptor.set_option(asio::ip::v6_only(true), error);
  if (!error) acceptor.bind(endpoint, error);
  if (!error) acceptor.listen(4096, error);
  if (!error) acceptor.native_non_blocking(true, error);
  if (error)
    return Error{Errc::busy, "cannot listen on " + text + ":" + std::to_string(port) + ": " +
                                 error.message() +
                                 "; is another program using it? Change bind_addr or the port"};
  return Status();
}

std::vector<std::string> or_all(std::vector<std::string> addresses) {
  if (addresses.empty()) addresses.emplace_back("0.0.0.0");
  return addresses;
}

} // namespace

Status Listener::probe(const std::vector<std::string>& addresses, std::uint16_t port) {
  asio::io_context context;
  for (const auto& text : or_all(addresses)) {
    asio::ip::tcp::acceptor acceptor(context);
    CAIRN_RETURN_IF_ERROR(open_acceptor(acceptor, text, port));
  }
  return Status();
}

Status Listener::listen(const std::vector<std::string>& addresses, std::uint16_t port) {
  for (const auto& text : or_all(addresses)) {
    auto acceptor = std::make_shared<asio::ip::tcp::acceptor>(pool_.at(0));
    CAIRN_RETURN_IF_ERROR(open_acceptor(*acceptor, text, port));
    const auto local = acceptor->local_endpoint();
    port_ = local.port();
    sockets_.push_back({std::move(acceptor), local.protocol()});
  }
  return Status();
}

void Listener::start() {
  for (auto& socket : sockets_)
    spawn(pool_.at(0).get_executor(), accept_loop(socket.acceptor, socket.protocol), "listener");
}

void Listener::stop() {
  for (auto& socket : sockets_) {
    asio::post(pool_.at(0), [acceptor = socket.acceptor] {
      boost::system::error_code ignored;
      acceptor->close(ignored);
    });
  }
  sockets_.clear();
}

Task<void> Listener::accept_loop(std::shared_ptr<asio::ip::tcp::acceptor> acceptor,
                                 asio::ip::tcp protocol) {
  while (acceptor->is_open()) {
    auto [error] = co_await acceptor->async_wait(asio::ip::tcp::acceptor::wait_read, as_result);
    if (error || !acceptor->is_open()) co_return;
    for (int i = 0; i < kAcceptBurst; ++i) {
      const int fd =
          ::accept4(acceptor->native_handle(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
      if (fd < 0) {
        if (errno == EINTR || errno == ECONNABORTED) continue;
        if (errno == EAGAIN || errno == EWOULDBLOCK) break;
        // Out of descriptors: those who are in go on, the newcomer waits in the backlog.
        spdlog::warn("cannot accept: {}; raise the open-files limit", std::strerror(errno));
        asio::steady_timer pause(co_await asio::this_coro::executor,
                                 std::chrono::milliseconds(100));
        co_await pause.async_wait(as_result);
        break;
      }
      gauge_.accepted.fetch_add(1, std::memory_order_relaxed);
      const std::size_t open = gauge_.open.fetch_add(1) + 1;
      if (open > connections_max_) {
        gauge_.open.fetch_sub(1);
        gauge_.refused.fetch_add(1, std::memory_order_relaxed);
        ::close(fd);
        continue;
      }
      std::size_t seen = gauge_.open_max.load();
      while (seen < open && !gauge_.open_max.compare_exchange_weak(seen, open)) {
      }
      auto& context = pool_.next();
      asio::post(context, [this, fd, protocol, &context] {
        boost::system::error_code bad;
        asio::ip::tcp::socket socket(context);
        socket.assign(protocol, fd, bad);
        if (bad) {
          ::close(fd);
          gauge_.open.fetch_sub(1);
          return;
        }
        on_connection_(std::move(socket));
      });
    }
  }
}

} // namespace cairn
