// URLs as rules see them: normalised paths, hosts, query arguments. Pure.
#pragma once

#include "common/base/result.h"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace cairn::rules {

// A path as nginx compares it with locations: several '/' become one, "." and ".." are resolved.
// `decoded` begins with '/', its percents are decoded. Errors: invalid_argument (".." above the
// root, a NUL, no leading '/').
Result<std::string> normalize_path(std::string_view decoded);

// Lower case, without port and trailing dot: "Img.Example.com:8080" is "img.example.com".
std::string normalize_host(std::string_view host);

// The first argument of that name (compared without case, as nginx), decoded once; '+' stays.
// Nullopt: it is not there. A bad escape stays as it was sent.
std::optional<std::string> argument(std::string_view query, std::string_view name);

// Bytes that may not stand in a URL (controls, blanks, '"', '<', '>', '%', '?', '#', non-ASCII …)
// as %HH; '/' stays.
std::string escape_path(std::string_view text);

// A full URL or a path: "http://img.example.com/a?b" is host "img.example.com", target "/a?b".
// Errors: invalid_argument.
struct SplitUrl {
  std::string host; // empty for a path
  std::string target;
};
Result<SplitUrl> split_url(std::string_view url);

// The share of all URLs, in 0 to 9999, that a URL belongs to: the same everywhere and for ever.
std::uint32_t share_of(std::string_view host, std::string_view path);

} // namespace cairn::rules
