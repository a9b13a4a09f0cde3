// Paths of the command line, and the namespace sessions they are asked on.
#pragma once

#include "cairn/namespace.h"
#include "tools/context.h"

#include <map>
#include <memory>
#include <string>
#include <string_view>

namespace cairn::tools {

// "/images/2012/a.jpg" or ":/images/2012/a.jpg".
struct ClusterPath {
  std::string export_name; // empty: the list of all exports
  std::string path;        // in it, without a slash in front

  // "/images/2012/a.jpg".
  std::string text() const;
  ClusterPath child(std::string_view name) const;
};
// Errors: invalid_argument (not absolute).
Result<ClusterPath> parse_cluster_path(std::string_view text);
// True for ":/…".
bool is_cluster_path(std::string_view text);

// A session for each export, opened when it is first asked for, as the user who runs the program.
class Trees {
public:
  explicit Trees(Context& context) : context_(context) {}

  // Errors: those of the command line and of Namespace::open().
  Result<Namespace*> of(const std::string& export_name);
  Result<Namespace*> of(const ClusterPath& path) { return of(path.export_name); }
  // As an administrator.
  Result<Namespace*> admin();

private:
  Result<Namespace*> open(const std::string& key, NamespaceOptions options);

  Context& context_;
  std::map<std::string, std::unique_ptr<Namespace>> open_;
};

} // namespace cairn::tools
