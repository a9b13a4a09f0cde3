// Facts through the embedded log and back, and appends that share a sync.
#include "tracker/log/embedded_log.h"

#include "common/net/disk_pool.h"
#include "tests/unit/tracker/fixture.h"
#include "tracker/handlers/facts_writer.h"
#include "tracker/handlers/meta_views.h"
#include "tracker/handlers/namespace_writer.h"
#include "tracker/log/meta_store.h"

#include <boost/asio/io_context.hpp>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <thread>

namespace cairn::tracker {

namespace {

class TemporaryDirectory {
public:
  TemporaryDirectory() {
    std::string name = (std::filesystem::temp_directory_path() / "cairn-meta-XXXXXX").string();
    path = ::mkdtemp(name.data());
  }
  ~TemporaryDirectory() { std::filesystem::remove_all(path); }
  std::filesystem::path path;
};

// Runs coroutines to their end on this thread.
struct Loop {
  asio::io_context context;
  void run() {
    context.restart();
    context.run();
  }
};

wire::Bytes batch_of(const std::string& key, const std::string& value) {
  wire::MutationBatch batch;
  batch.mutations.push_back(wire::Mutation::put(key, value));
  return wire::encode(batch);
}

// Writes fail from the given one on.
class FailingApplier final : public LogApplier {
public:
  LogPos applied() const override { return {1, 5}; }
  Status apply(std::span<const LogEntry>, bool) override { return Error{Errc::io_error, "disk"}; }
};

Task<void> append_into(EmbeddedLog& log, wire::Bytes batch, std::vector<AppendStatus>& answers) {
  const AppendStatus status = co_await log.append(1, std::move(batch));
  answers.push_back(status);
}

Task<void> append_made_into(EmbeddedLog& log, std::function<wire::Bytes()> make,
                            std::vector<AppendStatus>& answers) {
  const AppendStatus status = co_await log.append_made(1, std::move(make));
  answers.push_back(status);
}

// A client that has its next change ready when it is answered.
Task<void> begin_sessions(NamespaceWriter& writer, int count, std::vector<std::uint64_t>& made) {
  for (int i = 0; i < count; ++i) {
    std::function<Result<std::uint64_t>(Evaluation&)> work = [](Evaluation& evaluation) {
      return evaluation.begin_session(SessionRow());
    };
    const auto session = co_await writer.internal(std::move(work));
    if (session) made.push_back(*session);
  }
}

Task<void> start(EmbeddedLog& log, LogApplier& applier) {
  const Status started = co_await log.start(applier);
  EXPECT_TRUE(started);
}

Task<void> submit(FactsWriter& writer, FactsCommand command, std::vector<Errc>& answers) {
  const Status status = co_await writer.submit(std::move(command));
  answers.push_back(status.code());
}

} // namespace

TEST(EmbeddedLog, FactsSurviveAReopen) {
  TemporaryDirectory directory;
  ClusterFacts shown;
  {
    Loop loop;
    auto store = MetaStore::open(directory.path / "meta");
    ASSERT_TRUE(store);
    DiskPool disk("test", 1);
    EmbeddedLog log(disk);
    FactsWriter writer(log, {}, [&](const ClusterFacts& facts) { shown = facts; });
    std::vector<Errc> answers;
    const auto executor = loop.context.get_executor();
    spawn(executor, start(log, **store), "start");
    JoinNode first;
    first.join = TestCluster::join_of(100001, "group1");
    JoinNode conflict;
    conflict.join = first.join;
    conflict.join.uuid = TestCluster::uuid(5);
    spawn(executor, submit(writer, NameCluster{"u"}, answers), "a");
    spawn(executor, submit(writer, first, answers), "b");
    spawn(executor, submit(writer, conflict, answers), "c"); // against what is not yet durable
    spawn(executor, submit(writer, AddAlias{"10.0.0.7", 100001}, answers), "d");
    loop.run();
    EXPECT_EQ(answers, (std::vector<Errc>{Errc::ok, Errc::ok, Errc::exists, Errc::ok}));
    EXPECT_EQ(shown.find(100001)->group, "group1");
    EXPECT_LE(log.syncs(), 2U);
  }
  auto store = MetaStore::open(directory.path / "meta");
  ASSERT_TRUE(store);
  ClusterFacts loaded;
  ASSERT_TRUE((*store)->scan(
      "C", [&](std::string_view key, std::string_view value) { return loaded.load(key, value); }));
  EXPECT_EQ(loaded, shown);
  EXPECT_EQ(loaded.cluster_uuid(), "u");
  EXPECT_GE((*store)->applied().index, 1U);
  EXPECT_EQ((*store)->applied().epoch, 1U);
}

TEST(EmbeddedLog, WaitingAppendsShareASync) {
  TemporaryDirectory directory;
  Loop loop;
  auto store = MetaStore::open(directory.path / "meta");
  ASSERT_TRUE(store);
  DiskPool disk("test", 1);
  EmbeddedLog log(disk);
  std::vector<AppendStatus> answers;
  const auto executor = loop.context.get_executor();
  spawn(executor, start(log, **store), "start");
  for (int i = 0; i < 100; ++i) {
    const std::string number = std::to_string(i);
    spawn(executor, append_into(log, batch_of("C" + number, number), answers), "append");
  }
  loop.run();
  EXPECT_EQ(answers, std::vector<AppendStatus>(100, AppendStatus::committed));
  EXPECT_LT(log.syncs(), 20U);
  EXPECT_EQ(log.status().applied, (LogPos{1, 100}));
  EXPECT_EQ(*(*store)->get("C99"), "99");
  EXPECT_EQ((*store)->get("C100").code(), Errc::not_found);
}

TEST(EmbeddedLog, MakesBatchesWhereItWrites) {
  TemporaryDirectory directory;
  Loop loop;
  auto store = MetaStore::open(directory.path / "meta");
  ASSERT_TRUE(store);
  DiskPool disk("test", 1);
  EmbeddedLog log(disk);
  std::vector<AppendStatus> answers;
  const auto executor = loop.context.get_executor();
  spawn(executor, start(log, **store), "start");
  const auto caller = std::this_thread::get_id();
  spawn(executor, append_into(log, batch_of("Ca", "1"), answers), "before");
  spawn(executor,
        append_made_into(
            log, [] { return wire::Bytes(); }, answers),
        "nothing");
  spawn(executor,
        append_made_into(
            log, [] { return wire::Bytes(EmbeddedLog::kBatchBytesMax + 1); }, answers),
        "long");
  spawn(executor,
        append_made_into(
            log,
            [caller] {
              return batch_of("Cb", caller == std::this_thread::get_id() ? "here" : "there");
            },
            answers),
        "made");
  loop.run();
  std::ranges::sort(answers);
  EXPECT_EQ(answers, (std::vector<AppendStatus>{AppendStatus::committed, AppendStatus::committed,
                                                AppendStatus::committed, AppendStatus::too_large}));
  EXPECT_EQ(*(*store)->get("Cb"), "there");
  // What was not written has no number in the log.
  EXPECT_EQ(log.status().applied, (LogPos{1, 2}));
  EXPECT_EQ((*store)->applied(), (LogPos{1, 2}));
}

TEST(EmbeddedLog, ClientsThatAreAnsweredTogetherGoOnTogether) {
  TemporaryDirectory directory;
  Loop loop;
  auto store = MetaStore::open(directory.path / "meta");
  ASSERT_TRUE(store);
  DiskPool disk("test", 1);
  EmbeddedLog log(disk);
  MetaViews views(**store);
  OpenTable opens;
  NamespaceWriter writer(
      log, views, &disk, opens, NamespacePolicy(),
      [] {
        return wire::NsTime{1000, 0};
      },
      [](const std::vector<Published>&, const std::vector<std::uint64_t>&) {});
  const auto executor = loop.context.get_executor();
  spawn(executor, start(log, **store), "start");
  std::vector<std::uint64_t> made;
  constexpr int kClients = 16;
  constexpr int kEach = 20;
  for (int i = 0; i < kClients; ++i) spawn(executor, begin_sessions(writer, kEach, made), "client");
  loop.run();
  EXPECT_EQ(made.size(), static_cast<std::size_t>(kClients * kEach));
  // A sync for each round, and not one more for whoever of it came first.
  EXPECT_EQ(writer.counters().batches, static_cast<std::uint64_t>(kEach));
  EXPECT_EQ(log.syncs(), static_cast<std::uint64_t>(kEach));
}

TEST(EmbeddedLog, WhatItRefuses) {
  TemporaryDirectory directory;
  Loop loop;
  auto store = MetaStore::open(directory.path / "meta");
  ASSERT_TRUE(store);
  EXPECT_FALSE(MetaStore::open(directory.path / "meta")); // somebody has it
  DiskPool disk("test", 1);
  EmbeddedLog log(disk);
  EXPECT_FALSE(log.lease_valid());
  std::vector<AppendStatus> answers;
  const auto executor = loop.context.get_executor();
  spawn(executor, append_into(log, batch_of("Ca", "1"), answers), "before start");
  loop.run();
  EXPECT_EQ(answers.back(), AppendStatus::no_quorum);
  spawn(executor, start(log, **store), "start");
  loop.run();
  EXPECT_TRUE(log.lease_valid());
  spawn(executor, append_into(log, wire::Bytes(EmbeddedLog::kBatchBytesMax + 1), answers), "long");
  loop.run();
  EXPECT_EQ(answers.back(), AppendStatus::too_large);
}

TEST(EmbeddedLog, AfterAFailedWriteNothingIsAccepted) {
  Loop loop;
  FailingApplier applier;
  DiskPool disk("test", 1);
  EmbeddedLog log(disk);
  std::vector<AppendStatus> answers;
  const auto executor = loop.context.get_executor();
  spawn(executor, start(log, applier), "start");
  spawn(executor, append_into(log, batch_of("Ca", "1"), answers), "first");
  loop.run();
  spawn(executor, append_into(log, batch_of("Ca", "1"), answers), "second");
  loop.run();
  EXPECT_EQ(answers, (std::vector<AppendStatus>{AppendStatus::unknown, AppendStatus::no_quorum}));
  EXPECT_FALSE(log.status().healthy);
  EXPECT_EQ(log.status().applied, (LogPos{1, 5}));
}

TEST(MetaStore, EntriesAreAppliedOnce) {
  TemporaryDirectory directory;
  auto store = MetaStore::open(directory.path / "meta");
  ASSERT_TRUE(store);
  const std::vector<LogEntry> first{{{1, 1}, batch_of("Ca", "1")}, {{1, 2}, batch_of("Ca", "2")}};
  ASSERT_TRUE((*store)->apply(first, true));
  const std::vector<LogEntry> again{{{1, 1}, batch_of("Ca", "1")}};
  ASSERT_TRUE((*store)->apply(again, true));
  EXPECT_EQ(*(*store)->get("Ca"), "2");
  const std::vector<LogEntry> damaged{{{1, 3}, wire::Bytes(3)}};
  EXPECT_FALSE((*store)->apply(damaged, true));
  const std::vector<LogEntry> own{{{1, 3}, batch_of("Mapplied", "x")}};
  EXPECT_EQ((*store)->apply(own, true).code(), Errc::corrupt);
  EXPECT_EQ((*store)->applied(), (LogPos{1, 2}));
}

} // namespace cairn::tracker
