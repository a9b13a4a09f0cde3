// Appending, group commit, recovery and pruning of the binlog.
#include "storage/binlog/binlog.h"

#include "common/base/durable_file.h"
#include "common/net/resume.h"
#include "storage/binlog/segment.h"

#include <spdlog/spdlog.h>

#include <charconv>
#include <fcntl.h>
#include <fstream>
#include <sys/stat.h>
#include <unistd.h>

namespace cairn::storage {

namespace fs = std::filesystem;

namespace {

// A batch that holds this much carries no more content; the files are synced instead.
constexpr std::size_t kCarryMax = 8 << 20;
// After this long without a commit the journal is emptied, so that a start has nothing to replay.
constexpr std::chrono::seconds kIdle{30};
// Of the changes under way, those that are worth a flush; and the longest time from one flush to
// the next in which it waits for them.
constexpr std::size_t kShare = 8;
constexpr std::chrono::milliseconds kRestMost{2};

Result<wire::Bytes> read_whole(const fs::path& file) {
  const int fd = ::open(file.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return errno_error("open " + file.string(), errno);
  struct stat info {};
  ::fstat(fd, &info);
  wire::Bytes bytes(static_cast<std::size_t>(info.st_size));
  std::size_t have = 0;
  while (have < bytes.size()) {
    const ssize_t count = ::read(fd, bytes.data() + have, bytes.size() - have);
    if (count <= 0) break;
    have += static_cast<std::size_t>(count);
  }
  ::close(fd);
  bytes.resize(have);
  return bytes;
}

Status sync_file(const fs::path& file) {
  const int fd = ::open(file.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return errno_error("open " + file.string(), errno);
  const int failed = ::fdatasync(fd);
  const int error = errno;
  ::close(fd);
  return failed == 0 ? Status() : errno_error("fdatasync " + file.string(), error);
}

// Appends a record to the segment of `bytes` bytes behind `fd`; after an error the segment is as
// before.
Status write_frame(int fd, wire::View frame, std::uint64_t bytes) {
  const ssize_t count = ::write(fd, frame.data(), frame.size());
  if (count == static_cast<ssize_t>(frame.size())) return {};
  const int failure = count < 0 ? errno : ENOSPC;
  // A torn record would end the log for its readers.
  if (count > 0 && ::ftruncate(fd, static_cast<off_t>(bytes)) != 0)
    return errno_error("binlog: repair after a short write", errno);
  return errno_error("binlog: write", failure);
}

// The number of this start: one more than the last, on stable storage before it is used.
Result<std::uint64_t> next_start(const fs::path& directory, std::uint64_t at_least) {
  const fs::path file = directory / "start";
  std::uint64_t last = 0;
  if (std::ifstream in(file); in) in >> last;
  const std::uint64_t start = std::max(last + 1, at_least);
  CAIRN_RETURN_IF_ERROR(durable_write_file(file, std::to_string(start) + "\n"));
  return start;
}

} // namespace

Binlog::Binlog(fs::path directory, BinlogOptions options)
    : directory_(std::move(directory)), options_(std::move(options)) {}

Result<std::unique_ptr<Binlog>> Binlog::open(fs::path directory, BinlogOptions options) {
  std::error_code error;
  fs::create_directories(directory, error);
  if (error)
    return Error{Errc::io_error, "cannot create " + directory.string() + ": " + error.message()};
  std::unique_ptr<Binlog> log(new Binlog(std::move(directory), std::move(options)));
  CAIRN_RETURN_IF_ERROR(log->recover());
  log->commit_thread_ = std::thread([raw = log.get()] { raw->commit_loop(); });
  return log;
}

Binlog::~Binlog() {
  {
    const std::lock_guard lock(commit_mutex_);
    stopping_ = true;
  }
  commit_wake_.notify_all();
  if (commit_thread_.joinable()) commit_thread_.join();
  if (fd_ >= 0) ::close(fd_);
}

Status Binlog::recover() {
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(directory_, error))
    if (const auto first = segment_first_seq(entry.path())) segments_.emplace(*first, entry.path());
  if (error)
    return Error{Errc::io_error, "cannot list " + directory_.string() + ": " + error.message()};

  // The totals stand in the last whole record; an empty last segment sends us one further back.
  std::uint64_t last_seq = 0;
  while (!segments_.empty()) {
    const auto last = std::prev(segments_.end());
    CAIRN_TRY(bytes, read_whole(last->second));
    std::size_t good = 0;
    for (;;) {
      std::size_t size = 0;
      auto record = parse_record(wire::View(bytes).subspan(good), size);
      if (!record || !record->has_value()) break;
      last_seq = (*record)->seq;
      own_files_ = (*record)->own_files;
      own_bytes_ = (*record)->own_bytes;
      good += size;
    }
    if (good < bytes.size()) {
      spdlog::warn("binlog: cut {} bytes of a torn record off {}", bytes.size() - good,
                   last->second.string());
      if (::truncate(last->second.c_str(), static_cast<off_t>(good)) != 0)
        return errno_error("truncate " + last->second.string(), errno);
    }
    if (good > 0) {
      CAIRN_RETURN_IF_ERROR(sync_file(last->second));
      break;
    }
    fs::remove(last->second, error);
    segments_.erase(last);
  }
  CAIRN_RETURN_IF_ERROR(replay_journal(last_seq));
  CAIRN_TRY(start, next_start(directory_, (last_seq >> 32) + 1));
  end_ = last_seq;
  committed_ = last_seq;
  next_seq_ = (start << 32) + 1;
  return open_segment(next_seq_);
}

// Opens the journal and repairs files and log from what it holds; `last_seq` becomes the position
// of the last record there is.
Status Binlog::replay_journal(std::uint64_t& last_seq) {
  const fs::path files[] = {directory_ / "journal.0", directory_ / "journal.1"};
  const bool exists = fs::exists(files[0]);
  const bool is_wanted = options_.durable && options_.journal_size != 0;
  if (!exists && !is_wanted) return {};
  std::uint64_t records = 0;
  const auto replay = [&](wire::View frame, wire::View content) -> Status {
    std::size_t size = 0;
    CAIRN_TRY(record, parse_record(frame, size));
    if (!record) return Error{Errc::corrupt, "a record in the journal is cut"};
    if (record->seq > last_seq) {
      // What the log lost with the power goes into a segment of its own.
      if (records++ == 0) CAIRN_RETURN_IF_ERROR(open_segment(record->seq));
      CAIRN_RETURN_IF_ERROR(write_frame(fd_, frame, segment_bytes_));
      segment_bytes_ += frame.size();
      last_seq = record->seq;
      own_files_ = record->own_files;
      own_bytes_ = record->own_bytes;
    }
    if (record->kind == ChangeKind::put && content.size() == record->total_size && options_.restore)
      return options_.restore(*record, content);
    return {};
  };
  auto journal = Journal::open(directory_, options_.journal_size, replay);
  if (journal.code() == Errc::no_space && !fs::exists(files[0])) {
    // Files that are there already can still be served, and deleted.
    spdlog::warn("binlog: no space for a journal, every commit syncs the store paths size={}",
                 options_.journal_size);
    return {};
  }
  if (!journal) return std::move(journal).error();
  if (records > 0) spdlog::warn("binlog: {} records came back from the journal", records);
  journal_ = std::move(*journal);
  committed_at_open_ = journal_->committed();
  CAIRN_RETURN_IF_ERROR(sync_everything());
  // Until recovered() what was committed stays what it was: the crash may come again before that.
  CAIRN_RETURN_IF_ERROR(journal_->release_all(committed_at_open_.value_or(last_seq)));
  if (is_wanted) return {};
  // What it says would be old when it is wanted again.
  journal_.reset();
  for (const fs::path& file : files)
    if (::unlink(file.c_str()) != 0) return errno_error("unlink " + file.string(), errno);
  return sync_directory(directory_);
}

Status Binlog::open_segment(std::uint64_t first_seq) {
  const fs::path file = directory_ / segment_name(first_seq);
  const int fd = ::open(file.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  if (fd < 0) return errno_error("open " + file.string(), errno);
  if (options_.durable) {
    // A segment with a successor is whole: only the end of the last one is repaired after a crash.
    Status synced = sync_directory(directory_);
    if (synced && fd_ >= 0 && ::fdatasync(fd_) != 0)
      synced = errno_error("binlog: fdatasync", errno);
    if (!synced) {
      ::close(fd);
      return synced;
    }
  }
  if (fd_ >= 0) ::close(fd_);
  fd_ = fd;
  segment_bytes_ = 0;
  segments_.emplace(first_seq, file);
  return Status();
}

// Gives the record the next position; with the lock of appending.
wire::Bytes Binlog::frame_of(LogRecord& record) const {
  record.seq = next_seq_;
  record.time = static_cast<std::uint32_t>(std::time(nullptr));
  record.own_files = own_files_ + (record.received ? 0 : 1);
  record.own_bytes = own_bytes_ + (record.received ? 0 : record.length);
  wire::Bytes frame(kRecordHead);
  wire::Writer writer(frame);
  wire::encode_into(writer, record);
  const wire::View payload = wire::View(frame).subspan(kRecordHead);
  CAIRN_ASSERT(payload.size() <= kRecordMax);
  wire::store_big_endian(frame.data(), payload.size(), 4);
  wire::store_big_endian(frame.data() + 4, crc32(0, payload), 4);
  return frame;
}

Status Binlog::add_frame(const LogRecord& record, wire::View frame) {
  CAIRN_RETURN_IF_ERROR(write_frame(fd_, frame, segment_bytes_));
  segment_bytes_ += frame.size();
  next_seq_ = record.seq + 1;
  own_files_ = record.own_files;
  own_bytes_ = record.own_bytes;
  end_ = record.seq;
  return {};
}

Result<std::uint64_t> Binlog::append(LogRecord& record, std::optional<wire::View> content) {
  {
    const std::lock_guard lock(append_mutex_);
    drop_early();
    if (segment_bytes_ >= options_.segment_size) CAIRN_RETURN_IF_ERROR(open_segment(next_seq_));
    const wire::Bytes frame = frame_of(record);
    CAIRN_RETURN_IF_ERROR(add_frame(record, frame));
    if (options_.durable) {
      if (content && batch_.size() + content->size() > kCarryMax) content.reset();
      if (!content) batch_needs_files_ = true;
      if (journal_) batch_.add(frame, content.value_or(wire::View()));
      return record.seq;
    }
    committed_ = record.seq;
  }
  notify();
  return record.seq;
}

// The record that is being written early takes the common way, behind the one that comes now: its
// position is not used. With the lock of appending.
void Binlog::drop_early() {
  if (std::exchange(early_seq_, 0) != 0) ++next_seq_;
}

// Gives the record its position and starts the journal's write, if nothing else is to be committed.
bool Binlog::begin_early(LogRecord& record, wire::View content, wire::Bytes& frame) {
  CommitLock lock(commit_mutex_);
  if (committing_ || stopping_ || !waiters_.empty() || sync_due_ || !journal_ ||
      journal_->is_started() || under_way_ >= kShare)
    return false;
  committing_ = true;
  lock.unlock();
  bool started = false;
  {
    const std::lock_guard appending(append_mutex_);
    if (batch_.empty() && !batch_needs_files_ && segment_bytes_ < options_.segment_size) {
      frame = frame_of(record);
      early_batch_.clear();
      early_batch_.add(frame, content);
      started = journal_->start(early_batch_, record.seq);
      if (started) early_seq_ = started_seq_ = record.seq;
    }
  }
  lock.lock();
  committing_ = false;
  if (must_wake()) commit_wake_.notify_one();
  return started;
}

// The file of that record could not be made: what the journal has of it must not come back with a
// crash.
void Binlog::void_early(std::uint64_t seq) {
  CommitLock lock(commit_mutex_);
  // Who commits now, or has done so, writes over it.
  if (committing_ || !journal_->is_started() || started_seq_ != seq) return;
  committing_ = true;
  lock.unlock();
  if (journal_->settle(/*keep=*/false)) journal_->forget_started();
  lock.lock();
  committing_ = false;
  if (must_wake()) commit_wake_.notify_one();
}

Result<std::uint64_t> Binlog::append_new(LogRecord& record, std::optional<wire::View> content,
                                         const std::function<Status()>& make) {
  wire::Bytes frame;
  const bool early = options_.durable && content && begin_early(record, *content, frame);
  Status made = make();
  bool overtaken = false;
  if (early) {
    const std::lock_guard lock(append_mutex_);
    overtaken = early_seq_ != record.seq;
    if (!overtaken) {
      drop_early();
      if (made) made = add_frame(record, frame);
      early_appended_ = static_cast<bool>(made);
    }
  }
  if (made && early && !overtaken) return record.seq;
  if (made) return append(record, content);
  if (early) void_early(record.seq);
  return std::move(made).error();
}

void Binlog::enqueue(std::unique_ptr<Waiter> waiter) {
  bool wake = false;
  {
    const std::lock_guard lock(commit_mutex_);
    waiters_.push_back(std::move(waiter));
    wake = must_wake();
  }
  if (wake) commit_wake_.notify_one();
}

void Binlog::commit_or_enqueue(std::unique_ptr<Waiter> waiter) {
  CommitLock lock(commit_mutex_);
  waiters_.push_back(std::move(waiter));
  // While others wait too the commit thread goes on from one batch to the next.
  if (!committing_ && waiters_.size() == 1) commit_round(lock);
  if (must_wake()) commit_wake_.notify_one();
}

Task<Status> Binlog::commit(std::uint64_t seq) {
  if (committed_.load() >= seq) co_return Status();
  auto initiate = [this, seq](auto handler) {
    when_committed(seq, [handler = std::move(handler)](Status status) mutable {
      resume(std::move(handler), std::move(status));
    });
  };
  co_return co_await asio::async_initiate<const asio::use_awaitable_t<>, void(Status)>(
      std::move(initiate), asio::use_awaitable);
}

Status Binlog::commit_blocking(std::uint64_t seq) {
  std::promise<Status> promise;
  auto result = promise.get_future();
  when_committed(seq, [&promise](Status status) { promise.set_value(std::move(status)); });
  return result.get();
}

Status Binlog::sync_log() {
  // Segments before the current one were synced when it began.
  int current = -1;
  {
    const std::lock_guard lock(append_mutex_);
    if (fd_ < 0) return {};
    current = ::fcntl(fd_, F_DUPFD_CLOEXEC, 0);
  }
  if (current < 0) return errno_error("binlog: dup", errno);
  const int failed = ::fdatasync(current);
  const int error = errno;
  ::close(current);
  return failed == 0 ? Status() : errno_error("binlog: fdatasync", error);
}

// Files and log, without the journal.
Status Binlog::sync_everything() {
  if (options_.sync_files) CAIRN_RETURN_IF_ERROR(options_.sync_files());
  return sync_log();
}

// Takes the end of a checkpoint into account, after waiting for it with `wait`. What the journal
// file that was left last holds is then where it belongs.
Status Binlog::finish_checkpoint(bool wait) {
  if (!checkpoint_.valid()) return {};
  if (!wait && checkpoint_.wait_for(std::chrono::seconds(0)) != std::future_status::ready)
    return {};
  if (Status done = checkpoint_.get(); !done) {
    // Still due: the next one who waits tries again.
    checkpoint_ = std::async(std::launch::deferred, [this] { return sync_everything(); });
    return done;
  }
  journal_->release_others();
  return {};
}

// Goes on in the other journal file if `batch` does not fit into this one, and syncs what this one
// holds meanwhile.
Status Binlog::make_room(const JournalBatch& batch) {
  CAIRN_RETURN_IF_ERROR(finish_checkpoint(/*wait=*/false));
  if (journal_->fits(batch)) return {};
  CAIRN_RETURN_IF_ERROR(finish_checkpoint(/*wait=*/true));
  journal_->turn();
  checkpoint_ = std::async(std::launch::async, [this] { return sync_everything(); });
  return {};
}

// Writes `batch` to the journal, behind what append_new() has written there (`early`), and makes
// both durable.
Status Binlog::write_journal(JournalBatch& batch, std::uint64_t target, bool early) {
  if (early && (batch.empty() || !journal_->fits(batch)))
    CAIRN_RETURN_IF_ERROR(journal_->flush(batch.empty() ? target : started_seq_));
  if (early && batch.empty()) return {};
  CAIRN_RETURN_IF_ERROR(make_room(batch));
  return journal_->write(batch, target);
}

Status Binlog::make_durable(JournalBatch& batch, std::uint64_t target, bool files_too, bool early) {
  // After a failure the journal lacks records: what they speak of has to be synced itself.
  const bool without = !journal_ || sync_due_ || !journal_->could_fit(batch);
  sync_due_ = true;
  if (journal_ && journal_->is_started()) CAIRN_RETURN_IF_ERROR(journal_->settle(early));
  if (without) {
    CAIRN_RETURN_IF_ERROR(sync_everything());
    if (journal_) CAIRN_RETURN_IF_ERROR(journal_->release_all(target));
  } else {
    if (files_too && options_.sync_files) CAIRN_RETURN_IF_ERROR(options_.sync_files());
    CAIRN_RETURN_IF_ERROR(write_journal(batch, target, early));
  }
  sync_due_ = false;
  return {};
}

// Brings everything where it belongs, so that a replay has nothing to do.
void Binlog::clean_journal() {
  const std::uint64_t end = end_;
  const bool says_so = !recovered_ || (journal_ && journal_->committed() == end);
  if (journal_ && !journal_->holds_anything() && says_so) return;
  if (journal_ && journal_->is_started()) {
    {
      const std::lock_guard appending(append_mutex_);
      drop_early();
      early_appended_ = false; // synced like all others
    }
    (void)journal_->settle(/*keep=*/false);
  }
  Status status = finish_checkpoint(/*wait=*/true);
  if (status) status = sync_everything();
  if (status && journal_)
    status = journal_->release_all(recovered_ ? end : journal_->committed().value_or(end));
  if (!status) spdlog::error("binlog: {}", status.error().text());
}

// Whether enough changes wait for a flush.
bool Binlog::is_worth_it() const {
  return waiters_.size() * kShare >= under_way_.load(std::memory_order_relaxed);
}

// Whether the commit thread has to be told of what waits.
bool Binlog::must_wake() const {
  return stopping_ || (!waiters_.empty() && (!resting_ || is_worth_it()));
}

// Before a flush of the commit thread.
void Binlog::wait_for_others(CommitLock& lock) {
  resting_ = true;
  commit_wake_.wait_until(lock, last_commit_ + kRestMost,
                          [this] { return stopping_ || committing_ || is_worth_it(); });
  resting_ = false;
}

// Commits what was appended, and answers those who wait for it. With the lock, and without it in
// between.
void Binlog::commit_round(CommitLock& lock) {
  committing_ = true;
  lock.unlock();
  ResumeTogether::flush();

  std::uint64_t target = 0;
  bool files_too = false;
  bool early = false;
  {
    const std::lock_guard appending(append_mutex_);
    drop_early();
    early = std::exchange(early_appended_, false);
    committed_batch_.clear();
    committed_batch_.swap(batch_);
    files_too = std::exchange(batch_needs_files_, false);
    target = end_.load();
  }
  const Status status = make_durable(committed_batch_, target, files_too, early);
  if (status)
    committed_ = target;
  else
    spdlog::error("binlog: commit failed: {}", status.error().text());

  std::vector<std::unique_ptr<Waiter>> done;
  lock.lock();
  for (auto& waiter : waiters_)
    if (waiter->seq <= target) done.push_back(std::move(waiter));
  std::erase(waiters_, nullptr);
  lock.unlock();
  {
    const ResumeTogether together;
    for (auto& waiter : done) waiter->done(status);
  }
  if (status) notify();
  lock.lock();
  committing_ = false;
  last_commit_ = std::chrono::steady_clock::now();
}

// Empties the journal after a while without a commit.
void Binlog::clean_round(CommitLock& lock) {
  if (!journal_ || std::chrono::steady_clock::now() - last_commit_ < kIdle) return;
  committing_ = true;
  lock.unlock();
  clean_journal();
  lock.lock();
  committing_ = false;
}

void Binlog::commit_loop() {
  CommitLock lock(commit_mutex_);
  for (;;) {
    const auto called = [this] { return !committing_ && (stopping_ || !waiters_.empty()); };
    const auto now = std::chrono::steady_clock::now();
    const auto idle = last_commit_ + kIdle;
    if (!commit_wake_.wait_until(lock, idle > now ? idle : now + kIdle, called)) {
      if (!committing_) clean_round(lock);
      continue;
    }
    if (waiters_.empty()) break;
    wait_for_others(lock);
    if (!committing_) commit_round(lock);
  }
  lock.unlock();
  clean_journal();
}

std::uint64_t Binlog::begin_seq() const {
  const std::lock_guard lock(append_mutex_);
  return segments_.empty() ? end_.load() : segments_.begin()->first - 1;
}

std::uint64_t Binlog::position_before(std::uint64_t bytes) const {
  const std::lock_guard lock(append_mutex_);
  std::uint64_t have = 0;
  for (auto segment = segments_.rbegin(); segment != segments_.rend(); ++segment) {
    std::error_code ignored;
    const auto size = fs::file_size(segment->second, ignored);
    if (!ignored) have += size;
    if (have >= bytes) return segment->first - 1;
  }
  return segments_.empty() ? end_.load() : segments_.begin()->first - 1;
}

int Binlog::on_commit(std::function<void()> wake) {
  const std::lock_guard lock(listeners_mutex_);
  listeners_.emplace(next_listener_, std::move(wake));
  return next_listener_++;
}

void Binlog::forget(int listener) {
  const std::lock_guard lock(listeners_mutex_);
  listeners_.erase(listener);
}

void Binlog::notify() {
  const std::lock_guard lock(listeners_mutex_);
  for (const auto& [number, wake] : listeners_) wake();
}

void Binlog::prune(std::uint64_t seq) {
  std::vector<fs::path> old;
  {
    const std::lock_guard lock(append_mutex_);
    // A segment may go when the next one begins at or before the first position still wanted.
    while (segments_.size() > 1 && std::next(segments_.begin())->first <= seq + 1) {
      old.push_back(segments_.begin()->second);
      segments_.erase(segments_.begin());
    }
  }
  std::error_code ignored;
  for (const auto& file : old) fs::remove(file, ignored);
}

} // namespace cairn::storage
