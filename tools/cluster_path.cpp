// Paths and sessions.
#include "tools/cluster_path.h"

#include <unistd.h>

namespace cairn::tools {

namespace {
constexpr std::chrono::seconds kTimeout{60};
} // namespace

std::string ClusterPath::text() const {
  std::string out = "/" + export_name;
  if (!path.empty()) out += "/" + path;
  return out;
}

ClusterPath ClusterPath::child(std::string_view name) const {
  ClusterPath out = *this;
  if (export_name.empty())
    out.export_name = name;
  else
    out.path += (path.empty() ? "" : "/") + std::string(name);
  return out;
}

bool is_cluster_path(std::string_view text) {
  return text.starts_with(":/");
}

Result<ClusterPath> parse_cluster_path(std::string_view text) {
  if (is_cluster_path(text)) text.remove_prefix(1);
  if (!text.starts_with('/'))
    return Error{Errc::invalid_argument,
                 "'" + std::string(text) + "' is no cluster path; they begin with /EXPORT"};
  while (text.starts_with('/')) text.remove_prefix(1);
  while (text.ends_with('/')) text.remove_suffix(1);
  ClusterPath out;
  const std::size_t slash = text.find('/');
  out.export_name = text.substr(0, slash);
  if (slash != std::string_view::npos) out.path = text.substr(text.find_first_not_of('/', slash));
  return out;
}

Result<Namespace*> Trees::open(const std::string& key, NamespaceOptions options) {
  if (const auto found = open_.find(key); found != open_.end()) return found->second.get();
  CAIRN_TRY(client, context_.client_options());
  std::array<char, 256> host{};
  static_cast<void>(::gethostname(host.data(), host.size() - 1));
  options.label = "cairn " + std::string(host.data()) + " " + std::to_string(::getpid());
  options.timeout = context_.timeout_or(kTimeout);
  auto tree = std::make_unique<Namespace>(std::move(client), std::move(options));
  CAIRN_RETURN_IF_ERROR(tree->open());
  return open_.emplace(key, std::move(tree)).first->second.get();
}

Result<Namespace*> Trees::of(const std::string& export_name) {
  NamespaceOptions options(export_name);
  options.uid = ::geteuid();
  options.gid = ::getegid();
  const int count = ::getgroups(0, nullptr);
  std::vector<gid_t> groups(count > 0 ? static_cast<std::size_t>(count) : 0);
  if (count > 0 && ::getgroups(count, groups.data()) >= 0)
    options.groups.assign(groups.begin(), groups.end());
  return open(export_name, std::move(options));
}

Result<Namespace*> Trees::admin() {
  NamespaceOptions options;
  options.admin = true;
  return open("/", std::move(options));
}

} // namespace cairn::tools
