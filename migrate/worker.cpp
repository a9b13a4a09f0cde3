// Tries, waits and failures.
#include "migrate/worker.h"

#include "common/base/text.h"

#include <boost/asio/this_coro.hpp>

#include <algorithm>
#include <cerrno>

namespace cairn::migrate {

namespace {

using Clock = std::chrono::steady_clock;

constexpr unsigned kReadersMost = 8;
constexpr std::chrono::milliseconds kPauseMost{2000};
constexpr int kStaleTries = 3;

} // namespace

bool is_gone(const Error& error) {
  return error.code == static_cast<Errc>(ESTALE) || error.code == Errc::not_found;
}

bool is_transient(const Error& error) {
  switch (error.code) {
    case Errc::unavailable:
    case Errc::timeout:
    case Errc::closed:
    case Errc::no_net:
      return true;
    default:
      return error.outcome_unknown;
  }
}

bool is_fatal(const Error& error) {
  return error.code == Errc::no_space || error.code == static_cast<Errc>(EDQUOT) ||
         error.code == static_cast<Errc>(EROFS);
}

// --- permits -------------------------------------------------------------------------------------

Task<void> Permits::acquire() {
  while (taken_ >= most_) {
    asio::steady_timer turn(co_await asio::this_coro::executor, Clock::time_point::max());
    waiting_.push_back(&turn);
    co_await turn.async_wait(as_result);
    std::erase(waiting_, &turn);
  }
  ++taken_;
}

void Permits::release() {
  --taken_;
  if (waiting_.empty()) return;
  asio::steady_timer* next = waiting_.front();
  waiting_.pop_front();
  next->cancel();
}

void Permits::set_limit(unsigned most) {
  most_ = std::max(most, 1U);
  for (asio::steady_timer* waiting : waiting_) waiting->cancel();
  waiting_.clear();
}

// --- room ----------------------------------------------------------------------------------------

Task<Room::Part> Room::take(std::uint64_t bytes) {
  if (!waiting_.empty() || !fits(bytes)) {
    asio::steady_timer turn(co_await asio::this_coro::executor, Clock::time_point::max());
    waiting_.push_back(&turn);
    // The first of those who wait is told of all room that comes back.
    while (waiting_.front() != &turn || !fits(bytes)) {
      turn.expires_at(Clock::time_point::max());
      co_await turn.async_wait(as_result);
    }
    waiting_.pop_front();
  }
  taken_ += bytes;
  if (!waiting_.empty()) waiting_.front()->cancel();
  co_return Part(*this, bytes);
}

Room::Part::~Part() {
  if (room_ == nullptr) return;
  room_->taken_ -= bytes_;
  if (!room_->waiting_.empty()) room_->waiting_.front()->cancel();
}

// --- the frame of a piece of work ----------------------------------------------------------------

Worker::Worker(Ledger& ledger, Options options, Limiter& limiter, Tally& tally, Record record)
    : ledger_(ledger),
      options_(std::move(options)),
      limiter_(limiter),
      tally_(tally),
      record_(std::move(record)),
      readers_("migrate-read", std::clamp(options_.copy->jobs, 1U, kReadersMost)),
      reading_(std::clamp(options_.copy->jobs, 1U, kReadersMost)),
      room_(options_.copy->memory / 4),
      last_success_(Clock::now()) {
  tally_.readers = reading_.limit();
}

Task<void> Worker::pause(Clock::duration time) {
  if (time <= Clock::duration::zero()) co_return; // a timer costs a system call
  asio::steady_timer timer(co_await asio::this_coro::executor, time);
  co_await timer.async_wait(as_result);
}

Task<bool> Worker::pause_before_next_try(std::chrono::milliseconds& wait) {
  if (stopping() || Clock::now() - last_success_ > options_.copy->timeout) co_return false;
  co_await pause(wait);
  wait = std::min(wait * 2, kPauseMost);
  co_return true;
}

void Worker::item(Change change, const Entry& now, const std::optional<Entry>& before, bool content,
                  const std::string& path, const std::string& more) {
  if (!options_.item) return;
  options_.item(itemize(change, now, before, content), now.is_directory() ? path + "/" : path,
                more);
}

void Worker::note_latency(Clock::duration took) {
  const double ms = std::chrono::duration<double, std::milli>(took).count();
  latency_ms_ = latency_ms_ * 0.9 + ms * 0.1;
}

void Worker::adapt_readers() {
  const auto limit = options_.copy->source_latency;
  if (limit.count() <= 0) return;
  const unsigned most = std::clamp(options_.copy->jobs, 1U, kReadersMost);
  const unsigned now = reading_.limit();
  const bool slow = latency_ms_ > static_cast<double>(limit.count());
  const unsigned next = slow ? std::max(now / 2, 1U) : std::min(now + 1, most);
  if (next != now) reading_.set_limit(next);
  tally_.readers = next;
}

Task<void> Worker::process(std::string path, WorkRow work) {
  auto wait = kPauseFirst;
  int stale_tries = 0;
  Attempt at(path, work);
  at.check = work.run < options_.run || work.attempts > 0;
  while (!stopping()) {
    at.batch = {};
    const Status done = co_await attempt(at);
    if (done) {
      last_success_ = Clock::now();
      record_(std::move(at.batch), path);
      ended(at);
      co_return;
    }
    const Error& error = done.error();
    if (is_fatal(error)) {
      fatal_ = error;
      break;
    }
    // The destination's directory is not what the ledger says: somebody else was there.
    if (is_gone(error) && ++stale_tries < kStaleTries) {
      forget(path);
      at.check = true;
      continue;
    }
    if (is_transient(error)) {
      ++tally_.retries;
      at.check = true;
      if (co_await pause_before_next_try(wait)) continue;
      if (!stopping())
        fatal_ = Error{Errc::timeout, "nothing has worked for " +
                                          format_duration(options_.copy->timeout) +
                                          ", the last: " + error.text()};
      break;
    }
    if (postpone(path, error)) break;
    ++tally_.failed;
    if (options_.problem) options_.problem(path, error);
    work.failed_pass = options_.pass;
    ++work.attempts;
    work.code = error.code;
    work.error = error.text();
    Ledger::Batch batch;
    batch.fail_work(path, std::move(work));
    record_(std::move(batch), path);
    ended(at);
    co_return;
  }
  record_({}, path);
}

void Worker::finished(Attempt& at, const Entry& seen, std::uint64_t inode,
                      const wire::Bytes& sha256, std::uint8_t flags) {
  FileRow row;
  row.seen = seen;
  row.dest_inode = inode;
  row.sha256 = sha256;
  row.flags = flags;
  at.batch.put_file(at.path, row);
  at.batch.finish_work(at.path, at.work.serial);
}

void Worker::note_copies(Attempt& at, const std::vector<std::string>& ids, CopyCount count) {
  if (count.have >= count.wanted) return at.batch.erase(Table::short_copies, at.path);
  ++tally_.short_copies;
  ShortRow row;
  for (const std::string& id : ids) row.ids += id + "\n";
  row.have = count.have;
  row.wanted = count.wanted;
  at.batch.put_short(at.path, row);
}

} // namespace cairn::migrate
