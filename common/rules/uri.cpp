// Paths, hosts and arguments.
#include "common/rules/uri.h"

#include "common/base/text.h"

#include <cctype>

namespace cairn::rules {

Result<std::string> normalize_path(std::string_view decoded) {
  if (decoded.empty() || decoded[0] != '/')
    return Error{Errc::invalid_argument, "a path begins with '/'"};
  if (decoded.find('\0') != std::string_view::npos)
    return Error{Errc::invalid_argument, "a NUL in the path"};
  std::string out;
  out.reserve(decoded.size());
  std::size_t at = 0;
  while (at < decoded.size()) {
    // At a '/': take it and the segment behind it.
    std::size_t begin = decoded.find_first_not_of('/', at);
    if (begin == std::string_view::npos) begin = decoded.size();
    std::size_t end = decoded.find('/', begin);
    const bool last = end == std::string_view::npos;
    if (last) end = decoded.size();
    const std::string_view segment = decoded.substr(begin, end - begin);
    if (segment == "..") {
      if (out.empty()) return Error{Errc::invalid_argument, "the path leaves the root"};
      out.resize(out.rfind('/'));
      if (last) out.push_back('/');
    } else if (segment == ".") {
      if (last) out.push_back('/');
    } else {
      out.push_back('/');
      out.append(segment);
    }
    at = end;
  }
  return out;
}

std::string normalize_host(std::string_view host) {
  if (!host.empty() && host[0] == '[') {
    const std::size_t close = host.find(']');
    if (close != std::string_view::npos) host = host.substr(0, close + 1);
  } else {
    host = host.substr(0, host.find(':'));
  }
  if (!host.empty() && host.back() == '.') host.remove_suffix(1);
  return to_lower(host);
}

std::optional<std::string> argument(std::string_view query, std::string_view name) {
  while (!query.empty()) {
    const std::string_view pair = query.substr(0, query.find('&'));
    query.remove_prefix(std::min(pair.size() + 1, query.size()));
    const std::size_t equals = pair.find('=');
    // An argument without '=' has no value, as in nginx.
    if (equals == std::string_view::npos) continue;
    if (!equals_ignoring_case(pair.substr(0, equals), name)) continue;
    const std::string_view raw = pair.substr(equals + 1);
    if (auto decoded = percent_decode(raw)) return *std::move(decoded);
    return std::string(raw);
  }
  return std::nullopt;
}

std::string escape_path(std::string_view text) {
  constexpr std::string_view kHex = "0123456789ABCDEF";
  constexpr std::string_view kPlain = "/-._~!$&'()*+,;=:@";
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x80 && (std::isalnum(byte) != 0 || kPlain.find(c) != std::string_view::npos)) {
      out.push_back(c);
    } else {
      out.push_back('%');
      out.push_back(kHex[byte >> 4]);
      out.push_back(kHex[byte & 15]);
    }
  }
  return out;
}

Result<SplitUrl> split_url(std::string_view url) {
  SplitUrl out;
  const std::size_t scheme = url.find("://");
  if (!url.empty() && url[0] == '/') {
    out.target = url;
  } else if (scheme != std::string_view::npos) {
    std::string_view rest = url.substr(scheme + 3);
    const std::size_t end = rest.find_first_of("/?");
    out.host = rest.substr(0, end);
    out.target = end == std::string_view::npos ? std::string_view("/") : rest.substr(end);
    if (out.target[0] == '?') out.target.insert(0, "/");
    if (out.host.empty()) return Error{Errc::invalid_argument, "a URL without a host"};
  } else {
    return Error{Errc::invalid_argument,
                 "'" + std::string(url) + "' is neither a path nor http://HOST/PATH"};
  }
  return out;
}

std::uint32_t share_of(std::string_view host, std::string_view path) {
  // FNV-1a, then a mix: the low digits of FNV alone are not even.
  std::uint64_t hash = 14695981039346656037ULL;
  for (const std::string_view part : {host, std::string_view("\0", 1), path})
    for (const char c : part) {
      hash ^= static_cast<unsigned char>(c);
      hash *= 1099511628211ULL;
    }
  hash ^= hash >> 33;
  hash *= 0xff51afd7ed558ccdULL;
  hash ^= hash >> 33;
  return static_cast<std::uint32_t>(hash % 10'000);
}

} // namespace cairn::rules
