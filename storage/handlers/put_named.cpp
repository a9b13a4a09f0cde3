// Storing under a given name: as an upload, but for the name.
#include "storage/handlers/put_named.h"

#include "common/base/crc32.h"
#include "common/wire/named_file.h"

#include <algorithm>
#include <cerrno>
#include <ctime>
#include <unistd.h>

namespace cairn::storage {

namespace {

constexpr std::size_t kPiece = 256 * 1024;

Result<std::uint32_t> legacy_crc32_of(int fd) {
  LegacyCrc32 out;
  wire::Buffer buffer(kPiece);
  for (off_t at = 0;;) {
    const ssize_t count = ::pread(fd, buffer.data(), kPiece, at);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return errno_error("read of what was sent", errno);
    if (count == 0) return out.value();
    out.update(buffer.view().first(static_cast<std::size_t>(count)));
    at += count;
  }
}

// A name that says what its file is must be right: it is what every later check goes by. Blocks.
Status check_name(const RemoteName& name, Content& content, std::uint32_t crc) {
  if (name.kind() != FileKind::normal && name.kind() != FileKind::trunk) return {};
  if (crc == name.fields()->crc32) return {};
  std::uint32_t legacy = 0;
  if (content.in_memory()) {
    legacy = legacy_crc32(content.view());
  } else {
    CAIRN_TRY(read, legacy_crc32_of(content.staged().fd()));
    legacy = read;
  }
  if (legacy == name.fields()->crc32) return {};
  return Error{Errc::corrupt, name.canonical() + ": the content is not what the name says"};
}

// On the pool of the name's store path. A change with position 0: the file was there.
Result<Change> put(Store& store, const RemoteName& name, const wire::PutNamed& request,
                   Content& content, std::uint32_t crc) {
  CAIRN_RETURN_IF_ERROR(check_name(name, content, crc));
  if (const auto there = store.open_file(name)) {
    CAIRN_TRY(kept, store.content_crc32(name, true));
    if (there->size != request.size || kept != crc)
      return Error{Errc::exists, name.canonical() + " has another content here"};
    return Change{name.canonical(), 0};
  } else if (there.code() != Errc::not_found) {
    return there.error();
  }
  CAIRN_TRY(tombstone, store.tombstones().find(name.canonical()));
  if (tombstone && !request.again && name.kind() != FileKind::slave)
    return Error{Errc::exists, name.canonical() + " was deleted here"};
  Origin origin;
  origin.mtime = request.mtime;
  // Else the delete would go on winning at the other members.
  origin.restored = tombstone && name.kind() != FileKind::slave;
  return content.in_memory() ? store.put(name, content.view(), origin)
                             : store.put(name, std::move(content.staged()), origin);
}

Task<Result<Reply>> put_named(Context& context, Session&, Body& body) {
  std::array<std::byte, 4> length;
  CAIRN_CO_RETURN_IF_ERROR(co_await body.read_exact(length));
  const std::uint64_t size = wire::load_big_endian(length.data(), length.size());
  if (size == 0 || size > wire::kPutNamedMax)
    co_return Error{Errc::invalid_argument, "a request of " + std::to_string(size) + " bytes"};
  CAIRN_CO_TRY(text, co_await take_text(body, size));
  CAIRN_CO_TRY(request, wire::decode_lenient<wire::PutNamed>(wire::as_view(text)));
  if (request.size != body.left())
    co_return Error{Errc::invalid_argument, "file size and body length differ"};
  CAIRN_CO_TRY(name, parse_name(context, request.name));
  if (!name.fields())
    co_return Error{Errc::invalid_argument, request.name + " is no name of a stored file"};
  const bool sized = name.kind() == FileKind::normal || name.kind() == FileKind::trunk;
  if (sized && name.fields()->size() != request.size)
    co_return Error{Errc::corrupt, request.name + ": not the size in its name"};
  CAIRN_CO_RETURN_IF_ERROR(takes_changes(context));
  CAIRN_CO_TRY(copies, copies_wanted(context, request.copies));
  CAIRN_CO_TRY(ticket, begin_under(context.uploads));
  Counted counted(context.counters.upload, request.size);
  const std::uint8_t store_path = name.store_path();
  CAIRN_CO_TRY(place, context.store.choose_path(store_path, request.size));
  // The name says where the file lies; another disk will not do.
  if (place.store_path != store_path)
    co_return Error{Errc::no_space, request.name + ": its store path is full or read-only"};
  CAIRN_CO_TRY(content, co_await Content::take(context, body, store_path));

  wire::PutNamedReply reply;
  auto work = [&context, &name, &request, &content, &reply] {
    reply.crc32 = content.in_memory() ? crc32(0, content.view()) : content.staged().crc32();
    return put(context.store, name, request, content, reply.crc32);
  };
  DiskPool& pool = context.store.pool(store_path);
  CAIRN_CO_TRY(change, co_await committed(context, pool, std::move(work), copies));
  reply.was_there = change.seq == 0;
  if (!reply.was_there)
    context.counters.last_source_update = static_cast<std::uint64_t>(std::time(nullptr));
  counted.succeed();
  reply.have = static_cast<std::uint8_t>(std::min(copies.have, 255U));
  reply.wanted = static_cast<std::uint8_t>(std::min(copies.wanted, 255U));
  co_return Reply(wire::encode(reply));
}

} // namespace

void add_put_named_handlers(HandlerTable<Context>& table) {
  table.on(static_cast<wire::Command>(wire::kPutNamed), &put_named, {Access::peer, kFileSizeMax});
}

} // namespace cairn::storage
