// A TCP connection of either side: reads with a shared buffer, writes, sendfile, and a deadline.
// It belongs to one io_context; every function is called on that context's thread.
#pragma once

#include "common/base/result.h"
#include "common/net/task.h"
#include "common/wire/bytes.h"
#include "common/wire/frame.h"

#include <boost/asio/ip/tcp.hpp>

#include <array>
#include <chrono>
#include <memory>
#include <optional>
#include <string>

namespace cairn {

using asio::ip::tcp;

class Crowd;
class DeadlineService;
class TlsClient;
class TlsServer;
class TlsSession;

// Bytes per second below which a peer that takes or sends a body is not slow but holding the
// connection: 2G telephones are ten times faster.
inline constexpr std::uint64_t kTransferRateMin = 1024;

// How long a transfer that has moved `bytes` may have taken at the most, when it may pause for
// `pause_max`.
inline std::chrono::milliseconds transfer_time_max(std::uint64_t bytes,
                                                   std::chrono::milliseconds pause_max) {
  return pause_max + std::chrono::milliseconds(bytes * 1000 / kTransferRateMin);
}

class Connection {
public:
  // Takes over a connected socket; sets non-blocking and TCP_NODELAY.
  explicit Connection(tcp::socket socket);
  ~Connection();

  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  // Connects to a numeric address or a host name. Errors: timeout, closed, not_found (name).
  static Task<Result<std::unique_ptr<Connection>>> connect(std::string host, std::uint16_t port,
                                                           std::chrono::milliseconds timeout);

  // From here on the connection is TLS: everything below reads and writes what is inside it.
  // Nothing may have been read or written before; set a deadline first. Errors: denied (a
  // certificate is not good), closed, timeout.
  Task<Status> accept_tls(const TlsServer& server);
  // The same from the connecting side; `host` is what the certificate must be of.
  Task<Status> connect_tls(const TlsClient& client, std::string host);
  // Whether a peer that has just connected begins with TLS; waits for its first byte. Errors:
  // closed, timeout.
  Task<Result<bool>> begins_with_tls();
  bool is_tls() const { return tls_ != nullptr; }
  // What both ends of a TLS session know and nobody else (32 bytes); empty on a plain connection.
  wire::Bytes channel() const;

  // From now on the connection is cut when `time` passes without a new set_deadline() or
  // clear_deadline(); precise to about half a second. Pending calls then answer Errc::timeout.
  void set_deadline(std::chrono::milliseconds time);
  void clear_deadline();
  // As set_deadline(), and every piece that goes out starts the time anew: for replies whose length
  // says nothing about how long they may take. Who takes less than kTransferRateMin in the long run
  // is cut all the same. set_deadline() and clear_deadline() end it.
  void set_write_timeout(std::chrono::milliseconds time);

  // Reads between 1 and out.size() bytes. Errors: closed (end of stream), timeout.
  Task<Result<std::size_t>> read_some(std::span<std::byte> out);
  // Fills `out`. Errors as read_some().
  Task<Status> read_exact(std::span<std::byte> out);
  // Reads a frame header (10 bytes). No buffer is held while nothing has arrived. Errors: closed,
  // timeout, invalid_argument (a negative body length).
  Task<Result<wire::FrameHeader>> read_header();
  // The next header if it was read ahead whole and is good: without a coroutine, as it is with
  // most requests. Else nullopt, and read_header() is to be called.
  std::optional<wire::FrameHeader> take_header();
  // Reads what is there without waiting; 0 when that is nothing. Errors: closed (end of stream).
  Result<std::size_t> try_read(std::span<std::byte> out);
  // Waits until something can be read, and may read it ahead. With `crowd` a request that is longer
  // than a few words is left in the socket while that is full. Errors: closed, timeout.
  Task<Status> wait_readable(Crowd* crowd = nullptr);
  // What has arrived on a connection where nothing is read: nothing, bytes, or its end. Never
  // waits.
  enum class Arrived : std::uint8_t { nothing, bytes, end };
  Arrived look();
  // True when bytes that were read ahead wait (a pipelining peer).
  bool has_buffered() const { return inbox_begin_ < inbox_.size(); }
  // Takes of them what fits into `out`, and answers how much that was.
  std::size_t take_ahead(std::span<std::byte> out);
  // Puts bytes back in front of what will be read next.
  void unread(wire::View bytes);

  // Writes all of it. Errors: closed, timeout. With `more` the kernel may wait for the next write
  // before it sends (MSG_MORE): for a header before sendfile.
  Task<Status> write(wire::View bytes, bool more = false);
  // Writes two pieces with one system call where the socket takes them.
  Task<Status> write(wire::View first, wire::View second);
  // Writes what the socket takes without waiting and answers how much that was (also 0). Errors:
  // closed.
  Result<std::size_t> try_write(wire::View bytes, bool more = false);
  // Sends `count` bytes of `fd` from `offset`. Blocks in the kernel for pages that are not cached:
  // warm them first. Errors: closed, timeout, io_error (the file is shorter).
  Task<Status> send_file(int fd, std::uint64_t offset, std::uint64_t count);

  // Cuts the connection; pending calls answer `closed`.
  void close();
  // Tells the peer that nothing more will come; reading goes on.
  void shutdown_write();
  // Bytes that write(), try_write() and send_file() have given to the socket since it was opened.
  std::uint64_t bytes_sent() const { return bytes_sent_; }
  bool is_open() const { return socket_.is_open() && !closed_; }
  tcp::socket& socket() { return socket_; }
  // The peer's address as it was when the connection was made (IPv4-mapped ones as IPv4).
  const asio::ip::address& peer_address() const { return peer_address_; }
  // "127.0.0.1:4711", for logs.
  std::string peer() const;

private:
  friend class DeadlineService;

  Task<Status> wait(tcp::socket::wait_type type);
  Task<Result<wire::View>> arrival(Crowd* crowd);
  // One recv() or its like inside TLS; `need` says what to wait for when it gives 0 bytes. Errors:
  // closed.
  struct Step {
    std::size_t count = 0;
    tcp::socket::wait_type need = tcp::socket::wait_read;
  };
  Result<Step> receive(std::span<std::byte> out);
  Result<Step> send(wire::View bytes, bool more);
  Task<Status> shake_hands();
  Task<Status> send_file_by_tls(int fd, std::uint64_t offset, std::uint64_t count);
  Error failure(int error) const;
  Error failure(Error error) const; // of TLS, with the peer's name
  void sent(std::size_t count);

  tcp::socket socket_;
  std::unique_ptr<TlsSession> tls_; // null: plain
  asio::ip::address peer_address_;
  std::uint16_t peer_port_ = 0;
  bool closed_ = false;
  bool timed_out_ = false;
  std::uint64_t bytes_sent_ = 0;
  // Bytes read ahead of what was asked for; empty (and without memory) between requests.
  wire::Bytes inbox_;
  std::size_t inbox_begin_ = 0;
  // A request that fits in here (all but uploads) is read with one system call, where waiting first
  // takes two. After a longer one the next is expected to be long again.
  std::array<std::byte, 128> small_;
  bool expects_small_ = true;

  // Linked into the DeadlineService of this connection's io_context.
  DeadlineService& deadlines_;
  std::chrono::steady_clock::time_point deadline_ = std::chrono::steady_clock::time_point::max();
  std::chrono::milliseconds write_timeout_{0}; // 0: what is sent does not move the deadline
  std::chrono::steady_clock::time_point writing_since_; // of the last set_write_timeout(),
  std::uint64_t written_before_ = 0;                    // and bytes_sent_ then
  Connection* previous_ = nullptr;
  Connection* next_ = nullptr;
};

} // namespace cairn
