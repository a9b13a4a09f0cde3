// The administration verbs of access keys: what they ask of the facts, and what they answer.
#pragma once

#include "tracker/cluster/cluster_facts.h"

#include <nlohmann/json_fwd.hpp>

#include <cstdint>
#include <string_view>

namespace cairn::tracker {

// The command of key.add, key.rotate or key.rm; `answer` gets what the administrator is told once
// it is done (a secret: nobody is told it again). `now` is unix seconds. Errors: invalid_argument.
Result<FactsCommand> key_command(std::string_view verb, const nlohmann::json& request,
                                 std::uint64_t now, nlohmann::json& answer);

// What key.ls answers: no secrets.
nlohmann::json list_keys(const ClusterFacts& facts, std::uint64_t now);

} // namespace cairn::tracker
