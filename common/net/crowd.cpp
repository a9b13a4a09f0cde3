// Waiting for a turn.
#include "common/net/crowd.h"

#include "common/net/connection.h"

#include <boost/asio/steady_timer.hpp>

#include <chrono>

namespace cairn {

namespace {

constexpr std::chrono::seconds kPatience{1};

} // namespace

// Lives in the coroutine that waits.
struct Crowd::Waiter {
  Waiter(Crowd& c, const asio::any_io_executor& executor)
      : crowd(c), timer(executor, kPatience), at(c.waiting_.insert(c.waiting_.end(), this)) {}
  Waiter(const Waiter&) = delete;
  Waiter& operator=(const Waiter&) = delete;
  ~Waiter() {
    if (called)
      --crowd.called_;
    else
      crowd.waiting_.erase(at);
  }

  Crowd& crowd;
  asio::steady_timer timer;
  bool called = false;
  std::list<Waiter*>::iterator at; // until it is called
};

Task<void> Crowd::turn() {
  Waiter waiter(*this, co_await asio::this_coro::executor);
  co_await waiter.timer.async_wait(as_result);
}

void Crowd::leave() {
  --inside_;
  while (!waiting_.empty() && inside_ + called_ < kInsideMax) {
    Waiter& first = *waiting_.front();
    waiting_.pop_front();
    first.called = true;
    ++called_;
    first.timer.cancel();
  }
}

Crowd& crowd_of(Connection& connection) {
  auto& context = connection.socket().get_executor().context();
  return asio::use_service<Crowd>(static_cast<asio::io_context&>(context));
}

} // namespace cairn
