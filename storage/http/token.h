// The anti-leech token of the FastDFS nginx module: `?token=…&ts=…`.
#pragma once

#include "common/base/result.h"

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

namespace cairn::storage {

// Lower-case hex of MD5(name, secret, decimal ts). `name` is the remote name without its group,
// also when the URL has one. Errors: unsupported (the TLS library has no MD5).
Result<std::string> make_token(std::string_view name, std::string_view secret, std::uint64_t ts);

// Checks `token` and `ts` as they stand in the URL; compares in constant time. `now` is unix
// seconds. A ts in the future is accepted, as upstream; 0, which never expires there, is not.
// Answers the seconds that the token is still good for, at most `ttl`. Errors: denied (with the
// reason), unsupported.
Result<std::chrono::seconds> check_token(std::string_view name, std::string_view secret,
                                         std::string_view token, std::string_view ts,
                                         std::int64_t now, std::chrono::seconds ttl);

} // namespace cairn::storage
