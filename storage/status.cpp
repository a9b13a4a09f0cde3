// Reports of a storage node.
#include "storage/status.h"

#include "storage/sync/sync_service.h"

#include <nlohmann/json.hpp>

namespace cairn::storage {

namespace {

using nlohmann::json;

const char* name_of(wire::PathState state) {
  switch (state) {
    case wire::PathState::ok:
      return "ok";
    case wire::PathState::read_only:
      return "read-only";
    case wire::PathState::failed:
      return "failed";
  }
  return "failed";
}

const char* name_of(wire::SyncPhase phase) {
  switch (phase) {
    case wire::SyncPhase::disconnected:
      return "disconnected";
    case wire::SyncPhase::bring_up:
      return "bring-up";
    case wire::SyncPhase::tail:
      return "tail";
  }
  return "disconnected";
}

const char* name_of(wire::NodeState state) {
  switch (state) {
    case wire::NodeState::init:
      return "init";
    case wire::NodeState::wait_sync:
      return "wait-sync";
    case wire::NodeState::syncing:
      return "syncing";
    case wire::NodeState::deleted:
      return "deleted";
    case wire::NodeState::offline:
      return "offline";
    case wire::NodeState::online:
      return "online";
    case wire::NodeState::active:
      return "active";
    case wire::NodeState::recovery:
      return "recovery";
  }
  return "init";
}

std::int64_t unix_seconds(std::chrono::system_clock::time_point time) {
  return std::chrono::duration_cast<std::chrono::seconds>(time.time_since_epoch()).count();
}

constexpr std::size_t kLostShown = 20;

struct Named {
  const char* name;
  const OperationCounter& counter;
};

std::vector<Named> operations(const Counters& c) {
  return {{"upload", c.upload},
          {"append", c.append},
          {"modify", c.modify},
          {"truncate", c.truncate},
          {"delete", c.remove},
          {"download", c.download},
          {"set_metadata", c.set_metadata},
          {"get_metadata", c.get_metadata},
          {"create_link", c.create_link}};
}

} // namespace

void NodeStatus::fill(wire::Heartbeat& heartbeat) const {
  heartbeat.stopping = context_.stopping;
  heartbeat.end_seq = context_.binlog.committed_seq();
  heartbeat.file_count = context_.sync.file_count();
  for (const PathStatus& path : context_.store.status()) heartbeat.paths.push_back(path.usage);
  heartbeat.peers = context_.sync.peers_report();
  heartbeat.sources = context_.sync.sources_report();

  heartbeat.damaged_copies = integrity_.repairer().damaged_copies();
  heartbeat.lost_copies = integrity_.repairer().lost_copies();

  const Counters& c = context_.counters;
  wire::NodeCounters& out = heartbeat.counters;
  out.connections_max_allowed = context_.config.max_connections;
  out.connections_now = static_cast<std::uint32_t>(frames_.open);
  out.connections_max_seen = static_cast<std::uint32_t>(frames_.open_max);
  out.upload_total = c.upload.total, out.upload_success = c.upload.success;
  out.append_total = c.append.total, out.append_success = c.append.success;
  out.modify_total = c.modify.total, out.modify_success = c.modify.success;
  out.truncate_total = c.truncate.total, out.truncate_success = c.truncate.success;
  out.set_meta_total = c.set_metadata.total, out.set_meta_success = c.set_metadata.success;
  out.delete_total = c.remove.total, out.delete_success = c.remove.success;
  out.download_total = c.download.total, out.download_success = c.download.success;
  out.get_meta_total = c.get_metadata.total, out.get_meta_success = c.get_metadata.success;
  out.create_link_total = c.create_link.total, out.create_link_success = c.create_link.success;
  out.upload_bytes_total = c.upload.bytes_total;
  out.upload_bytes_success = c.upload.bytes_success;
  out.append_bytes_total = c.append.bytes_total;
  out.append_bytes_success = c.append.bytes_success;
  out.modify_bytes_total = c.modify.bytes_total;
  out.modify_bytes_success = c.modify.bytes_success;
  out.download_bytes_total = c.download.bytes_total;
  out.download_bytes_success = c.download.bytes_success;
  out.last_source_update = c.last_source_update;
  for (const wire::SourceSync& source : heartbeat.sources)
    out.last_synced_timestamp =
        std::max<std::uint64_t>(out.last_synced_timestamp, source.synced_until);
}

std::string NodeStatus::json() const {
  using nlohmann::json;
  wire::Heartbeat now;
  fill(now);
  auto root = json::object();
  root["role"] = "storage";
  root["version"] = CAIRN_VERSION;
  root["uuid"] = context_.uuid;
  root["id"] = context_.store.node_id();
  root["group"] = context_.config.group_name;
  root["state"] = name_of(link_ != nullptr ? link_->state() : wire::NodeState::init);
  root["stopping"] = now.stopping;
  root["uptime_seconds"] = unix_seconds(std::chrono::system_clock::now()) - unix_seconds(started_);
  root["durability"] =
      context_.config.durability == config::Durability::durable ? "durable" : "relaxed";
  root["files"] = now.file_count;
  root["connections"] = {{"frames", frames_.open.load()}, {"http", http_.open.load()}};
  root["binlog"] = {{"end", context_.binlog.end_seq()},
                    {"committed", context_.binlog.committed_seq()},
                    {"records", context_.binlog.own_files()}};
  root["paths"] = json::array();
  for (const PathStatus& path : context_.store.status())
    root["paths"].push_back({{"path", path.root.string()},
                             {"state", name_of(path.usage.state)},
                             {"failure", path.failure},
                             {"total_bytes", path.usage.total_bytes},
                             {"free_bytes", path.usage.free_bytes},
                             {"total_inodes", path.usage.total_inodes},
                             {"free_inodes", path.usage.free_inodes},
                             {"queued", path.queued}});
  root["peers"] = json::array();
  for (const wire::PeerSync& peer : now.peers)
    root["peers"].push_back({{"id", peer.peer_id},
                             {"phase", name_of(peer.phase)},
                             {"brought_up", peer.brought_up},
                             {"acked", peer.acked_seq},
                             {"backlog_files", peer.backlog_files},
                             {"backlog_bytes", peer.backlog_bytes},
                             {"lag_seconds", static_cast<double>(peer.lag_ms) / 1000},
                             {"bring_up_done", peer.bring_up_done},
                             {"bring_up_total", peer.bring_up_total},
                             {"bring_up_left_seconds", peer.bring_up_left_s}});
  root["sources"] = json::array();
  for (const wire::SourceSync& source : now.sources)
    root["sources"].push_back({{"id", source.source_id}, {"synced_until", source.synced_until}});
  root["trackers"] = json::array();
  if (link_ != nullptr)
    for (const TrackerStatus& tracker : link_->status())
      root["trackers"].push_back({{"endpoint", tracker.endpoint},
                                  {"connected", tracker.connected},
                                  {"state", name_of(tracker.state)},
                                  {"last_error", tracker.last_error},
                                  {"since", unix_seconds(tracker.since)}});
  auto& counters = root["operations"] = json::object();
  for (const Named& operation : operations(context_.counters))
    counters[operation.name] = {{"total", operation.counter.total.load()},
                                {"success", operation.counter.success.load()},
                                {"bytes", operation.counter.bytes_success.load()}};
  root["remote_reads"] = context_.counters.remote_reads.load();
  const ScrubState scrub = integrity_.scrubber().state();
  root["integrity"] = {{"damaged_copies", now.damaged_copies},
                       {"lost_copies", now.lost_copies},
                       {"lost", integrity_.repairer().lost_names(kLostShown)},
                       {"found", integrity_.repairer().found()},
                       {"repaired", integrity_.repairer().repaired()},
                       {"scrub",
                        {{"files", scrub.files},
                         {"bytes", scrub.bytes},
                         {"damaged", scrub.damaged},
                         {"started", scrub.started},
                         {"finished", scrub.finished},
                         {"last_finished", scrub.last_pass}}}};
  root["copies_short"] = context_.counters.copies_short.load();
  root["damaged_reads"] = context_.counters.damaged_reads.load();
  // Paths and errors may hold bytes that are no UTF-8; JSON must not fail for them.
  return root.dump(-1, ' ', false, json::error_handler_t::replace);
}

void NodeStatus::metrics(MetricsText& out) const {
  out.family("cairn_build_info", "gauge", "Version of the program.");
  out.sample(std::uint64_t{1}, {{"version", CAIRN_VERSION}, {"role", "storage"}});

  const std::string& group = context_.config.group_name;
  const std::string node = std::to_string(context_.store.node_id());
  const auto paths = context_.store.status();
  const auto per_path = [&](const char* family, const char* help, auto value) {
    out.family(family, "gauge", help);
    for (std::size_t i = 0; i < paths.size(); ++i) {
      const std::string index = std::to_string(i);
      out.sample(static_cast<std::uint64_t>(value(paths[i])),
                 {{"group", group}, {"node", node}, {"path", index}});
    }
  };
  per_path("cairn_store_bytes", "Size of the store path's file system.",
           [](const PathStatus& p) { return p.usage.total_bytes; });
  per_path("cairn_store_free_bytes", "Bytes free for new files.",
           [](const PathStatus& p) { return p.usage.free_bytes; });
  per_path("cairn_store_inodes_free", "Inodes free for new files.",
           [](const PathStatus& p) { return p.usage.free_inodes; });
  per_path("cairn_disk_state", "0 ok, 1 read-only, 2 failed.",
           [](const PathStatus& p) { return static_cast<std::uint8_t>(p.usage.state); });
  per_path("cairn_disk_queue_length", "Jobs that wait for a thread of the store path.",
           [](const PathStatus& p) { return p.queued; });

  out.family("cairn_store_objects", "gauge", "Files this node holds.");
  out.sample(context_.sync.file_count(), {{"group", group}, {"node", node}});

  out.family("cairn_operations_total", "counter", "Operations of the FastDFS protocol.");
  for (const Named& operation : operations(context_.counters)) {
    const std::uint64_t good = operation.counter.success;
    out.sample(good, {{"op", operation.name}, {"result", "success"}});
    out.sample(operation.counter.total - good, {{"op", operation.name}, {"result", "failure"}});
  }
  out.family("cairn_operation_bytes_total", "counter", "Bytes moved by those operations.");
  for (const Named& operation : operations(context_.counters))
    out.sample(operation.counter.bytes_success.load(), {{"op", operation.name}});
  out.family("cairn_hello_refused_total", "counter",
             "Native connections without the right proof of secret or key.");
  out.sample(context_.counters.hello_refused.load());
  out.family("cairn_remote_reads_total", "counter", "Reads answered from another node's disk.");
  out.sample(context_.counters.remote_reads.load());
  out.family("cairn_copies_short_total", "counter",
             "Changes that were stored with fewer copies than asked for.");
  out.sample(context_.counters.copies_short.load());
  out.family("cairn_damaged_reads_total", "counter", "Local copies found damaged by a read.");
  out.sample(context_.counters.damaged_reads.load());

  out.family("cairn_connections", "gauge", "Open connections.");
  out.sample(static_cast<std::uint64_t>(frames_.open), {{"entry", "frames"}});
  out.sample(static_cast<std::uint64_t>(http_.open), {{"entry", "http"}});
  out.family("cairn_connections_refused_total", "counter", "Connections over the limit.");
  out.sample(frames_.refused.load(), {{"entry", "frames"}});
  out.sample(http_.refused.load(), {{"entry", "http"}});

  const auto peers = context_.sync.peers_report();
  const auto per_peer = [&](const char* family, const char* help, auto value) {
    out.family(family, "gauge", help);
    for (const wire::PeerSync& peer : peers) {
      const std::string to = std::to_string(peer.peer_id);
      out.sample(static_cast<double>(value(peer)), {{"group", group}, {"from", node}, {"to", to}});
    }
  };
  per_peer("cairn_sync_lag_seconds", "Age of the oldest change the peer lacks.",
           [](const wire::PeerSync& p) { return static_cast<double>(p.lag_ms) / 1000; });
  per_peer("cairn_sync_backlog_files", "Changes the peer lacks.",
           [](const wire::PeerSync& p) { return p.backlog_files; });
  per_peer("cairn_sync_backlog_bytes", "Bytes of the changes the peer lacks.",
           [](const wire::PeerSync& p) { return p.backlog_bytes; });
  context_.sync.write_metrics(out);
  integrity_.write_metrics(out, {{"group", group}, {"node", node}});
}

std::vector<std::string> NodeStatus::failing_checks() const {
  std::vector<std::string> failing;
  if (context_.stopping) failing.emplace_back("stopping");
  if (link_ == nullptr || !link_->joined())
    failing.emplace_back("no tracker has accepted this node");
  for (const PathStatus& path : context_.store.status())
    if (path.usage.state == wire::PathState::failed)
      failing.push_back("store path " + path.root.string() + " has failed");
  return failing;
}

} // namespace cairn::storage
