// The coroutine type, and the one way a coroutine is started on its own.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <string>

namespace cairn {

namespace asio = boost::asio;

template <class T>
using Task = asio::awaitable<T>;

// Completion token for Asio calls: they answer a tuple (error_code, …) and never throw.
inline constexpr auto as_result = asio::as_tuple(asio::use_awaitable);

// Starts `task` on `executor`. An exception that leaves it is logged as an error of `name`, so that
// nothing is lost the way asio::detached would lose it.
void spawn(const asio::any_io_executor& executor, Task<void> task, std::string name);

} // namespace cairn
