// Pieces side by side.
#include "client/namespace_data.h"

#include "common/base/file_id.h"
#include "common/wire/fastdfs.h"

#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>

#include <algorithm>
#include <utility>

namespace cairn {

namespace {

// A stored file that is smaller is fetched into memory as a whole when it is streamed.
constexpr std::uint64_t kFetchWhole = 4ULL << 20;
// Streamed ranges are fetched in blocks, so many at a time.
constexpr std::uint64_t kBlock = 1ULL << 20;
constexpr std::size_t kAhead = 4;

// A part of what `read` gives.
Source read_at(NsData::ReadAt read, std::uint64_t offset, std::uint64_t length) {
  auto at = std::make_shared<std::uint64_t>(0);
  Source::Reader reader = [read = std::move(read), offset, length,
                           at](std::span<std::byte> out) -> Result<std::size_t> {
    const auto wanted = static_cast<std::size_t>(std::min<std::uint64_t>(out.size(), length - *at));
    CAIRN_TRY(count, read(offset + *at, out.first(wanted)));
    *at += count;
    return count;
  };
  Source::Rewind rewind = [at]() -> Status {
    *at = 0;
    return {};
  };
  return Source::reader(length, std::move(reader), std::move(rewind));
}

} // namespace

struct NsData::Job {
  explicit Job(const asio::any_io_executor& executor) : done(executor) {}

  std::uint64_t size = 0;
  ReadAt read; // or, when it is empty:
  wire::View memory;
  StoreOptions options;
  std::uint64_t next = 0; // first byte that nobody stores yet
  std::size_t workers = 0;
  std::uint64_t finished = 0; // bytes
  Stored stored;
  Status failure;
  std::size_t next_group = 0;
  asio::steady_timer done;
};

Task<Result<wire::NsExtent>> NsData::store_piece(std::shared_ptr<Job> job, std::uint64_t offset,
                                                 std::uint64_t length) {
  UploadOptions upload;
  upload.extension = job->options.extension;
  upload.timeout = job->options.timeout;
  if (!job->options.groups.empty())
    upload.group = job->options.groups[job->next_group++ % job->options.groups.size()];
  Source source = job->read ? read_at(job->read, offset, length)
                            : Source::memory(job->memory.subspan(static_cast<std::size_t>(offset),
                                                                 static_cast<std::size_t>(length)));
  upload.copies = job->options.copies;
  upload.copies_of_members = true;
  upload.on_copies = [job](unsigned have, unsigned) {
    job->stored.copies = job->stored.copies == 0 ? have : std::min(job->stored.copies, have);
  };
  CAIRN_CO_TRY(id, co_await core_->upload(std::move(source), std::move(upload)));
  wire::NsExtent extent;
  extent.offset = offset;
  extent.length = length;
  extent.id = std::move(id);
  co_return extent;
}

Task<void> NsData::work(std::shared_ptr<Job> job) {
  while (job->next < job->size && job->failure) {
    const std::uint64_t offset = job->next;
    const std::uint64_t length = std::min(job->options.piece_bytes, job->size - offset);
    job->next += length;
    auto extent = co_await store_piece(job, offset, length);
    if (!extent) {
      job->failure = std::move(extent).error();
      break;
    }
    job->stored.extents.push_back(*std::move(extent));
    job->finished += length;
    if (job->options.progress) job->options.progress(job->finished, job->size);
  }
  --job->workers;
  job->done.cancel();
}

Task<Result<NsData::Stored>> NsData::store(std::uint64_t size, ReadAt read, StoreOptions options) {
  auto job = std::make_shared<Job>(co_await asio::this_coro::executor);
  job->size = size;
  job->read = std::move(read);
  job->options = std::move(options);
  co_return co_await run(std::move(job));
}

Task<Result<NsData::Stored>> NsData::store(wire::View bytes, StoreOptions options) {
  auto job = std::make_shared<Job>(co_await asio::this_coro::executor);
  job->size = bytes.size();
  job->memory = bytes;
  job->options = std::move(options);
  co_return co_await run(std::move(job));
}

Task<Result<NsData::Stored>> NsData::run(std::shared_ptr<Job> job) {
  const auto executor = co_await asio::this_coro::executor;
  if (job->size == 0) co_return std::move(job->stored);
  const std::uint64_t pieces = (job->size - 1) / job->options.piece_bytes + 1;
  job->workers = static_cast<std::size_t>(
      std::clamp<std::uint64_t>(pieces, 1, std::max<std::size_t>(job->options.parallel, 1)));
  const std::size_t others = job->workers - 1;
  for (std::size_t i = 0; i < others; ++i) spawn(executor, work(job), "store");
  co_await work(job);
  while (job->workers > 0) {
    job->done.expires_at(std::chrono::steady_clock::time_point::max());
    co_await job->done.async_wait(as_result);
  }
  if (!job->failure) {
    std::vector<wire::NsExtent> half = std::move(job->stored.extents);
    co_await discard(std::move(half));
    co_return std::move(job->failure).error();
  }
  std::ranges::sort(job->stored.extents, {}, &wire::NsExtent::offset);
  co_return std::move(job->stored);
}

Task<void> NsData::discard(std::vector<wire::NsExtent> extents) {
  std::set<std::string> ids;
  for (const auto& extent : extents) ids.insert(extent.id);
  for (const std::string& id : ids) {
    auto parsed = parse_id(id);
    if (!parsed) continue;
    wire::GroupFile file;
    file.group = parsed->group;
    file.name = parsed->name;
    const ClientCore::Request request(wire::Command::delete_file, wire::encode(file));
    const auto deadline = core_->deadline(Timeout(std::chrono::seconds(5)));
    static_cast<void>(co_await core_->file_request(*std::move(parsed), true, Repeat::harmless,
                                                   request, deadline));
  }
}

// --- reading -------------------------------------------------------------------------------------

Task<Status> NsData::fetch(wire::NsExtent extent, std::span<std::byte> out, Timeout timeout) {
  std::vector<std::byte> bytes;
  DownloadOptions options;
  options.offset = extent.source;
  options.length = out.size();
  options.timeout = timeout;
  // All of a stored file: without a range its checksum is compared with its name.
  const auto parsed = parse_id(extent.id);
  if (parsed && parsed->has_checksum && extent.source == 0 && parsed->size == out.size())
    options.length = 0;
  CAIRN_CO_TRY(done, co_await core_->download(extent.id, Sink::memory(bytes), std::move(options)));
  static_cast<void>(done);
  if (bytes.size() != out.size())
    co_return Error{Errc::corrupt, extent.id + " is shorter than the namespace says"};
  std::ranges::copy(bytes, out.begin());
  co_return Status();
}

Task<Status> NsData::read(std::vector<wire::NsExtent> extents, std::uint64_t offset,
                          std::span<std::byte> out, Timeout timeout) {
  std::ranges::fill(out, std::byte{0});
  const std::uint64_t end = offset + out.size();
  struct Part {
    wire::NsExtent extent;
    std::span<std::byte> out;
  };
  std::vector<Part> parts;
  for (const wire::NsExtent& extent : extents) {
    const std::uint64_t from = std::max(extent.offset, offset);
    const std::uint64_t to = std::min(extent.offset + extent.length, end);
    if (from >= to) continue;
    Part part;
    part.extent = extent;
    part.extent.source += from - extent.offset;
    part.out =
        out.subspan(static_cast<std::size_t>(from - offset), static_cast<std::size_t>(to - from));
    parts.push_back(std::move(part));
  }
  if (parts.size() == 1) co_return co_await fetch(parts[0].extent, parts[0].out, timeout);
  // Several at a time.
  const auto executor = co_await asio::this_coro::executor;
  struct Shared {
    explicit Shared(const asio::any_io_executor& e) : done(e) {}
    std::size_t next = 0;
    std::size_t workers = 0;
    Status failure;
    asio::steady_timer done;
  };
  auto shared = std::make_shared<Shared>(executor);
  shared->workers = std::min(parts.size(), kAhead);
  const auto worker = [](NsData* self, std::shared_ptr<Shared> all, std::vector<Part>* of,
                         Timeout time) -> Task<void> {
    while (all->next < of->size() && all->failure) {
      Part& part = (*of)[all->next++];
      const Status fetched = co_await self->fetch(part.extent, part.out, time);
      if (!fetched) all->failure = fetched;
    }
    --all->workers;
    all->done.cancel();
  };
  const std::size_t workers = shared->workers;
  for (std::size_t i = 0; i < workers; ++i)
    spawn(executor, worker(this, shared, &parts, timeout), "fetch");
  while (shared->workers > 0) {
    shared->done.expires_at(std::chrono::steady_clock::time_point::max());
    co_await shared->done.async_wait(as_result);
  }
  co_return shared->failure;
}

Task<Status> NsData::stream(std::vector<wire::NsExtent> extents, std::uint64_t offset,
                            std::uint64_t length, Sink::Writer sink, Timeout timeout,
                            Progress progress) {
  const std::uint64_t end = offset + length;
  std::size_t first = 0; // extents before it are behind `offset`
  for (std::uint64_t at = offset; at < end;) {
    while (first < extents.size() && extents[first].offset + extents[first].length <= at) ++first;
    const bool inside = first < extents.size() && extents[first].offset <= at;
    if (inside) {
      const wire::NsExtent& extent = extents[first];
      const auto parsed = parse_id(extent.id);
      const bool whole = extent.offset == at && extent.source == 0 &&
                         extent.offset + extent.length <= end && parsed && parsed->has_checksum &&
                         parsed->size == extent.length;
      if (whole && extent.length > kFetchWhole) {
        // A large stored file as it is: verified when its last byte has come.
        DownloadOptions options;
        options.timeout = timeout;
        CAIRN_CO_TRY(done,
                     co_await core_->download(extent.id, Sink::writer(sink), std::move(options)));
        static_cast<void>(done);
        at += extent.length;
        if (progress) progress(at - offset, length);
        continue;
      }
    }
    // A window of small extents, holes and ranges, fetched side by side. It ends before a stored
    // file that is streamed whole, and at the end of extents so that those are read whole.
    std::uint64_t to = std::min(end, at + kAhead * kBlock);
    for (std::size_t i = first; i < extents.size() && extents[i].offset < to; ++i) {
      const std::uint64_t extent_end = extents[i].offset + extents[i].length;
      if (extents[i].offset > at && extents[i].length > kFetchWhole)
        to = std::min(to, extents[i].offset);
      else if (extent_end > to && extents[i].offset > at)
        to = std::min(to, extents[i].offset);
      else if (extent_end > to && extents[i].length <= kFetchWhole)
        to = std::min(end, extent_end);
    }
    wire::Buffer buffer(static_cast<std::size_t>(to - at));
    CAIRN_CO_RETURN_IF_ERROR(co_await read(extents, at, buffer.span(), timeout));
    CAIRN_CO_RETURN_IF_ERROR(sink(buffer.view()));
    at = to;
    if (progress) progress(at - offset, length);
  }
  co_return Status();
}

} // namespace cairn
