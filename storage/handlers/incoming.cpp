// Memory first, then disk.
#include "storage/handlers/incoming.h"

#include <algorithm>
#include <utility>

namespace cairn::storage {

namespace {

// Uploads up to this are kept in memory (while the budget lasts); more goes to disk as it comes.
constexpr std::uint64_t kMemoryMax = 256 * 1024;
constexpr std::size_t kPiece = 256 * 1024;
constexpr std::size_t kSmallPiece = 16 * 1024;

} // namespace

std::string extension_of(std::string_view name) {
  const std::size_t dot = name.rfind('.');
  if (dot == std::string_view::npos) return {};
  std::string extension(name.substr(dot + 1));
  return validate_extension(extension) ? extension : std::string();
}

Status Incoming::begin(std::optional<std::uint64_t> size) {
  const std::uint64_t expected = size.value_or(kMemoryMax);
  CAIRN_TRY(place, context_.store.choose_path(0xFF, size.value_or(0)));
  place_.emplace(std::move(place));
  if (expected <= kMemoryMax) charge_ = context_.memory.take(expected);
  if (charge_) in_memory_max_ = expected;
  memory_.reserve(in_memory_max_);
  return {};
}

Task<Status> Incoming::add(wire::View bytes) {
  size_ += bytes.size();
  if (size_ > size_max_) co_return Error{Errc::name_too_long, "too large"};
  if (!staged_ && size_ <= in_memory_max_) {
    memory_.insert(memory_.end(), bytes.begin(), bytes.end());
    co_return Status();
  }
  DiskPool& pool = context_.store.pool(place_->store_path);
  if (!staged_) {
    auto stage = [this]() -> Result<StagedFile> {
      CAIRN_TRY(staged, context_.store.stage(place_->store_path));
      if (!memory_.empty()) CAIRN_RETURN_IF_ERROR(staged.write(memory_));
      return staged;
    };
    CAIRN_CO_TRY(made, co_await pool.run(std::move(stage)));
    staged_ = std::move(made);
    memory_ = wire::Bytes();
  }
  auto write = [file = &*staged_, bytes] { return file->write(bytes); };
  co_return co_await pool.run(std::move(write));
}

Task<Result<Change>> Incoming::finish(std::string extension, std::string metadata, std::string mark,
                                      Copies& copies) {
  NewFile file;
  file.extension = std::move(extension);
  file.mark = std::move(mark);
  auto create = [this, &file, &metadata]() -> Result<Change> {
    auto made = staged_ ? context_.store.publish(file, std::move(*staged_))
                        : context_.store.create(file, place_->store_path, memory_);
    if (!made || metadata.empty()) return made;
    CAIRN_TRY(name, parse_remote_name(made->name));
    CAIRN_TRY(set, context_.store.set_metadata(name, metadata, false, Origin()));
    made->seq = std::max(made->seq, set.seq);
    return made;
  };
  DiskPool& pool = context_.store.pool(place_->store_path);
  co_return co_await committed(context_, pool, std::move(create), copies);
}

Task<Status> take_raw(RequestBody* body, Incoming& incoming, ContentDigests& digests) {
  if (body == nullptr) co_return Status();
  wire::Buffer piece(body->length().value_or(kPiece) <= kSmallPiece ? kSmallPiece : kPiece);
  for (;;) {
    std::size_t have = 0;
    while (have < piece.size()) {
      CAIRN_CO_TRY(count, co_await body->read_some(piece.span().subspan(have)));
      if (count == 0) break;
      have += count;
    }
    if (have == 0) co_return Status();
    const wire::View bytes = piece.view().first(have);
    digests.add(bytes);
    CAIRN_CO_RETURN_IF_ERROR(co_await incoming.add(bytes));
  }
}

} // namespace cairn::storage
