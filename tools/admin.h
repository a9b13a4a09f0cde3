// Administrative requests to trackers: JSON both ways.
#pragma once

#include "cairn/client.h"

#include <nlohmann/json_fwd.hpp>

namespace cairn::tools {

// The object a daemon answered, or the error it reported in it ({"error":{"status","message"}}).
// Errors: invalid_argument (not JSON), and whatever the daemon says.
Result<nlohmann::json> read_admin_reply(std::string_view text);

// Sends `request` to the trackers in turn until one answers.
Result<nlohmann::json> admin(Client& client, const nlohmann::json& request);

} // namespace cairn::tools
