// Reads of files that may not be here (guarantee G2).
#include "storage/handlers/locate.h"

#include <spdlog/spdlog.h>

namespace cairn::storage {

bool read_at_owner(Context& context, const RemoteName& name) {
  if (!name.fields() || !name.fields()->is_appender()) return false;
  const auto peers = context.peers.get();
  const std::uint32_t owner = peers->owner_of(name);
  return owner != 0 && owner != context.store.node_id();
}

Task<Result<std::optional<OpenedFile>>> open_here(Context& context, const RemoteName& name) {
  if (context.store.is_out(name.store_path())) co_return std::optional<OpenedFile>();
  // Cached names are opened on this thread: two thread switches would cost more than the read.
  auto cached = context.store.open_cached(name);
  if (cached && *cached) co_return std::optional<OpenedFile>(*std::move(*cached));
  auto work = [&store = context.store, &name]() -> Result<std::optional<OpenedFile>> {
    auto opened = store.open_file(name);
    if (opened) return std::optional<OpenedFile>(*std::move(opened));
    if (opened.code() != Errc::not_found) return std::move(opened).error();
    CAIRN_TRY(tombstone, store.tombstones().find(name.canonical()));
    if (tombstone) return Error{Errc::not_found, name.canonical() + " was deleted"};
    return std::optional<OpenedFile>();
  };
  auto opened = co_await context.store.read_pool(name.store_path()).run(std::move(work));
  if (opened.code() == Errc::corrupt || opened.code() == Errc::io_error) {
    context.counters.damaged_reads.fetch_add(1, std::memory_order_relaxed);
    spdlog::error("damaged copy, asking another node: {}", opened.error().text());
    co_return std::optional<OpenedFile>();
  }
  co_return opened;
}

Task<Result<Located>> locate(Context& context, const RemoteName& name, std::uint64_t offset,
                             std::uint64_t length) {
  Located located;
  const bool owner_first = read_at_owner(context, name);
  if (!owner_first) {
    CAIRN_CO_TRY(here, co_await open_here(context, name));
    located.here = std::move(here);
    if (located.here) co_return located;
  }
  auto there = co_await context.remote().open(name, offset, length);
  if (there) {
    context.counters.remote_reads.fetch_add(1, std::memory_order_relaxed);
    located.there.emplace(*std::move(there));
    co_return located;
  }
  if (owner_first && there.code() != Errc::invalid_argument) {
    // The owner is away: what has arrived here is the best there is.
    CAIRN_CO_TRY(here, co_await open_here(context, name));
    located.here = std::move(here);
    if (located.here) co_return located;
  }
  // Nobody else has it, but a disk of this node that does not answer may.
  if (there.code() == Errc::not_found && context.store.is_out(name.store_path()))
    co_return Error{Errc::unavailable, "the disk of " + name.canonical() + " does not answer"};
  co_return std::move(there).error();
}

} // namespace cairn::storage
