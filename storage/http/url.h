// Paths and queries of file URLs. Pure.
#pragma once

#include "common/base/result.h"

#include <optional>
#include <string>
#include <string_view>

namespace cairn::storage {

// A query parameter, decoded ('+' is a space, as the FastDFS module reads it); nullopt when it is
// not there. The first of several counts; after 32 parameters the rest is not looked at. Errors:
// invalid_argument (a bad escape).
Result<std::optional<std::string>> query_value(std::string_view query, std::string_view name);

// The remote name in a decoded path: "M00/…" of "/M00/…" or of "/<group>/M00/…"; nullopt when the
// path is not of these shapes, so that it may mean something else. Only the shape is looked at: the
// name may still be invalid.
std::optional<std::string_view> remote_name_of(std::string_view path, std::string_view group);

} // namespace cairn::storage
