// Tags of HTTP answers, for caches in front: what an answer was made of. Who changes that says so
// by the same tag, and every URL it was served under is forgotten, whatever rules led to it.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace cairn {

// The header that asks for tags, and the one that tells them: "0123456789abcdef,…".
inline constexpr std::string_view kCacheTagsHeader = "X-Cairn-Tags";
// Of a front that keeps answers and has no list of its URLs (stock nginx): for how many seconds it
// gives one to others without asking again.
inline constexpr std::string_view kCacheKeptHeader = "X-Cairn-Kept";
// With "1" it asks such a front to fetch a URL anew (conf/nginx), which it does for those it
// trusts; the answer then has X-Cache: BYPASS.
inline constexpr std::string_view kCacheRefreshHeader = "X-Cairn-Refresh";
// Of a BAN request: a regular expression for the URLs that are to be forgotten.
inline constexpr std::string_view kCacheUrlsHeader = "X-Cairn-Urls";

// 16 hex digits of a stored file by its ID ("group1/M00/…", as the canonical name).
std::string cache_tag_of_id(std::string_view id);
// Of a file of the namespace.
std::string cache_tag_of_inode(std::uint64_t inode);
// Of an alias, also of one that is not there.
std::string cache_tag_of_alias(std::string_view host, std::string_view path);

} // namespace cairn
