// Names, addresses and configuration of a local cluster.
#include "tools/local_plan.h"

#include "common/base/text.h"
#include "tools/verbs.h"

#include <nlohmann/json.hpp>

namespace cairn::tools {

namespace {

constexpr std::uint16_t kTrackerPort = 22122;
constexpr std::uint16_t kTrackerHttpPort = 22180;
constexpr std::uint16_t kStoragePort = 23000;
constexpr std::uint16_t kStorageHttpPort = 8888;
constexpr unsigned kFirstGroupNumber = 10; // of the third number, before group 1

// Puts together a file of `key = value` lines; a line the user gave replaces ours of the same key.
class ConfText {
public:
  ConfText(std::string title, const std::vector<std::string>& extra)
      : text_("# " + std::move(title) + "\n"), extra_(extra) {}

  void set(std::string_view key, std::string_view value) {
    for (const std::string& line : extra_) {
      if (trim(std::string_view(line).substr(0, line.find('='))) == key) return;
    }
    text_ += std::string(key) + " = " + std::string(value) + "\n";
  }
  void comment(std::string_view line) { text_ += "# " + std::string(line) + "\n"; }
  std::string finish() && {
    if (!extra_.empty()) text_ += "\n# given to `cairn local up`\n";
    for (const std::string& line : extra_) text_ += line + "\n";
    return std::move(text_);
  }

private:
  std::string text_;
  const std::vector<std::string>& extra_;
};

} // namespace

std::string local_group_name(unsigned group) {
  return "group" + std::to_string(group);
}

std::string local_storage_name(const LocalStorage& storage) {
  return local_group_name(storage.group) + "-storage" + std::to_string(storage.index);
}

std::optional<LocalStorage> local_storage_at(std::string_view host) {
  const auto parts = split(host, '.');
  if (parts.size() != 4 || parts[0] != "127") return std::nullopt;
  const auto third = parse_u64(parts[2]);
  const auto fourth = parse_u64(parts[3]);
  if (!third || !fourth || *third <= kFirstGroupNumber || *third > 255 || *fourth < 1 ||
      *fourth > 255)
    return std::nullopt;
  return LocalStorage{static_cast<unsigned>(*third) - kFirstGroupNumber,
                      static_cast<unsigned>(*fourth)};
}

std::string local_shape_json(const LocalShape& shape) {
  const nlohmann::json document{{"net", shape.net},
                                {"trackers", shape.trackers},
                                {"groups", shape.groups},
                                {"storages", shape.storages},
                                {"paths", shape.paths},
                                {"copies", shape.copies},
                                {"storage_conf", shape.storage_conf},
                                {"tracker_conf", shape.tracker_conf}};
  return document.dump(2) + "\n";
}

Result<LocalShape> parse_local_shape(std::string_view json) {
  const auto document = nlohmann::json::parse(json, nullptr, false);
  if (!document.is_object()) return Error{Errc::invalid_argument, "local.json is not readable"};
  LocalShape shape;
  // The library throws at a value of the wrong type; this file is ours unless somebody edited it.
  try {
    shape.net = document.at("net").get<unsigned>();
    shape.trackers = document.at("trackers").get<unsigned>();
    shape.groups = document.at("groups").get<unsigned>();
    shape.storages = document.at("storages").get<unsigned>();
    shape.paths = document.at("paths").get<unsigned>();
    shape.copies = document.at("copies").get<unsigned>();
    shape.storage_conf = document.at("storage_conf").get<std::vector<std::string>>();
    shape.tracker_conf = document.at("tracker_conf").get<std::vector<std::string>>();
  } catch (const nlohmann::json::exception& error) {
    return Error{Errc::invalid_argument, std::string("local.json: ") + error.what()};
  }
  return shape;
}

LocalPlan::LocalPlan(std::filesystem::path root, LocalShape shape)
    : root_(std::move(root)), shape_(std::move(shape)) {
  const std::string net = "127." + std::to_string(shape_.net) + ".";
  for (unsigned t = 1; t <= shape_.trackers; ++t) {
    LocalNode node;
    node.name = "tracker" + std::to_string(t);
    node.is_tracker = true;
    node.addr = net + "1." + std::to_string(t);
    node.port = kTrackerPort;
    node.http = kTrackerHttpPort;
    nodes_.push_back(std::move(node));
  }
  for (unsigned g = 1; g <= shape_.groups; ++g) {
    for (unsigned s = 1; s <= shape_.storages; ++s) {
      LocalNode node;
      node.name = local_storage_name({g, s});
      node.group = local_group_name(g);
      node.addr = net + std::to_string(kFirstGroupNumber + g) + "." + std::to_string(s);
      node.port = kStoragePort;
      node.http = kStorageHttpPort;
      for (unsigned p = 0; p < shape_.paths; ++p)
        node.store_paths.push_back(root_ / "data" / node.name / ("path" + std::to_string(p)));
      nodes_.push_back(std::move(node));
    }
  }
}

const LocalNode* LocalPlan::find(std::string_view name) const {
  for (const LocalNode& node : nodes_) {
    if (node.name == name) return &node;
  }
  return nullptr;
}

std::filesystem::path LocalPlan::conf_file(const LocalNode& node) const {
  return root_ / "conf" / (node.name + ".conf");
}
std::filesystem::path LocalPlan::log_file(const LocalNode& node) const {
  return root_ / "log" / (node.name + ".log");
}
std::filesystem::path LocalPlan::pid_file(const LocalNode& node) const {
  return root_ / "pid" / (node.name + ".pid");
}
std::filesystem::path LocalPlan::data_dir(const LocalNode& node) const {
  return root_ / "data" / node.name;
}

std::string LocalPlan::conf_text(const LocalNode& node) const {
  ConfText text(node.name + ", written by `cairn local up`",
                node.is_tracker ? shape_.tracker_conf : shape_.storage_conf);
  text.set("bind_addr", node.addr);
  text.set("port", std::to_string(node.port));
  text.set("http_port", std::to_string(node.http));
  text.set("base_path", data_dir(node).string());
  text.set("allow_hosts", "127.0.0.0/8");
  text.set("cluster_secret_file", secret_file().string());
  // A demonstration must run on a nearly full laptop, however large its disk is.
  text.set("reserved_storage_space", "64M");
  if (node.is_tracker) {
    const LocalNode& holder = nodes_.front();
    text.set("tracker_id", node.name);
    text.set("metadata",
             node.name == holder.name ? "local" : holder.addr + ":" + std::to_string(holder.port));
    // Nodes report every second: one that is silent for five is gone.
    text.set("check_active_interval", "5");
    return std::move(text).finish();
  }
  text.set("group_name", node.group);
  for (std::size_t i = 0; i < node.store_paths.size(); ++i)
    text.set("store_path" + std::to_string(i), node.store_paths[i].string());
  for (const LocalNode& other : nodes_) {
    if (other.is_tracker) text.set("tracker_server", other.addr + ":" + std::to_string(other.port));
  }
  text.set("heart_beat_interval", "1");
  text.set("copies", std::to_string(shape_.copies));
  return std::move(text).finish();
}

std::string LocalPlan::client_conf_text() const {
  std::string text = "# Clients of this cluster, written by `cairn local up`\n";
  for (const LocalNode& node : nodes_) {
    if (node.is_tracker)
      text += "tracker_server = " + node.addr + ":" + std::to_string(node.port) + "\n";
  }
  text += "cluster_secret_file = " + secret_file().string() + "\n";
  return text;
}

Result<std::string> conf_line(const std::string& pair) {
  const auto parts = split_pair(pair);
  if (!parts || pair.find('\n') != std::string::npos)
    return Error{Errc::invalid_argument, "'" + pair + "' is not K=V"};
  return std::string(trim(parts->first)) + " = " + std::string(trim(parts->second));
}

} // namespace cairn::tools
