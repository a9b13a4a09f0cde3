// Accepts connections in bursts and hands each to an I/O thread; refuses those over a limit with
// the protocol's own answer.
#pragma once

#include "common/base/result.h"
#include "common/net/connection_gauge.h"
#include "common/net/io_pool.h"
#include "common/net/task.h"
#include "common/wire/bytes.h"

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>

#include <chrono>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace cairn {

struct ListenerOptions {
  // Called on the connection's own I/O thread, which then owns the socket. The slot is kept as long
  // as the connection counts.
  std::function<void(asio::ip::tcp::socket, ConnectionSlot)> on_connection;
  ConnectionLimits limits;
  // What a connection over the limits is told before it is closed; empty: nothing.
  wire::Bytes refusal;
  // When set, a connection over the limits is given to this, on the front loop, instead of being
  // told `refusal`: for answers that overload must not silence. False: not taken, `refusal` it is
  // (the socket must still be open then).
  std::function<bool(asio::ip::tcp::socket&)> on_refused;
  // The loop that accepts and refuses; null: the pool's first. One that serves nothing else answers
  // while the pool is busy.
  asio::io_context* front = nullptr;
};

class Listener {
public:
  // `pool`, `gauge` and the front loop outlive the listener.
  Listener(IoPool& pool, ConnectionGauge& gauge, ListenerOptions options);
  ~Listener();

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
  // A refused connection whose peer may still be sending: closing with unread bytes would make the
  // kernel send a reset, which can overtake the refusal.
  struct Parting {
    int fd;
    std::chrono::steady_clock::time_point until;
  };

  asio::io_context& front() { return options_.front != nullptr ? *options_.front : pool_.at(0); }
  Task<void> accept_loop(std::shared_ptr<asio::ip::tcp::acceptor> acceptor, asio::ip::tcp protocol);
  void take(int fd, const asio::ip::address& peer, asio::ip::tcp protocol);
  void refuse(int fd, asio::ip::tcp protocol);
  void part(int fd, bool linger);
  Task<void> close_parted();
  bool refuse_without_descriptors(asio::ip::tcp::acceptor& acceptor);

  IoPool& pool_;
  ConnectionGauge& gauge_;
  const ListenerOptions options_;
  std::vector<Socket> sockets_;
  std::uint16_t port_ = 0;
  // All below: front loop only.
  std::deque<Parting> parting_;
  bool closing_parted_ = false;
  int reserve_fd_ = -1; // given up for a moment to refuse when no descriptor is left
  std::chrono::steady_clock::time_point warned_{};
};

} // namespace cairn
