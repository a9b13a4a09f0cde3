// A daemon in this process that answers frames as a test says: for the sides that call peers and
// trackers.
#pragma once

#include "common/net/io_pool.h"
#include "common/net/listener.h"
#include "common/net/session.h"
#include "common/wire/native.h"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

namespace cairn {

// Serves on 127.0.0.1 on a thread of its own. Its functions may be called from the test's thread.
class InProcessServer {
public:
  // What to answer; nullopt cuts the connection. Called on the server's thread.
  using Answer = std::function<std::optional<Result<wire::Bytes>>(std::uint8_t, wire::View)>;

  explicit InProcessServer(Answer answer) : answer_(std::move(answer)) { open(0); }
  ~InProcessServer() { stop(); }

  std::uint16_t port() const { return port_; }
  // Ends it with all its connections.
  void stop() {
    if (pool_) pool_->stop();
    listener_.reset();
    pool_.reset();
  }
  // Starts again on the same port.
  void restart() {
    stop();
    open(port_);
  }

  // How often `command` arrived.
  std::size_t count(wire::NativeCommand command) const {
    return count(static_cast<std::uint8_t>(command));
  }
  std::size_t count(std::uint8_t command) const {
    const std::lock_guard lock(mutex_);
    return static_cast<std::size_t>(std::count(commands_.begin(), commands_.end(), command));
  }
  std::size_t connections() const { return gauge_.accepted; }

private:
  void open(std::uint16_t port) {
    pool_ = std::make_unique<IoPool>(1);
    ListenerOptions options;
    options.on_connection = [this](tcp::socket socket, ConnectionSlot slot) {
      const auto executor = socket.get_executor();
      spawn(executor, serve_one(*this, std::move(socket), std::move(slot)), "fake");
    };
    listener_ = std::make_unique<Listener>(*pool_, gauge_, std::move(options));
    const Status listening = listener_->listen({"127.0.0.1"}, port);
    ASSERT_TRUE(listening) << listening.error().text();
    port_ = listener_->port();
    listener_->start();
    pool_->start();
  }

  static Task<void> serve_one(InProcessServer& server, tcp::socket socket, ConnectionSlot) {
    Connection connection(std::move(socket));
    for (;;) {
      auto header = co_await connection.read_header();
      if (!header) co_return;
      wire::Bytes body(header->body_size);
      const Status got = co_await connection.read_exact(body);
      if (!got) co_return;
      auto reply = server.handle(header->command, body);
      if (!reply) co_return;
      const wire::Bytes frame =
          wire::make_reply(reply->code(), *reply ? wire::View(**reply) : wire::View());
      const Status sent = co_await connection.write(frame);
      if (!sent) co_return;
    }
  }

  std::optional<Result<wire::Bytes>> handle(std::uint8_t command, wire::View body) {
    {
      const std::lock_guard lock(mutex_);
      commands_.push_back(command);
    }
    if (command == static_cast<std::uint8_t>(wire::NativeCommand::hello))
      return Result<wire::Bytes>(wire::encode(wire::HelloReply()));
    return answer_(command, body);
  }

  Answer answer_;
  ConnectionGauge gauge_;
  mutable std::mutex mutex_; // guards commands_
  std::vector<std::uint8_t> commands_;
  std::uint16_t port_ = 0;
  std::unique_ptr<IoPool> pool_;
  std::unique_ptr<Listener> listener_;
};

namespace detail {
template <class T>
Task<void> keep(Task<T> task, std::optional<T>* out) {
  out->emplace(co_await std::move(task));
}
} // namespace detail

// Runs `task` to its end on `context`, in the test's thread.
template <class T>
T run_on(asio::io_context& context, Task<T> task) {
  std::optional<T> result;
  spawn(context.get_executor(), detail::keep(std::move(task), &result), "test");
  context.restart();
  while (!result) context.run_one();
  return *std::move(result);
}

} // namespace cairn
