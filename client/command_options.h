// How the command lines of Cairn name a cluster: -t (CAIRN_TRACKER) and --conf (CAIRN_CONF).
#pragma once

#include "cairn/types.h"

#include <filesystem>
#include <string_view>

namespace cairn {

// The options of `conf` (empty: none), with its trackers replaced by `trackers` (HOST:PORT[,…])
// unless that is empty. Errors: invalid_argument (no tracker is named), those of
// load_client_options() and parse_trackers().
Result<ClientOptions> command_options(const std::filesystem::path& conf, std::string_view trackers);

} // namespace cairn
