// Accept loop.
#include "common/net/listener.h"

#include <boost/asio/ip/v6_only.hpp>
#include <spdlog/spdlog.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

namespace cairn {

namespace {

// One connection per loop turn makes the last of 1,000 simultaneous clients wait half a second.
constexpr int kAcceptBurst = 64;
// A thousand senders of large files with the kernel's default (6 MiB each) exhaust its TCP memory
// and everything stalls; the kernel doubles this figure.
constexpr int kReceiveBuffer = 256 * 1024;
// Refused connections wait this long for their peer to read the answer and close, and so many do.
constexpr std::chrono::milliseconds kPartingTime{1000};
constexpr std::chrono::milliseconds kPartingTick{100};
constexpr std::size_t kPartingMax = 256;
// A flood of refusals must not become a flood of log lines.
constexpr std::chrono::seconds kWarnInterval{10};

int open_reserve() {
  return ::open("/dev/null", O_RDONLY | O_CLOEXEC);
}

// Throws away what has arrived. False: the peer has closed, or the connection is broken.
bool discard_arrived(int fd) {
  std::array<char, 4096> buffer;
  for (int i = 0; i < 16; ++i) {
    const ssize_t count = ::recv(fd, buffer.data(), buffer.size(), MSG_DONTWAIT);
    if (count > 0) continue;
    return count < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR);
  }
  return true;
}

asio::ip::address address_of(const sockaddr_storage& from) {
  if (from.ss_family == AF_INET6) {
    asio::ip::address_v6::bytes_type bytes;
    std::memcpy(bytes.data(), &reinterpret_cast<const sockaddr_in6&>(from).sin6_addr, bytes.size());
    return asio::ip::address_v6(bytes);
  }
  asio::ip::address_v4::bytes_type bytes;
  std::memcpy(bytes.data(), &reinterpret_cast<const sockaddr_in&>(from).sin_addr, bytes.size());
  return asio::ip::address_v4(bytes);
}

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

Listener::Listener(IoPool& pool, ConnectionGauge& gauge, ListenerOptions options)
    : pool_(pool), gauge_(gauge), options_(std::move(options)), reserve_fd_(open_reserve()) {}

Listener::~Listener() {
  for (const Parting& one : parting_) ::close(one.fd);
  if (reserve_fd_ >= 0) ::close(reserve_fd_);
}

Status Listener::listen(const std::vector<std::string>& addresses, std::uint16_t port) {
  for (const auto& text : or_all(addresses)) {
    auto acceptor = std::make_shared<asio::ip::tcp::acceptor>(front());
    CAIRN_RETURN_IF_ERROR(open_acceptor(*acceptor, text, port));
    const auto local = acceptor->local_endpoint();
    port_ = local.port();
    sockets_.push_back({std::move(acceptor), local.protocol()});
  }
  return Status();
}

void Listener::start() {
  for (auto& socket : sockets_)
    spawn(front().get_executor(), accept_loop(socket.acceptor, socket.protocol), "listener");
}

void Listener::stop() {
  for (auto& socket : sockets_) {
    asio::post(front(), [acceptor = socket.acceptor] {
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
      sockaddr_storage from{};
      socklen_t size = sizeof from;
      const int fd = ::accept4(acceptor->native_handle(), reinterpret_cast<sockaddr*>(&from), &size,
                               SOCK_NONBLOCK | SOCK_CLOEXEC);
      if (fd >= 0) {
        gauge_.accepted.fetch_add(1, std::memory_order_relaxed);
        take(fd, address_of(from), protocol);
        continue;
      }
      if (errno == EINTR || errno == ECONNABORTED) continue;
      if (errno == EAGAIN || errno == EWOULDBLOCK) break;
      const int cause = errno;
      if (const auto now = std::chrono::steady_clock::now(); now - warned_ > kWarnInterval) {
        warned_ = now;
        spdlog::warn("cannot accept: {}; raise the open-files limit", std::strerror(cause));
      }
      if ((cause == EMFILE || cause == ENFILE) && refuse_without_descriptors(*acceptor)) continue;
      // Those who are in go on, the newcomer waits in the backlog.
      asio::steady_timer pause(co_await asio::this_coro::executor, kPartingTick);
      co_await pause.async_wait(as_result);
      break;
    }
  }
}

void Listener::take(int fd, const asio::ip::address& peer, asio::ip::tcp protocol) {
  auto slot = gauge_.admit(peer, options_.limits);
  if (!slot) {
    refuse(fd, protocol);
    return;
  }
  auto& context = pool_.next();
  asio::post(context, [this, fd, protocol, &context, counted = *std::move(slot)]() mutable {
    boost::system::error_code bad;
    asio::ip::tcp::socket socket(context);
    socket.assign(protocol, fd, bad);
    if (bad)
      ::close(fd);
    else
      options_.on_connection(std::move(socket), std::move(counted));
  });
}

void Listener::refuse(int fd, asio::ip::tcp protocol) {
  if (options_.on_refused) {
    boost::system::error_code bad;
    asio::ip::tcp::socket socket(front());
    socket.assign(protocol, fd, bad);
    if (!bad && options_.on_refused(socket)) return;
    if (!bad) socket.release(bad);
  }
  part(fd, /*linger=*/true);
}

// Sends the refusal and closes: soon, when the peer may still be sending.
void Listener::part(int fd, bool linger) {
  if (!options_.refusal.empty())
    static_cast<void>(
        ::send(fd, options_.refusal.data(), options_.refusal.size(), MSG_NOSIGNAL | MSG_DONTWAIT));
  ::shutdown(fd, SHUT_WR);
  if (!discard_arrived(fd) || !linger || options_.refusal.empty() ||
      parting_.size() >= kPartingMax) {
    ::close(fd);
    return;
  }
  parting_.push_back({fd, std::chrono::steady_clock::now() + kPartingTime});
  if (!closing_parted_) {
    closing_parted_ = true;
    spawn(front().get_executor(), close_parted(), "listener.parting");
  }
}

Task<void> Listener::close_parted() {
  asio::steady_timer timer(co_await asio::this_coro::executor);
  while (!parting_.empty()) {
    timer.expires_after(kPartingTick);
    auto [error] = co_await timer.async_wait(as_result);
    const bool stopping = static_cast<bool>(error); // clang 14: a lambda takes no binding
    const auto now = std::chrono::steady_clock::now();
    std::erase_if(parting_, [&](const Parting& one) {
      if (discard_arrived(one.fd) && one.until > now && !stopping) return false;
      ::close(one.fd);
      return true;
    });
  }
  closing_parted_ = false;
}

// Gives up the reserve for the newcomer, tells it, and takes the reserve back. False: there is
// nothing to give up.
bool Listener::refuse_without_descriptors(asio::ip::tcp::acceptor& acceptor) {
  if (reserve_fd_ < 0) reserve_fd_ = open_reserve();
  if (reserve_fd_ < 0) return false;
  ::close(std::exchange(reserve_fd_, -1));
  const int fd =
      ::accept4(acceptor.native_handle(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
  if (fd >= 0) {
    gauge_.accepted.fetch_add(1, std::memory_order_relaxed);
    gauge_.refused.fetch_add(1, std::memory_order_relaxed);
    part(fd, /*linger=*/false);
  }
  reserve_fd_ = open_reserve();
  return fd >= 0;
}

} // namespace cairn
