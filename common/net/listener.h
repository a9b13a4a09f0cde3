// Accepts connections in bursts and hands each to an I/O thread.
#pragma once

#include "common/base/result.h"
#include "common/net/io_pool.h"
#include "common/net/task.h"

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace cairn {

// How many connections of one kind are open; shared by a listener and its sessions.
struct ConnectionGauge {
  std::atomic<std::size_t> open{0};
  std::atomic<std::size_t> open_max{0};   // the most that were open at once
  std::atomic<std::uint64_t> accepted{0}; // since start
  std::atomic<std::uint64_t> refused{0};  // closed at once because of the limit
};

class Listener {
public:
  // Called on the connection's own I/O thread, which then owns the socket.
  using OnConnection = std::function<void(asio::ip::tcp::socket)>;

  // `pool` and `gauge` outlive the listener. Over `connections_max` open ones, new ones are closed
  // at once and counted.
  Listener(IoPool& pool, ConnectionGauge& gauge, std::size_t connections_max,
           OnConnection on_connection);

  // Binds and listens on each address (empty list: all IPv4 addresses). Errors: one line that names
  // address and port and says what to do.
  Status listen(const std::vector<std::string>& addresses, std::uint16_t port);
  // Whether listen() would succeed; for checks before anything is touched.
  static Status probe(const std::vector<std::string>& addresses, std::uint16_t port);
  // Begins to accept.
  void start();
  // Stops accepting; open connections go on. Any thread.
  void stop();
  // The port in use (after listen(); of interest when 0 was asked for).
  std::uint16_t port() const { return port_; }

private:
  struct Socket {
    std::shared_ptr<asio::ip::tcp::acceptor> acceptor;
    asio::ip::tcp protocol;
  };
  Task<void> accept_loop(std::shared_ptr<asio::ip::tcp::acceptor> acceptor, asio::ip::tcp protocol);

  IoPool& pool_;
  ConnectionGauge& gauge_;
  std::size_t connections_max_;
  OnConnection on_connection_;
  std::vector<Socket> sockets_;
  std::uint16_t port_ = 0;
};

} // namespace cairn
