// Evaluation and application of the cluster's durable facts.
#include "tracker/cluster/cluster_facts.h"

#include "common/base/file_id.h"
#include "common/base/text.h"

#include <utility>

namespace cairn::tracker {

namespace {

using wire::Mutation;

constexpr std::size_t kUuidSize = 36;
// Every node holds all of them in memory.
constexpr std::size_t kAccessKeysMax = 100'000;
constexpr std::size_t kKeyTextMax = 512;

std::string uuid_key() {
  return "Cu";
}
std::string group_key(std::string_view name) {
  return "Cg" + std::string(name);
}
std::string alias_key(std::string_view former) {
  return "Ca" + std::string(former);
}

std::string access_key_key(std::string_view id) {
  return "Ck" + std::string(id);
}
std::string key_version_key() {
  return "Cv";
}

std::string node_key(std::uint32_t id) {
  wire::Bytes number;
  wire::Writer(number).integer(id, 4);
  return "Cn" + std::string(wire::as_text(number));
}

template <class T>
Mutation put(std::string key, const T& fact) {
  const wire::Bytes value = wire::encode(fact);
  return Mutation::put(std::move(key), std::string(wire::as_text(value)));
}

Mutation put(const NodeFact& node) {
  return put(node_key(node.id), node);
}

Error invalid(std::string detail) {
  return Error{Errc::invalid_argument, std::move(detail)};
}

Error no_such_node(std::uint32_t id) {
  return Error{Errc::not_found, "no node " + std::to_string(id)};
}

bool is_uuid(std::string_view text) {
  return text.size() == kUuidSize &&
         text.find_first_not_of("0123456789abcdefABCDEF-") == std::string_view::npos;
}

// Other members that have had everything once: whether there are any, and whether any is alive.
struct OtherMembers {
  bool any = false;
  bool alive = false;
};

OtherMembers others_brought_up(const std::map<std::uint32_t, NodeFact>& nodes,
                               std::string_view group, std::uint32_t but,
                               const std::set<std::uint32_t>& alive) {
  OtherMembers found;
  for (const auto& [id, node] : nodes) {
    if (id == but || node.group != group || node.deleted || !node.brought_up) continue;
    found.any = true;
    if (alive.contains(id)) found.alive = true;
  }
  return found;
}

} // namespace

ClusterFacts ClusterFacts::from_view(const wire::ClusterView& view, const auth::KeyTable& keys) {
  ClusterFacts facts;
  facts.cluster_uuid_ = view.cluster_uuid;
  for (const auto& group : view.groups) facts.groups_[group.name] = GroupFact{group.name};
  for (const auto& shown : view.nodes) {
    NodeFact node;
    node.id = shown.id;
    node.uuid = shown.uuid;
    node.group = shown.group;
    node.host = shown.host;
    node.port = shown.port;
    node.http_port = shown.http_port;
    node.store_path_count = shown.store_path_count;
    node.subdir_count = shown.subdir_count;
    node.join_time = shown.join_time;
    node.draining = shown.draining;
    node.deleted = shown.state == wire::NodeState::deleted;
    node.brought_up = shown.brought_up;
    facts.nodes_[node.id] = std::move(node);
  }
  for (const auto& alias : view.aliases) facts.aliases_[alias.former] = alias;
  for (const auto& key : keys.keys) facts.keys_[key.id] = key;
  facts.key_version_ = keys.version;
  return facts;
}

Result<std::vector<Mutation>> ClusterFacts::evaluate(const FactsCommand& command) const {
  return std::visit([this](const auto& one) { return run(one); }, command);
}

Result<ClusterFacts::Mutations> ClusterFacts::run(const NameCluster& command) const {
  Mutations mutations;
  if (cluster_uuid_.empty()) mutations.push_back(Mutation::put(uuid_key(), command.uuid));
  return mutations;
}

Status ClusterFacts::check_join(const wire::Join& join) const {
  if (join.id == 0 || join.id > kServerIdMax)
    return invalid("storage ID " + std::to_string(join.id) + " is not in 1 to 16777215");
  if (!is_uuid(join.uuid)) return invalid("'" + join.uuid + "' is not a UUID");
  CAIRN_RETURN_IF_ERROR(validate_group_name(join.group));
  if (!is_ip_address(join.host) || join.host == "0.0.0.0" || join.host == "::")
    return invalid("'" + join.host + "' is not an address that clients can be told");
  if (join.port == 0) return invalid("port 0");
  if (join.store_path_count == 0 || join.store_path_count > 256)
    return invalid(std::to_string(join.store_path_count) + " store paths");

  for (const auto& [id, node] : nodes_) {
    if (id == join.id || node.uuid != join.uuid) continue;
    return node.deleted ? Error{Errc::denied, "the node was removed as " + node.id_text()}
                        : invalid("this UUID is node " + node.id_text() + ", not " +
                                  std::to_string(join.id));
  }
  if (aliases_.contains(std::to_string(join.id)))
    return Error{Errc::exists, "storage ID " + std::to_string(join.id) + " is an alias"};
  if (const NodeFact* known = find(join.id)) {
    if (known->uuid != join.uuid)
      return Error{Errc::exists,
                   "storage ID " + std::to_string(join.id) + " belongs to " + known->uuid};
    if (known->deleted) return Error{Errc::denied, "node " + known->id_text() + " was removed"};
    if (known->group != join.group)
      return invalid("node " + known->id_text() + " is a member of " + known->group);
  }
  for (const auto& [id, node] : nodes_) {
    if (id == join.id || node.group != join.group || node.deleted) continue;
    // The store path index of a file is the same on every member.
    if (node.store_path_count != join.store_path_count)
      return invalid("the nodes of " + join.group + " have " +
                     std::to_string(node.store_path_count) + " store paths, not " +
                     std::to_string(join.store_path_count));
  }
  return {};
}

Result<ClusterFacts::Mutations> ClusterFacts::run(const JoinNode& command) const {
  const wire::Join& join = command.join;
  CAIRN_RETURN_IF_ERROR(check_join(join));
  const NodeFact* known = find(join.id);

  NodeFact node;
  if (known != nullptr) node = *known;
  node.id = join.id;
  node.uuid = join.uuid;
  node.group = join.group;
  node.host = join.host;
  node.port = join.port;
  node.http_port = join.http_port;
  node.store_path_count = join.store_path_count;
  node.subdir_count = join.subdir_count;
  if (known == nullptr) node.join_time = command.now;
  if (!node.brought_up) {
    const OtherMembers others = others_brought_up(nodes_, join.group, join.id, command.alive);
    // Nobody to be brought up by: the first of its group, or a new one where all others are down.
    node.brought_up = !others.any || (known == nullptr && !others.alive && !command.just_started);
  }

  Mutations mutations;
  if (!groups_.contains(join.group))
    mutations.push_back(put(group_key(join.group), GroupFact{join.group}));
  if (known == nullptr || node != *known) mutations.push_back(put(node));
  return mutations;
}

Result<ClusterFacts::Mutations> ClusterFacts::run(const MarkBroughtUp& command) const {
  const NodeFact* known = find(command.id);
  if (known == nullptr) return no_such_node(command.id);
  Mutations mutations;
  if (known->brought_up || known->deleted) return mutations;
  if (command.alone && others_brought_up(nodes_, known->group, known->id, {}).any) return mutations;
  NodeFact node = *known;
  node.brought_up = true;
  mutations.push_back(put(node));
  return mutations;
}

Result<ClusterFacts::Mutations> ClusterFacts::run(const SetDraining& command) const {
  const NodeFact* known = find(command.id);
  if (known == nullptr || known->deleted) return no_such_node(command.id);
  Mutations mutations;
  if (known->draining == command.draining) return mutations;
  NodeFact node = *known;
  node.draining = command.draining;
  mutations.push_back(put(node));
  return mutations;
}

Result<ClusterFacts::Mutations> ClusterFacts::run(const RemoveNode& command) const {
  const NodeFact* known = find(command.id);
  if (known == nullptr) return no_such_node(command.id);
  if (known->deleted) return Error{Errc::already, "node " + known->id_text() + " is removed"};
  NodeFact node = *known;
  node.deleted = true;
  return Mutations{put(node)};
}

Result<ClusterFacts::Mutations> ClusterFacts::run(const AddGroup& command) const {
  CAIRN_RETURN_IF_ERROR(validate_group_name(command.name));
  if (groups_.contains(command.name))
    return Error{Errc::exists, "group " + command.name + " exists"};
  return Mutations{put(group_key(command.name), GroupFact{command.name})};
}

Result<ClusterFacts::Mutations> ClusterFacts::run(const RemoveGroup& command) const {
  if (!groups_.contains(command.name)) return Error{Errc::not_found, "no group " + command.name};
  for (const auto& [id, node] : nodes_) {
    if (node.group == command.name && !node.deleted)
      return Error{Errc::busy, "node " + node.id_text() + " is a member of " + command.name};
  }
  return Mutations{Mutation::remove(group_key(command.name))};
}

Result<ClusterFacts::Mutations> ClusterFacts::run(const AddAlias& command) const {
  CAIRN_TRY(source, parse_source_ref(command.former));
  if (find(command.id) == nullptr) return no_such_node(command.id);
  const std::string former = source.text();
  if (const auto id = source.server_id(); id && find(*id) != nullptr)
    return Error{Errc::exists, former + " is a node of its own"};
  Mutations mutations;
  if (const auto known = aliases_.find(former); known != aliases_.end()) {
    if (known->second.id == command.id) return mutations;
    return Error{Errc::exists, former + " is an alias of node " + std::to_string(known->second.id)};
  }
  mutations.push_back(put(alias_key(former), wire::AliasView{former, command.id}));
  return mutations;
}

Result<ClusterFacts::Mutations> ClusterFacts::run(const RemoveAlias& command) const {
  if (!aliases_.contains(command.former))
    return Error{Errc::not_found, "no alias " + command.former};
  return Mutations{Mutation::remove(alias_key(command.former))};
}

auth::KeyTable ClusterFacts::key_table() const {
  auth::KeyTable table;
  table.cluster_uuid = cluster_uuid_;
  table.version = key_version_;
  for (const auto& [id, key] : keys_) table.keys.push_back(key);
  return table;
}

Mutation ClusterFacts::next_key_version() const {
  wire::Bytes number;
  wire::Writer(number).integer(key_version_ + 1, 8);
  return Mutation::put(key_version_key(), std::string(wire::as_text(number)));
}

Result<ClusterFacts::Mutations> ClusterFacts::run(const AddKey& command) const {
  const auth::AccessKey& key = command.key;
  if (key.id.empty() || key.id.size() > kKeyTextMax || key.secret.size() < auth::kSecretMin ||
      key.rights == auth::kNothing || key.note.size() > kKeyTextMax)
    return invalid("an access key needs an ID, a secret and rights");
  if (keys_.contains(key.id)) return Error{Errc::exists, "access key " + key.id + " exists"};
  if (keys_.size() >= kAccessKeysMax) return invalid("there are too many access keys");
  return Mutations{put(access_key_key(key.id), key), next_key_version()};
}

Result<ClusterFacts::Mutations> ClusterFacts::run(const RotateKey& command) const {
  const auto found = keys_.find(command.id);
  if (found == keys_.end()) return Error{Errc::not_found, "no access key " + command.id};
  if (command.secret.size() < auth::kSecretMin) return invalid("the secret is too short");
  auth::AccessKey key = found->second;
  key.former_secret = std::exchange(key.secret, command.secret);
  key.former_until = command.former_until;
  return Mutations{put(access_key_key(key.id), key), next_key_version()};
}

Result<ClusterFacts::Mutations> ClusterFacts::run(const RemoveKey& command) const {
  if (!keys_.contains(command.id)) return Error{Errc::not_found, "no access key " + command.id};
  return Mutations{Mutation::remove(access_key_key(command.id)), next_key_version()};
}

Status ClusterFacts::load(std::string_view key, std::string_view value) {
  if (key.size() < 2 || key[0] != 'C') return {};
  const std::string_view name = key.substr(2);
  const auto damaged = [&](const Error& error) {
    return Error{Errc::corrupt, "row C" + std::string(1, key[1]) + ": " + error.detail};
  };
  switch (key[1]) {
    case 'u':
      cluster_uuid_ = value;
      return {};
    case 'g': {
      auto group = wire::decode_lenient<GroupFact>(wire::as_view(value));
      if (!group) return damaged(group.error());
      groups_[std::string(name)] = *std::move(group);
      return {};
    }
    case 'n': {
      auto node = wire::decode_lenient<NodeFact>(wire::as_view(value));
      if (!node) return damaged(node.error());
      if (node_key(node->id) != key) return Error{Errc::corrupt, "a node row under another's key"};
      nodes_[node->id] = *std::move(node);
      return {};
    }
    case 'a': {
      auto alias = wire::decode_lenient<wire::AliasView>(wire::as_view(value));
      if (!alias) return damaged(alias.error());
      aliases_[std::string(name)] = *std::move(alias);
      return {};
    }
    case 'k': {
      auto access = wire::decode_lenient<auth::AccessKey>(wire::as_view(value));
      if (!access) return damaged(access.error());
      keys_[std::string(name)] = *std::move(access);
      return {};
    }
    case 'v':
      if (value.size() != 8) return Error{Errc::corrupt, "row Cv has a wrong length"};
      key_version_ = wire::load_big_endian(wire::as_view(value).data(), value.size());
      return {};
    // Rows of later versions: not ours to judge.
    default:
      return {};
  }
}

void ClusterFacts::remove(std::string_view key) {
  if (key.size() < 2 || key[0] != 'C') return;
  const std::string name(key.substr(2));
  if (key[1] == 'u') cluster_uuid_.clear();
  if (key[1] == 'g') groups_.erase(name);
  if (key[1] == 'a') aliases_.erase(name);
  if (key[1] == 'k') keys_.erase(name);
  if (key[1] == 'n' && name.size() == 4) {
    nodes_.erase(
        static_cast<std::uint32_t>(wire::load_big_endian(wire::as_view(name).data(), name.size())));
  }
}

Status ClusterFacts::apply(std::span<const Mutation> mutations) {
  ClusterFacts next = *this;
  for (const auto& mutation : mutations) {
    if (mutation.kind == wire::MutationKind::put) {
      CAIRN_RETURN_IF_ERROR(next.load(mutation.key, mutation.value));
    } else {
      next.remove(mutation.key);
    }
  }
  *this = std::move(next);
  return {};
}

const NodeFact* ClusterFacts::find(std::uint32_t id) const {
  const auto found = nodes_.find(id);
  return found == nodes_.end() ? nullptr : &found->second;
}

const NodeFact* ClusterFacts::resolve(std::string_view group, SourceRef source) const {
  if (const auto id = source.server_id())
    if (const NodeFact* node = find(*id)) return node;
  return resolve(group, source.text());
}

const NodeFact* ClusterFacts::resolve(std::string_view group, std::string_view source) const {
  auto parsed = parse_source_ref(source);
  if (!parsed) return nullptr;
  if (const auto id = parsed->server_id()) {
    if (const NodeFact* node = find(*id)) return node;
  } else {
    for (const auto& [id_of, node] : nodes_) {
      if (node.group == group && node.host == source && !node.deleted) return &node;
    }
  }
  const auto alias = aliases_.find(source);
  return alias == aliases_.end() ? nullptr : find(alias->second.id);
}

} // namespace cairn::tracker
