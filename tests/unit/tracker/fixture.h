// A cluster of nodes without sockets, for the tests of this folder.
#pragma once

#include "tracker/cluster/cluster_state.h"
#include "tracker/cluster/selection.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace cairn::tracker {

inline constexpr std::uint64_t kGiB = std::uint64_t{1} << 30;
inline constexpr std::uint64_t kMiB = std::uint64_t{1} << 20;
inline constexpr std::uint64_t kNow = 1'700'000'000; // unix seconds

// Joins, heartbeats and time for a ClusterState; facts are applied without a log.
class TestCluster {
public:
  explicit TestCluster(std::vector<config::StorageIdEntry> entries = {})
      : state(std::chrono::seconds(10), entries, at(0)) {
    now = at(60'000);
  }

  static Moment at(std::uint64_t ms) {
    Moment moment;
    moment.unix_s = kNow + ms / 1000;
    moment.steady = std::chrono::milliseconds(1'000'000 + ms);
    return moment;
  }

  static std::string uuid(std::uint32_t id) {
    std::string number = std::to_string(id);
    return "00000000-0000-4000-8000-" + std::string(12 - number.size(), '0') + number;
  }

  static wire::Join join_of(std::uint32_t id, const std::string& group, std::uint16_t paths = 1) {
    wire::Join join;
    join.uuid = uuid(id);
    join.id = id;
    join.group = group;
    join.host = "192.168." + std::to_string(1 + id % 1000 / 250) + "." + std::to_string(id % 250);
    join.port = 23000;
    join.http_port = 8888;
    join.store_path_count = paths;
    join.start_time = kNow - 5;
    join.program_version = "0.1.0";
    return join;
  }

  static wire::PathUsage path(std::uint64_t free_bytes, std::uint64_t total_bytes = 100 * kGiB) {
    wire::PathUsage usage;
    usage.total_bytes = total_bytes;
    usage.free_bytes = free_bytes;
    usage.total_inodes = 1'000'000;
    usage.free_inodes = 900'000;
    return usage;
  }

  static wire::PeerSync sync(std::uint32_t peer, bool brought_up) {
    wire::PeerSync sync;
    sync.peer_id = peer;
    sync.phase = brought_up ? wire::SyncPhase::tail : wire::SyncPhase::bring_up;
    sync.brought_up = brought_up;
    return sync;
  }

  Status command(const FactsCommand& command) {
    ClusterFacts facts = state.facts();
    CAIRN_TRY(mutations, facts.evaluate(command));
    CAIRN_RETURN_IF_ERROR(facts.apply(mutations));
    state.set_facts(facts);
    return {};
  }

  Result<wire::NodeState> join(const wire::Join& join) {
    JoinNode joining;
    joining.join = join;
    joining.now = now.unix_s;
    joining.alive = state.alive(now);
    joining.just_started = state.just_started(now);
    state.heard_of(join.id, now);
    CAIRN_RETURN_IF_ERROR(command(joining));
    return state.joined(join, join.id, now); // the link's number is the node's
  }

  wire::NodeState beat(std::uint32_t id, std::vector<wire::PathUsage> paths = {path(50 * kGiB)},
                       std::vector<wire::PeerSync> peers = {},
                       std::vector<wire::SourceSync> sources = {}) {
    wire::Heartbeat heartbeat;
    heartbeat.uuid = uuid(id);
    heartbeat.id = id;
    heartbeat.group = state.find(id)->fact.group;
    heartbeat.paths = std::move(paths);
    heartbeat.peers = std::move(peers);
    heartbeat.sources = std::move(sources);
    auto answer = state.heartbeat(heartbeat, id, now);
    EXPECT_TRUE(answer.has_value());
    return answer ? *answer : wire::NodeState::offline;
  }

  // What the tracker that holds the facts does after every heartbeat.
  void mark_brought_up() {
    for (const MarkBroughtUp& ready : state.brought_up(now)) EXPECT_TRUE(command(ready));
  }

  // Joined, brought up, and with a first heartbeat.
  void add(std::uint32_t id, const std::string& group,
           std::vector<wire::PathUsage> paths = {path(50 * kGiB)}, std::uint32_t priority = 10) {
    wire::Join joining = join_of(id, group, static_cast<std::uint16_t>(paths.size()));
    joining.upload_priority = priority;
    EXPECT_TRUE(join(joining));
    MarkBroughtUp mark;
    mark.id = id;
    EXPECT_TRUE(command(mark));
    beat(id, std::move(paths));
  }

  wire::NodeState state_of(std::uint32_t id) const { return state.find(id)->state; }

  ClusterState state;
  Moment now;
};

// A name as an upload makes it: stored by `source` at `timestamp` (unix seconds).
inline RemoteName name_of(SourceRef source, std::uint64_t timestamp,
                          FileKind kind = FileKind::normal) {
  FileIdFields fields;
  fields.source = source;
  fields.timestamp = static_cast<std::uint32_t>(timestamp);
  fields.size_field = make_size_field(5, kind, 1);
  auto name = parse_remote_name(make_remote_name(0, 0, 0, fields, "123.jpg"));
  EXPECT_TRUE(name.has_value());
  return *name;
}

inline RemoteName name_of(std::uint32_t id, std::uint64_t timestamp,
                          FileKind kind = FileKind::normal) {
  return name_of(SourceRef::from_server_id(id), timestamp, kind);
}

} // namespace cairn::tracker
