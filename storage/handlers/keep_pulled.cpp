// Staging, publishing and committing a pulled object.
#include "storage/handlers/keep_pulled.h"

#include <utility>

namespace cairn::storage {

namespace {
constexpr std::size_t kPiece = 256 * 1024;
} // namespace

Task<Result<std::string>> StoreKeeper::keep(std::string extension, std::uint64_t size_max,
                                            PullBody& body) {
  CAIRN_CO_RETURN_IF_ERROR(takes_changes(context_));
  const std::optional<std::uint64_t> promised = body.length();
  if (promised && *promised > size_max)
    co_return Error{Errc::invalid_argument, "the object is larger than the rules allow"};
  CAIRN_CO_TRY(place, context_.store.choose_path(0xFF, promised.value_or(0)));
  const std::uint8_t store_path = place.store_path;
  DiskPool& pool = context_.store.pool(store_path);
  NewFile file;
  file.extension = std::move(extension);

  // The first piece decides: what fits into it needs no staged file.
  wire::Bytes piece(kPiece);
  std::optional<StagedFile> staged;
  std::uint64_t size = 0;
  std::size_t have = 0;
  for (;;) {
    const std::span<std::byte> rest = std::span(piece).subspan(have);
    if (rest.empty()) {
      if (!staged) {
        auto stage = [&store = context_.store, store_path] { return store.stage(store_path); };
        CAIRN_CO_TRY(made, co_await pool.run(std::move(stage)));
        staged = std::move(made);
      }
      auto write = [&staged, bytes = wire::View(piece)] { return staged->write(bytes); };
      CAIRN_CO_RETURN_IF_ERROR(co_await pool.run(std::move(write)));
      have = 0;
      continue;
    }
    CAIRN_CO_TRY(count, co_await body.read_some(rest));
    if (count == 0) break;
    have += count;
    size += count;
    if (size > size_max)
      co_return Error{Errc::invalid_argument, "the object is larger than the rules allow"};
  }
  if (promised && *promised != size)
    co_return Error{Errc::io_error, "the origin sent " + std::to_string(size) + " bytes of " +
                                        std::to_string(*promised)};
  Counted counted(context_.counters.upload, size);
  auto create = [&]() -> Result<Change> {
    const wire::View last = wire::View(piece).first(have);
    if (!staged) return context_.store.create(file, store_path, last);
    CAIRN_RETURN_IF_ERROR(staged->write(last));
    return context_.store.publish(file, *std::move(staged));
  };
  CAIRN_CO_TRY(change, co_await committed(context_, pool, std::move(create)));
  counted.succeed();
  co_return change.name;
}

} // namespace cairn::storage
