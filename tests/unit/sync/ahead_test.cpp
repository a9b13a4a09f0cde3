// New files that go to peers before they are committed: which changes may, what waits behind the
// others, and what is left when the power of their origin goes in between.
#include "tests/unit/sync/replication_world.h"

namespace cairn::storage {
namespace {

SendPlan plan_up_to(std::uint64_t ahead) {
  SendPlan plan;
  plan.new_records = true;
  plan.bytes_max = 1 << 20;
  plan.ahead = ahead;
  return plan;
}

class AheadTest : public testing::Test {
protected:
  void SetUp() override {
    source = std::make_unique<ChangeSource>(*node.store, *node.binlog, *node.catalogue);
    ASSERT_TRUE(source->start_tail(node.binlog->end_seq()));
  }
  std::string upload(std::size_t size = 3000, bool appender = false) {
    NewFile file;
    file.extension = "jpg";
    file.appender = appender;
    file.mark = appender ? "" : "mark of " + std::to_string(size);
    const auto made = node.store->create(file, 0, random_bytes_of(random, size));
    EXPECT_TRUE(made) << made.error().text();
    return made ? made->name : std::string();
  }
  std::uint64_t end() const { return node.binlog->end_seq(); }
  // Names of what may go now.
  std::vector<std::string> given(std::uint64_t ahead, bool cached = false) {
    std::vector<std::string> names;
    auto at_once = cached ? source->next_cached(plan_up_to(ahead)) : std::nullopt;
    const auto out = at_once ? *std::move(at_once) : source->next(plan_up_to(ahead));
    EXPECT_TRUE(out) << out.error().text();
    for (const wire::SyncOp& op : out->batch.ops) names.push_back(op.name);
    return names;
  }
  using Names = std::vector<std::string>;

  std::mt19937_64 random{7};
  Node node{1, /*durable=*/true};
  std::unique_ptr<ChangeSource> source;
};

TEST_F(AheadTest, OnlyAsFarAsIsAsked) {
  const std::string first = upload();
  const std::uint64_t ahead = end();
  const std::string second = upload();
  ASSERT_LT(node.binlog->committed_seq(), ahead);
  EXPECT_TRUE(source->has_nothing(node.binlog->committed_seq(), 0));
  EXPECT_FALSE(source->has_nothing(node.binlog->committed_seq(), ahead));
  EXPECT_EQ(given(0), Names());
  EXPECT_EQ(given(ahead), Names{first});
  EXPECT_EQ(source->read_through(), ahead);
  EXPECT_TRUE(source->has_nothing(node.binlog->committed_seq(), ahead));
  EXPECT_EQ(given(ahead + 100), Names{second}) << "the log ends before that";
  EXPECT_EQ(node.binlog->committed_seq(), 0U) << "nothing of this waits for a commit";
  ASSERT_TRUE(node.binlog->commit_blocking(end()));
  EXPECT_EQ(given(0), Names()) << "nothing goes twice";
}

TEST_F(AheadTest, OtherChangesWaitForTheirCommitAndHoldBackWhatFollows) {
  const std::string file = upload();
  const std::string appender = upload(100, /*appender=*/true);
  ASSERT_TRUE(node.binlog->commit_blocking(end()));
  EXPECT_EQ(given(0), (Names{file, appender}));
  const std::vector<std::function<Result<Change>()>> changes = {
      [&] { return node.store->append(name_of(appender), random_bytes_of(random, 10)); },
      [&] { return node.store->set_metadata(name_of(file), "a\x02z", false, Origin()); },
      [&] { return node.store->link(name_of(file), "lnk", nullptr, Origin()); },
      [&] {
        return Result<Change>(Change{upload(10, /*appender=*/true), 0});
      },
      [&] { return node.store->remove(name_of(file), Origin()); },
  };
  for (std::size_t i = 0; i < changes.size(); ++i) {
    const auto made = changes[i]();
    ASSERT_TRUE(made) << made.error().text();
    const std::string behind = upload();
    for (const bool cached : {true, false, true}) EXPECT_EQ(given(end(), cached), Names()) << i;
    EXPECT_TRUE(source->has_nothing(node.binlog->committed_seq(), end()));
    ASSERT_TRUE(node.binlog->commit_blocking(end()));
    EXPECT_FALSE(source->has_nothing(node.binlog->committed_seq(), 0));
    EXPECT_EQ(given(0), (Names{made->name, behind})) << i;
  }
}

TEST_F(AheadTest, WithoutTheDiskTheSameIsSent) {
  const std::string first = upload();
  EXPECT_FALSE(source->next_cached(plan_up_to(end()))) << "the log has to be opened";
  EXPECT_EQ(given(end()), Names{first});
  for (const std::size_t size : {0, 1, 10'000, 64 * 1024, 64 * 1024 + 1}) {
    upload(size);
    ChangeSource slow(*node.store, *node.binlog, *node.catalogue);
    ASSERT_TRUE(slow.start_tail(source->read_through()));
    const auto expected = slow.next(plan_up_to(end()));
    ASSERT_TRUE(expected);
    ASSERT_EQ(expected->batch.ops.size(), 1U);
    auto at_once = source->next_cached(plan_up_to(end()));
    if (size > 64 * 1024) {
      EXPECT_FALSE(at_once) << "too large for a thread that must not wait";
      at_once = source->next(plan_up_to(end()));
    }
    ASSERT_TRUE(at_once) << size;
    ASSERT_TRUE(*at_once) << size;
    Outgoing& out = **at_once;
    // The clock goes on between the two.
    out.batch.complete_until = expected->batch.complete_until;
    EXPECT_EQ(wire::encode(out.batch), wire::encode(expected->batch)) << size;
    EXPECT_EQ(out.sent.bytes, expected->sent.bytes);
    EXPECT_EQ(out.sent.oldest, expected->sent.oldest);
    EXPECT_EQ(out.sent.through.seq, expected->sent.through.seq);
  }
}

TEST_F(AheadTest, DamageIsNotSentWithoutALook) {
  const std::string name = upload();
  const auto path = node.directory() / "p0" / "data" / name.substr(4);
  std::filesystem::resize_file(path, 2999);
  EXPECT_FALSE(source->next_cached(plan_up_to(end())));
  const auto out = source->next(plan_up_to(end()));
  ASSERT_TRUE(out);
  EXPECT_TRUE(out->batch.ops.empty());
  ASSERT_EQ(out->failed.size(), 1U);
  EXPECT_EQ(out->failed[0].code, Errc::corrupt);
}

// What a node had synced when the power went.
class Disks {
public:
  explicit Disks(const Node& node) {
    std::filesystem::copy(node.directory(), kept_.path() / "kept", kOptions);
  }
  void put_back(const Node& node) const {
    for (const char* part : {"base", "p0", "p1"}) {
      std::filesystem::remove_all(node.directory() / part);
      std::filesystem::copy(kept_.path() / "kept" / part, node.directory() / part, kOptions);
    }
  }

private:
  static constexpr auto kOptions = std::filesystem::copy_options::recursive;
  TemporaryDirectory kept_;
};

TEST(Ahead, APowerLossOfTheOriginLosesNothingThatWasAcknowledged) {
  const std::uint64_t seeds = number_of("CAIRN_SYNC_SEEDS", 20);
  for (std::uint64_t seed = 1; seed <= seeds; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937_64 random(seed);
    Node origin(1, /*durable=*/true);
    Node peer(2, /*durable=*/true);
    Stream stream(origin, peer, {{2, true}});
    std::set<std::string> acknowledged;
    const auto upload = [&](bool commit) {
      NewFile file;
      file.extension = "jpg";
      const auto made = origin.store->create(file, static_cast<std::uint8_t>(random() % 2),
                                             random_bytes_of(random, random() % 5000));
      ASSERT_TRUE(made);
      stream.ahead = made->seq;
      if (!commit) return;
      ASSERT_TRUE(origin.binlog->commit_blocking(made->seq));
      acknowledged.insert(made->name);
    };
    ASSERT_TRUE(stream.drain());
    for (std::uint64_t i = 1 + random() % 5; i > 0; --i) upload(true);
    ASSERT_TRUE(stream.drain());
    stream.save_cursor();
    const int bring_ups = stream.bring_ups;

    stream.disconnect();
    origin.close();
    const Disks synced(origin);
    origin.open();
    stream.reset();
    // These are lost at their origin. The peer may have them or not.
    for (std::uint64_t i = 1 + random() % 6; i > 0; --i) {
      upload(false);
      if (random() % 2 == 0) stream.send();
      if (random() % 2 == 0) stream.deliver(random() % 4 != 0);
      stream.save_cursor();
    }
    stream.disconnect();
    origin.close();
    synced.put_back(origin);
    origin.open();
    stream.ahead = 0;
    stream.reset();
    for (std::uint64_t i = 1 + random() % 5; i > 0; --i) upload(true);
    ASSERT_TRUE(stream.drain());
    EXPECT_EQ(stream.bring_ups, bring_ups) << "the position was behind the end of the log";
    const auto here = origin.files();
    const auto there = peer.files();
    for (const std::string& name : acknowledged) {
      ASSERT_TRUE(here.contains(name)) << name;
      ASSERT_TRUE(there.contains(name)) << name;
      EXPECT_EQ(here.at(name), there.at(name));
    }
    EXPECT_EQ(here.size(), acknowledged.size());
    EXPECT_GT(stream.cached, 0);
  }
}

} // namespace
} // namespace cairn::storage
