// Content that comes over HTTP, on its way to the store: in memory while it is small, else in a
// staged file.
#pragma once

#include "common/net/http_body.h"
#include "storage/handlers/context.h"
#include "storage/http/digests.h"

#include <atomic>
#include <optional>
#include <string>
#include <string_view>

namespace cairn::storage {

class Incoming {
public:
  // More than `size_max` bytes are refused.
  Incoming(Context& context, std::uint64_t size_max) : context_(context), size_max_(size_max) {}
  Incoming(const Incoming&) = delete;
  Incoming& operator=(const Incoming&) = delete;

  // `size`: of the whole content, if it is known. Errors: no_space.
  Status begin(std::optional<std::uint64_t> size);
  // Errors: name_too_long (more than may be), no_space, io_error.
  Task<Status> add(wire::View bytes);
  // Gives it a name and makes it durable, with metadata if there is any, and `mark` (see
  // origin_mark.h) if it is for the namespace.
  Task<Result<Change>> finish(std::string extension, std::string metadata, std::string mark,
                              Copies& copies);
  std::uint64_t size() const { return size_; }

private:
  Context& context_;
  const std::uint64_t size_max_;
  std::optional<Place> place_; // once begin() was good
  MemoryCharge charge_;
  std::uint64_t in_memory_max_ = 0; // what charge_ is for
  std::uint64_t size_ = 0;
  wire::Bytes memory_;
  std::optional<StagedFile> staged_;
};

// Moves a raw body. An empty one has no RequestBody. Errors: those of the body, and of add().
Task<Status> take_raw(RequestBody* body, Incoming& incoming, ContentDigests& digests);

// The extension an ID can carry of a file name; empty when it has none that fits.
std::string extension_of(std::string_view name);

// Counts an upload that is under way, for as long as it lives.
class CountDown {
public:
  explicit CountDown(std::atomic<std::uint32_t>& count) : count_(count) {}
  CountDown(const CountDown&) = delete;
  CountDown& operator=(const CountDown&) = delete;
  ~CountDown() { --count_; }

private:
  std::atomic<std::uint32_t>& count_;
};

} // namespace cairn::storage
