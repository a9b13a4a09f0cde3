// Who is in the cluster, as the trackers last said: resolves what stands in file IDs to nodes, and
// tells who owns a file.
#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "common/base/file_id.h"
#include "common/net/frame_client.h"
#include "common/wire/native.h"

namespace cairn::storage {

// One snapshot; never changes.
class PeerMap {
 public:
  PeerMap() = default;
  PeerMap(wire::ClusterView view, std::string own_uuid, std::string own_group);

  const wire::ClusterView& view() const { return view_; }
  // Members of our group without us and without deleted ones, by ID.
  const std::vector<wire::NodeView>& members() const { return members_; }
  // Any node by its numeric ID, deleted ones included; nullptr: unknown.
  const wire::NodeView* find(std::uint32_t id) const;
  // The node behind the source field of a name: its ID, its address, or an alias of it.
  const wire::NodeView* resolve(const SourceRef& source) const;
  // The ID of the node where changes to an existing file are made: the source while it is a member
  // of our group, else the member with the lowest ID (ourselves included). 0 before the first view.
  std::uint32_t owner_of(const RemoteName& name) const;
  std::uint32_t own_id() const { return own_id_; }

 private:
  wire::ClusterView view_;
  std::vector<wire::NodeView> members_;
  std::unordered_map<std::uint32_t, std::size_t> by_id_;
  std::unordered_map<std::string, std::uint32_t> aliases_;
  std::uint32_t own_id_ = 0;
  std::uint32_t lowest_member_ = 0;
};

// Holds the current snapshot. Any thread.
class Peers {
 public:
  Peers(std::string own_uuid, std::string own_group);

  std::shared_ptr<const PeerMap> get() const;
  // Takes a view from a tracker, unless it is an empty one; wakes those who listen.
  void update(wire::ClusterView view);
  // `changed` is called after an update that changed members or addresses; it must only post.
  void on_change(std::function<void()> changed);

 private:
  const std::string own_uuid_;
  const std::string own_group_;
  mutable std::mutex mutex_; // guards map_ and listeners_
  std::shared_ptr<const PeerMap> map_ = std::make_shared<PeerMap>();
  std::vector<std::function<void()>> listeners_;
};

inline Endpoint endpoint_of(const wire::NodeView& node) { return {node.host, node.port}; }

} // namespace cairn::storage
