// Reads of files that may not be here (guarantee G2).
#include "storage/handlers/locate.h"

#include "common/net/send_file.h"

#include <spdlog/spdlog.h>

#include <algorithm>

namespace cairn::storage {

bool read_at_owner(Context& context, const RemoteName& name) {
  if (!name.fields() || !name.fields()->is_appender()) return false;
  const auto peers = context.peers.get();
  const std::uint32_t owner = peers->owner_of(name);
  return owner != 0 && owner != context.store.node_id();
}

namespace {

constexpr std::size_t kPiece = 128 * 1024;
// Sources of one answer beside the first: every member of a group, as a rule.
constexpr std::uint32_t kSwitchesMax = 8;

// What of a range that begins at `offset` is looked at before the first byte goes out.
std::uint64_t ahead(const OpenedFile& opened, std::uint64_t offset, std::uint64_t length) {
  const std::uint64_t rest = opened.size > offset ? opened.size - offset : 0;
  return std::min({length, rest, kVerifyAhead});
}

} // namespace

bool is_verified(const Context& context, const OpenedFile& opened, std::uint64_t offset,
                 std::uint64_t length) {
  return context.store.verdict(opened, offset, length) == Verdict::good;
}

std::optional<OpenedFile> open_at_once(Context& context, const RemoteName& name,
                                       std::uint64_t offset, std::uint64_t length) {
  if (context.store.is_out(name.store_path()) || read_at_owner(context, name)) return std::nullopt;
  auto cached = context.store.open_cached(name);
  if (!cached || !*cached) return std::nullopt;
  const std::uint64_t wanted = length == 0 ? kFileSizeMax : length;
  if (!is_verified(context, **cached, offset, ahead(**cached, offset, wanted))) return std::nullopt;
  return *std::move(*cached);
}

Task<Result<std::optional<OpenedFile>>> open_here(Context& context, const RemoteName& name,
                                                  std::uint64_t offset, std::uint64_t length) {
  if (context.store.is_out(name.store_path())) co_return std::optional<OpenedFile>();
  // Cached names are opened on this thread: two thread switches would cost more than the read.
  auto cached = context.store.open_cached(name);
  if (cached && *cached &&
      (length == 0 || is_verified(context, **cached, offset, ahead(**cached, offset, length))))
    co_return std::optional<OpenedFile>(*std::move(*cached));
  auto work = [&store = context.store, &name, offset,
               length]() -> Result<std::optional<OpenedFile>> {
    auto opened = store.open_file(name);
    if (opened) {
      if (length != 0)
        CAIRN_RETURN_IF_ERROR(store.verify(name, *opened, offset, ahead(*opened, offset, length)));
      return std::optional<OpenedFile>(*std::move(opened));
    }
    if (opened.code() != Errc::not_found) return std::move(opened).error();
    CAIRN_TRY(tombstone, store.tombstones().find(name.canonical()));
    if (tombstone) return Error{Errc::not_found, name.canonical() + " was deleted"};
    return std::optional<OpenedFile>();
  };
  auto opened = co_await context.store.read_pool(name.store_path()).run(std::move(work));
  if (opened.code() == Errc::corrupt || opened.code() == Errc::io_error) {
    context.counters.damaged_reads.fetch_add(1, std::memory_order_relaxed);
    spdlog::debug("damaged copy, asking another node: {}", opened.error().text());
    co_return std::optional<OpenedFile>();
  }
  co_return opened;
}

Task<Result<Located>> locate(Context& context, const RemoteName& name, std::uint64_t offset,
                             std::uint64_t length) {
  Located located;
  const std::uint64_t wanted = length == 0 ? kFileSizeMax : length;
  const bool owner_first = read_at_owner(context, name);
  if (!owner_first) {
    CAIRN_CO_TRY(here, co_await open_here(context, name, offset, wanted));
    located.here = std::move(here);
    if (located.here) co_return located;
  }
  auto there = co_await context.remote().open(name, offset, length);
  if (there) {
    context.counters.remote_reads.fetch_add(1, std::memory_order_relaxed);
    if (!owner_first && context.seen_elsewhere) context.seen_elsewhere(name);
    located.there.emplace(*std::move(there));
    co_return located;
  }
  if (owner_first && there.code() != Errc::invalid_argument) {
    // The owner is away: what has arrived here is the best there is.
    CAIRN_CO_TRY(here, co_await open_here(context, name, offset, wanted));
    located.here = std::move(here);
    if (located.here) co_return located;
  }
  // Nobody else has it, but a disk of this node that does not answer may.
  if (there.code() == Errc::not_found && context.store.is_out(name.store_path()))
    co_return Error{Errc::unavailable, "the disk of " + name.canonical() + " does not answer"};
  if (there.code() == Errc::not_found) {
    // Nobody else has it. If there is a damaged copy here, it is the last one, not none.
    auto look = [&store = context.store, &name] { return store.exists(name); };
    const bool is_here = co_await context.store.read_pool(name.store_path()).run(std::move(look));
    if (is_here) co_return Error{Errc::io_error, name.canonical() + ": the last copy is damaged"};
  }
  co_return std::move(there).error();
}

Task<Status> send_verified(Context& context, Connection& to, RemoteName name,
                           const OpenedFile& opened, std::uint64_t offset, std::uint64_t length,
                           bool only_here) {
  DiskPool& pool = context.store.read_pool(name.store_path());
  while (length > 0) {
    std::uint64_t piece = length;
    if (!is_verified(context, opened, offset, length)) {
      piece = std::min(length, kVerifyAhead - offset % kVerifyAhead);
      auto check = [&store = context.store, &name, &opened, offset, piece] {
        return store.verify(name, opened, offset, piece);
      };
      Status good = co_await pool.run(std::move(check));
      if (!good) {
        if (only_here) co_return good;
        CAIRN_CO_TRY(rest, co_await context.remote().open(name, offset, length));
        if (rest.length != length)
          co_return Error{Errc::io_error, name.canonical() + " has another size elsewhere"};
        context.counters.remote_reads.fetch_add(1, std::memory_order_relaxed);
        std::optional<RemoteFile> source(std::move(rest));
        co_return co_await pass_on(context, to, std::move(name), std::move(source), offset, length);
      }
    }
    CAIRN_CO_RETURN_IF_ERROR(co_await send_file_cached(to, pool, opened.file.get(), offset, piece));
    offset += piece;
    length -= piece;
  }
  co_return Status();
}

Task<Status> pass_on(Context& context, Connection& to, RemoteName name,
                     std::optional<RemoteFile> source, std::uint64_t offset, std::uint64_t length) {
  wire::Buffer buffer(static_cast<std::size_t>(std::min<std::uint64_t>(length, kPiece)));
  for (std::uint32_t switches = 0; length > 0;) {
    if (!source) {
      if (switches++ > kSwitchesMax)
        co_return Error{Errc::io_error, name.canonical() + ": all sources fail half-way"};
      auto next = co_await context.remote().open(name, offset, length);
      if (!next || next->length != length) {
        // Of a file that is read at its owner first there may be a good copy here.
        CAIRN_CO_TRY(here, co_await open_here(context, name, offset, length));
        if (!here || here->size < offset + length)
          co_return next ? Error{Errc::io_error, name.canonical() + " has another size elsewhere"}
                         : std::move(next).error();
        co_return co_await send_verified(context, to, name, *here, offset, length,
                                         /*only_here=*/true);
      }
      source.emplace(*std::move(next));
    }
    auto count = co_await source->read_some(buffer.span());
    if (!count || *count == 0) {
      source.reset();
      continue;
    }
    to.set_deadline(context.config.network_timeout);
    CAIRN_CO_RETURN_IF_ERROR(co_await to.write(buffer.view().first(*count)));
    offset += *count;
    length -= *count;
  }
  co_return Status();
}

} // namespace cairn::storage
