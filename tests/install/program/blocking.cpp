// A user's program over the blocking face. Nobody listens where it asks: it must say so.
#include <cairn/client.h>
#include <iostream>

int main() {
  cairn::ClientOptions options;
  options.trackers = *cairn::parse_trackers("127.0.0.1:1");
  cairn::Client client(options);
  const auto id = client.upload(cairn::Source::memory("hello"));
  if (id || id.code() != cairn::Errc::unavailable) return 1;
  std::cout << id.error().text() << '\n';
  return 0;
}
