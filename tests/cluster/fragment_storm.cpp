// Writers that change a few blocks of large files at a time, each change durable before the next,
// while the tracker rewrites what they leave. Every writer knows what its file must read as, and
// compares at the end, and once more when it was idle for some seconds. Prints a JSON line; exits 1
// when a byte is another one. test_fragments.py runs it.
//
//   cairn-fragment-storm CLIENT_CONF EXPORT SEED WRITERS FILE_BYTES FLUSHES BLOCKS IDLE_SECONDS
#include "cairn/client.h"
#include "client/core.h"
#include "client/namespace_data.h"
#include "client/namespace_session.h"
#include "common/wire/namespace_paths.h"

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <vector>

namespace {

using namespace cairn;

constexpr std::uint64_t kBlock = 4096;
const Timeout kTimeout(std::chrono::seconds(60));

struct Plan {
  std::string export_name;
  std::uint64_t file_bytes = 0;
  int flushes = 0;
  int blocks = 0;
  int idle_s = 0;
};

struct Writer {
  Writer(std::shared_ptr<NsSession> with, NsData& bytes, const Plan& what, std::uint64_t seed)
      : session(std::move(with)), data(bytes), plan(what), random(seed) {}

  std::shared_ptr<NsSession> session;
  NsData& data;
  const Plan& plan;
  std::mt19937_64 random;
  std::uint64_t inode = 0;
  std::vector<std::byte> expected;
  std::uint64_t extents_most = 0;
  std::uint64_t extents = 0; // in the end
  std::set<std::string> stored;
  std::string fault;

  Task<Status> begin(std::uint64_t root, std::string name) {
    expected.resize(plan.file_bytes);
    for (std::byte& byte : expected) byte = static_cast<std::byte>(random());
    NsData::StoreOptions how = options();
    CAIRN_CO_TRY(whole, co_await data.store(wire::View(expected), std::move(how)));
    wire::NsCreate create;
    create.parent = root;
    create.name = std::move(name);
    create.extents = std::move(whole.extents);
    CAIRN_CO_TRY(made, co_await session->ask<wire::NsNodeReply>(wire::NsOp::create, NsIdentity(),
                                                                std::move(create), kTimeout));
    inode = made.attributes.inode;
    co_return Status();
  }

  NsData::StoreOptions options() {
    NsData::StoreOptions how;
    how.timeout = kTimeout;
    how.origin = NsData::origin_of(session->attached(), plan.export_name);
    how.origin.inode = inode;
    how.origin.file_size = plan.file_bytes;
    return how;
  }

  // A few blocks, stored as one file and committed at once.
  Task<Status> flush() {
    std::set<std::uint64_t> where;
    while (where.size() < static_cast<std::size_t>(plan.blocks))
      where.insert(random() % (plan.file_bytes / kBlock));
    std::vector<std::byte> bytes;
    wire::NsCommit commit;
    commit.inode = inode;
    NsData::StoreOptions how = options();
    for (const std::uint64_t block : where) {
      wire::NsExtent extent;
      extent.offset = block * kBlock;
      extent.length = kBlock;
      extent.source = bytes.size();
      how.origin.ranges.push_back({extent.offset, extent.length});
      for (std::uint64_t i = 0; i < kBlock; i += 8) {
        const std::uint64_t word = random();
        for (std::uint64_t j = 0; j < 8; ++j)
          bytes.push_back(static_cast<std::byte>(word >> (8 * j)));
      }
      commit.extents.push_back(std::move(extent));
    }
    CAIRN_CO_TRY(whole, co_await data.store(wire::View(bytes), std::move(how)));
    for (wire::NsExtent& extent : commit.extents) {
      extent.id = whole.extents.front().id;
      std::copy_n(bytes.begin() + static_cast<std::ptrdiff_t>(extent.source), kBlock,
                  expected.begin() + static_cast<std::ptrdiff_t>(extent.offset));
    }
    CAIRN_CO_TRY(done, co_await session->ask<wire::NsCommitReply>(wire::NsOp::commit, NsIdentity(),
                                                                  std::move(commit), kTimeout));
    extents_most = std::max<std::uint64_t>(extents_most, done.extent_count);
    co_return Status();
  }

  Task<Status> compare() {
    std::vector<wire::NsExtent> all;
    for (bool end = false; !end;) {
      wire::NsGetExtents request;
      request.inode = inode;
      request.offset = all.empty() ? 0 : all.back().offset + all.back().length;
      CAIRN_CO_TRY(reply, co_await session->ask<wire::NsExtentsReply>(
                              wire::NsOp::extents, NsIdentity(), std::move(request), kTimeout));
      end = reply.end || reply.extents.empty();
      std::ranges::move(reply.extents, std::back_inserter(all));
    }
    extents = all.size();
    stored.clear();
    for (const wire::NsExtent& extent : all) stored.insert(extent.id);
    std::vector<std::byte> read(expected.size());
    CAIRN_CO_RETURN_IF_ERROR(co_await data.read(std::move(all), 0, read, kTimeout));
    const auto [at, other] = std::ranges::mismatch(read, expected);
    if (at != read.end())
      co_return Error{Errc::corrupt, "byte " + std::to_string(at - read.begin()) + " of inode " +
                                         std::to_string(inode) + " is another one"};
    co_return Status();
  }

  Task<Status> work() {
    for (int i = 0; i < plan.flushes; ++i) CAIRN_CO_RETURN_IF_ERROR(co_await flush());
    CAIRN_CO_RETURN_IF_ERROR(co_await compare());
    asio::steady_timer timer(co_await asio::this_coro::executor, std::chrono::seconds(plan.idle_s));
    co_await timer.async_wait(as_result);
    CAIRN_CO_RETURN_IF_ERROR(co_await compare());
    co_return Status();
  }

  static Task<void> run(Writer& writer) {
    const Status done = co_await writer.work();
    if (!done) writer.fault = done.error().text();
  }
};

Task<void> storm(std::shared_ptr<NsSession> session, std::vector<std::unique_ptr<Writer>>& writers,
                 std::string& failure, bool& finished) {
  const auto executor = co_await asio::this_coro::executor;
  const Status opened = co_await session->open(kTimeout);
  if (!opened) {
    failure = opened.error().text();
    finished = true;
    co_return;
  }
  const std::uint64_t root = session->attached().root;
  for (std::size_t i = 0; i < writers.size() && failure.empty(); ++i) {
    std::string name = "random" + std::to_string(i) + ".bin";
    const Status begun = co_await writers[i]->begin(root, std::move(name));
    if (!begun) failure = begun.error().text();
  }
  auto left = std::make_shared<std::size_t>(failure.empty() ? writers.size() : 0);
  for (auto& writer : writers) {
    if (!failure.empty()) break;
    spawn(
        executor,
        [](Writer& one, std::shared_ptr<std::size_t> count) -> Task<void> {
          co_await Writer::run(one);
          --*count;
        }(*writer, left),
        "writer");
  }
  asio::steady_timer timer(executor);
  while (*left > 0) {
    timer.expires_after(std::chrono::milliseconds(50));
    co_await timer.async_wait(as_result);
  }
  co_await session->close();
  finished = true;
}

} // namespace

int main(int argc, char** argv) {
  if (argc != 9) {
    std::fputs(
        "usage: cairn-fragment-storm CLIENT_CONF EXPORT SEED WRITERS FILE_BYTES FLUSHES "
        "BLOCKS IDLE_SECONDS\n",
        stderr);
    return 2;
  }
  auto client = load_client_options(argv[1]);
  if (!client) {
    std::fprintf(stderr, "%s\n", client.error().text().c_str());
    return 2;
  }
  Plan plan;
  plan.export_name = argv[2];
  const std::uint64_t seed = std::strtoull(argv[3], nullptr, 10);
  const int count = std::atoi(argv[4]);
  plan.file_bytes = std::strtoull(argv[5], nullptr, 10);
  plan.flushes = std::atoi(argv[6]);
  plan.blocks = std::atoi(argv[7]);
  plan.idle_s = std::atoi(argv[8]);

  asio::io_context io;
  auto core = std::make_shared<ClientCore>(io, *client);
  NsData data(core);
  NsSession::Options options;
  options.export_name = plan.export_name;
  options.label = "fragment storm";
  auto session = std::make_shared<NsSession>(io, *client, options);
  std::vector<std::unique_ptr<Writer>> writers;
  for (int i = 0; i < count; ++i)
    writers.push_back(
        std::make_unique<Writer>(session, data, plan, seed + static_cast<std::uint64_t>(i)));
  std::string failure;
  bool finished = false;
  spawn(io.get_executor(), storm(session, writers, failure, finished), "storm");
  while (!finished) io.run_one();
  core->close();

  std::uint64_t most = 0;
  std::uint64_t extents = 0;
  std::uint64_t stored = 0;
  for (const auto& writer : writers) {
    most = std::max(most, writer->extents_most);
    extents = std::max(extents, writer->extents);
    stored = std::max<std::uint64_t>(stored, writer->stored.size());
    if (!writer->fault.empty()) failure = writer->fault;
  }
  std::printf("{\"extents_most\": %llu, \"extents\": %llu, \"stored\": %llu}\n",
              static_cast<unsigned long long>(most), static_cast<unsigned long long>(extents),
              static_cast<unsigned long long>(stored));
  if (!failure.empty()) std::fprintf(stderr, "%s\n", failure.c_str());
  return failure.empty() ? 0 : 1;
}
