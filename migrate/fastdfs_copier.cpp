// Files by their IDs, and metadata after their files.
#include "migrate/fastdfs_copier.h"

#include "client/tracker_replies.h"
#include "common/base/file_id.h"

#include <algorithm>
#include <chrono>
#include <limits>
#include <thread>

namespace cairn::migrate {

namespace {

using Clock = std::chrono::steady_clock;

// Longer files are read once to be hashed and once more while they are sent.
constexpr std::uint64_t kWholeMax = std::uint64_t{1} << 20;
constexpr std::chrono::milliseconds kSleepMost{500};
// What is so young and not what its name says is still being written: FastDFS writes an upload
// under a name of that kind first.
constexpr std::chrono::seconds kUnfinished{600};

// A part of the content, for as long as it is sent.
Source part_of(std::shared_ptr<FastdfsContent> content, Limiter& limiter, std::uint64_t offset,
               std::uint64_t length) {
  if (!content->file) {
    const auto part =
        std::span<const std::byte>(content->bytes)
            .subspan(static_cast<std::size_t>(offset), static_cast<std::size_t>(length));
    return Source::memory(part);
  }
  const auto at = std::make_shared<std::uint64_t>(0);
  Source::Reader reader = [content, &limiter, offset, length,
                           at](std::span<std::byte> out) -> Result<std::size_t> {
    out = out.first(static_cast<std::size_t>(std::min<std::uint64_t>(out.size(), length - *at)));
    std::this_thread::sleep_for(std::min<Clock::duration>(limiter.take(out.size()), kSleepMost));
    CAIRN_RETURN_IF_ERROR(content->file->read(offset + *at, out));
    *at += out.size();
    return out.size();
  };
  Source::Rewind rewind = [at]() -> Status {
    *at = 0;
    return {};
  };
  return Source::reader(length, std::move(reader), std::move(rewind));
}

bool is_young(const Entry& entry) {
  return std::chrono::system_clock::from_time_t(entry.mtime_s) + kUnfinished >
         std::chrono::system_clock::now();
}

std::uint32_t mtime_of(const Entry& entry) {
  const auto most = std::int64_t{std::numeric_limits<std::uint32_t>::max()};
  return static_cast<std::uint32_t>(std::clamp(entry.mtime_s, std::int64_t{1}, most));
}

} // namespace

FastdfsCopier::FastdfsCopier(Ledger& ledger, GroupDestination& destination, Options options,
                             Limiter& limiter, Tally& tally, Record record)
    : Worker(ledger, std::move(options), limiter, tally, std::move(record)),
      destination_(destination) {}

Task<Status> FastdfsCopier::attempt(Attempt& at) {
  const bool is_metadata = FastdfsSource::file_of(at.path).size() < at.path.size();
  const bool is_file = FastdfsSource::what(at.path, false) == FastdfsSource::What::file;
  if (options_.dry_run) {
    if (is_file) {
      ++tally_.files;
      tally_.bytes += at.work.seen.size;
    } else if (is_metadata) {
      ++tally_.attributes;
    }
    item(is_file ? Change::sent : Change::attributes, at.work.seen, {}, is_file, at.path);
    co_return Status();
  }
  if (is_metadata) co_return co_await copy_metadata(at);
  if (is_file) co_return co_await copy_file(at);
  // A directory that could not be listed the last time: the scan of this pass tells again.
  at.batch.finish_work(at.path, at.work.serial);
  co_return Status();
}

Task<Result<FastdfsCopier::Content>> FastdfsCopier::read(std::string path) {
  co_await reading_.acquire();
  const auto begin = Clock::now();
  const FastdfsSource& source = *options_.fastdfs;
  auto work = [&source, path]() -> Result<Content> {
    CAIRN_TRY(content, source.read(path, kWholeMax));
    return std::make_shared<FastdfsContent>(std::move(content));
  };
  auto content = co_await readers_.run(std::move(work));
  reading_.release();
  note_latency(Clock::now() - begin);
  if (content && !(*content)->file) co_await pause(limiter_.take((*content)->entry.size));
  co_return content;
}

Task<Status> FastdfsCopier::copy_file(Attempt& at) {
  CAIRN_CO_TRY(row, ledger_.file(at.path));
  std::optional<FileRow> before;
  if (row && !row->has(kRowGone)) before = std::move(row);
  auto read_now = co_await read(at.path);
  if (read_now.code() == Errc::not_found) co_return co_await vanish(at);
  if (!read_now) co_return Error{Errc::io_error, read_now.error().text()};
  const Content content = *std::move(read_now);
  if (!content->damage.empty()) {
    if (!is_young(content->entry)) co_return Error{Errc::corrupt, content->damage};
    ++tally_.left_out;
    at.batch.finish_work(at.path, at.work.serial);
    at.batch.erase(Table::listed, std::string(parent_of(at.path)));
    co_return Status();
  }
  const bool known_there = before && before->has(kRowThere);
  auto flags =
      static_cast<std::uint8_t>((content->racy ? kRowRacy : 0) | (known_there ? kRowThere : 0));
  if (before && !at.check && before->sha256 == content->sha256 && !options_.copy->ignore_times) {
    ++tally_.unchanged;
    finished(at, content->entry, 0, content->sha256, flags);
    co_return Status();
  }
  CAIRN_CO_TRY(was_there, co_await store(at, content));
  // One that a killed run has stored and not noted looks the same; it stays too.
  if (was_there && !before) flags = static_cast<std::uint8_t>(flags | kRowThere);
  const std::optional<Entry> old = before ? std::optional<Entry>(before->seen) : std::nullopt;
  item(Change::sent, content->entry, old, true, at.path);
  finished(at, content->entry, 0, content->sha256, flags);
  co_return Status();
}

Task<Result<bool>> FastdfsCopier::store(Attempt& at, Content content) {
  wire::PutNamed request;
  request.name = at.path;
  request.size = content->entry.size;
  request.mtime = mtime_of(content->entry);
  request.again = options_.copy->ignore_times;
  Source whole = part_of(content, limiter_, 0, content->entry.size);
  const auto put = co_await destination_.put(std::move(request), std::move(whole));
  CopyCount copies;
  const std::vector<std::string> ids(1, destination_.id(at.path));
  if (put) {
    if (put->crc32 != content->crc32)
      co_return Error{Errc::corrupt, "the storage node has stored other bytes than it was sent"};
    copies = CopyCount(put->have, put->wanted);
    if (put->was_there) copies = co_await destination_.wait_for_copies(ids);
  } else {
    if (put.code() != Errc::exists) co_return put.error();
    // An appender file grows, and a slave may have been stored anew; all others are what they are.
    const auto name = parse_remote_name(at.path);
    const bool is_slave = name && name->kind() == FileKind::slave;
    if (!is_slave && (!name || name->kind() != FileKind::appender))
      co_return Error{Errc::exists,
                      "it was deleted at the destination, or has another content there"};
    if (is_slave) {
      CAIRN_CO_RETURN_IF_ERROR(co_await destination_.remove(at.path));
      co_return Error{Errc::unavailable, "it is stored anew"};
    }
    std::function<Source(std::uint64_t, std::uint64_t)> part =
        [content, &limiter = limiter_](std::uint64_t offset, std::uint64_t length) {
          return part_of(content, limiter, offset, length);
        };
    Status done = co_await destination_.rewrite(at.path, content->entry.size, std::move(part));
    if (done.code() == Errc::not_found)
      done = Error{Errc::exists, "it was deleted at the destination"};
    CAIRN_CO_RETURN_IF_ERROR(done);
    copies = co_await destination_.wait_for_copies(ids);
  }
  note_copies(at, ids, copies);
  if (put && put->was_there) {
    ++tally_.unchanged;
  } else {
    ++tally_.files;
    tally_.bytes += content->entry.size;
  }
  // An appender file that was written over was there as well.
  co_return !put || put->was_there;
}

Task<Status> FastdfsCopier::copy_metadata(Attempt& at) {
  CAIRN_CO_TRY(row, ledger_.file(at.path));
  const bool known = row && !row->has(kRowGone);
  auto read_now = co_await read(at.path);
  if (read_now.code() == Errc::not_found) co_return co_await vanish(at);
  if (!read_now) co_return Error{Errc::io_error, read_now.error().text()};
  const Content content = *std::move(read_now);
  const auto flags = static_cast<std::uint8_t>(kRowMetadata | (content->racy ? kRowRacy : 0));
  Metadata metadata = parse_metadata(wire::as_text(wire::View(content->bytes)));
  // As the destination keeps them.
  Sha256 hash;
  hash.update(wire::as_view(metadata_text(metadata)));
  const wire::Bytes sha256 = hash.finish();
  if (known && !at.check && row->sha256 == sha256 && !options_.copy->ignore_times) {
    finished(at, content->entry, 0, sha256, flags);
    co_return Status();
  }
  const std::string file(FastdfsSource::file_of(at.path));
  const Status set = co_await destination_.set_metadata(file, std::move(metadata));
  if (set.code() == Errc::not_found) {
    CAIRN_CO_TRY(master, ledger_.file(file));
    // Of a file that could not be copied, or is gone: it comes, or goes, with it.
    if (!master || master->has(kRowGone)) {
      at.batch.finish_work(at.path, at.work.serial);
      at.batch.erase(Table::listed, std::string(parent_of(at.path)));
      co_return Status();
    }
    co_return Error{Errc::io_error, "its file was deleted at the destination"};
  }
  CAIRN_CO_RETURN_IF_ERROR(set);
  ++tally_.attributes;
  item(Change::attributes, content->entry, {}, false, at.path);
  finished(at, content->entry, 0, sha256, flags);
  co_return Status();
}

Task<Status> FastdfsCopier::vanish(Attempt& at) {
  at.batch.finish_work(at.path, at.work.serial);
  CAIRN_CO_TRY(row, ledger_.file(at.path));
  if (row && row->has(kRowGone)) co_return Status();
  FileRow gone;
  if (row) {
    gone = *std::move(row);
  } else {
    // A run that was killed may have made it.
    if (!at.check) co_return Status();
    gone.seen = at.work.seen;
    gone.seen.type = NodeType::regular;
  }
  gone.flags |= kRowGone;
  at.batch.put_file(at.path, gone);
  if (options_.copy->remove) at.batch.mark(Table::removals, at.path);
  co_return Status();
}

Task<Status> FastdfsCopier::remove_one(std::string path) {
  const std::string file(FastdfsSource::file_of(path));
  if (file.size() == path.size()) co_return co_await destination_.remove(std::move(path));
  CAIRN_CO_TRY(master, ledger_.file(file));
  // They go with their file.
  if (!master || master->has(kRowGone)) co_return Status();
  co_return co_await destination_.set_metadata(file, Metadata());
}

Task<void> FastdfsCopier::remove(std::string path) {
  auto wait = kPauseFirst;
  Ledger::Batch batch;
  batch.erase(Table::removals, path);
  for (;;) {
    const auto row = ledger_.file(path);
    if (!row || !*row || !(*row)->has(kRowGone)) break; // it has come back
    if (options_.copy->removals_max && removals_ >= *options_.copy->removals_max) {
      ++tally_.kept;
      break;
    }
    ++removals_;
    const Status done = co_await remove_one(path);
    if (!done && !is_gone(done.error())) {
      --removals_;
      if (is_transient(done.error())) {
        if (!co_await pause_before_next_try(wait)) co_return;
        continue;
      }
      ++tally_.kept;
      if (options_.problem) options_.problem(path, done.error());
      break;
    }
    last_success_ = Clock::now();
    ++tally_.removed;
    if (options_.item) options_.item("*deleting  ", path, {});
    batch.erase_file(path);
    batch.erase(Table::short_copies, path);
    break;
  }
  record_(std::move(batch), std::nullopt);
}

} // namespace cairn::migrate
