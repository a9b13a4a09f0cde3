// Cuts connections whose deadline has passed: one timer per io_context that looks at all of them
// twice a second. A timer per read would cost more than the read.
#pragma once

#include <boost/asio/execution_context.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>

namespace cairn {

namespace asio = boost::asio;

class Connection;

class DeadlineService : public asio::execution_context::service {
public:
  static inline asio::execution_context::id id;

  explicit DeadlineService(asio::execution_context& context);

  // Called on the context's thread.
  void add(Connection& connection);
  void remove(Connection& connection);

private:
  void shutdown() override { timer_.reset(); }
  void tick();

  std::unique_ptr<asio::steady_timer> timer_;
  bool ticking_ = false;
  Connection* first_ = nullptr;
};

} // namespace cairn
