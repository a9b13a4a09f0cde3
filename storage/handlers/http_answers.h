// What changes over HTTP answer: JSON that nobody may cache.
#pragma once

#include "common/net/http_server.h"

#include <nlohmann/json_fwd.hpp>

#include <string_view>

namespace cairn::storage {

// A document; bytes of it that are no UTF-8 are replaced.
HttpReply json_reply(int status, const nlohmann::json& document);
// {"error": why}. Strangers read it: no paths of this machine, no secrets.
HttpReply error_reply(int status, std::string_view why);
// 503 with Retry-After: the client may send it again in a second.
HttpReply later(std::string_view why);

} // namespace cairn::storage
