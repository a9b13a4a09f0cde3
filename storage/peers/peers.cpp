// The cluster as one node sees it.
#include "storage/peers/peers.h"

#include <algorithm>
#include <tuple>
#include <utility>

namespace cairn::storage {

namespace {

bool is_deleted(const wire::NodeView& node) {
  return node.state == wire::NodeState::deleted;
}

bool same_place(const wire::NodeView& a, const wire::NodeView& b) {
  const auto facts = [](const wire::NodeView& n) {
    return std::tie(n.id, n.uuid, n.group, n.host, n.port, n.http_port);
  };
  return facts(a) == facts(b) && is_deleted(a) == is_deleted(b);
}

// True when both have the same nodes at the same places, whatever their states.
bool same_members(const wire::ClusterView& a, const wire::ClusterView& b) {
  const auto same_alias = [](const wire::AliasView& x, const wire::AliasView& y) {
    return x.former == y.former && x.id == y.id;
  };
  return std::equal(a.nodes.begin(), a.nodes.end(), b.nodes.begin(), b.nodes.end(), same_place) &&
         std::equal(a.aliases.begin(), a.aliases.end(), b.aliases.begin(), b.aliases.end(),
                    same_alias);
}

bool same_but_version(const wire::ClusterView& a, const wire::ClusterView& b) {
  const auto same_state = [](const wire::NodeView& x, const wire::NodeView& y) {
    return x.state == y.state && x.draining == y.draining &&
           x.store_path_count == y.store_path_count;
  };
  return a.cluster_uuid == b.cluster_uuid && same_members(a, b) &&
         std::equal(a.nodes.begin(), a.nodes.end(), b.nodes.begin(), b.nodes.end(), same_state);
}

} // namespace

PeerMap::PeerMap(wire::ClusterView view, std::string own_uuid, std::string own_group)
    : view_(std::move(view)), own_group_(std::move(own_group)) {
  // By ID, so that every node that holds the same view draws the same conclusions from it.
  std::sort(view_.nodes.begin(), view_.nodes.end(),
            [](const wire::NodeView& a, const wire::NodeView& b) { return a.id < b.id; });
  for (std::size_t i = 0; i < view_.nodes.size(); ++i) {
    const wire::NodeView& node = view_.nodes[i];
    by_id_.emplace(node.id, i);
    if (node.uuid == own_uuid) own_id_ = node.id;
    if (!is_deleted(node) && node.host.find(':') != std::string::npos) has_ipv6_ = true;
    if (node.group != own_group_) continue;
    (is_deleted(node) ? removed_address_ : by_address_).emplace(node.host, i);
    if (is_deleted(node)) continue;
    if (lowest_member_ == 0) lowest_member_ = node.id;
    if (node.uuid != own_uuid) members_.push_back(node);
  }
  for (const wire::AliasView& alias : view_.aliases) aliases_.emplace(alias.former, alias.id);
}

const wire::NodeView* PeerMap::find(std::uint32_t id) const {
  const auto found = by_id_.find(id);
  return found == by_id_.end() ? nullptr : &view_.nodes[found->second];
}

const wire::NodeView* PeerMap::resolve(const SourceRef& source) const {
  const std::string text = source.text();
  if (const auto id = source.server_id()) {
    if (const wire::NodeView* node = find(*id)) return node;
  } else if (const auto found = by_address_.find(text); found != by_address_.end()) {
    return &view_.nodes[found->second];
  }
  // An operator's word on who has the files of a former address comes before the removed node that
  // had it.
  if (const auto alias = aliases_.find(text); alias != aliases_.end()) return find(alias->second);
  const auto removed = removed_address_.find(text);
  return removed == removed_address_.end() ? nullptr : &view_.nodes[removed->second];
}

bool PeerMap::is_member(const wire::NodeView& node) const {
  return node.group == own_group_ && !is_deleted(node);
}

std::uint32_t PeerMap::owner_of(const RemoteName& name) const {
  if (const auto& fields = name.fields()) {
    const wire::NodeView* source = resolve(fields->source);
    if (source != nullptr && is_member(*source)) return source->id;
  }
  return lowest_member_;
}

Peers::Peers(std::string own_uuid, std::string own_group)
    : own_uuid_(std::move(own_uuid)), own_group_(std::move(own_group)) {}

std::shared_ptr<const PeerMap> Peers::get() const {
  const std::lock_guard lock(mutex_);
  return map_;
}

void Peers::update(wire::ClusterView view) {
  if (view.nodes.empty()) return;
  const auto next = std::make_shared<const PeerMap>(std::move(view), own_uuid_, own_group_);
  std::vector<std::function<void()>> wake;
  {
    const std::lock_guard lock(mutex_);
    if (same_but_version(map_->view(), next->view())) return;
    if (!same_members(map_->view(), next->view())) wake = listeners_;
    map_ = next;
  }
  for (const auto& changed : wake) changed();
}

void Peers::on_change(std::function<void()> changed) {
  const std::lock_guard lock(mutex_);
  listeners_.push_back(std::move(changed));
}

} // namespace cairn::storage
