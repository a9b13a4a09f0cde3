// What speaks against leaving the old server, as its URLs show it: answers to many of them, the
// rules that are in force, and what shadow comparisons have found.
#pragma once

#include "cairn/types.h"
#include "migrate/session.h"
#include "migrate/verbs.h"

#include <string>

namespace cairn::migrate {

struct Check {
  std::string name;
  bool green = false;
  std::string detail; // for people
};

// Every URL of the list or access log that `args` names, each once: answered with 200 (by a log: as
// it was answered then), and as the old server answers it, if there is one. Wrong ones are printed,
// the first twenty. Errors: those of reading the list; invalid_argument.
Result<Check> check_urls(Session& session, const GateArgs& args, const Globals& globals,
                         const std::filesystem::path& spill);

// The cluster has URL rules, their tests pass, and every storage node has them.
Check check_rules(const ClientOptions& client);
// Storage nodes have compared answers with an old server, and all were the same.
Check check_shadow(const ClientOptions& client);

} // namespace cairn::migrate
