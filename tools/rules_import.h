// Rules from the configurations of other servers. Pure: texts in, texts out.
#pragma once

#include "common/rules/syntax.h"

#include <string>
#include <string_view>
#include <vector>

namespace cairn::tools {

struct Imported {
  std::string rules;              // a rules file
  std::vector<std::string> notes; // "nginx.conf:12:3: 'if' is not converted: …"
};

// An nginx configuration: servers, locations, rewrites, returns, maps, upstreams, expires,
// valid_referers. Directories become origins, so that files are pulled as they are asked for.
Imported import_nginx(const rules::Source& source);

// An HAProxy configuration: ACLs on path and host, use_backend, redirects, set-path, backends.
Imported import_haproxy(const std::string& name, std::string_view text);

} // namespace cairn::tools
