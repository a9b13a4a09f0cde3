// The shape of a cluster on one machine: names, addresses, files and configuration of its daemons.
// Pure: nothing is created here.
//
//   trackers 127.B.1.N, group g storage s on 127.B.(10+g).s, all counted from 1, standard ports
//   ROOT/conf/NAME.conf client.conf cluster.secret local.json
//   ROOT/data/NAME/…  ROOT/log/NAME.log  ROOT/pid/NAME.pid
#pragma once

#include "common/base/result.h"

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace cairn::tools {

// Which storage node of a local cluster.
struct LocalStorage {
  unsigned group = 1;
  unsigned index = 1;

  friend bool operator==(const LocalStorage&, const LocalStorage&) = default;
};

std::string local_group_name(unsigned group);                // "group1"
std::string local_storage_name(const LocalStorage& storage); // "group1-storage2"
// The storage node that a local cluster has at this address, by its form; nullopt for others.
std::optional<LocalStorage> local_storage_at(std::string_view host);

// What `cairn local up` was told; kept in conf/local.json.
struct LocalShape {
  unsigned net = 0; // B
  unsigned trackers = 1;
  unsigned groups = 1;
  unsigned storages = 1; // of each group
  unsigned paths = 1;    // of each storage node
  unsigned copies = 1;
  std::vector<std::string> storage_conf; // lines "key = value"
  std::vector<std::string> tracker_conf;

  friend bool operator==(const LocalShape&, const LocalShape&) = default;
};

std::string local_shape_json(const LocalShape& shape);
// Errors: invalid_argument.
Result<LocalShape> parse_local_shape(std::string_view json);

// One daemon of it.
struct LocalNode {
  std::string name; // "tracker1", "group1-storage2"
  bool is_tracker = false;
  std::string group; // of a storage node
  std::string addr;
  std::uint16_t port = 0;
  std::uint16_t http = 0;
  std::vector<std::filesystem::path> store_paths; // of a storage node
};

class LocalPlan {
public:
  // `root` is absolute.
  LocalPlan(std::filesystem::path root, LocalShape shape);

  const LocalShape& shape() const { return shape_; }
  const std::filesystem::path& root() const { return root_; }
  // Trackers first, then storage nodes by group and number.
  const std::vector<LocalNode>& nodes() const { return nodes_; }
  // nullptr: there is none of this name.
  const LocalNode* find(std::string_view name) const;

  std::filesystem::path conf_file(const LocalNode& node) const;
  std::filesystem::path log_file(const LocalNode& node) const;
  std::filesystem::path pid_file(const LocalNode& node) const;
  std::filesystem::path data_dir(const LocalNode& node) const;
  std::filesystem::path client_conf() const { return root_ / "conf" / "client.conf"; }
  std::filesystem::path secret_file() const { return root_ / "conf" / "cluster.secret"; }
  std::filesystem::path shape_file() const { return root_ / "conf" / "local.json"; }

  std::string conf_text(const LocalNode& node) const;
  std::string client_conf_text() const;

private:
  std::filesystem::path root_;
  LocalShape shape_;
  std::vector<LocalNode> nodes_;
};

// A line `key = value` from K=V. Errors: invalid_argument.
Result<std::string> conf_line(const std::string& pair);

} // namespace cairn::tools
