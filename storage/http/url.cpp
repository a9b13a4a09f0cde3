// Splitting of URLs.
#include "storage/http/url.h"

#include "common/base/text.h"

#include <algorithm>

namespace cairn::storage {

namespace {

constexpr int kParametersMax = 32; // as the FastDFS module

// "M00/…": what reserves a first segment for files by ID.
bool begins_with_store_path(std::string_view path) {
  return path.size() >= 4 && path[0] == 'M' && hex_digit(path[1]) >= 0 && hex_digit(path[2]) >= 0 &&
         path[3] == '/';
}

} // namespace

Result<std::optional<std::string>> query_value(std::string_view query, std::string_view name) {
  for (int count = 0; !query.empty() && count < kParametersMax; ++count) {
    const std::size_t end = query.find('&');
    const std::string_view pair = query.substr(0, end);
    query = end == std::string_view::npos ? std::string_view() : query.substr(end + 1);
    const std::size_t equals = pair.find('=');
    if (pair.substr(0, equals) != name) continue;
    std::string value(equals == std::string_view::npos ? std::string_view()
                                                       : pair.substr(equals + 1));
    std::replace(value.begin(), value.end(), '+', ' ');
    CAIRN_TRY(decoded, percent_decode(value));
    return std::optional<std::string>(std::move(decoded));
  }
  return std::optional<std::string>();
}

std::optional<std::string_view> remote_name_of(std::string_view path, std::string_view group) {
  if (!path.starts_with('/')) return std::nullopt;
  path.remove_prefix(1);
  if (begins_with_store_path(path)) return path;
  if (path.size() <= group.size() || path[group.size()] != '/' || !path.starts_with(group))
    return std::nullopt;
  return path.substr(group.size() + 1);
}

} // namespace cairn::storage
