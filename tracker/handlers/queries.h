// FastDFS commands that only read the cluster: functions from a request's body to a reply's,
// without sockets. Numbers in comments are commands of the protocol; a body of the wrong length is
// invalid_argument everywhere.
#pragma once

#include "common/base/result.h"
#include "common/config/tracker_config.h"
#include "common/wire/bytes.h"
#include "tracker/cluster/cluster_state.h"
#include "tracker/cluster/selection.h"

#include <boost/asio/ip/address.hpp>

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace cairn::tracker {

// Another tracker, or this one, for the monitoring commands.
struct TrackerSeen {
  std::string address; // "10.0.0.1:22122"
  bool holder = false; // holds the metadata: FastDFS's "leader"
  bool connected = true;
  std::uint32_t connections_now = 0;
  std::uint32_t connections_max = 0; // most at once
  std::uint64_t start_time = 0;      // unix seconds
};

// What a query may look at.
struct Query {
  const config::TrackerConfig& config;
  const ClusterState& cluster;
  Selection& selection;
  std::uint64_t now_s = 0; // unix seconds
  boost::asio::ip::address caller;
  // The trackers, this one first. Asked by few commands.
  std::function<std::vector<TrackerSeen>()> trackers = {};
  // The groups the caller may write to; empty: all.
  GroupFilter may_write = {};
};

// Where to upload. Errors of all four: not_found, no_space, denied (not the caller's groups).
Result<wire::Bytes> query_store(Query& query, wire::View body);              // 101
Result<wire::Bytes> query_store_in_group(Query& query, wire::View body);     // 104
Result<wire::Bytes> query_store_all(Query& query, wire::View body);          // 106
Result<wire::Bytes> query_store_in_group_all(Query& query, wire::View body); // 107

// Where to read or change a file: group, then a name of 22 to 127 bytes. Errors of all three:
// not_found (unknown group, nobody up), invalid_argument (the name is none).
Result<wire::Bytes> query_fetch_one(Query& query, wire::View body); // 102
Result<wire::Bytes> query_update(Query& query, wire::View body);    // 103
Result<wire::Bytes> query_fetch_all(Query& query, wire::View body); // 105

// Statistics for monitors. Errors: not_found (unknown group or node).
Result<wire::Bytes> list_group(Query& query, wire::View body);      // 90
Result<wire::Bytes> list_all_groups(Query& query, wire::View body); // 91
Result<wire::Bytes> list_storages(Query& query, wire::View body);   // 92

// Nodes and their IDs. Errors: not_found; fetch_storage_ids: invalid_argument (start beyond the
// end).
Result<wire::Bytes> fetch_storage_ids(Query& query, wire::View body);  // 69
Result<wire::Bytes> get_storage_id(Query& query, wire::View body);     // 70
Result<wire::Bytes> get_storage_status(Query& query, wire::View body); // 71

// INI text below 1024 bytes.
Result<wire::Bytes> get_parameters(Query& query, wire::View body); // 75

// Commands of trackers since 6.15.5. set_trunk_server and tracker_cluster_stat on a tracker that
// holds no metadata: unsupported.
Result<wire::Bytes> set_trunk_server(Query& query, wire::View body);     // 94
Result<wire::Bytes> get_leader(Query& query, wire::View body);           // 95
Result<wire::Bytes> tracker_cluster_stat(Query& query, wire::View body); // 96
Result<wire::Bytes> storage_cluster_stat(Query& query, wire::View body); // 97
Result<wire::Bytes> storage_volume_stat(Query& query, wire::View body);  // 98

// Commands of FastDFS storage nodes to their tracker: denied, they have not joined.
Result<wire::Bytes> refuse_storage_command(Query& query, wire::View body); // 59, 72-74, 79, 83-89
Result<wire::Bytes> active_test(Query& query, wire::View body);            // 111

} // namespace cairn::tracker
