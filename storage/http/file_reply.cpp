// Replies with files.
#include "storage/http/file_reply.h"

#include "common/base/cache_tag.h"
#include "common/base/text.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <utility>
#include <vector>

namespace cairn::storage {

namespace {

// A file that can change gets a strong tag only when its time is this old, because times count
// whole seconds (and another node's clock may be a little off).
constexpr std::int64_t kRestSeconds = 5;
constexpr std::uint64_t kFlvHeadSize = 13; // header, and the size field before the first tag

void append_hex(std::string& out, std::uint64_t number) {
  std::array<char, 16> digits{};
  const char* end = std::to_chars(digits.data(), digits.data() + digits.size(), number, 16).ptr;
  out.append(digits.data(), static_cast<std::size_t>(end - digits.data()));
}

// "crc-size", eight digits for the checksum.
std::string content_tag(std::uint32_t crc, std::uint64_t size) {
  std::string digits;
  append_hex(digits, crc);
  std::string tag = "\"";
  tag.append(8 - digits.size(), '0').append(digits).append("-");
  append_hex(tag, size);
  return tag.append("\"");
}

// True when the 20 bytes of the name describe the file: not for slaves (their master's), nor for
// appenders, nor where an old name only looks normal.
bool name_describes(const RemoteName& name, const OpenFile& file) {
  const FileKind kind = name.kind();
  return file.immutable && (kind == FileKind::normal || kind == FileKind::trunk) &&
         name.fields().has_value() && name.fields()->size() == file.size;
}

// Types that a browser runs or that can carry script when opened on their own.
bool is_active(std::string_view type) {
  type = trim(type.substr(0, type.find(';')));
  return type == "text/html" || type == "image/svg+xml" || type == "application/xhtml+xml" ||
         type == "text/xml" || type == "application/xml" || type == "application/pdf";
}

// Text, then a range of the file.
struct Piece {
  std::string text;
  std::uint64_t offset = 0;
  std::uint64_t length = 0;
};

// Writes pieces of a file at another node. Takes its arguments by value: it outlives its caller.
Task<Status> stream_pieces(Connection& connection, decltype(OpenFile::remote) remote,
                           std::vector<Piece> pieces) {
  for (const Piece& piece : pieces) {
    CAIRN_CO_RETURN_IF_ERROR(co_await connection.write(wire::as_view(piece.text)));
    if (piece.length == 0) continue;
    CAIRN_CO_RETURN_IF_ERROR(co_await remote(connection, piece.offset, piece.length));
  }
  co_return Status();
}

void set_body(HttpReply& reply, const OpenFile& file, std::vector<Piece> pieces) {
  if (file.remote) {
    for (const Piece& piece : pieces) reply.stream_length += piece.text.size() + piece.length;
    reply.stream = [remote = file.remote, pieces = std::move(pieces)](Connection& connection) {
      return stream_pieces(connection, remote, pieces);
    };
    return;
  }
  reply.body.reserve(pieces.size());
  for (Piece& piece : pieces) {
    HttpBodyPart& part = reply.body.emplace_back();
    part.text = std::move(piece.text);
    if (piece.length == 0) continue;
    part.fd = file.fd;
    part.offset = piece.offset;
    part.length = piece.length;
    part.disk = file.disk;
  }
}

void set_multipart(HttpReply& reply, const OpenFile& file, const std::vector<ByteRange>& ranges,
                   std::string_view content_type) {
  // 128 random bits: that they occur in a file is not worth reading it for.
  std::string boundary;
  append_hex(boundary, random_u64());
  append_hex(boundary, random_u64());
  std::vector<Piece> pieces;
  pieces.reserve(ranges.size() + 1);
  for (const ByteRange& range : ranges) {
    Piece& piece = pieces.emplace_back();
    piece.text.append("\r\n--").append(boundary).append("\r\nContent-Type: ");
    piece.text.append(content_type).append("\r\nContent-Range: ");
    piece.text.append(content_range(range, file.size)).append("\r\n\r\n");
    piece.offset = range.first;
    piece.length = range.length();
  }
  pieces.emplace_back().text.append("\r\n--").append(boundary).append("--\r\n");
  reply.headers.emplace_back("Content-Type", "multipart/byteranges; boundary=" + boundary);
  set_body(reply, file, std::move(pieces));
}

} // namespace

Validators validators_of(const RemoteName& name, const OpenFile& file, std::int64_t now) {
  Validators validators;
  if (name_describes(name, file)) {
    validators.etag = content_tag(name.fields()->crc32, file.size);
    validators.last_modified = name.fields()->timestamp;
    return validators;
  }
  validators.last_modified = file.mtime;
  if (file.immutable && file.crc32) {
    validators.etag = content_tag(*file.crc32, file.size);
    return validators;
  }
  const bool rested = std::int64_t{file.mtime} + kRestSeconds < now;
  const bool certain = file.immutable || file.crc32 || file.version != 0 || rested;
  validators.etag = certain ? "\"" : "W/\"";
  append_hex(validators.etag, file.size);
  for (const std::uint64_t number :
       {std::uint64_t{file.mtime}, file.version, std::uint64_t{file.crc32.value_or(0)}}) {
    validators.etag.push_back('-');
    append_hex(validators.etag, number);
  }
  validators.etag.push_back('"');
  return validators;
}

void add_file_headers(HttpReply& reply, const FileReplyContext& context) {
  reply.headers.emplace_back("X-Content-Type-Options", "nosniff");
  if (!context.active_content && is_active(context.content_type))
    reply.headers.emplace_back("Content-Security-Policy",
                               "sandbox; default-src 'none'; style-src 'unsafe-inline'; "
                               "img-src 'self' data:; font-src data:; media-src 'self' data:");
  if (!context.disposition_name.empty())
    reply.headers.emplace_back("Content-Disposition",
                               content_disposition(context.disposition_name));
}

bool is_kept_by_front(const HttpRequest& request) {
  return !request.header(kCacheKeptHeader).empty();
}

bool wants_cache_tags(const HttpRequest& request) {
  return !request.header(kCacheTagsHeader).empty() || is_kept_by_front(request);
}

bool wants_cache_tags(const HttpRequest& request, const HttpReply& reply) {
  const auto is_redirect = [](const auto& header) { return header.first == "X-Accel-Redirect"; };
  if (std::any_of(reply.headers.begin(), reply.headers.end(), is_redirect))
    return !request.header(kCacheTagsHeader).empty();
  return wants_cache_tags(request);
}

void add_cache_tag(HttpReply& reply, const std::string& tag) {
  for (auto& [name, value] : reply.headers) {
    if (name != kCacheTagsHeader) continue;
    value += "," + tag;
    return;
  }
  reply.headers.emplace_back(kCacheTagsHeader, tag);
}

HttpReply file_reply(const HttpRequest& request, const RemoteName& name, const OpenFile& file,
                     const FileReplyContext& context) {
  Validators validators = validators_of(name, file, context.now);
  if (context.last_modified) validators.last_modified = *context.last_modified;
  return file_reply(request, validators, file, context);
}

HttpReply file_reply(const HttpRequest& request, const Validators& validators, const OpenFile& file,
                     const FileReplyContext& context) {
  HttpReply reply;
  reply.headers.reserve(12);
  if (!validators.etag.empty()) reply.headers.emplace_back("ETag", validators.etag);
  if (validators.last_modified)
    reply.headers.emplace_back("Last-Modified", format_http_date(*validators.last_modified));
  if (!context.cache_control.empty())
    reply.headers.emplace_back("Cache-Control", context.cache_control);

  ConditionHeaders conditions;
  conditions.if_match = request.header("If-Match");
  conditions.if_none_match = request.header("If-None-Match");
  conditions.if_modified_since = request.header("If-Modified-Since");
  conditions.if_unmodified_since = request.header("If-Unmodified-Since");
  const Precondition precondition = evaluate_preconditions(conditions, validators, context.now);
  if (precondition != Precondition::proceed) {
    reply.status = precondition == Precondition::not_modified ? 304 : 412;
    return reply;
  }

  reply.headers.emplace_back("Accept-Ranges", "bytes");
  RangeAnswer range;
  const std::string_view range_header = request.header("Range");
  if (!range_header.empty() && if_range_holds(request.header("If-Range"), validators, context.now))
    range = parse_range(range_header, file.size);
  if (range.kind == RangeAnswer::Kind::unsatisfiable) {
    reply.status = 416;
    reply.headers.emplace_back("Content-Range", content_range_unsatisfied(file.size));
    return reply;
  }

  add_file_headers(reply, context);
  if (range.ranges.size() > 1) {
    reply.status = 206;
    set_multipart(reply, file, range.ranges, context.content_type);
    return reply;
  }
  reply.headers.emplace_back("Content-Type", context.content_type);
  std::vector<Piece> pieces(1);
  pieces[0].length = file.size;
  if (range.kind == RangeAnswer::Kind::partial) {
    reply.status = 206;
    reply.headers.emplace_back("Content-Range", content_range(range.ranges[0], file.size));
    pieces[0].offset = range.ranges[0].first;
    pieces[0].length = range.ranges[0].length();
  }
  set_body(reply, file, std::move(pieces));
  return reply;
}

HttpReply flv_reply(const OpenFile& file, std::uint64_t start, std::uint64_t end,
                    const FileReplyContext& context) {
  CAIRN_ASSERT(kFlvHeadSize < start && start < end && end <= file.size);
  HttpReply reply;
  reply.headers.emplace_back("Content-Type", context.content_type);
  if (!context.cache_control.empty())
    reply.headers.emplace_back("Cache-Control", context.cache_control);
  add_file_headers(reply, context);
  std::vector<Piece> pieces(2);
  pieces[0].length = kFlvHeadSize;
  pieces[1].offset = start;
  pieces[1].length = end - start;
  set_body(reply, file, std::move(pieces));
  return reply;
}

} // namespace cairn::storage
