// What every tracker must agree on about the cluster and never forget: groups, nodes, aliases. A
// plain value: commands are evaluated to mutations of table 'C', mutations are applied. It knows no
// heartbeats (cluster_state.h), no disk and no clock.
//
//   "Cu"                 cluster UUID
//   "Cg" name            GroupFact
//   "Cn" id, 4 bytes     NodeFact        (integers of keys are big-endian)
//   "Ca" former          AliasView
//   "Ck" id              auth::AccessKey
//   "Cv"                 how often access keys were changed, 8 bytes
#pragma once

#include "common/auth/access_keys.h"
#include "common/base/file_id.h"
#include "common/base/result.h"
#include "common/wire/mutation.h"
#include "common/wire/native.h"

#include <cstdint>
#include <map>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace cairn::tracker {

// One storage node. Deleted ones stay: their IDs stand in file names.
struct NodeFact {
  std::uint32_t id = 0; // numeric storage ID
  std::string uuid;
  std::string group;
  std::string host; // numeric address told to clients
  std::uint16_t port = 0;
  std::uint16_t http_port = 0;
  std::uint16_t store_path_count = 0;
  std::uint16_t subdir_count = 256;
  std::uint64_t join_time = 0; // unix seconds of the first join
  bool draining = false;       // takes no uploads, by an administrator's wish
  bool deleted = false;        // terminal
  bool brought_up = false;     // has had everything of its group once

  // "100001": how FastDFS clients see the ID; members of a group are ordered by this text.
  std::string id_text() const { return std::to_string(id); }

  static constexpr auto fields() {
    using M = NodeFact;
    return std::tuple{wire::integer(&M::id),
                      wire::string(&M::uuid),
                      wire::string(&M::group),
                      wire::string(&M::host),
                      wire::integer(&M::port),
                      wire::integer(&M::http_port),
                      wire::integer(&M::store_path_count),
                      wire::integer(&M::subdir_count),
                      wire::integer(&M::join_time),
                      wire::integer(&M::draining),
                      wire::integer(&M::deleted),
                      wire::integer(&M::brought_up)};
  }
  friend bool operator==(const NodeFact&, const NodeFact&) = default;
};

struct GroupFact {
  std::string name;

  static constexpr auto fields() { return std::tuple{wire::string(&GroupFact::name)}; }
  friend bool operator==(const GroupFact&, const GroupFact&) = default;
};

// --- commands -----------------------------------------------------------------------------------

// Gives the cluster its UUID, once.
struct NameCluster {
  std::string uuid;
};

// A node asks to be a member, or tells that its address has changed.
struct JoinNode {
  wire::Join join;
  std::uint64_t now = 0;         // unix seconds
  std::set<std::uint32_t> alive; // nodes heard of lately
  // The tracker has just started: nodes that are not alive may only not have come back yet.
  bool just_started = false;
};

// A node has everything now. With `alone` it is the only one left that could: the command does
// nothing when another member has been brought up in the meantime.
struct MarkBroughtUp {
  std::uint32_t id = 0;
  bool alone = false;
};

struct SetDraining {
  std::uint32_t id = 0;
  bool draining = false;
};

// Terminal. Who may be removed while it is connected is decided by the caller.
struct RemoveNode {
  std::uint32_t id = 0;
};

struct AddGroup {
  std::string name;
};

struct RemoveGroup {
  std::string name;
};

struct AddAlias {
  std::string former; // IPv4 text or decimal storage ID
  std::uint32_t id = 0;
};

struct RemoveAlias {
  std::string former;
};

struct AddKey {
  auth::AccessKey key;
};

// The key gets another secret; the former one holds until `former_until` (unix seconds).
struct RotateKey {
  std::string id;
  std::string secret;
  std::uint64_t former_until = 0;
};

struct RemoveKey {
  std::string id;
};

using FactsCommand =
    std::variant<NameCluster, JoinNode, MarkBroughtUp, SetDraining, RemoveNode, AddGroup,
                 RemoveGroup, AddAlias, RemoveAlias, AddKey, RotateKey, RemoveKey>;

// --- the facts ----------------------------------------------------------------------------------

class ClusterFacts {
public:
  // The facts as another tracker shows them in its view (a tracker without a store), which carries
  // the access keys sealed: `keys` are those.
  static ClusterFacts from_view(const wire::ClusterView& view, const auth::KeyTable& keys = {});

  // What `command` would change; empty when it changes nothing. Errors by command:
  //   JoinNode       exists (the ID is another UUID's), denied (removed node), invalid_argument
  //                  (illegal ID, UUID, group name, address; another group or number of store
  //                  paths)
  //   MarkBroughtUp, SetDraining, AddAlias   not_found (no such node)
  //   RemoveNode     not_found, already (removed before)
  //   AddGroup       exists, invalid_argument
  //   RemoveGroup    not_found, busy (it has nodes that are not removed)
  //   AddAlias       invalid_argument, exists (means another node, or is a node's own ID)
  //   RemoveAlias    not_found
  //   AddKey         exists, invalid_argument (no ID, secret or rights; too many keys)
  //   RotateKey, RemoveKey   not_found
  Result<std::vector<wire::Mutation>> evaluate(const FactsCommand& command) const;

  // Applies mutations of table 'C'; those of other tables are ignored. Errors: corrupt (a row that
  // does not decode); the facts are then unchanged.
  Status apply(std::span<const wire::Mutation> mutations);

  // Applies one stored row, as apply() does with a put. Errors: corrupt.
  Status load(std::string_view key, std::string_view value);

  const std::string& cluster_uuid() const { return cluster_uuid_; }
  const std::map<std::uint32_t, NodeFact>& nodes() const { return nodes_; }
  const std::map<std::string, GroupFact, std::less<>>& groups() const { return groups_; }
  const std::map<std::string, wire::AliasView, std::less<>>& aliases() const { return aliases_; }

  const std::map<std::string, auth::AccessKey, std::less<>>& keys() const { return keys_; }
  // The access keys as they travel to the nodes, not yet sealed.
  auth::KeyTable key_table() const;

  const NodeFact* find(std::uint32_t id) const;

  // The node that `source` in a file name of `group` means: by ID, by the address of a node of the
  // group, or by alias (whose node may be of any group). nullptr: unknown.
  const NodeFact* resolve(std::string_view group, std::string_view source) const;
  const NodeFact* resolve(std::string_view group, SourceRef source) const;

  friend bool operator==(const ClusterFacts&, const ClusterFacts&) = default;

private:
  using Mutations = std::vector<wire::Mutation>;
  Result<Mutations> run(const NameCluster& command) const;
  Result<Mutations> run(const JoinNode& command) const;
  Result<Mutations> run(const MarkBroughtUp& command) const;
  Result<Mutations> run(const SetDraining& command) const;
  Result<Mutations> run(const RemoveNode& command) const;
  Result<Mutations> run(const AddGroup& command) const;
  Result<Mutations> run(const RemoveGroup& command) const;
  Result<Mutations> run(const AddAlias& command) const;
  Result<Mutations> run(const RemoveAlias& command) const;
  Result<Mutations> run(const AddKey& command) const;
  Result<Mutations> run(const RotateKey& command) const;
  Result<Mutations> run(const RemoveKey& command) const;
  wire::Mutation next_key_version() const;
  Status check_join(const wire::Join& join) const;
  void remove(std::string_view key);

  std::string cluster_uuid_;
  std::map<std::uint32_t, NodeFact> nodes_;
  std::map<std::string, GroupFact, std::less<>> groups_;
  std::map<std::string, wire::AliasView, std::less<>> aliases_;
  std::map<std::string, auth::AccessKey, std::less<>> keys_;
  std::uint64_t key_version_ = 0;
};

} // namespace cairn::tracker
