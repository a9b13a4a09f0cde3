// Threads of the I/O loops, and spawn().
#include "common/net/io_pool.h"

#include "common/net/task.h"

#include <boost/asio/co_spawn.hpp>
#include <spdlog/spdlog.h>

namespace cairn {

IoPool::IoPool(std::size_t threads) {
  for (std::size_t i = 0; i < (threads == 0 ? 1 : threads); ++i) {
    contexts_.push_back(std::make_unique<asio::io_context>(1));
    guards_.emplace_back(contexts_.back()->get_executor());
  }
}

IoPool::~IoPool() {
  stop();
}

void IoPool::start() {
  for (auto& context : contexts_) threads_.emplace_back([&context] { context->run(); });
}

void IoPool::stop() {
  guards_.clear();
  for (auto& context : contexts_) context->stop();
  for (auto& thread : threads_) thread.join();
  threads_.clear();
}

void spawn(const asio::any_io_executor& executor, Task<void> task, std::string name) {
  asio::co_spawn(executor, std::move(task), [name = std::move(name)](std::exception_ptr failure) {
    if (!failure) return;
    try {
      std::rethrow_exception(failure);
    } catch (const std::exception& e) {
      spdlog::error("coroutine ended by an exception name={} what={}", name, e.what());
    }
  });
}

} // namespace cairn
