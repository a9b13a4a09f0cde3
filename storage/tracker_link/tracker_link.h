// The node's side of its trackers: joins each of them, reports by heartbeats, and takes from them
// who is in the cluster. What is reported is filled in by the server; what a view means is for
// Peers.
#pragma once

#include "common/base/result.h"
#include "common/config/storage_config.h"
#include "common/wire/native.h"
#include "storage/peers/peers.h"

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace boost::asio {
class io_context;
}

namespace cairn::storage {

// One tracker, for /status.
struct TrackerStatus {
  std::string endpoint;                          // as configured
  bool connected = false;                        // it has accepted our join and answers heartbeats
  wire::NodeState state = wire::NodeState::init; // what it last said of us
  std::string last_error;                        // of the last failure; stays after recovery
  std::chrono::system_clock::time_point since;   // of the last change of `connected`
};

// What the link asks of the server. Both are called on the link's thread and must not block.
struct LinkCallbacks {
  // Fills a heartbeat: everything but uuid, id, group and known_view. Also asked before a join,
  // which tells the tracker whether we hold files (file_count).
  std::function<void(wire::Heartbeat&)> fill;
  // Told the numeric storage ID once it is certain and durable: by start() when it was before,
  // else after the first accepted join. Never told another one later.
  std::function<void(std::uint32_t)> on_id;
  // Told the sealed access keys of a tracker's view when they may be others than before.
  std::function<void(const wire::Bytes&)> on_access_keys;
  Credentials credentials; // proved to every tracker
};

// A connection to every configured tracker, each with a loop of its own on one io_context, which
// outlives the link; so do `config`, `peers` and what the callbacks refer to.
class TrackerLink {
public:
  TrackerLink(boost::asio::io_context& context, const config::StorageConfig& config,
              std::string uuid, Peers& peers, LinkCallbacks callbacks);
  // Stops. The loops keep what they need of the link itself; callbacks may run until the context's
  // thread has come to the stop.
  ~TrackerLink();

  TrackerLink(const TrackerLink&) = delete;
  TrackerLink& operator=(const TrackerLink&) = delete;

  // Reads the ID and starts the loops. Call once. Blocks for the read. Errors: corrupt
  // (data/node.id), invalid_argument (server_id is not the ID this node has joined with).
  Status start();
  // Ends the loops and closes the connections. Any thread; returns at once.
  void stop();
  // Has a heartbeat sent to every tracker now. Any thread, as often as one likes: calls are
  // coalesced, and heartbeats keep a small distance from each other.
  void nudge();

  // What the trackers say of us: deleted if any of them does, else the best that a connected one
  // says, else what was last said. init before the first join. Any thread.
  wire::NodeState state() const;
  // A tracker has accepted our join and answers heartbeats. Any thread.
  bool joined() const;
  // The storage ID; nullopt until it is certain. Any thread.
  std::optional<std::uint32_t> id() const;
  // In the order of the configuration. Any thread.
  std::vector<TrackerStatus> status() const;

private:
  class Loops;
  std::shared_ptr<Loops> loops_; // shared with the loops' coroutines, which may end later
};

// The address to advertise when the configuration says enough: advertise_addr, or bind_addr if that
// is a single concrete address; empty: ask the connection.
std::string configured_address(const config::StorageConfig& config);

} // namespace cairn::storage
