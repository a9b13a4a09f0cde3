// From an open file and the headers of a request to a reply: conditions, ranges, validators and the
// headers of a file. Pure but for the clock that the caller reads.
#pragma once

#include "common/base/file_id.h"
#include "common/net/http_range.h"
#include "common/net/http_server.h"
#include "storage/http/file_source.h"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace cairn::storage {

// ETag and Last-Modified of a file. A normal file's come from its name, so they are the same at
// every node of the group: "crc32-size" in hex, and the upload time. Other immutable files with a
// known checksum have the same form of tag, with the time of the disk. What can change is tagged by
// size, time and version; without a version a change within the last seconds could leave size and
// time as they were, so the tag is weak until the file has rested.
Validators validators_of(const RemoteName& name, const OpenFile& file, std::int64_t now);

// What the caller knows besides the request.
struct FileReplyContext {
  std::string_view content_type;
  std::string_view cache_control;
  std::string_view disposition_name; // empty: shown in the browser, else saved under this name
  std::int64_t now = 0;              // unix seconds
  // Unix seconds to show as Last-Modified: that of a file that came from elsewhere.
  std::optional<std::int64_t> last_modified = std::nullopt;
  bool active_content = false; // types that browsers run may do so in the site's origin
};

// The headers that keep a file from being taken for something else: nosniff, the policy for types
// that browsers run, and the name to save it under.
void add_file_headers(HttpReply& reply, const FileReplyContext& context);

// Whether a front keeps answers and has no list of its URLs (kCacheKeptHeader).
bool is_kept_by_front(const HttpRequest& request);
// Whether a front asks what answers are made of (common/base/cache_tag.h), or this node has to
// remember it for one; and says so.
bool wants_cache_tags(const HttpRequest& request);
// The same, once the answer is there: one that the front sends from the disk is not kept.
bool wants_cache_tags(const HttpRequest& request, const HttpReply& reply);
void add_cache_tag(HttpReply& reply, const std::string& tag);

// The answer to a GET or HEAD of an existing file: 200, 206 (one range, or multipart/byteranges),
// 304, 412 or 416. Types that browsers run get a Content-Security-Policy that keeps them out of the
// site's origin.
HttpReply file_reply(const HttpRequest& request, const RemoteName& name, const OpenFile& file,
                     const FileReplyContext& context);
// The same for a file without a name yet, with these validators, as far as there are any.
HttpReply file_reply(const HttpRequest& request, const Validators& validators, const OpenFile& file,
                     const FileReplyContext& context);

// A 200 with bytes [start, end) of an FLV file behind its own first 13 bytes (header and first tag
// size), so that a player can begin in the middle. Needs 13 < start < end <= size.
HttpReply flv_reply(const OpenFile& file, std::uint64_t start, std::uint64_t end,
                    const FileReplyContext& context);

} // namespace cairn::storage
