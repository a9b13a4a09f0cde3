// Reads, writes and deadlines of a connection.
#include "common/net/connection.h"

#include "common/base/coarse_clock.h"
#include "common/net/crowd.h"
#include "common/net/deadlines.h"
#include "common/net/tls.h"

#include <boost/asio/connect.hpp>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

namespace cairn {

namespace {

constexpr std::chrono::milliseconds kTick{500};
// What one recv() takes: a small upload with its header arrives whole.
constexpr std::size_t kScratchSize = 64 * 1024 + 512;

// One buffer per I/O thread: idle connections hold none. Its bytes are used or copied before the
// next suspension, so sessions on the same thread can share it.
std::span<std::byte> scratch() {
  thread_local wire::Buffer buffer(kScratchSize);
  return buffer.span();
}

tcp::socket::wait_type wait_for(TlsNeed need) {
  return need == TlsNeed::writable ? tcp::socket::wait_write : tcp::socket::wait_read;
}

} // namespace

DeadlineService::DeadlineService(asio::execution_context& context)
    : asio::execution_context::service(context),
      timer_(std::make_unique<asio::steady_timer>(static_cast<asio::io_context&>(context))) {}

void DeadlineService::add(Connection& connection) {
  connection.next_ = first_;
  if (first_ != nullptr) first_->previous_ = &connection;
  first_ = &connection;
  if (!ticking_) tick();
}

void DeadlineService::remove(Connection& connection) {
  if (connection.previous_ != nullptr) connection.previous_->next_ = connection.next_;
  if (connection.next_ != nullptr) connection.next_->previous_ = connection.previous_;
  if (first_ == &connection) first_ = connection.next_;
}

void DeadlineService::tick() {
  if (!timer_) return;
  ticking_ = first_ != nullptr; // an idle context has no timer that wakes it
  if (!ticking_) return;
  timer_->expires_after(kTick);
  timer_->async_wait([this](boost::system::error_code error) {
    if (error) return;
    const auto now = coarse_now();
    for (Connection* c = first_; c != nullptr; c = c->next_) {
      if (c->deadline_ > now || c->closed_) continue;
      c->timed_out_ = true;
      // What a reader does not take would stay in the kernel's memory for minutes after the close.
      boost::system::error_code ignored;
      if (c->write_timeout_.count() > 0)
        c->socket_.set_option(asio::socket_base::linger(true, 0), ignored);
      c->close();
    }
    tick();
  });
}

Connection::Connection(tcp::socket socket)
    : socket_(std::move(socket)),
      deadlines_(asio::use_service<DeadlineService>(
          static_cast<asio::io_context&>(socket_.get_executor().context()))) {
  boost::system::error_code ignored;
  socket_.native_non_blocking(true, ignored);
  socket_.set_option(tcp::no_delay(true), ignored);
  const auto remote = socket_.remote_endpoint(ignored);
  peer_address_ = remote.address();
  if (peer_address_.is_v6() && peer_address_.to_v6().is_v4_mapped())
    peer_address_ = asio::ip::make_address_v4(asio::ip::v4_mapped, peer_address_.to_v6());
  peer_port_ = remote.port();
  deadlines_.add(*this);
}

Connection::~Connection() {
  deadlines_.remove(*this);
}

std::string Connection::peer() const {
  return peer_address_.to_string() + ":" + std::to_string(peer_port_);
}

Task<Result<std::unique_ptr<Connection>>> Connection::connect(std::string host, std::uint16_t port,
                                                              std::chrono::milliseconds timeout) {
  auto executor = co_await asio::this_coro::executor;
  const std::string where = host + ":" + std::to_string(port);
  boost::system::error_code bad;
  std::vector<tcp::endpoint> endpoints;
  if (const auto address = asio::ip::make_address(host, bad); !bad) {
    endpoints.emplace_back(address, port);
  } else {
    tcp::resolver resolver(executor);
    auto [error, found] = co_await resolver.async_resolve(host, std::to_string(port), as_result);
    if (error) co_return Error{Errc::not_found, "cannot resolve " + where + ": " + error.message()};
    for (const auto& entry : found) endpoints.push_back(entry.endpoint());
  }

  boost::system::error_code last = asio::error::host_not_found;
  for (const auto& endpoint : endpoints) {
    tcp::socket socket(executor);
    asio::steady_timer timer(executor, timeout);
    bool expired = false;
    timer.async_wait([&socket, &expired](boost::system::error_code error) {
      if (error) return;
      expired = true;
      boost::system::error_code ignored;
      socket.close(ignored);
    });
    auto [error] = co_await socket.async_connect(endpoint, as_result);
    // A handler that was queued before cancel() still runs: give it its turn while the captured
    // socket is alive.
    timer.cancel();
    co_await asio::post(executor, asio::use_awaitable);
    if (!error && !expired) co_return std::make_unique<Connection>(std::move(socket));
    last = expired ? make_error_code(boost::system::errc::timed_out) : error;
  }
  co_return Error{Errc::timeout, "cannot connect to " + where + ": " + last.message()};
}

void Connection::set_deadline(std::chrono::milliseconds time) {
  deadline_ = coarse_now() + time;
  write_timeout_ = std::chrono::milliseconds(0);
}

void Connection::clear_deadline() {
  deadline_ = std::chrono::steady_clock::time_point::max();
  write_timeout_ = std::chrono::milliseconds(0);
}

void Connection::set_write_timeout(std::chrono::milliseconds time) {
  set_deadline(time);
  write_timeout_ = time;
  writing_since_ = coarse_now();
  written_before_ = bytes_sent_;
}

void Connection::sent(std::size_t count) {
  bytes_sent_ += count;
  if (write_timeout_.count() > 0)
    deadline_ =
        std::min(coarse_now() + write_timeout_,
                 writing_since_ + transfer_time_max(bytes_sent_ - written_before_, write_timeout_));
}

void Connection::shutdown_write() {
  boost::system::error_code ignored;
  if (closed_) return;
  if (tls_) tls_->say_goodbye();
  socket_.shutdown(tcp::socket::shutdown_send, ignored);
}

void Connection::close() {
  if (closed_) return;
  closed_ = true;
  boost::system::error_code ignored;
  if (tls_ && !timed_out_) tls_->say_goodbye();
  socket_.shutdown(tcp::socket::shutdown_both, ignored);
  socket_.close(ignored);
}

Error Connection::failure(int error) const {
  if (timed_out_) return Error{Errc::timeout, peer() + ": no progress in time"};
  if (error == 0 || closed_) return Error{Errc::closed, peer() + ": connection closed"};
  const Errc code = errc_of_errno(error);
  return Error{code == Errc::timeout ? Errc::timeout : Errc::closed,
               peer() + ": " + std::strerror(error)};
}

Error Connection::failure(Error error) const {
  if (timed_out_ || closed_) return failure(0);
  error.detail = peer() + ": " + error.detail;
  return error;
}

Task<Status> Connection::wait(tcp::socket::wait_type type) {
  if (closed_) co_return failure(0);
  auto [error] = co_await socket_.async_wait(type, as_result);
  if (error || closed_) co_return failure(error.value());
  co_return Status();
}

Task<Status> Connection::wait_readable(Crowd* crowd) {
  if (has_buffered()) co_return Status();
  if (!tls_) {
    // Reading at once saves the system calls of waiting first and reading then.
    CAIRN_CO_TRY(arrived, co_await arrival(crowd));
    inbox_.assign(arrived.begin(), arrived.end());
    co_return Status();
  }
  // Bytes on the socket are not yet content: half a record would wake the caller for nothing, and
  // give a peer that sends one byte a minute its time anew.
  for (;;) {
    if (closed_) co_return failure(0);
    auto there = tls_->peek();
    if (!there || there->count > 0) co_return Status(); // also the end: reading meets it
    CAIRN_CO_RETURN_IF_ERROR(co_await wait(wait_for(there->need)));
  }
}

Connection::Arrived Connection::look() {
  if (has_buffered()) return Arrived::bytes;
  if (closed_) return Arrived::end;
  if (tls_) {
    const auto there = tls_->peek();
    if (!there) return Arrived::end;
    return there->count > 0 ? Arrived::bytes : Arrived::nothing;
  }
  std::byte probe{};
  const ssize_t count = ::recv(socket_.native_handle(), &probe, 1, MSG_PEEK | MSG_DONTWAIT);
  if (count > 0) return Arrived::bytes;
  return count < 0 && (errno == EAGAIN || errno == EWOULDBLOCK) ? Arrived::nothing : Arrived::end;
}

Task<Status> Connection::shake_hands() {
  for (;;) {
    if (closed_) co_return failure(0);
    auto step = tls_->handshake();
    if (!step) co_return failure(std::move(step).error());
    if (*step == TlsNeed::nothing) co_return Status();
    CAIRN_CO_RETURN_IF_ERROR(co_await wait(wait_for(*step)));
  }
}

Task<Status> Connection::accept_tls(const TlsServer& server) {
  CAIRN_ASSERT(!tls_ && !has_buffered());
  tls_ = server.accept(socket_.native_handle());
  co_return co_await shake_hands();
}

Task<Status> Connection::connect_tls(const TlsClient& client, std::string host) {
  CAIRN_ASSERT(!tls_ && !has_buffered());
  tls_ = client.connect(socket_.native_handle(), host);
  co_return co_await shake_hands();
}

Task<Result<bool>> Connection::begins_with_tls() {
  for (;;) {
    if (closed_) co_return failure(0);
    std::byte first{};
    const ssize_t count = ::recv(socket_.native_handle(), &first, 1, MSG_PEEK);
    if (count > 0) co_return first == kTlsFirstByte;
    if (count == 0) co_return failure(0);
    if (errno == EAGAIN || errno == EWOULDBLOCK) {
      CAIRN_CO_RETURN_IF_ERROR(co_await wait(tcp::socket::wait_read));
    } else if (errno != EINTR) {
      co_return failure(errno);
    }
  }
}

wire::Bytes Connection::channel() const {
  return tls_ ? tls_->channel() : wire::Bytes();
}

Result<Connection::Step> Connection::receive(std::span<std::byte> out) {
  for (;;) {
    if (closed_) return failure(0);
    if (tls_) {
      auto moved = tls_->read(out);
      if (!moved) return failure(std::move(moved).error());
      return Step{moved->count, wait_for(moved->need)};
    }
    const ssize_t count = ::recv(socket_.native_handle(), out.data(), out.size(), 0);
    if (count > 0) return Step{static_cast<std::size_t>(count)};
    if (count == 0) return failure(0);
    if (errno == EAGAIN || errno == EWOULDBLOCK) return Step{};
    if (errno != EINTR) return failure(errno);
  }
}

Result<Connection::Step> Connection::send(wire::View bytes, bool more) {
  for (;;) {
    if (closed_) return failure(0);
    if (tls_) {
      auto moved = tls_->write(bytes, more);
      if (!moved) return failure(std::move(moved).error());
      return Step{moved->count, wait_for(moved->need)};
    }
    const ssize_t count = ::send(socket_.native_handle(), bytes.data(), bytes.size(),
                                 MSG_NOSIGNAL | (more ? MSG_MORE : 0));
    if (count >= 0) return Step{static_cast<std::size_t>(count), tcp::socket::wait_write};
    if (errno == EAGAIN || errno == EWOULDBLOCK) return Step{0, tcp::socket::wait_write};
    if (errno != EINTR) return failure(errno);
  }
}

std::size_t Connection::take_ahead(std::span<std::byte> out) {
  const std::size_t count = std::min(out.size(), inbox_.size() - inbox_begin_);
  if (count == 0) return 0;
  std::memcpy(out.data(), inbox_.data() + inbox_begin_, count);
  inbox_begin_ += count;
  if (inbox_begin_ == inbox_.size()) {
    inbox_ = wire::Bytes(); // give the memory back: most connections are idle most of the time
    inbox_begin_ = 0;
  }
  return count;
}

void Connection::unread(wire::View bytes) {
  wire::Bytes joined(bytes.begin(), bytes.end());
  joined.insert(joined.end(), inbox_.begin() + static_cast<std::ptrdiff_t>(inbox_begin_),
                inbox_.end());
  inbox_ = std::move(joined);
  inbox_begin_ = 0;
}

Task<Result<std::size_t>> Connection::read_some(std::span<std::byte> out) {
  if (const std::size_t count = take_ahead(out); count > 0) co_return count;
  for (;;) {
    CAIRN_CO_TRY(step, receive(out));
    if (step.count > 0) co_return step.count;
    CAIRN_CO_RETURN_IF_ERROR(co_await wait(step.need));
  }
}

Result<std::size_t> Connection::try_read(std::span<std::byte> out) {
  if (const std::size_t count = take_ahead(out); count > 0) return count;
  CAIRN_TRY(step, receive(out));
  return step.count;
}

Task<Status> Connection::read_exact(std::span<std::byte> out) {
  while (!out.empty()) {
    CAIRN_CO_TRY(count, co_await read_some(out));
    out = out.subspan(count);
  }
  co_return Status();
}

// What arrives next, at most kScratchSize; valid until the next suspension. Errors: closed,
// timeout.
Task<Result<wire::View>> Connection::arrival(Crowd* crowd) {
  if (tls_) {
    for (;;) {
      const auto buffer = scratch();
      CAIRN_CO_TRY(step, receive(buffer));
      if (step.count > 0) co_return wire::View(buffer).first(step.count);
      CAIRN_CO_RETURN_IF_ERROR(co_await wait(step.need));
    }
  }
  if (expects_small_) {
    if (closed_) co_return failure(0);
    auto [error, count] = co_await socket_.async_read_some(asio::buffer(small_), as_result);
    if (closed_ || error == asio::error::eof) co_return failure(0);
    if (error) co_return failure(error.value());
    expects_small_ = count < small_.size();
    co_return wire::View(small_).first(count);
  }
  for (;;) {
    CAIRN_CO_RETURN_IF_ERROR(co_await wait(tcp::socket::wait_read));
    if (crowd != nullptr && crowd->is_full()) {
      co_await crowd->turn();
      if (closed_) co_return failure(0);
    }
    const auto buffer = scratch();
    const ssize_t count = ::recv(socket_.native_handle(), buffer.data(), buffer.size(), 0);
    if (count == 0) co_return failure(0);
    if (count > 0) {
      expects_small_ = static_cast<std::size_t>(count) < small_.size();
      co_return wire::View(buffer).first(static_cast<std::size_t>(count));
    }
    if (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR) co_return failure(errno);
  }
}

std::optional<wire::FrameHeader> Connection::take_header() {
  const wire::View ahead = wire::View(inbox_).subspan(inbox_begin_);
  if (ahead.size() < wire::kHeaderSize) return std::nullopt;
  const auto header = wire::decode<wire::FrameHeader>(ahead.first(wire::kHeaderSize));
  if (!header || header->body_size >> 63 != 0) return std::nullopt; // read_header() tells it
  std::array<std::byte, wire::kHeaderSize> taken;
  take_ahead(taken);
  return *header;
}

Task<Result<wire::FrameHeader>> Connection::read_header() {
  std::array<std::byte, wire::kHeaderSize> raw;
  std::size_t have = take_ahead(raw);
  while (have < raw.size()) {
    CAIRN_CO_TRY(arrived, co_await arrival(nullptr));
    const std::size_t wanted = std::min(raw.size() - have, arrived.size());
    std::memcpy(raw.data() + have, arrived.data(), wanted);
    have += wanted;
    if (wanted < arrived.size())
      inbox_.assign(arrived.begin() + static_cast<std::ptrdiff_t>(wanted), arrived.end());
  }
  CAIRN_CO_TRY(header, wire::decode<wire::FrameHeader>(raw));
  if (header.body_size >> 63 != 0)
    co_return Error{Errc::invalid_argument, peer() + ": negative body length"};
  co_return header;
}

Result<std::size_t> Connection::try_write(wire::View bytes, bool more) {
  std::size_t total = 0;
  while (total < bytes.size()) {
    CAIRN_TRY(step, send(bytes.subspan(total), more));
    if (step.count == 0) break;
    sent(step.count);
    total += step.count;
  }
  return total;
}

Task<Status> Connection::write(wire::View bytes, bool more) {
  while (!bytes.empty()) {
    CAIRN_CO_TRY(step, send(bytes, more));
    sent(step.count);
    bytes = bytes.subspan(step.count);
    if (step.count == 0) CAIRN_CO_RETURN_IF_ERROR(co_await wait(step.need));
  }
  co_return Status();
}

Task<Status> Connection::write(wire::View first, wire::View second) {
  if (closed_) co_return failure(0);
  if (tls_) {
    CAIRN_CO_RETURN_IF_ERROR(co_await write(first, /*more=*/!second.empty()));
    co_return co_await write(second);
  }
  std::array<iovec, 2> pieces{
      iovec{const_cast<std::byte*>(first.data()), first.size()},
      iovec{const_cast<std::byte*>(second.data()), second.size()},
  };
  msghdr message{};
  message.msg_iov = pieces.data();
  message.msg_iovlen = pieces.size();
  const ssize_t count = ::sendmsg(socket_.native_handle(), &message, MSG_NOSIGNAL);
  const std::size_t taken = count < 0 ? 0 : static_cast<std::size_t>(count);
  if (count < 0 && errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR)
    co_return failure(errno);
  sent(taken);
  if (taken < first.size())
    CAIRN_CO_RETURN_IF_ERROR(co_await write(first.subspan(taken), /*more=*/true));
  co_return co_await write(second.subspan(taken < first.size() ? 0 : taken - first.size()));
}

Task<Status> Connection::send_file(int fd, std::uint64_t offset, std::uint64_t count) {
  if (tls_) co_return co_await send_file_by_tls(fd, offset, count);
  auto position = static_cast<off_t>(offset);
  while (count > 0) {
    if (closed_) co_return failure(0);
    // Bounded pieces, so that one fast reader of a large file does not hold the loop.
    const std::size_t piece = static_cast<std::size_t>(std::min<std::uint64_t>(count, 1 << 20));
    const ssize_t taken = ::sendfile(socket_.native_handle(), fd, &position, piece);
    if (taken > 0) {
      sent(static_cast<std::size_t>(taken));
      count -= static_cast<std::uint64_t>(taken);
      continue;
    }
    if (taken == 0) co_return Error{Errc::io_error, "file ends before the bytes to send"};
    if (errno == EINTR) continue;
    if (errno == EAGAIN || errno == EWOULDBLOCK) {
      CAIRN_CO_RETURN_IF_ERROR(co_await wait(tcp::socket::wait_write));
      continue;
    }
    if (errno == EIO) co_return errno_error("sendfile", errno);
    co_return failure(errno);
  }
  co_return Status();
}

// The bytes must come through memory to be encrypted. What the socket did not take is read again:
// the buffer belongs to the thread.
Task<Status> Connection::send_file_by_tls(int fd, std::uint64_t offset, std::uint64_t count) {
  while (count > 0) {
    const auto buffer =
        scratch().first(static_cast<std::size_t>(std::min<std::uint64_t>(count, scratch().size())));
    const ssize_t got = ::pread(fd, buffer.data(), buffer.size(), static_cast<off_t>(offset));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) co_return errno_error("read", errno);
    if (got == 0) co_return Error{Errc::io_error, "file ends before the bytes to send"};
    wire::View bytes = wire::View(buffer).first(static_cast<std::size_t>(got));
    const bool last = bytes.size() == count;
    while (!bytes.empty()) {
      CAIRN_CO_TRY(step, send(bytes, /*more=*/!last));
      sent(step.count);
      offset += step.count;
      count -= step.count;
      bytes = bytes.subspan(step.count);
      if (step.count > 0) continue;
      CAIRN_CO_RETURN_IF_ERROR(co_await wait(step.need));
      break;
    }
  }
  co_return Status();
}

} // namespace cairn
