// The namespace in one process, over its LevelDB with synced writes: creates by 1, 16 and 256
// clients beside plain LevelDB writes of the same size in the same run, look-ups, listings, bytes
// on disk and memory of a file, time to open.
//
//   namespace_bench DIRECTORY [FILES [CACHE]]  (100,000 files, MiB of cache as tracker.conf has it)
#include "common/base/file_id.h"
#include "common/base/text.h"
#include "common/config/tracker_config.h"
#include "common/net/disk_pool.h"
#include "tracker/handlers/meta_views.h"
#include "tracker/handlers/namespace_writer.h"
#include "tracker/log/embedded_log.h"

#include <boost/asio/io_context.hpp>
#include <leveldb/db.h>
#include <leveldb/write_batch.h>

#include <array>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

namespace {

using namespace cairn;
using namespace cairn::tracker;
using Clock = std::chrono::steady_clock;
namespace fs = std::filesystem;

constexpr int kSyncedEach = 4000;      // synced creates of one figure
constexpr std::size_t kRowBytes = 330; // of a create: what is logged for it, about

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

std::string name_of(std::uint64_t number) {
  std::array<char, 24> text{};
  std::snprintf(text.data(), text.size(), "img-%010llu.jpg",
                static_cast<unsigned long long>(number * 2654435761U % 10'000'000'000U));
  return text.data();
}

wire::Bytes create_request(std::uint64_t parent, std::uint64_t number) {
  FileIdFields fields;
  fields.source = SourceRef::from_server_id(8'400'000);
  fields.timestamp = static_cast<std::uint32_t>(1'700'000'000 + number / 100);
  fields.size_field = make_size_field(10'240, FileKind::normal, random_u64());
  fields.crc32 = static_cast<std::uint32_t>(random_u64());
  wire::NsExtent extent;
  extent.length = 10'240;
  extent.id = "group1/" + make_remote_name(0, number % 256, number / 256 % 256, fields,
                                           extension_block("jpg", number));
  wire::NsCreate create;
  create.parent = parent;
  create.name = name_of(number);
  create.extents.push_back(std::move(extent));
  return wire::encode(create);
}

struct Bench {
  Bench(const fs::path& directory, std::size_t cache)
      : store(*MetaStore::open(directory, cache)),
        log(log_pool),
        views(*store),
        writer(
            log, views, &pool, opens, NamespacePolicy(),
            [] {
              return wire::NsTime{std::time(nullptr), 0};
            },
            [](const std::vector<Published>&, const std::vector<std::uint64_t>&) {}) {}

  template <class T>
  T run(Task<T> task) {
    std::optional<T> result;
    spawn(
        io.get_executor(),
        [](Task<T> t, std::optional<T>& out) -> Task<void> { out = co_await std::move(t); }(
                                                 std::move(task), result),
        "bench");
    io.restart();
    io.run();
    return std::move(*result);
  }

  Task<Outcome> change(wire::NsOp op, wire::Bytes request, std::uint64_t number) {
    Change one;
    one.op = op;
    one.caller.session = session;
    one.caller.admin = true;
    one.sequence = number;
    one.request = std::move(request);
    co_return co_await writer.change(std::move(one));
  }

  Task<void> creator(std::uint64_t parent, int count, int& failures) {
    for (int i = 0; i < count; ++i) {
      wire::Bytes request = create_request(parent, next_file++);
      const Outcome outcome = co_await change(wire::NsOp::create, std::move(request), ++sequence);
      failures += outcome.status != 0;
    }
  }

  std::unique_ptr<MetaStore> store;
  DiskPool log_pool{"bench-log", 1};
  DiskPool pool{"bench", 2};
  EmbeddedLog log;
  MetaViews views;
  OpenTable opens;
  asio::io_context io;
  NamespaceWriter writer;
  std::uint64_t session = 0;
  std::uint64_t sequence = 0;
  std::uint64_t next_file = 0;
};

Task<Status> start(Bench& bench) {
  CAIRN_CO_RETURN_IF_ERROR(co_await bench.log.start(*bench.store));
  std::function<Result<std::uint64_t>(Evaluation&)> begin = [](Evaluation& evaluation) {
    return evaluation.begin_session(SessionRow());
  };
  CAIRN_CO_TRY(session, co_await bench.writer.internal(std::move(begin)));
  bench.session = session;
  co_return Status();
}

// Synced writes of plain LevelDB by so many threads: what it can do at most.
double plain(const fs::path& directory, int threads) {
  leveldb::Options options;
  options.create_if_missing = true;
  leveldb::DB* raw = nullptr;
  if (!leveldb::DB::Open(options, directory.string(), &raw).ok()) return 0;
  const std::unique_ptr<leveldb::DB> db(raw);
  std::atomic<int> left{kSyncedEach};
  const auto start_time = Clock::now();
  std::vector<std::thread> running;
  for (int i = 0; i < threads; ++i)
    running.emplace_back([&, i] {
      leveldb::WriteOptions synced;
      synced.sync = true;
      const std::string value(kRowBytes / 3, 'v');
      for (int number = left--; number > 0; number = left--) {
        leveldb::WriteBatch batch;
        for (const char table : {'D', 'e', 'I'})
          batch.Put(table + std::to_string(i) + "-" + std::to_string(number), value);
        db->Write(synced, &batch);
      }
    });
  for (std::thread& thread : running) thread.join();
  return kSyncedEach / seconds_since(start_time);
}

std::uint64_t bytes_in(const fs::path& directory) {
  std::uint64_t bytes = 0;
  for (const auto& file : fs::directory_iterator(directory)) bytes += file.file_size();
  return bytes;
}

// Memory of this process that no file is behind: mapped tables are the page cache's.
std::uint64_t anonymous_kib() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("RssAnon:")) return std::strtoull(line.c_str() + 8, nullptr, 10);
  }
  return 0;
}

} // namespace

int main(int argc, char** argv) {
  if (argc < 2 || *argv[1] == '-') {
    std::fputs("usage: namespace_bench DIRECTORY [FILES [CACHE]]\n", stderr);
    return 1;
  }
  const fs::path top(argv[1]);
  const std::uint64_t files = argc > 2 ? std::strtoull(argv[2], nullptr, 10) : 100'000;
  const std::size_t cache = argc > 3 ? std::strtoull(argv[3], nullptr, 10) << 20
                                     : config::TrackerConfig().namespace_cache;
  fs::create_directories(top);
  const fs::path directory = top / "meta";
  std::uint64_t root = 0;
  {
    Bench bench(directory, cache);
    if (!bench.run(start(bench))) return 1;
    wire::NsExportChange add;
    add.values.name = "images";
    Outcome added =
        bench.run(bench.change(wire::NsOp::export_add, wire::encode(add), ++bench.sequence));
    if (added.status != 0) {
      std::fputs("the directory has been used before: give an empty one\n", stderr);
      return 1;
    }
    root = wire::decode_lenient<wire::NsExportReply>(added.body)->made.root;

    std::printf("%-22s %12s %12s %8s\n", "synced creates", "ours /s", "LevelDB /s", "ratio");
    for (const int clients : {1, 16, 256}) {
      const double floor = plain(top / ("plain" + std::to_string(clients)), clients);
      int failures = 0;
      const auto start_time = Clock::now();
      for (int i = 0; i < clients; ++i)
        spawn(bench.io.get_executor(), bench.creator(root, kSyncedEach / clients, failures),
              "creator");
      bench.io.restart();
      bench.io.run();
      const double rate = kSyncedEach / clients * clients / seconds_since(start_time);
      std::printf("%3d clients            %12.0f %12.0f %8.2f%s\n", clients, rate, floor,
                  rate / floor, failures == 0 ? "" : "  FAILED");
    }
    int failures = 0;
    while (bench.next_file < files) {
      for (int i = 0; i < 256; ++i)
        spawn(bench.io.get_executor(), bench.creator(root, 40, failures), "creator");
      bench.io.restart();
      bench.io.run();
    }
    std::printf("%llu files, %llu batches, %d failures\n",
                static_cast<unsigned long long>(bench.next_file),
                static_cast<unsigned long long>(bench.writer.counters().batches), failures);

    const auto view = bench.views.view();
    // The first ones find little in memory.
    for (const char* which : {"lookups at first", "lookups, one core"}) {
      const auto start_time = Clock::now();
      constexpr std::uint64_t kLookups = 200'000;
      std::uint64_t found = 0;
      for (std::uint64_t i = 0; i < kLookups; ++i) {
        wire::NsLookup lookup;
        lookup.parent = root;
        lookup.name = name_of(random_u64() % bench.next_file);
        Evaluation evaluation(*view, Caller(), wire::NsTime());
        found += evaluation.run(wire::NsOp::lookup, wire::encode(lookup)).has_value();
      }
      std::printf("%-22s %12.0f /s (%llu found)\n", which,
                  static_cast<double>(kLookups) / seconds_since(start_time),
                  static_cast<unsigned long long>(found));
    }
    for (const bool attributes : {false, true}) {
      const auto start_time = Clock::now();
      wire::NsReaddir page;
      page.inode = root;
      page.bytes_max = 1024 * 1024;
      page.entries_max = 65'536;
      page.attributes = attributes;
      std::uint64_t entries = 0;
      for (bool end = false; !end;) {
        Evaluation evaluation(*view, Caller(), wire::NsTime());
        const auto bytes = evaluation.run(wire::NsOp::readdir, wire::encode(page));
        const auto reply = wire::decode_lenient<wire::NsReaddirReply>(*bytes);
        entries += reply->entries.size();
        page.after = reply->entries.back().cookie;
        end = reply->end;
      }
      std::printf("readdir%-15s %12.0f entries/s\n", attributes ? " + attributes" : "",
                  static_cast<double>(entries) / seconds_since(start_time));
    }
    std::printf("memory                 %12llu KiB\n",
                static_cast<unsigned long long>(anonymous_kib()));
  }
  {
    // Compacted, as it is after a while.
    leveldb::DB* raw = nullptr;
    leveldb::Options options;
    options.max_file_size = std::size_t{8} << 20;
    if (leveldb::DB::Open(options, directory.string(), &raw).ok()) {
      const std::unique_ptr<leveldb::DB> db(raw);
      db->CompactRange(nullptr, nullptr);
    }
  }
  std::printf("on disk                %12.1f bytes a file\n",
              static_cast<double>(bytes_in(directory)) / static_cast<double>(files));
  const auto start_time = Clock::now();
  const auto again = MetaStore::open(directory);
  std::printf("open                   %12.3f s\n", again ? seconds_since(start_time) : -1.0);
  return 0;
}
