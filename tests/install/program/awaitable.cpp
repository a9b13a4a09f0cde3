// A user's program over the awaitable face, on its own loop.
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>

#include <cairn/async_client.h>
#include <iostream>

boost::asio::awaitable<void> work(cairn::AsyncClient& client, int& result) {
  std::vector<std::byte> bytes;
  auto done = co_await client.download("group1/M00/00/00/oYYBAGMi4zGAYNoxABY-esN9nNw502.jpg",
                                       cairn::Sink::memory(bytes), cairn::DownloadOptions());
  if (!done && done.code() == cairn::Errc::unavailable) result = 0;
  if (!done) std::cout << done.error().text() << '\n';
}

int main() {
  cairn::ClientOptions options;
  options.trackers = *cairn::parse_trackers("127.0.0.1:1");
  boost::asio::io_context io;
  cairn::AsyncClient client(io, options);
  int result = 1;
  boost::asio::co_spawn(io, work(client, result), [](std::exception_ptr failure) {
    if (failure) std::rethrow_exception(failure);
  });
  io.run();
  return result;
}
