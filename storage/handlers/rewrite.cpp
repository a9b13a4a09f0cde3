// Makes one stored file out of ranges of others, for the tracker that rewrites fragmented files.
// What is read does not change: all of them are immutable, and stay for the namespace's grace time
// even if nothing names them any more.
#include "common/wire/rewrite.h"

#include "common/wire/copies.h"
#include "common/wire/fastdfs.h"
#include "storage/handlers/context.h"
#include "storage/handlers/incoming.h"
#include "storage/handlers/locate.h"

#include <algorithm>
#include <cerrno>
#include <unistd.h>
#include <utility>

namespace cairn::storage {

namespace {

// Read, and written, at once.
constexpr std::size_t kPiece = 1024 * 1024;
constexpr std::chrono::milliseconds kSourceTimeout{15'000};

// Reads `length` bytes, at most kPiece, of a stored file of this group.
Task<Result<wire::Bytes>> read_own(Context& context, RemoteName name, std::uint64_t offset,
                                   std::uint64_t length) {
  CAIRN_CO_TRY(located, co_await locate(context, name, offset, length));
  if (located.there) co_return co_await located.there->read_all(length);
  auto read = [&opened = *located.here, offset, length]() -> Result<wire::Bytes> {
    wire::Bytes bytes(static_cast<std::size_t>(length));
    for (std::size_t at = 0; at < bytes.size();) {
      const ssize_t count = ::pread(opened.file.get(), bytes.data() + at, bytes.size() - at,
                                    static_cast<off_t>(offset + at));
      if (count < 0) return errno_error("read a stored file", errno);
      if (count == 0) return Error{Errc::corrupt, "a stored file is shorter than it was"};
      at += static_cast<std::size_t>(count);
    }
    return bytes;
  };
  co_return co_await context.store.read_pool(name.store_path()).run(std::move(read));
}

// The same of another group, whose members find it among themselves.
Task<Result<wire::Bytes>> read_foreign(Context& context, const wire::Rewrite& request, FileId id,
                                       std::uint64_t offset, std::uint64_t length) {
  Error failure(Errc::unavailable, "no member of " + id.group + " is there");
  for (const wire::RewriteSource& source : request.sources) {
    if (source.group != id.group) continue;
    Endpoint endpoint;
    endpoint.host = source.host;
    endpoint.port = source.port;
    wire::Bytes body;
    wire::Writer writer(body);
    writer.integer(offset, 8);
    writer.integer(length, 8);
    writer.padded(id.group, 16);
    writer.raw(wire::as_view(id.name.canonical()));
    auto bytes = co_await context.remote().pool().call(
        endpoint, static_cast<std::uint8_t>(wire::Command::download_file), std::move(body),
        kSourceTimeout, length);
    if (bytes && bytes->size() == length) co_return bytes;
    failure = bytes ? Error{Errc::corrupt, "a stored file is shorter than it was"}
                    : std::move(bytes).error();
  }
  co_return failure;
}

Task<Result<wire::Bytes>> read_part(Context& context, const wire::Rewrite& request,
                                    const wire::RewritePart& part, std::uint64_t at,
                                    std::uint64_t length) {
  if (part.id.empty()) co_return wire::Bytes(static_cast<std::size_t>(length));
  auto id = parse_file_id(part.id);
  if (!id) co_return Error{Errc::invalid_argument, "not a file ID: " + part.id};
  const bool own = id->group == context.config.group_name;
  if (own) co_return co_await read_own(context, std::move(id->name), part.offset + at, length);
  co_return co_await read_foreign(context, request, *std::move(id), part.offset + at, length);
}

// The size of what a request makes. Errors: invalid_argument.
Result<std::uint64_t> size_of(const wire::Rewrite& request) {
  if (request.parts.empty() || request.parts.size() > wire::kRewritePartsMax)
    return Error{Errc::invalid_argument, "too many parts, or none"};
  std::uint64_t size = 0;
  for (const wire::RewritePart& part : request.parts) {
    if (part.length == 0 || part.length > wire::kRewriteBytesMax - size)
      return Error{Errc::invalid_argument, "more than a rewrite may be"};
    size += part.length;
  }
  return size;
}

} // namespace

Task<Result<Reply>> rewrite(Context& context, Session& session, Body& body) {
  CAIRN_CO_TRY(all, co_await take_all(body));
  CAIRN_CO_TRY(request, wire::decode_lenient<wire::Rewrite>(all));
  if (session.peer_uuid != kTrackerUuid)
    co_return Error{Errc::denied, "only the tracker has files rewritten"};
  CAIRN_CO_RETURN_IF_ERROR(takes_changes(context));
  CAIRN_CO_TRY(size, size_of(request));
  const auto wanted = std::clamp<unsigned>(request.copies, 1, wire::kCopiesMask);
  CAIRN_CO_TRY(
      copies,
      copies_wanted(context, static_cast<std::uint8_t>(wanted | unsigned{wire::kCopiesOfMembers})));
  CAIRN_CO_TRY(ticket, begin_under(context.uploads));
  Incoming incoming(context, wire::kRewriteBytesMax);
  CAIRN_CO_RETURN_IF_ERROR(incoming.begin(size));
  wire::Bytes buffer;
  buffer.reserve(kPiece);
  for (const wire::RewritePart& part : request.parts) {
    for (std::uint64_t at = 0; at < part.length;) {
      const std::uint64_t length = std::min<std::uint64_t>(part.length - at, kPiece);
      CAIRN_CO_TRY(bytes, co_await read_part(context, request, part, at, length));
      at += length;
      if (buffer.size() + bytes.size() > kPiece) {
        CAIRN_CO_RETURN_IF_ERROR(co_await incoming.add(buffer));
        buffer.clear();
      }
      buffer.insert(buffer.end(), bytes.begin(), bytes.end());
    }
  }
  CAIRN_CO_RETURN_IF_ERROR(co_await incoming.add(buffer));
  CAIRN_CO_TRY(made, co_await incoming.finish(std::move(request.extension), std::string(),
                                              std::move(request.mark), copies));
  wire::RewriteReply reply;
  reply.id = context.config.group_name + "/" + made.name;
  reply.copies = static_cast<std::uint8_t>(std::min(copies.have, 255U));
  co_return Reply(wire::encode(reply));
}

} // namespace cairn::storage
