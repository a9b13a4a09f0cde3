// Who is in the cluster, as the trackers last said: resolves what stands in file IDs to nodes, and
// tells who owns a file.
#pragma once

#include "common/base/file_id.h"
#include "common/net/frame_client.h"
#include "common/wire/native.h"

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

namespace cairn::storage {

// One snapshot; never changes, and what its functions point to lives as long as it does.
class PeerMap {
public:
  PeerMap() = default;
  PeerMap(wire::ClusterView view, std::string own_uuid, std::string own_group);

  const wire::ClusterView& view() const { return view_; }
  // False until a tracker has told who is in the cluster: then nothing follows from an empty list
  // of members.
  bool is_known() const { return !view_.nodes.empty(); }
  // Members of our group without us and without deleted ones, by ID.
  const std::vector<wire::NodeView>& members() const { return members_; }
  // Any node by its numeric ID, deleted ones included; nullptr: unknown.
  const wire::NodeView* find(std::uint32_t id) const;
  // The node behind the source field of a name: its ID, the address of a node of our group (one
  // that was not removed, if there is one), or an alias of either kind; nullptr: unknown.
  const wire::NodeView* resolve(const SourceRef& source) const;
  // The ID of the node where changes to an existing file are made: the source while it is a member
  // of our group, else the member with the lowest ID (ourselves included). 0 before the first view.
  std::uint32_t owner_of(const RemoteName& name) const;
  // Our ID as the trackers know it; 0 while they do not.
  std::uint32_t own_id() const { return own_id_; }
  // Some node of the cluster has an IPv6 address.
  bool has_ipv6() const { return has_ipv6_; }

private:
  bool is_member(const wire::NodeView& node) const;

  wire::ClusterView view_;
  std::string own_group_;
  std::vector<wire::NodeView> members_;
  std::unordered_map<std::uint32_t, std::size_t> by_id_;         // index into view_.nodes
  std::unordered_map<std::string, std::size_t> by_address_;      // members and ourselves
  std::unordered_map<std::string, std::size_t> removed_address_; // deleted ones of our group
  std::unordered_map<std::string, std::uint32_t> aliases_;
  std::uint32_t own_id_ = 0;
  std::uint32_t lowest_member_ = 0;
  bool has_ipv6_ = false;
};

// Holds the current snapshot. Any thread.
class Peers {
public:
  Peers(std::string own_uuid, std::string own_group);

  std::shared_ptr<const PeerMap> get() const;
  // Takes a view from the trackers, unless it is an empty one, and wakes those who listen. A view
  // that differs by its version only keeps the snapshot: readers forget what they know of peers
  // when it changes.
  void update(wire::ClusterView view);
  // `changed` is called after an update that changed members, addresses or aliases (not: states),
  // on the thread of the update; it must only post.
  void on_change(std::function<void()> changed);

private:
  const std::string own_uuid_;
  const std::string own_group_;
  mutable std::mutex mutex_; // guards map_ and listeners_
  std::shared_ptr<const PeerMap> map_ = std::make_shared<PeerMap>();
  std::vector<std::function<void()>> listeners_;
};

inline Endpoint endpoint_of(const wire::NodeView& node) {
  return {node.host, node.port};
}

} // namespace cairn::storage
