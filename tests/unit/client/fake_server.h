// A small server for conversations with the client library: each connection runs a script on a
// thread of its own, with blocking calls.
#pragma once

#include "cairn/types.h"
#include "common/wire/frame.h"

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace cairn::test {

// A frame as it arrived.
struct Frame {
  wire::FrameHeader header;
  std::string body;

  wire::Command command() const { return static_cast<wire::Command>(header.command); }
};

// One connection of a FakeServer.
class FakePeer {
public:
  explicit FakePeer(int fd) : fd_(fd) {}
  ~FakePeer();
  FakePeer(const FakePeer&) = delete;
  FakePeer& operator=(const FakePeer&) = delete;

  // The next request; nullopt when the client has closed.
  std::optional<Frame> read_frame();
  // Only its header, or some bytes of its body.
  std::optional<wire::FrameHeader> read_header();
  std::string read_bytes(std::size_t size);
  void reply(std::uint8_t status, std::string_view body = {});
  // The header of a successful reply with a body of this size, which is to follow.
  void reply_header(std::uint64_t body_size);
  void send(std::string_view bytes);
  // Ends the connection with a reset: what the client still sends is lost.
  void reset();

private:
  int fd_;
};

class FakeServer {
public:
  using Script = std::function<void(FakePeer&)>;
  // Listens on a free port of 127.0.0.1.
  explicit FakeServer(Script script);
  ~FakeServer();
  FakeServer(const FakeServer&) = delete;
  FakeServer& operator=(const FakeServer&) = delete;

  Address address() const { return Address("127.0.0.1", port_); }
  // Connections so far.
  int connections() const { return connections_; }
  // Blocks until so many connections were closed from this side.
  void wait_closed(int connections);

private:
  void accept_all();

  Script script_;
  std::uint16_t port_ = 0; // set while listener_ is made
  int listener_ = -1;
  std::atomic<int> connections_{0};
  std::mutex mutex_; // guards open_, closed_ and threads_
  std::condition_variable one_closed_;
  int closed_ = 0;
  std::vector<int> open_;
  std::vector<std::thread> threads_;
  std::thread acceptor_;
};

// Answers each request of a connection with what `answer` gives: a status and a body.
struct Answer {
  std::uint8_t status = 0;
  std::string body;
};
FakeServer::Script answering(std::function<Answer(const Frame&)> answer);

// A tracker of one group, "group1": the first of `nodes` is its choice for everything.
FakeServer::Script tracker_of(std::vector<Address> nodes);

// An address nobody listens on.
Address nowhere();

// Bytes of 101's reply for `node`, and so on.
std::string store_reply(const Address& node, std::uint8_t path = 0);
std::string fetch_reply(const Address& node);
// "group1" and a name as upload replies carry them.
std::string stored_reply(std::string_view name);
// The ID of a normal file with this content, as a server would name it.
std::string id_of(std::string_view content);

} // namespace cairn::test
