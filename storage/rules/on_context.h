// Runs a coroutine on another io_context and waits for it here.
#pragma once

#include "common/net/task.h"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>

#include <optional>
#include <utility>

namespace cairn::storage {

namespace detail {
// Asio wants what it carries between threads to be default constructible.
template <class T>
Task<std::optional<T>> wrapped(Task<T> task) {
  co_return co_await std::move(task);
}
} // namespace detail

// The result comes back on the caller's own executor. `context` outlives the task.
template <class T>
Task<T> run_on(asio::io_context& context, Task<T> task) {
  Task<std::optional<T>> inner = detail::wrapped(std::move(task));
  auto result = co_await asio::co_spawn(context, std::move(inner), asio::use_awaitable);
  co_return *std::move(result);
}

} // namespace cairn::storage
