// Staging, publishing and committing a pulled object.
#include "storage/handlers/keep_pulled.h"

#include <cerrno>
#include <fcntl.h>
#include <unistd.h>
#include <utility>

namespace cairn::storage {

namespace {

// A descriptor for those who read the file while it is written and after it was published.
Result<std::shared_ptr<const int>> reader_of(const StagedFile& staged) {
  const int copy = ::fcntl(staged.fd(), F_DUPFD_CLOEXEC, 0);
  if (copy < 0) return errno_error("duplicate the descriptor of a new file", errno);
  return std::shared_ptr<const int>(new int(copy), [](const int* fd) {
    ::close(*fd);
    delete fd;
  });
}

} // namespace

Task<Result<std::string>> StoreKeeper::keep(std::string extension, std::uint64_t size_max,
                                            PullBody& body, Arriving& arriving) {
  CAIRN_CO_RETURN_IF_ERROR(takes_changes(context_));
  const std::optional<std::uint64_t> promised = arriving.length();
  if (promised && *promised > size_max)
    co_return Error{Errc::invalid_argument, "the object is larger than the rules allow"};
  CAIRN_CO_TRY(place, context_.store.choose_path(0xFF, promised.value_or(0)));
  const std::uint8_t store_path = place.store_path;
  DiskPool& pool = context_.store.pool(store_path);
  NewFile file;
  file.extension = std::move(extension);

  // The first piece decides: what fits into it needs no staged file.
  std::optional<StagedFile> staged;
  std::shared_ptr<const int> reader;
  for (;;) {
    const std::span<std::byte> room = arriving.room();
    if (room.empty()) {
      if (!staged) {
        auto stage = [&store = context_.store, store_path] { return store.stage(store_path); };
        CAIRN_CO_TRY(made, co_await pool.run(std::move(stage)));
        staged = std::move(made);
        CAIRN_CO_TRY(copy, reader_of(*staged));
        reader = std::move(copy);
      }
      auto write = [&staged, bytes = arriving.piece()] { return staged->write(bytes); };
      CAIRN_CO_RETURN_IF_ERROR(co_await pool.run(std::move(write)));
      arriving.moved_to(reader);
      continue;
    }
    CAIRN_CO_TRY(count, co_await body.read_some(room));
    if (count == 0) break;
    arriving.arrived(count);
    if (arriving.size() > size_max)
      co_return Error{Errc::invalid_argument, "the object is larger than the rules allow"};
  }
  const std::uint64_t size = arriving.size();
  if (promised && *promised != size)
    co_return Error{Errc::io_error, "the origin sent " + std::to_string(size) + " bytes of " +
                                        std::to_string(*promised)};
  if (staged) {
    auto write = [&staged, bytes = arriving.piece()] { return staged->write(bytes); };
    CAIRN_CO_RETURN_IF_ERROR(co_await pool.run(std::move(write)));
    arriving.moved_to(reader);
  }
  // Those who wait need not wait for the disk: what they get is whole and right.
  arriving.complete();
  Counted counted(context_.counters.upload, size);
  auto create = [&]() -> Result<Change> {
    if (!staged) return context_.store.create(file, store_path, arriving.piece());
    return context_.store.publish(file, *std::move(staged));
  };
  CAIRN_CO_TRY(change, co_await committed(context_, pool, std::move(create)));
  counted.succeed();
  co_return change.name;
}

} // namespace cairn::storage
