// One io_context per thread. A connection lives and dies on one of them, so sessions need no locks.
#pragma once

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>

#include <atomic>
#include <cstddef>
#include <memory>
#include <thread>
#include <vector>

namespace cairn {

namespace asio = boost::asio;

class IoPool {
public:
  // Makes `threads` contexts (at least one); nothing runs before start().
  explicit IoPool(std::size_t threads);
  ~IoPool(); // stops and joins

  IoPool(const IoPool&) = delete;
  IoPool& operator=(const IoPool&) = delete;

  void start();
  // Ends all loops and joins their threads; unfinished coroutines are destroyed with the contexts.
  // Idempotent. Not to be called from one of the threads.
  void stop();

  std::size_t size() const { return contexts_.size(); }
  asio::io_context& at(std::size_t index) { return *contexts_[index]; }
  // Round robin over the contexts. Any thread.
  asio::io_context& next() { return *contexts_[turn_++ % contexts_.size()]; }

private:
  using Guard = asio::executor_work_guard<asio::io_context::executor_type>;

  std::vector<std::unique_ptr<asio::io_context>> contexts_;
  std::vector<Guard> guards_;
  std::vector<std::thread> threads_;
  std::atomic<std::size_t> turn_{0};
};

} // namespace cairn
