// Appending, group commit, recovery and pruning of the binlog.
#include "storage/binlog/binlog.h"

#include "storage/binlog/segment.h"

#include <boost/asio/associated_executor.hpp>
#include <boost/asio/post.hpp>
#include <spdlog/spdlog.h>

#include <charconv>
#include <fcntl.h>
#include <fstream>
#include <sys/stat.h>
#include <unistd.h>

namespace cairn::storage {

namespace fs = std::filesystem;

namespace {

// With more than this many uploads waiting, a pause lets others join the batch: twenty share a sync
// instead of four. A lone client never waits for it.
constexpr std::size_t kLingerAbove = 8;
constexpr std::chrono::microseconds kLinger{500};

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

// Makes a change of the directory itself (a new or removed name) durable.
Status sync_directory(const fs::path& directory) {
  const int fd = ::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return errno_error("open " + directory.string(), errno);
  const int failed = ::fsync(fd);
  const int error = errno;
  ::close(fd);
  if (failed != 0) return errno_error("fsync " + directory.string(), error);
  return Status();
}

// The number of this start: one more than the last, on stable storage before it is used.
Result<std::uint64_t> next_start(const fs::path& directory, std::uint64_t at_least) {
  const fs::path file = directory / "start";
  std::uint64_t last = 0;
  if (std::ifstream in(file); in) in >> last;
  const std::uint64_t start = std::max(last + 1, at_least);
  const fs::path temporary = directory / "start.new";
  const int fd = ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (fd < 0) return errno_error("open " + temporary.string(), errno);
  const std::string text = std::to_string(start) + "\n";
  const bool good = ::write(fd, text.data(), text.size()) == static_cast<ssize_t>(text.size()) &&
                    ::fsync(fd) == 0;
  const int error = errno;
  ::close(fd);
  if (!good) return errno_error("write " + temporary.string(), error);
  if (::rename(temporary.c_str(), file.c_str()) != 0)
    return errno_error("rename " + temporary.string(), errno);
  CAIRN_RETURN_IF_ERROR(sync_directory(directory));
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
  if (fd_ >= 0) {
    if (auto synced = sync_log(); !synced) spdlog::error("binlog: {}", synced.error().text());
    ::close(fd_);
  }
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
    if (good > 0) break;
    fs::remove(last->second, error);
    segments_.erase(last);
  }
  CAIRN_TRY(start, next_start(directory_, (last_seq >> 32) + 1));
  end_ = last_seq;
  committed_ = last_seq;
  next_seq_ = (start << 32) + 1;
  return open_segment(next_seq_);
}

Status Binlog::open_segment(std::uint64_t first_seq) {
  const fs::path file = directory_ / segment_name(first_seq);
  const int fd = ::open(file.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  if (fd < 0) return errno_error("open " + file.string(), errno);
  if (options_.durable) {
    if (auto synced = sync_directory(directory_); !synced) {
      ::close(fd);
      return synced;
    }
  }
  if (fd_ >= 0) retired_.push_back(fd_);
  fd_ = fd;
  segment_bytes_ = 0;
  segments_.emplace(first_seq, file);
  return Status();
}

Result<std::uint64_t> Binlog::append(LogRecord& record) {
  {
    const std::lock_guard lock(append_mutex_);
    if (segment_bytes_ >= options_.segment_size) CAIRN_RETURN_IF_ERROR(open_segment(next_seq_));
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
    const ssize_t count = ::write(fd_, frame.data(), frame.size());
    if (count != static_cast<ssize_t>(frame.size())) {
      const int failure = count < 0 ? errno : ENOSPC;
      // A torn record would end the log for its readers.
      if (count > 0 && ::ftruncate(fd_, static_cast<off_t>(segment_bytes_)) != 0)
        return errno_error("binlog: repair after a short write", errno);
      return errno_error("binlog: write", failure);
    }
    segment_bytes_ += frame.size();
    ++next_seq_;
    own_files_ = record.own_files;
    own_bytes_ = record.own_bytes;
    end_ = record.seq;
    if (options_.durable) return record.seq;
    committed_ = record.seq;
  }
  notify();
  return record.seq;
}

void Binlog::enqueue(std::unique_ptr<Waiter> waiter) {
  {
    const std::lock_guard lock(commit_mutex_);
    waiters_.push_back(std::move(waiter));
  }
  commit_wake_.notify_one();
}

Task<Status> Binlog::commit(std::uint64_t seq) {
  if (committed_.load() >= seq) co_return Status();
  auto initiate = [this, seq](auto handler) {
    struct Resume final : Waiter {
      explicit Resume(decltype(handler) h) : handler_(std::move(h)) {}
      void done(Status status) override {
        auto executor = asio::get_associated_executor(handler_);
        asio::post(executor, [h = std::move(handler_), status]() mutable {
          std::move(h)(std::move(status));
        });
      }
      decltype(handler) handler_;
    };
    auto waiter = std::make_unique<Resume>(std::move(handler));
    waiter->seq = seq;
    enqueue(std::move(waiter));
  };
  co_return co_await asio::async_initiate<const asio::use_awaitable_t<>, void(Status)>(
      std::move(initiate), asio::use_awaitable);
}

Status Binlog::commit_blocking(std::uint64_t seq) {
  if (committed_.load() >= seq) return Status();
  struct Block final : Waiter {
    void done(Status status) override {
      const std::lock_guard lock(*mutex);
      *result = std::move(status);
      wake->notify_one();
    }
    std::mutex* mutex = nullptr;
    std::condition_variable* wake = nullptr;
    std::optional<Status>* result = nullptr;
  };
  std::mutex mutex;
  std::condition_variable wake;
  std::optional<Status> result;
  auto waiter = std::make_unique<Block>();
  waiter->seq = seq;
  waiter->mutex = &mutex;
  waiter->wake = &wake;
  waiter->result = &result;
  enqueue(std::move(waiter));
  std::unique_lock lock(mutex);
  wake.wait(lock, [&] { return result.has_value(); });
  return *result;
}

Status Binlog::sync_log() {
  std::vector<int> full;
  int current = -1;
  {
    const std::lock_guard lock(append_mutex_);
    full.swap(retired_);
    current = ::fcntl(fd_, F_DUPFD_CLOEXEC, 0);
  }
  Status status;
  if (current < 0) status = errno_error("binlog: dup", errno);
  for (const int fd : full) {
    if (::fdatasync(fd) != 0 && status) status = errno_error("binlog: fdatasync", errno);
    ::close(fd);
  }
  if (current >= 0) {
    if (::fdatasync(current) != 0 && status) status = errno_error("binlog: fdatasync", errno);
    ::close(current);
  }
  return status;
}

void Binlog::commit_loop() {
  std::unique_lock lock(commit_mutex_);
  for (;;) {
    commit_wake_.wait(lock, [this] { return stopping_ || !waiters_.empty(); });
    if (waiters_.empty()) return;
    const bool crowded = waiters_.size() > kLingerAbove;
    lock.unlock();
    if (crowded) std::this_thread::sleep_for(kLinger);

    const std::uint64_t target = end_.load();
    Status status = options_.sync_files ? options_.sync_files() : Status();
    if (status) status = sync_log();
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
    for (auto& waiter : done) waiter->done(status);
    if (status) notify();
    lock.lock();
  }
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
