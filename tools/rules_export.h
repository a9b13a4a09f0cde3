// Rules as configurations of other servers, for sites that let the front decide. Pure: rules in,
// texts out.
#pragma once

#include "common/rules/book.h"

#include <string>
#include <vector>

namespace cairn::tools {

struct Exported {
  std::string text;               // a configuration
  std::vector<std::string> notes; // "a.rules:12:5: 'token' is not converted: …"
};

// Where the front listens, and "host:port" of the storage nodes that keep the objects.
struct ExportPlace {
  std::string listen = "80";
  std::vector<std::string> nodes;
};

// For the http block of an nginx: a server for each set, with its locations, maps and origins, and
// an upstream "cairn".
Exported export_nginx(const rules::RuleBook& book, const ExportPlace& place);

// For an HAProxy: a frontend whose ACLs choose the rule as nginx does, and a backend "cairn".
Exported export_haproxy(const rules::RuleBook& book, const ExportPlace& place);

} // namespace cairn::tools
