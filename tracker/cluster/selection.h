// Who takes an upload and who serves a file: the tracker's answers to clients, in the orders of
// FastDFS (groups by name, nodes by the text of their IDs, cursors that move by one). Keeps the
// round-robin cursors and nothing else.
#pragma once

#include "common/base/file_id.h"
#include "common/base/result.h"
#include "common/config/tracker_config.h"
#include "tracker/cluster/cluster_state.h"

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace cairn::tracker {

// Inodes a store path keeps free: this many, or a hundredth of what it has if that is less. File
// systems that count no inodes report 0 of 0 and have enough.
inline constexpr std::uint64_t kInodesKept = 1000;

// Room by `reserved_storage_space`, in whole MiB as FastDFS computes it: an absolute reserve of R
// leaves room when more than R is free on the node and more than R / (number of store paths) on
// the path; a percentage when more than that share is free. Equal is no room.
bool path_has_room(const wire::PathUsage& path, std::size_t path_count,
                   const config::ReservedSpace& reserve);
// True when the node has room as a whole and on at least one of its paths.
bool node_has_room(const Node& node, const config::ReservedSpace& reserve);

// What of tracker.conf decides.
struct SelectionRules {
  config::StoreLookup store_lookup = config::StoreLookup::round_robin;
  std::string store_group;
  config::StoreServer store_server = config::StoreServer::round_robin;
  config::StorePath store_path = config::StorePath::round_robin;
  config::DownloadServer download_server = config::DownloadServer::round_robin;
  config::ReservedSpace reserve;
  std::uint64_t sync_delay_max_s = 86'400; // older files are everywhere
  std::uint64_t sync_time_max_s = 300;     // one file is synced in this time

  static SelectionRules of(const config::TrackerConfig& config);
};

// True for groups that may be chosen; an empty one takes all.
using GroupFilter = std::function<bool(std::string_view)>;

// Where to send an upload. Pointers live until the ClusterState changes.
struct UploadTarget {
  const Node* node = nullptr;
  std::uint8_t store_path = 0;
};

// All nodes of one group that take uploads, ordered by ID, and a store path of the first.
struct UploadTargets {
  std::string group;
  std::vector<const Node*> nodes;
  std::uint8_t store_path = 0;
};

class Selection {
public:
  explicit Selection(SelectionRules rules) : rules_(std::move(rules)) {}

  // For commands 101 and (with `group`) 104, in a group that passes `filter`. Errors: not_found (no
  // such group, or nobody takes uploads), no_space (those who do have no room), denied (the group
  // does not pass).
  Result<UploadTarget> for_upload(const ClusterState& cluster,
                                  std::optional<std::string_view> group,
                                  const GroupFilter& filter = {});
  // For commands 106 and 107; errors as for_upload().
  Result<UploadTargets> for_upload_all(const ClusterState& cluster,
                                       std::optional<std::string_view> group,
                                       const GroupFilter& filter = {});

  // For command 102: a node that has the file by the rules of FastDFS, else any that can be read
  // (storage nodes pass through what they lack). Errors: not_found.
  Result<const Node*> for_fetch(const ClusterState& cluster, std::string_view group,
                                const RemoteName& name, std::uint64_t now_s);
  // The nodes that have the file by the rules of FastDFS, ordered by ID; one that may not have it
  // when there is none. Errors: not_found.
  Result<std::vector<const Node*>> eligible_for_fetch(const ClusterState& cluster,
                                                      std::string_view group,
                                                      const RemoteName& name, std::uint64_t now_s);
  // For command 105: those first, then the other nodes that can be read, since they pass through
  // what they lack. Errors: not_found.
  Result<std::vector<const Node*>> for_fetch_all(const ClusterState& cluster,
                                                 std::string_view group, const RemoteName& name,
                                                 std::uint64_t now_s);
  // For command 103: the source while it is up, else the member with the lowest ID that is.
  // Errors: not_found.
  Result<const Node*> for_update(const ClusterState& cluster, std::string_view group,
                                 const RemoteName& name) const;

  // What command 90 shows as "current write server" of a group: the index among its members.
  std::size_t write_index(const ClusterState& cluster, std::string_view group) const;
  // The store path the next upload to a node gets, if it has room.
  std::uint8_t current_path(std::uint32_t node_id) const;

private:
  // By text of the ID taken last: nodes come and go, an index would jump.
  using Cursors = std::map<std::string, std::string, std::less<>>;

  Result<std::string> choose_group(const ClusterState& cluster,
                                   std::optional<std::string_view> group,
                                   const GroupFilter& filter);
  std::vector<const Node*> takers(const ClusterState& cluster, std::string_view group) const;
  const Node* choose_node(const std::vector<const Node*>& takers, std::string_view group);
  std::uint8_t choose_path(const Node& node);

  // eligible_for_fetch() among `nodes`, which can be read; `source` is null when it is unknown.
  std::vector<const Node*> eligible(const std::vector<const Node*>& nodes, const Node* source,
                                    std::string_view group, const RemoteName& name,
                                    std::uint64_t now_s) const;

  SelectionRules rules_;
  std::string last_group_; // taken last by round robin
  Cursors last_written_;   // group -> node
  Cursors last_read_;
  std::map<std::uint32_t, std::size_t> next_path_; // node -> store path index
};

} // namespace cairn::tracker
