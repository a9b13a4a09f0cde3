// cairn bench: many requests at once from coroutines on one or two threads. Contents follow from
// seed and number, so every download is compared byte by byte.
#include "cairn/async_client.h"
#include "common/net/io_pool.h"
#include "tools/context.h"
#include "tools/percentiles.h"
#include "tools/verbs.h"

#include <boost/asio/co_spawn.hpp>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdio>
#include <cstring>
#include <latch>
#include <map>
#include <mutex>
#include <random>

namespace cairn::tools {

namespace {

using Clock = std::chrono::steady_clock;

constexpr std::size_t kVariety = 4096; // different contents, as offsets into one block
constexpr std::uint64_t kMixedFilesMin = 256;
constexpr std::uint64_t kDownloadFilesMax = 2000;

// The bytes of all files: file `index` is a window into one random block.
class Contents {
public:
  Contents(std::uint64_t seed, std::uint64_t size) : size_(size), block_(size + kVariety) {
    std::mt19937_64 random(seed);
    for (std::size_t i = 0; i < block_.size(); i += sizeof(std::uint64_t)) {
      const std::uint64_t word = random();
      std::memcpy(block_.data() + i, &word, std::min(sizeof word, block_.size() - i));
    }
  }
  std::span<const std::byte> of(std::uint64_t index) const {
    return std::span(block_).subspan(index % kVariety, size_);
  }

private:
  std::uint64_t size_;
  std::vector<std::byte> block_;
};

struct Stored {
  std::string id;
  std::uint64_t index = 0; // of its content
};

// What one thread's workers found.
struct Findings {
  Latencies latencies;
  std::uint64_t good = 0;
  std::uint64_t bytes = 0;
  std::map<std::string, std::uint64_t> errors; // by kind
  std::string first_error;

  void fail(const Error& error) {
    ++errors[std::string(describe(error.code))];
    if (first_error.empty()) first_error = error.text();
  }
  void merge(const Findings& other) {
    latencies.merge(other.latencies);
    good += other.good;
    bytes += other.bytes;
    for (const auto& [kind, count] : other.errors) errors[kind] += count;
    if (first_error.empty()) first_error = other.first_error;
  }
};

// One phase: `count` operations of one kind.
struct Phase {
  BenchKind kind = BenchKind::upload;
  std::uint64_t count = 0;
  std::vector<Stored> files; // to download (any) or delete (each once)
};

// State shared by the workers of a phase.
struct Shared {
  Shared(const Phase& p, const Contents& c, const BenchArgs& a) : phase(p), contents(c), args(a) {}

  const Phase& phase;
  const Contents& contents;
  const BenchArgs& args;
  std::atomic<std::uint64_t> next{0};

  std::mutex mutex; // guards uploaded and spare
  std::vector<Stored> uploaded;
  std::vector<Stored> spare; // uploaded during a mixed run: may be deleted in it

  std::optional<Stored> take_spare() {
    const std::lock_guard lock(mutex);
    if (spare.empty()) return std::nullopt;
    Stored file = std::move(spare.back());
    spare.pop_back();
    return file;
  }
  void add(Stored file, bool may_be_deleted) {
    const std::lock_guard lock(mutex);
    (may_be_deleted ? spare : uploaded).push_back(std::move(file));
  }
};

Awaitable<Status> upload_one(AsyncClient& client, Shared& shared, std::uint64_t index, bool spare) {
  UploadOptions options;
  options.group = shared.args.group;
  options.extension = "bench";
  auto id = co_await client.upload(Source::memory(shared.contents.of(index)), std::move(options));
  if (!id) co_return std::move(id).error();
  Stored file;
  file.id = *std::move(id);
  file.index = index;
  shared.add(std::move(file), spare);
  co_return Status();
}

Awaitable<Status> download_one(AsyncClient& client, Shared& shared, const Stored& file) {
  std::vector<std::byte> bytes;
  auto got = co_await client.download(file.id, Sink::memory(bytes), DownloadOptions());
  if (!got) co_return std::move(got).error();
  const auto expected = shared.contents.of(file.index);
  if (!std::equal(bytes.begin(), bytes.end(), expected.begin(), expected.end()))
    co_return Error{Errc::corrupt, file.id + " has other bytes than were uploaded"};
  co_return Status();
}

Awaitable<Status> do_one(AsyncClient& client, Shared& shared, std::uint64_t number,
                         bool& moves_bytes) {
  const auto& files = shared.phase.files;
  moves_bytes = true;
  switch (shared.phase.kind) {
    case BenchKind::upload:
      co_return co_await upload_one(client, shared, number, false);
    case BenchKind::download:
      co_return co_await download_one(client, shared, files[number % files.size()]);
    case BenchKind::remove:
      moves_bytes = false;
      co_return co_await client.remove(files[number].id);
    case BenchKind::mixed:
      break;
  }
  std::mt19937_64 random(shared.args.seed * 1'000'003 + number);
  const std::uint64_t choice = random() % 10;
  if (choice == 9) {
    if (auto file = shared.take_spare()) {
      moves_bytes = false;
      co_return co_await client.remove(file->id);
    }
  }
  if (choice >= 7) co_return co_await upload_one(client, shared, number, true);
  co_return co_await download_one(client, shared, files[random() % files.size()]);
}

Awaitable<void> work(AsyncClient& client, Shared& shared, Findings& findings) {
  for (;;) {
    const std::uint64_t number = shared.next++;
    if (number >= shared.phase.count) co_return;
    bool moves_bytes = false;
    const auto start = Clock::now();
    Status done = co_await do_one(client, shared, number, moves_bytes);
    findings.latencies.add(Clock::now() - start);
    if (!done) {
      findings.fail(done.error());
      continue;
    }
    ++findings.good;
    if (moves_bytes) findings.bytes += shared.args.size;
  }
}

// The threads and clients of a benchmark.
class Machine {
public:
  Machine(const ClientOptions& options, unsigned threads) : pool_(threads) {
    for (std::size_t i = 0; i < pool_.size(); ++i) clients_.emplace_back(pool_.at(i), options);
    pool_.start();
  }
  ~Machine() { pool_.stop(); }

  struct Outcome {
    Findings findings;
    double seconds = 0;
    std::vector<Stored> uploaded; // those that remain
  };

  Outcome run(const Phase& phase, const Contents& contents, const BenchArgs& args) {
    Shared shared(phase, contents, args);
    std::vector<Findings> findings(clients_.size());
    std::latch left(args.connections);
    const auto start = Clock::now();
    for (unsigned i = 0; i < args.connections; ++i) {
      const std::size_t thread = i % clients_.size();
      boost::asio::co_spawn(pool_.at(thread), work(clients_[thread], shared, findings[thread]),
                            [&left, &shared](std::exception_ptr failure) {
                              if (failure) shared.next = shared.phase.count;
                              left.count_down();
                            });
    }
    left.wait();
    Outcome outcome;
    outcome.seconds = std::chrono::duration<double>(Clock::now() - start).count();
    for (const Findings& one : findings) outcome.findings.merge(one);
    outcome.uploaded = std::move(shared.uploaded);
    for (Stored& file : shared.spare) outcome.uploaded.push_back(std::move(file));
    return outcome;
  }

private:
  IoPool pool_;
  std::vector<AsyncClient> clients_;
};

const char* name_of(BenchKind kind) {
  switch (kind) {
    case BenchKind::upload:
      return "upload";
    case BenchKind::download:
      return "download";
    case BenchKind::remove:
      return "delete";
    case BenchKind::mixed:
      return "mixed";
  }
  return "";
}

std::string fixed(double value, int digits) {
  std::array<char, 48> text{};
  std::snprintf(text.data(), text.size(), "%.*f", digits, value);
  return text.data();
}

void report(const Context& context, const BenchArgs& args, Machine::Outcome& outcome) {
  Findings& found = outcome.findings;
  std::uint64_t errors = 0;
  for (const auto& [kind, count] : found.errors) errors += count;
  const double rate = static_cast<double>(found.good) / outcome.seconds;
  const double mib = static_cast<double>(found.bytes) / outcome.seconds / (1024.0 * 1024.0);
  static constexpr std::array<std::pair<const char*, double>, 6> kPercents{
      {{"min", 0}, {"p50", 50}, {"p90", 90}, {"p99", 99}, {"p99_9", 99.9}, {"max", 100}}};
  nlohmann::json latency{{"mean", found.latencies.mean_ms()}};
  std::string line = "latency  mean " + fixed(found.latencies.mean_ms(), 2);
  for (const auto& [name, percent] : kPercents) {
    const double value = found.latencies.percentile_ms(percent);
    latency[name] = value;
    line += std::string("  ") + name + " " + fixed(value, 2);
  }
  if (context.json()) {
    context.answer_json({{"kind", name_of(args.kind)},
                         {"conns", args.connections},
                         {"threads", args.threads},
                         {"size", args.size},
                         {"count", args.count},
                         {"ok", found.good},
                         {"errors", errors},
                         {"error_kinds", found.errors},
                         {"first_error", found.first_error},
                         {"seconds", outcome.seconds},
                         {"ops_per_second", rate},
                         {"mib_per_second", mib},
                         {"latency_ms", latency}});
    return;
  }
  context.answer(std::string(name_of(args.kind)) + "  " + std::to_string(found.good) + " of " +
                 std::to_string(args.count) + " good in " + fixed(outcome.seconds, 2) + " s, " +
                 fixed(rate, 0) + " a second, " + fixed(mib, 1) + " MiB/s");
  context.answer(line + "  ms");
  for (const auto& [kind, count] : found.errors)
    context.answer("errors   " + std::to_string(count) + " " + kind);
  if (!found.first_error.empty()) context.answer("first    " + found.first_error);
}

} // namespace

int run_bench(Context& context, const BenchArgs& args) {
  const auto options = context.client_options();
  if (!options) return context.fail("bench", options.error());
  if (args.count == 0) return context.usage("--count must be at least 1");
  const Contents contents(args.seed, args.size);
  Machine machine(*options, args.threads);

  std::uint64_t before = 0;
  if (args.kind == BenchKind::download) before = std::min(args.count, kDownloadFilesMax);
  if (args.kind == BenchKind::remove) before = args.count;
  if (args.kind == BenchKind::mixed)
    before = std::min(args.count, std::max<std::uint64_t>(args.connections, kMixedFilesMin));
  Phase phase;
  if (before > 0) {
    Phase prepare;
    prepare.count = before;
    auto prepared = machine.run(prepare, contents, args);
    if (!prepared.findings.first_error.empty())
      context.note("bench: uploading the files: " + prepared.findings.first_error);
    phase.files = std::move(prepared.uploaded);
    if (phase.files.empty())
      return context.fail("bench", Error(Errc::unavailable, "no file could be uploaded"));
  }
  phase.kind = args.kind;
  // A delete works once: there are as many as files.
  phase.count = args.kind == BenchKind::remove ? phase.files.size() : args.count;
  auto outcome = machine.run(phase, contents, args);
  report(context, args, outcome);

  if (!args.keep) {
    Phase cleanup;
    cleanup.kind = BenchKind::remove;
    cleanup.files = std::move(outcome.uploaded);
    if (args.kind != BenchKind::remove)
      for (Stored& file : phase.files) cleanup.files.push_back(std::move(file));
    cleanup.count = cleanup.files.size();
    const auto cleaned = machine.run(cleanup, contents, args);
    if (!cleaned.findings.first_error.empty())
      context.note("bench: deleting the files: " + cleaned.findings.first_error);
  }
  if (outcome.findings.errors.empty()) return kGood;
  if (outcome.findings.errors.contains(std::string(describe(Errc::corrupt)))) return kVerifyFailed;
  return outcome.findings.good > 0 ? kPartial : kUnavailable;
}

} // namespace cairn::tools
