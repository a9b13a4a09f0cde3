// Blocking sockets for the fake servers.
#include "tests/unit/client/fake_server.h"

#include "common/base/crc32.h"
#include "common/base/file_id.h"
#include "common/wire/fastdfs.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdexcept>
#include <sys/socket.h>
#include <unistd.h>

namespace cairn::test {

namespace {

std::string text_of(const wire::Bytes& bytes) {
  return std::string(wire::as_text(bytes));
}

sockaddr_in loopback(std::uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

// A listening socket on a free port.
int listen_somewhere(std::uint16_t& port) {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address = loopback(0);
  socklen_t size = sizeof address;
  if (::bind(fd, reinterpret_cast<sockaddr*>(&address), size) != 0 || ::listen(fd, 64) != 0 ||
      ::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) != 0)
    throw std::runtime_error("cannot listen");
  port = ntohs(address.sin_port);
  return fd;
}

} // namespace

FakePeer::~FakePeer() = default;

std::string FakePeer::read_bytes(std::size_t size) {
  std::string bytes(size, '\0');
  std::size_t have = 0;
  while (have < size) {
    const ssize_t count = ::recv(fd_, bytes.data() + have, size - have, 0);
    if (count <= 0) break;
    have += static_cast<std::size_t>(count);
  }
  bytes.resize(have);
  return bytes;
}

std::optional<wire::FrameHeader> FakePeer::read_header() {
  const std::string raw = read_bytes(wire::kHeaderSize);
  if (raw.size() < wire::kHeaderSize) return std::nullopt;
  return *wire::decode<wire::FrameHeader>(wire::as_view(raw));
}

std::optional<Frame> FakePeer::read_frame() {
  const auto header = read_header();
  if (!header) return std::nullopt;
  Frame frame{*header, read_bytes(static_cast<std::size_t>(header->body_size))};
  if (frame.body.size() < header->body_size) return std::nullopt;
  return frame;
}

void FakePeer::send(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t count = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (count <= 0) return;
    bytes.remove_prefix(static_cast<std::size_t>(count));
  }
}

void FakePeer::reply(std::uint8_t status, std::string_view body) {
  send(text_of(wire::make_frame(100, status, wire::as_view(body))));
}

void FakePeer::reply_header(std::uint64_t body_size) {
  send(text_of(wire::encode(wire::FrameHeader{body_size, 100, 0})));
}

void FakePeer::reset() {
  const linger now{1, 0};
  ::setsockopt(fd_, SOL_SOCKET, SO_LINGER, &now, sizeof now);
}

FakeServer::FakeServer(Script script)
    : script_(std::move(script)), listener_(listen_somewhere(port_)) {
  acceptor_ = std::thread([this] { accept_all(); });
}

FakeServer::~FakeServer() {
  ::shutdown(listener_, SHUT_RDWR);
  acceptor_.join();
  ::close(listener_);
  {
    const std::lock_guard lock(mutex_);
    for (const int fd : open_) ::shutdown(fd, SHUT_RDWR);
  }
  for (auto& thread : threads_) thread.join();
}

void FakeServer::accept_all() {
  for (;;) {
    const int fd = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
    if (fd < 0) return;
    ++connections_;
    const std::lock_guard lock(mutex_);
    open_.push_back(fd);
    threads_.emplace_back([this, fd] {
      {
        FakePeer peer(fd);
        script_(peer);
      }
      const std::lock_guard closing(mutex_);
      std::erase(open_, fd);
      ::close(fd);
      ++closed_;
      one_closed_.notify_all();
    });
  }
}

void FakeServer::wait_closed(int connections) {
  std::unique_lock lock(mutex_);
  one_closed_.wait(lock, [&] { return closed_ >= connections; });
}

FakeServer::Script answering(std::function<Answer(const Frame&)> answer) {
  return [answer = std::move(answer)](FakePeer& peer) {
    while (const auto frame = peer.read_frame()) {
      const Answer one = answer(*frame);
      peer.reply(one.status, one.body);
    }
  };
}

FakeServer::Script tracker_of(std::vector<Address> nodes) {
  return answering([nodes = std::move(nodes)](const Frame& frame) -> Answer {
    switch (frame.command()) {
      case wire::Command::query_store:
      case wire::Command::query_store_in_group:
        return {0, store_reply(nodes.front())};
      case wire::Command::query_fetch_one:
      case wire::Command::query_update:
        return {0, fetch_reply(nodes.front())};
      case wire::Command::query_store_in_group_all: {
        std::string body = store_reply(nodes.front());
        const std::string path(1, body.back());
        body.pop_back();
        for (std::size_t i = 1; i < nodes.size(); ++i)
          body += fetch_reply(nodes[i]).substr(wire::kGroupSize);
        return {0, body + path};
      }
      case wire::Command::query_fetch_all:
        return {0, fetch_reply(nodes.front())};
      case wire::Command::list_group:
        return {0, std::string(113, '\0')};
      default:
        return {22, {}};
    }
  });
}

Address nowhere() {
  std::uint16_t port = 0;
  ::close(listen_somewhere(port));
  return Address("127.0.0.1", port);
}

std::string store_reply(const Address& node, std::uint8_t path) {
  wire::StoreTarget target;
  target.group = "group1";
  target.host = node.host;
  target.port = node.port;
  target.store_path = path;
  return text_of(wire::encode(target));
}

std::string fetch_reply(const Address& node) {
  wire::FetchTarget target;
  target.group = "group1";
  target.host = node.host;
  target.port = node.port;
  return text_of(wire::encode(target));
}

std::string stored_reply(std::string_view name) {
  wire::StoredFile file;
  file.group = "group1";
  file.name = name;
  return text_of(wire::encode(file));
}

std::string id_of(std::string_view content) {
  FileIdFields fields;
  fields.source = SourceRef::from_server_id(100001);
  fields.timestamp = 1'763'782'000;
  fields.size_field = make_size_field(content.size(), FileKind::normal, 12345);
  fields.crc32 = crc32(0, wire::as_view(content));
  return "group1/" + make_remote_name(0, 0, 0, fields, "123.txt");
}

} // namespace cairn::test
