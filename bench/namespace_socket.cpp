// The namespace over its socket, against a running tracker: creates and look-ups a second by one
// connection with many requests on their way, as a mount or a storage node asks. The files are
// made in a directory of their own in the export's root, and stay.
//
//   namespace_socket CLIENT_CONF EXPORT [FILES] [AT_ONCE]     (default 20,000 files, 64 requests)
#include "cairn/client.h"
#include "client/namespace_session.h"
#include "common/base/text.h"
#include "common/wire/namespace_paths.h"

#include <boost/asio/io_context.hpp>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>

namespace {

using namespace cairn;
using Clock = std::chrono::steady_clock;

constexpr std::chrono::seconds kPatience{60}; // with one request
// Each file is looked up so often, but no more in all.
constexpr std::uint64_t kRounds = 10;
constexpr std::uint64_t kLookupsMax = 2'000'000;

std::string name_of(std::uint64_t number) {
  return "image-" + std::to_string(1'000'000 + number) + ".jpg";
}

struct Bench {
  std::shared_ptr<NsSession> session;
  std::uint64_t directory = 0;
  std::uint64_t files = 0;
  std::uint64_t next = 0; // request
  std::uint64_t end = 0;
  std::size_t left = 0; // coroutines that ask
  std::string failure;
};

Task<void> ask_all(Bench& bench, bool creates) {
  while (bench.next < bench.end && bench.failure.empty()) {
    const std::uint64_t number = bench.next++ % bench.files;
    Status done;
    if (creates) {
      wire::NsCreate create;
      create.parent = bench.directory;
      create.name = name_of(number);
      auto made = co_await bench.session->ask<wire::NsNodeReply>(
          wire::NsOp::create, NsIdentity(), std::move(create), Timeout(kPatience));
      if (!made) done = std::move(made).error();
    } else {
      wire::NsLookup lookup;
      lookup.parent = bench.directory;
      lookup.name = name_of(number);
      auto found = co_await bench.session->ask<wire::NsNodeReply>(
          wire::NsOp::lookup, NsIdentity(), std::move(lookup), Timeout(kPatience));
      if (!found) done = std::move(found).error();
    }
    if (!done) bench.failure = done.error().text();
  }
  --bench.left;
}

// Requests a second.
double measure(asio::io_context& io, Bench& bench, std::size_t at_once, std::uint64_t requests,
               bool creates) {
  bench.next = 0;
  bench.end = requests;
  bench.left = at_once;
  const auto begun = Clock::now();
  for (std::size_t i = 0; i < at_once; ++i)
    spawn(io.get_executor(), ask_all(bench, creates), "bench");
  while (bench.left > 0) io.run_one();
  const std::chrono::duration<double> took = Clock::now() - begun;
  return static_cast<double>(requests) / took.count();
}

Task<void> begin(Bench& bench, bool& begun) {
  const Status opened = co_await bench.session->open(Timeout(kPatience));
  if (!opened) bench.failure = opened.error().text();
  if (opened) {
    wire::NsMkdir mkdir;
    mkdir.parent = bench.session->attached().root;
    mkdir.name = "bench-" + std::to_string(Clock::now().time_since_epoch().count());
    mkdir.mode = 0755;
    auto made = co_await bench.session->ask<wire::NsNodeReply>(
        wire::NsOp::mkdir, NsIdentity(), std::move(mkdir), Timeout(kPatience));
    if (made)
      bench.directory = made->attributes.inode;
    else
      bench.failure = made.error().text();
  }
  begun = true;
}

Task<void> end(Bench& bench, bool& ended) {
  co_await bench.session->close();
  ended = true;
}

} // namespace

int main(int argc, char** argv) {
  const auto number = [&](int index, std::uint64_t otherwise) -> std::uint64_t {
    if (argc <= index) return otherwise;
    const auto value = parse_u64(argv[index]);
    return value ? *value : 0;
  };
  Bench bench;
  bench.files = number(3, 20'000);
  const std::uint64_t at_once = number(4, 64);
  if (argc < 3 || argc > 5 || bench.files == 0 || at_once == 0) {
    std::fputs("usage: namespace_socket CLIENT_CONF EXPORT [FILES] [AT_ONCE]\n", stderr);
    return 2;
  }
  auto client = load_client_options(argv[1]);
  if (!client) {
    std::fprintf(stderr, "%s\n", client.error().text().c_str());
    return 2;
  }
  asio::io_context io;
  NsSession::Options options;
  options.export_name = argv[2];
  options.label = "bench";
  bench.session = std::make_shared<NsSession>(io, *client, options);
  bool begun = false;
  spawn(io.get_executor(), begin(bench, begun), "begin");
  while (!begun) io.run_one();
  if (bench.failure.empty()) {
    const double creates = measure(io, bench, at_once, bench.files, true);
    if (bench.failure.empty())
      std::printf("creates  %8.0f/s  %llu at once, synced\n", creates,
                  static_cast<unsigned long long>(at_once));
  }
  if (bench.failure.empty()) {
    const std::uint64_t count = std::min(kRounds * bench.files, kLookupsMax);
    const double lookups = measure(io, bench, at_once, count, false);
    if (bench.failure.empty()) std::printf("lookups  %8.0f/s\n", lookups);
  }
  bool ended = false;
  spawn(io.get_executor(), end(bench, ended), "end");
  while (!ended) io.run_one();
  if (!bench.failure.empty()) std::fprintf(stderr, "%s\n", bench.failure.c_str());
  return bench.failure.empty() ? 0 : 1;
}
