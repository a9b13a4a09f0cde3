// Joining, reporting, and coming back, against a small tracker in this process.
#include "storage/tracker_link/tracker_link.h"

#include "storage/tracker_link/node_id.h"
#include "tests/unit/config/temporary_directory.h"
#include "tests/unit/peers/in_process_server.h"

#include <gtest/gtest.h>

#include <chrono>
#include <map>
#include <mutex>
#include <thread>

namespace cairn::storage {
namespace {

using namespace std::chrono_literals;
using wire::NativeCommand;

constexpr auto kUuid = "2f9f1b1e-0000-4000-8000-000000000001";

// What a tracker does with joins and heartbeats of nodes, in memory.
class FakeTracker {
public:
  FakeTracker() : server_([this](auto command, auto body) { return answer(command, body); }) {}

  InProcessServer& server() { return server_; }
  void know(std::uint32_t id, const std::string& uuid) {
    const std::lock_guard lock(mutex_);
    put(id, uuid, "10.0.0.1");
  }
  // As after a restart without its store.
  void forget() {
    const std::lock_guard lock(mutex_);
    nodes_.clear();
  }
  void say(wire::NodeState state) {
    const std::lock_guard lock(mutex_);
    state_ = state;
    ++version_;
  }
  wire::Join last_join() const {
    const std::lock_guard lock(mutex_);
    return last_join_;
  }
  wire::Heartbeat last_heartbeat() const {
    const std::lock_guard lock(mutex_);
    return last_heartbeat_;
  }
  std::size_t joins() const { return server_.count(NativeCommand::join); }
  std::size_t heartbeats() const { return server_.count(NativeCommand::heartbeat); }

private:
  void put(std::uint32_t id, const std::string& uuid, const std::string& host) {
    wire::NodeView& node = nodes_[id];
    node.id = id;
    node.uuid = uuid;
    node.group = "group1";
    node.host = host;
    node.port = 23000;
    ++version_;
  }
  wire::ClusterView view() const {
    wire::ClusterView view;
    view.version = version_;
    view.cluster_uuid = "cluster";
    for (const auto& [id, node] : nodes_) view.nodes.push_back(node);
    return view;
  }
  std::optional<Result<wire::Bytes>> answer(std::uint8_t command, wire::View body) {
    const std::lock_guard lock(mutex_);
    switch (static_cast<NativeCommand>(command)) {
      case NativeCommand::join:
        return join(*wire::decode_lenient<wire::Join>(body));
      case NativeCommand::heartbeat:
        return beat(*wire::decode_lenient<wire::Heartbeat>(body));
      case NativeCommand::cluster_view:
        return Result<wire::Bytes>(wire::encode(view()));
      default:
        return Result<wire::Bytes>(Errc::invalid_argument);
    }
  }
  Result<wire::Bytes> join(const wire::Join& request) {
    last_join_ = request;
    const auto known = nodes_.find(request.id);
    if (known != nodes_.end() && known->second.uuid != request.uuid) return Errc::exists;
    put(request.id, request.uuid, request.host);
    wire::JoinReply reply;
    reply.state = state_;
    reply.view = view();
    return wire::encode(reply);
  }
  Result<wire::Bytes> beat(const wire::Heartbeat& request) {
    last_heartbeat_ = request;
    if (!nodes_.contains(request.id)) return Errc::not_found;
    wire::HeartbeatReply reply;
    reply.state = state_;
    reply.has_view = request.known_view != version_;
    if (reply.has_view) reply.view = view();
    return wire::encode(reply);
  }

  mutable std::mutex mutex_; // guards all that follows but the server
  std::map<std::uint32_t, wire::NodeView> nodes_;
  std::uint64_t version_ = 1;
  wire::NodeState state_ = wire::NodeState::active;
  wire::Join last_join_;
  wire::Heartbeat last_heartbeat_;
  InProcessServer server_;
};

bool eventually(const std::function<bool()>& condition, std::chrono::milliseconds time = 10s) {
  const auto until = std::chrono::steady_clock::now() + time;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > until) return false;
    std::this_thread::sleep_for(5ms); // another thread's condition has no event to wait for
  }
  return true;
}

// A node with nothing but its link.
class Node {
public:
  Node(const TemporaryDirectory& directory, std::vector<std::uint16_t> trackers,
       std::uint32_t server_id = 0)
      : peers_(kUuid, "group1"), pool_(1) {
    config_.base_path = directory.path();
    config_.group_name = "group1";
    config_.server_id = server_id;
    config_.store_paths.resize(2);
    config_.heart_beat_interval = 60s; // heartbeats of these tests are nudged
    for (const auto port : trackers) config_.trackers.push_back({{"127.0.0.1"}, port});
  }
  ~Node() {
    if (link_) link_->stop();
    pool_.stop();
  }

  Status start() {
    LinkCallbacks callbacks;
    callbacks.fill = [](wire::Heartbeat& heartbeat) { heartbeat.file_count = 42; };
    callbacks.on_id = [this](std::uint32_t id) { told_id = id; };
    link_ =
        std::make_unique<TrackerLink>(pool_.at(0), config_, kUuid, peers_, std::move(callbacks));
    CAIRN_RETURN_IF_ERROR(link_->start());
    pool_.start();
    return Status();
  }
  config::StorageConfig& config() { return config_; }
  TrackerLink& link() { return *link_; }
  const Peers& peers() const { return peers_; }

  std::atomic<std::uint32_t> told_id{0};

private:
  config::StorageConfig config_;
  Peers peers_;
  IoPool pool_;
  std::unique_ptr<TrackerLink> link_;
};

class TrackerLinkTest : public testing::Test {
protected:
  TemporaryDirectory directory_;
  FakeTracker tracker_;
  std::uint16_t port() { return tracker_.server().port(); }
};

TEST_F(TrackerLinkTest, JoinsReportsAndTakesTheView) {
  tracker_.know(5, "another");
  Node node(directory_, {port()});
  ASSERT_TRUE(node.start());
  ASSERT_TRUE(eventually([&] { return tracker_.heartbeats() == 1; }));
  const std::uint32_t id = derived_node_id(kUuid);
  EXPECT_TRUE(node.link().joined());
  EXPECT_EQ(node.link().id(), id);
  EXPECT_EQ(node.told_id, id);
  EXPECT_EQ(*load_node_id(directory_.path()), id);
  EXPECT_EQ(node.link().state(), wire::NodeState::active);
  EXPECT_EQ(node.peers().get()->own_id(), id);
  ASSERT_EQ(node.peers().get()->members().size(), 1U);

  const wire::Join join = tracker_.last_join();
  EXPECT_EQ(join.host, "127.0.0.1") << "the local address of the connection";
  EXPECT_EQ(join.port, 23000);
  EXPECT_EQ(join.store_path_count, 2);
  EXPECT_TRUE(join.has_files);
  const wire::Heartbeat heartbeat = tracker_.last_heartbeat();
  EXPECT_EQ(heartbeat.id, id);
  EXPECT_EQ(heartbeat.file_count, 42U);
  EXPECT_GT(heartbeat.known_view, 0U);

  const auto status = node.link().status();
  ASSERT_EQ(status.size(), 1U);
  EXPECT_TRUE(status[0].connected);
  EXPECT_EQ(status[0].endpoint, "127.0.0.1:" + std::to_string(port()));
  EXPECT_EQ(status[0].last_error, "");
}

TEST_F(TrackerLinkTest, TakenIdLeadsToTheNext) {
  const std::uint32_t first = derived_node_id(kUuid);
  tracker_.know(first, "another");
  tracker_.know(next_derived_id(first), "a third");
  Node node(directory_, {port()});
  ASSERT_TRUE(node.start());
  ASSERT_TRUE(eventually([&] { return node.link().joined(); }));
  EXPECT_EQ(node.told_id, next_derived_id(next_derived_id(first)));
  EXPECT_EQ(*load_node_id(directory_.path()), node.told_id);
}

TEST_F(TrackerLinkTest, IdStaysAfterTheFirstJoin) {
  ASSERT_TRUE(store_node_id(directory_.path(), 9'000'000));
  tracker_.know(9'000'000, "another");
  Node node(directory_, {port()});
  ASSERT_TRUE(node.start());
  EXPECT_EQ(node.told_id, 9'000'000U) << "before any tracker has answered";
  ASSERT_TRUE(eventually([&] { return tracker_.joins() >= 2; })) << "goes on asking";
  EXPECT_FALSE(node.link().joined());
  EXPECT_EQ(tracker_.last_join().id, 9'000'000U);
  EXPECT_NE(node.link().status()[0].last_error, "");
  tracker_.forget();
  EXPECT_TRUE(eventually([&] { return node.link().joined(); }));
}

TEST_F(TrackerLinkTest, LostIdIsRecalledFromTheTracker) {
  tracker_.know(9'000'001, kUuid);
  Node node(directory_, {port()});
  ASSERT_TRUE(node.start());
  ASSERT_TRUE(eventually([&] { return node.link().joined(); }));
  EXPECT_EQ(node.told_id, 9'000'001U);
}

TEST_F(TrackerLinkTest, ConfiguredIdIsNeverReplaced) {
  tracker_.know(100, "another");
  Node node(directory_, {port()}, 100);
  ASSERT_TRUE(node.start());
  ASSERT_TRUE(eventually([&] { return tracker_.joins() >= 2; }));
  EXPECT_EQ(tracker_.last_join().id, 100U);
  EXPECT_EQ(node.link().id(), std::nullopt);
  EXPECT_EQ(*load_node_id(directory_.path()), std::nullopt);
}

TEST_F(TrackerLinkTest, ConfiguredIdMustBeTheOneTheNodeHasJoinedWith) {
  ASSERT_TRUE(store_node_id(directory_.path(), 9'000'000));
  Node node(directory_, {port()}, 100);
  EXPECT_EQ(node.start().code(), Errc::invalid_argument);
}

TEST_F(TrackerLinkTest, JoinsAgainWhenTheTrackerHasForgotten) {
  Node node(directory_, {port()});
  ASSERT_TRUE(node.start());
  ASSERT_TRUE(eventually([&] { return tracker_.heartbeats() == 1; }));
  tracker_.forget();
  node.link().nudge();
  EXPECT_TRUE(eventually([&] { return tracker_.joins() == 2 && tracker_.heartbeats() == 3; }));
  EXPECT_EQ(tracker_.server().connections(), 1U) << "on the same connection";
  EXPECT_EQ(tracker_.last_join().id, node.told_id);
}

TEST_F(TrackerLinkTest, NudgesAreCoalesced) {
  Node node(directory_, {port()});
  ASSERT_TRUE(node.start());
  ASSERT_TRUE(eventually([&] { return tracker_.heartbeats() == 1; }));
  tracker_.say(wire::NodeState::online);
  const auto before = std::chrono::steady_clock::now();
  for (int i = 0; i < 10'000; ++i) node.link().nudge();
  EXPECT_TRUE(eventually([&] { return node.link().state() == wire::NodeState::online; }, 5s));
  const auto elapsed = std::chrono::steady_clock::now() - before;
  EXPECT_LT(tracker_.heartbeats(), 4U + static_cast<std::size_t>(elapsed / 50ms));
}

TEST_F(TrackerLinkTest, ComesBackAfterALostConnection) {
  Node node(directory_, {port()});
  ASSERT_TRUE(node.start());
  ASSERT_TRUE(eventually([&] { return tracker_.heartbeats() == 1; }));
  tracker_.server().stop();
  node.link().nudge();
  ASSERT_TRUE(eventually([&] { return !node.link().joined(); }));
  EXPECT_NE(node.link().status()[0].last_error, "");
  EXPECT_EQ(node.link().state(), wire::NodeState::active) << "what was said last";
  EXPECT_TRUE(node.peers().get()->is_known());
  tracker_.server().restart();
  EXPECT_TRUE(eventually([&] { return node.link().joined(); }));
}

TEST_F(TrackerLinkTest, EveryTrackerIsToldTheSame) {
  FakeTracker second;
  second.know(derived_node_id(kUuid), "another"); // they disagree: the first accepted ID holds
  Node node(directory_, {port(), second.server().port()});
  ASSERT_TRUE(node.start());
  ASSERT_TRUE(eventually([&] { return tracker_.joins() >= 1 && second.joins() >= 1; }));
  ASSERT_TRUE(eventually([&] { return node.link().joined(); }));
  second.forget();
  ASSERT_TRUE(eventually([&] {
    const auto status = node.link().status();
    return status[0].connected && status[1].connected;
  }));
  EXPECT_EQ(tracker_.last_join().id, second.last_join().id);
  EXPECT_EQ(tracker_.last_join().id, node.told_id);

  second.say(wire::NodeState::offline);
  node.link().nudge();
  ASSERT_TRUE(
      eventually([&] { return node.link().status()[1].state == wire::NodeState::offline; }));
  EXPECT_EQ(node.link().state(), wire::NodeState::active) << "the best of them";
  second.say(wire::NodeState::deleted);
  node.link().nudge();
  EXPECT_TRUE(eventually([&] { return node.link().state() == wire::NodeState::deleted; }));
}

TEST(AdvertisedAddress, IsConfiguredOrASingleConcreteBindAddress) {
  config::StorageConfig config;
  config.bind_addr = {"0.0.0.0"};
  EXPECT_EQ(configured_address(config), "");
  config.bind_addr = {"10.0.0.5"};
  EXPECT_EQ(configured_address(config), "10.0.0.5");
  config.bind_addr = {"10.0.0.5", "127.0.0.1"};
  EXPECT_EQ(configured_address(config), "");
  config.advertise_addr = "192.168.0.5";
  EXPECT_EQ(configured_address(config), "192.168.0.5");
}

} // namespace
} // namespace cairn::storage
