// Choice of groups, nodes and store paths.
#include "tracker/cluster/selection.h"

#include <algorithm>

namespace cairn::tracker {

namespace {

constexpr unsigned kMebiShift = 20;

bool has_room(std::uint64_t free_bytes, std::uint64_t total_bytes, std::uint64_t parts,
              const config::ReservedSpace& reserve) {
  const std::uint64_t free_mb = free_bytes >> kMebiShift;
  const std::uint64_t total_mb = total_bytes >> kMebiShift;
  if (!reserve.is_percent) return free_mb > (reserve.bytes >> kMebiShift) / parts;
  if (total_mb == 0) return false;
  return static_cast<double>(free_mb) / static_cast<double>(total_mb) > reserve.percent / 100.0;
}

// The first of `nodes` (ordered by text of the ID) after `last` for which `fits`, around the end;
// nullptr: none.
template <class Fits>
const Node* next_after(const std::vector<const Node*>& nodes, std::string_view last, Fits fits) {
  const Node* first = nullptr;
  for (const Node* node : nodes) {
    if (!fits(*node)) continue;
    if (last.compare(node->fact.id_text()) < 0) return node;
    if (first == nullptr) first = node;
  }
  return first;
}

std::string_view last_of(const std::map<std::string, std::string, std::less<>>& cursors,
                         std::string_view group) {
  const auto found = cursors.find(group);
  return found == cursors.end() ? std::string_view() : std::string_view(found->second);
}

std::vector<const Node*> readable(const ClusterState& cluster, std::string_view group) {
  std::vector<const Node*> nodes = cluster.members(group);
  std::erase_if(nodes, [](const Node* node) { return !node->can_read(); });
  return nodes;
}

bool is_normal(const RemoteName& name) {
  return name.kind() == FileKind::normal || name.kind() == FileKind::trunk;
}

// Who stored the file, if it is a member now; nullptr: unknown.
const Node* source_of(const ClusterState& cluster, std::string_view group, const RemoteName& name) {
  if (!name.fields()) return nullptr;
  const NodeFact* fact = cluster.facts().resolve(group, name.fields()->source);
  if (fact == nullptr || fact->group != group) return nullptr;
  return cluster.find(fact->id);
}

// Up to which time `node` has the files of `source`, in unix seconds. Of an unknown source: the
// least over all sources it reports on, as FastDFS does for any.
std::uint64_t synced_until(const Node& node, const Node* source) {
  std::uint64_t least = 0;
  bool any = false;
  for (const auto& sync : node.report.sources) {
    if (source != nullptr) {
      if (sync.source_id == source->fact.id) return sync.synced_until;
      continue;
    }
    least = any ? std::min<std::uint64_t>(least, sync.synced_until) : sync.synced_until;
    any = true;
  }
  return least;
}

} // namespace

bool path_has_room(const wire::PathUsage& path, std::size_t path_count,
                   const config::ReservedSpace& reserve) {
  if (path.state != wire::PathState::ok) return false;
  if (path.total_inodes > 0 && path.free_inodes <= std::min(kInodesKept, path.total_inodes / 100))
    return false;
  return has_room(path.free_bytes, path.total_bytes, std::max<std::size_t>(path_count, 1), reserve);
}

bool node_has_room(const Node& node, const config::ReservedSpace& reserve) {
  const auto& paths = node.report.paths;
  return has_room(node.free_bytes(), node.total_bytes(), 1, reserve) &&
         std::any_of(paths.begin(), paths.end(), [&](const wire::PathUsage& path) {
           return path_has_room(path, paths.size(), reserve);
         });
}

SelectionRules SelectionRules::of(const config::TrackerConfig& config) {
  SelectionRules rules;
  rules.store_lookup = config.store_lookup;
  rules.store_group = config.store_group;
  rules.store_server = config.store_server;
  rules.store_path = config.store_path;
  rules.download_server = config.download_server;
  rules.reserve = config.reserved_storage_space;
  rules.sync_delay_max_s = static_cast<std::uint64_t>(config.storage_sync_file_max_delay.count());
  rules.sync_time_max_s = static_cast<std::uint64_t>(config.storage_sync_file_max_time.count());
  return rules;
}

std::vector<const Node*> Selection::takers(const ClusterState& cluster,
                                           std::string_view group) const {
  std::vector<const Node*> nodes = cluster.members(group);
  std::erase_if(nodes, [this](const Node* node) {
    return !node->can_write() || !node_has_room(*node, rules_.reserve);
  });
  return nodes;
}

Result<std::string> Selection::choose_group(const ClusterState& cluster,
                                            std::optional<std::string_view> group,
                                            const GroupFilter& filter) {
  const auto writable = [&](std::string_view name) {
    const auto members = cluster.members(name);
    return std::any_of(members.begin(), members.end(),
                       [](const Node* node) { return node->can_write(); });
  };
  if (!group && rules_.store_lookup == config::StoreLookup::specified) group = rules_.store_group;
  if (group && filter && !filter(*group))
    return Error{Errc::denied, "the access key does not hold for group " + std::string(*group)};
  if (group) {
    if (!cluster.has_group(*group) || !writable(*group))
      return Error{Errc::not_found, "nobody takes uploads in " + std::string(*group)};
    if (takers(cluster, *group).empty())
      return Error{Errc::no_space, "no room in " + std::string(*group)};
    return std::string(*group);
  }

  // A group whose fullest member has no room can take an upload, but not replicate it: such groups
  // come last.
  struct Candidate {
    std::string_view name;
    bool all_have_room = true;
    std::uint64_t free_bytes = 0; // of the fullest member
  };
  std::vector<Candidate> candidates;
  bool any_writable = false;
  for (const auto& [name, fact] : cluster.facts().groups()) {
    if (!writable(name) || (filter && !filter(name))) continue;
    any_writable = true;
    if (takers(cluster, name).empty()) continue;
    Candidate candidate;
    candidate.name = name;
    bool first = true;
    for (const Node* node : cluster.members(name)) {
      if (!node->can_write()) continue;
      candidate.all_have_room &= node_has_room(*node, rules_.reserve);
      candidate.free_bytes =
          first ? node->free_bytes() : std::min(candidate.free_bytes, node->free_bytes());
      first = false;
    }
    candidates.push_back(candidate);
  }
  if (!any_writable) return Error{Errc::not_found, "nobody takes uploads"};
  if (candidates.empty()) return Error{Errc::no_space, "no group has room"};
  if (std::any_of(candidates.begin(), candidates.end(),
                  [](const Candidate& candidate) { return candidate.all_have_room; }))
    std::erase_if(candidates, [](const Candidate& candidate) { return !candidate.all_have_room; });

  if (rules_.store_lookup == config::StoreLookup::most_free) {
    // max_element answers the first of equals: the first by name, as FastDFS.
    return std::string(std::max_element(candidates.begin(), candidates.end(),
                                        [](const Candidate& a, const Candidate& b) {
                                          return a.free_bytes < b.free_bytes;
                                        })
                           ->name);
  }
  const auto next = std::find_if(candidates.begin(), candidates.end(),
                                 [this](const Candidate& c) { return c.name > last_group_; });
  last_group_ = next == candidates.end() ? candidates.front().name : next->name;
  return last_group_;
}

const Node* Selection::choose_node(const std::vector<const Node*>& takers, std::string_view group) {
  CAIRN_ASSERT(!takers.empty());
  if (rules_.store_server == config::StoreServer::first_by_ip) return takers.front();
  if (rules_.store_server == config::StoreServer::first_by_priority) {
    return *std::min_element(takers.begin(), takers.end(), [](const Node* a, const Node* b) {
      return a->join.upload_priority < b->join.upload_priority;
    });
  }
  const Node* node =
      next_after(takers, last_of(last_written_, group), [](const Node&) { return true; });
  last_written_[std::string(group)] = node->fact.id_text();
  return node;
}

std::uint8_t Selection::choose_path(const Node& node) {
  const auto& paths = node.report.paths;
  std::size_t chosen = paths.size();
  if (rules_.store_path == config::StorePath::most_free) {
    for (std::size_t i = 0; i < paths.size(); ++i) {
      if (!path_has_room(paths[i], paths.size(), rules_.reserve)) continue;
      if (chosen == paths.size() || paths[i].free_bytes > paths[chosen].free_bytes) chosen = i;
    }
  } else {
    std::size_t& next = next_path_[node.fact.id];
    for (std::size_t i = 0; i < paths.size() && chosen == paths.size(); ++i) {
      const std::size_t index = (next + i) % paths.size();
      if (path_has_room(paths[index], paths.size(), rules_.reserve)) chosen = index;
    }
    next = (chosen + 1) % paths.size();
  }
  CAIRN_ASSERT(chosen < paths.size()); // takers() has looked
  return static_cast<std::uint8_t>(chosen);
}

Result<UploadTarget> Selection::for_upload(const ClusterState& cluster,
                                           std::optional<std::string_view> group,
                                           const GroupFilter& filter) {
  CAIRN_TRY(name, choose_group(cluster, group, filter));
  const Node* node = choose_node(takers(cluster, name), name);
  return UploadTarget{node, choose_path(*node)};
}

Result<UploadTargets> Selection::for_upload_all(const ClusterState& cluster,
                                                std::optional<std::string_view> group,
                                                const GroupFilter& filter) {
  CAIRN_TRY(name, choose_group(cluster, group, filter));
  std::vector<const Node*> nodes = takers(cluster, name);
  const std::uint8_t path = choose_path(*nodes.front());
  return UploadTargets{std::move(name), std::move(nodes), path};
}

Result<const Node*> Selection::for_fetch(const ClusterState& cluster, std::string_view group,
                                         const RemoteName& name, std::uint64_t now_s) {
  const std::vector<const Node*> nodes = readable(cluster, group);
  if (nodes.empty()) return Error{Errc::not_found, "nobody can be read in " + std::string(group)};
  const Node* source = source_of(cluster, group, name);
  if ((!is_normal(name) || rules_.download_server == config::DownloadServer::source_first) &&
      source != nullptr && source->can_read())
    return source;

  const std::string_view last = last_of(last_read_, group);
  const Node* chosen = nullptr;
  if (is_normal(name)) {
    const auto having = eligible(nodes, source, group, name, now_s);
    chosen = next_after(having, last, [](const Node&) { return true; });
  } else {
    chosen = next_after(nodes, last, [](const Node&) { return true; });
  }
  last_read_[std::string(group)] = chosen->fact.id_text();
  return chosen;
}

Result<std::vector<const Node*>> Selection::eligible_for_fetch(const ClusterState& cluster,
                                                               std::string_view group,
                                                               const RemoteName& name,
                                                               std::uint64_t now_s) {
  const std::vector<const Node*> nodes = readable(cluster, group);
  if (nodes.empty()) return Error{Errc::not_found, "nobody can be read in " + std::string(group)};
  return eligible(nodes, source_of(cluster, group, name), group, name, now_s);
}

std::vector<const Node*> Selection::eligible(const std::vector<const Node*>& nodes,
                                             const Node* source, std::string_view group,
                                             const RemoteName& name, std::uint64_t now_s) const {
  std::vector<const Node*> having;
  if (!is_normal(name)) {
    if (source != nullptr && source->can_read()) having.push_back(source);
  } else if (name.fields()) {
    const std::uint64_t stored = name.fields()->timestamp;
    const bool old = stored + rules_.sync_delay_max_s < now_s;
    const bool settled = stored + rules_.sync_time_max_s < now_s;
    for (const Node* node : nodes) {
      const std::uint64_t synced = synced_until(*node, source);
      if (node == source || old || synced > stored || (settled && synced + 1 >= stored))
        having.push_back(node);
    }
  }
  if (!having.empty()) return having;
  // Nobody has it for certain: whom the round robin comes to next asks the others.
  const auto next = next_after(nodes, last_of(last_read_, group), [](const Node&) { return true; });
  return {next};
}

Result<std::vector<const Node*>> Selection::for_fetch_all(const ClusterState& cluster,
                                                          std::string_view group,
                                                          const RemoteName& name,
                                                          std::uint64_t now_s) {
  CAIRN_TRY(chosen, eligible_for_fetch(cluster, group, name, now_s));
  for (const Node* node : readable(cluster, group))
    if (std::find(chosen.begin(), chosen.end(), node) == chosen.end()) chosen.push_back(node);
  return chosen;
}

Result<const Node*> Selection::for_update(const ClusterState& cluster, std::string_view group,
                                          const RemoteName& name) const {
  const Node* source = source_of(cluster, group, name);
  if (source != nullptr && source->is_up() && source->writable) return source;
  const Node* lowest = nullptr;
  for (const auto& [id, node] : cluster.nodes()) {
    if (node.fact.group != group || !node.is_up() || !node.writable) continue;
    if (lowest == nullptr) lowest = &node;
  }
  if (lowest == nullptr)
    return Error{Errc::not_found, "nobody takes changes in " + std::string(group)};
  return lowest;
}

std::size_t Selection::write_index(const ClusterState& cluster, std::string_view group) const {
  const auto members = cluster.members(group);
  const std::string_view last = last_of(last_written_, group);
  for (std::size_t i = 0; i < members.size(); ++i) {
    if (members[i]->can_write() && members[i]->fact.id_text() > last) return i;
  }
  return 0;
}

std::uint8_t Selection::current_path(std::uint32_t node_id) const {
  const auto found = next_path_.find(node_id);
  return found == next_path_.end() ? std::uint8_t{0} : static_cast<std::uint8_t>(found->second);
}

} // namespace cairn::tracker
