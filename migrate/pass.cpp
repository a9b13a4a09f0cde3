// Feeds the copier out of the ledger, and writes down what it has done.
#include "migrate/pass.h"

#include "migrate/copier.h"
#include "migrate/fastdfs_copier.h"

#include <boost/asio/co_spawn.hpp>

#include <algorithm>
#include <future>

namespace cairn::migrate {

namespace {

using Clock = std::chrono::steady_clock;

constexpr std::size_t kPage = 512;
constexpr std::size_t kBatchMax = 400;
constexpr std::size_t kToldMax = 1000;
constexpr std::chrono::milliseconds kFlushAfter{100};
constexpr std::chrono::milliseconds kLook{10};
constexpr std::chrono::milliseconds kLookFirst{1};
constexpr std::chrono::seconds kAdaptAfter{1};

} // namespace

Pass::Pass(Session& session, Ledger& ledger, Limiter& limiter, Tally& tally, Options options)
    : io_(session.io()),
      ledger_(ledger),
      options_(std::move(options)),
      tally_(tally),
      books_("migrate-books", 1),
      changed_(io_),
      flushed_(io_) {
  Worker::Options worker;
  worker.root = options_.root;
  worker.copy = options_.copy;
  worker.run = options_.run;
  worker.pass = options_.pass;
  worker.quick_check = options_.quick_check;
  worker.dry_run = options_.dry_run;
  worker.server = options_.server;
  worker.spill = options_.spill;
  worker.fastdfs = options_.fastdfs;
  worker.tar = options_.tar;
  worker.item = options_.item;
  worker.problem = options_.problem;
  Worker::Record record = [this](Ledger::Batch batch, std::optional<std::string> path) {
    this->record(std::move(batch), std::move(path));
  };
  if (GroupDestination* group = session.group())
    copier_ = std::make_unique<FastdfsCopier>(ledger, *group, std::move(worker), limiter, tally,
                                              std::move(record));
  else
    copier_ = std::make_unique<Copier>(ledger, session.destination(), std::move(worker), limiter,
                                       tally, std::move(record));

  Scanner::Options scan;
  scan.root = options_.root;
  scan.copy = options_.copy;
  scan.filter = options_.filter;
  scan.run = options_.run;
  scan.pass = options_.pass;
  scan.spill = options_.spill;
  scan.on_work = [this] { news_ = true; };
  scan.feed = options_.feed;
  scan.entry_feed = options_.entry_feed;
  scan.fastdfs = options_.fastdfs;
  scan.log_only = options_.log_only;
  if (options_.dry_run) {
    scan.tell = [this](const std::string& path, const WorkRow& work,
                       const std::optional<FileRow>&) {
      for (;;) {
        {
          const std::scoped_lock lock(told_mutex_);
          if (told_.size() < kToldMax || stopping_) {
            told_.emplace_back(path, work);
            return;
          }
        }
        std::this_thread::sleep_for(kLook);
      }
    };
  }
  scanner_ = std::make_unique<Scanner>(ledger_, std::move(scan));
}

Pass::~Pass() = default;

void Pass::set_phase(std::string phase) {
  const std::scoped_lock lock(phase_mutex_);
  phase_ = std::move(phase);
}

Progress Pass::progress() const {
  Progress out;
  {
    const std::scoped_lock lock(phase_mutex_);
    out.phase = phase_;
  }
  out.scanning = !scanner_->finished();
  out.ledger = ledger_.counters();
  return out;
}

Status Pass::ended() const {
  if (!failure_) return failure_;
  if (copier_->fatal()) return *copier_->fatal();
  if (stopping_) return Error{Errc::closed, "stopped"};
  return {};
}

Status Pass::run() {
  CAIRN_RETURN_IF_ERROR(options_.directories.empty() ? scanner_->start()
                                                     : scanner_->start(options_.directories));
  std::promise<Status> promise;
  auto future = promise.get_future();
  asio::co_spawn(
      io_,
      [](Pass* self, std::promise<Status>* out) -> Task<void> {
        out->set_value(co_await self->conduct());
      }(this, &promise),
      [&promise](std::exception_ptr failure) {
        if (failure) promise.set_exception(failure);
      });
  Status done = future.get();
  scanner_->stop();
  if (done && !scanner_->failure()) done = scanner_->failure();
  return done;
}

Task<Status> Pass::conduct() {
  helpers_ = 1;
  spawn(
      io_.get_executor(), [](Pass* self) -> Task<void> { co_await self->keep_flushing(); }(this),
      "ledger");
  Status done = co_await sweep(Sweep::copies);
  if (done && !options_.dry_run) {
    set_phase("links");
    done = co_await sweep(Sweep::links);
    if (done) {
      set_phase("removals");
      done = co_await remove_gone();
    }
    // What stood in the place of something else is out of the way now.
    copier_->end_removals();
    if (done) {
      set_phase("copy");
      done = co_await sweep(Sweep::copies);
    }
    if (done) {
      set_phase("directories");
      done = co_await finish_directories();
    }
  }
  if (!done) copier_->stop();
  static_cast<void>(co_await wait_for_room(1));
  const Status written = co_await flush();
  if (done && !written) done = written;
  over_ = true;
  flushed_.cancel();
  while (helpers_ > 0) {
    changed_.expires_after(kLook);
    co_await changed_.async_wait(as_result);
  }
  co_return done;
}

// Answers false when the pass has to end.
Task<bool> Pass::wait_for_room(std::size_t most) {
  while (running_ >= most) {
    changed_.expires_after(kFlushAfter);
    co_await changed_.async_wait(as_result);
    if (stopping_) copier_->stop();
  }
  co_return static_cast<bool>(ended());
}

Task<Status> Pass::sweep(Sweep what) {
  const std::size_t jobs = std::max(options_.copy->jobs, 1U);
  std::optional<std::string> after;
  bool found = false; // in this round through the table
  bool scanning = true;
  auto look = kLookFirst; // soon at first: a scan that finds nothing is over soon
  for (;;) {
    if (!after) {
      // What is written from here on may be behind this round, and makes another one.
      scanning = !scanner_->finished();
      news_ = false;
    }
    std::vector<std::pair<std::string, WorkRow>> rows;
    if (options_.dry_run) {
      const std::scoped_lock lock(told_mutex_);
      rows.swap(told_);
    } else {
      auto read = [this, &after] { return ledger_.page<WorkRow>(Table::work, after, kPage); };
      CAIRN_CO_TRY(page, co_await books_.run(std::move(read)));
      rows = std::move(page);
    }
    const bool last = rows.size() < kPage;
    for (auto& [path, work] : rows) {
      after = path;
      const bool wanted =
          what == Sweep::links ? work.kind == WorkKind::link : work.kind != WorkKind::link;
      if ((!wanted && !options_.dry_run) || work.failed_pass == options_.pass ||
          (work.failed_pass != 0 && !options_.directories.empty()) || active_.contains(path) ||
          copier_->postponed(path, work))
        continue;
      if (!co_await wait_for_room(jobs)) co_return ended();
      // Another round may have begun it while this one waited.
      if (!active_.insert(path).second) continue;
      found = true;
      ++running_;
      Item item;
      item.path = path;
      item.work = std::move(work);
      spawn(
          io_.get_executor(),
          [](Pass* self, Item one) -> Task<void> { co_await self->work_one(std::move(one)); }(
                                       this, std::move(item)),
          "copy");
    }
    if (const Status end = ended(); !end) co_return end;
    if (!last) continue;
    after.reset();
    if (scanning || std::exchange(found, false) || news_) {
      changed_.expires_after(look);
      look = std::min(look * 2, kLook);
      co_await changed_.async_wait(as_result);
      continue;
    }
    if (running_ == 0 && active_.empty()) break;
    if (running_ == 0) CAIRN_CO_RETURN_IF_ERROR(co_await flush());
    if (running_ > 0) static_cast<void>(co_await wait_for_room(1));
  }
  co_return ended();
}

Task<void> Pass::work_one(Item item) {
  co_await copier_->process(std::move(item.path), std::move(item.work));
  --running_;
  changed_.cancel();
}

Task<Status> Pass::remove_gone() {
  for (;;) {
    CAIRN_CO_RETURN_IF_ERROR(co_await flush());
    // From the end: what is in a directory goes before it. Names of one directory go side by side.
    auto read = [this] { return ledger_.last_paths(Table::removals, kPage); };
    CAIRN_CO_TRY(paths, co_await books_.run(std::move(read)));
    if (paths.empty()) co_return ended();
    std::string_view directory = parent_of(paths.front());
    for (const std::string& path : paths) {
      const bool other = parent_of(path) != directory;
      directory = parent_of(path);
      if (!co_await wait_for_room(other ? 1 : options_.copy->jobs)) co_return ended();
      ++running_;
      spawn(
          io_.get_executor(),
          [](Pass* self, std::string one) -> Task<void> {
            co_await self->remove_one(std::move(one));
          }(this, path),
          "remove");
    }
    static_cast<void>(co_await wait_for_room(1));
    if (const Status end = ended(); !end) co_return end;
  }
}

Task<void> Pass::remove_one(std::string path) {
  co_await copier_->remove(std::move(path));
  --running_;
  changed_.cancel();
}

Task<Status> Pass::finish_directories() {
  std::optional<std::string> after;
  CAIRN_CO_RETURN_IF_ERROR(co_await flush());
  for (;;) {
    auto read = [this, &after] { return ledger_.paths(Table::touched, after, kPage); };
    CAIRN_CO_TRY(paths, co_await books_.run(std::move(read)));
    if (paths.empty()) break;
    after = paths.back();
    for (const std::string& path : paths) {
      if (!co_await wait_for_room(options_.copy->jobs)) co_return ended();
      ++running_;
      spawn(
          io_.get_executor(),
          [](Pass* self, std::string one) -> Task<void> {
            co_await self->finish_one(std::move(one));
          }(this, path),
          "directory");
    }
  }
  static_cast<void>(co_await wait_for_room(1));
  co_return ended();
}

Task<void> Pass::finish_one(std::string path) {
  co_await copier_->finish_directory(std::move(path));
  --running_;
  changed_.cancel();
}

// --- writing down --------------------------------------------------------------------------------

void Pass::record(Ledger::Batch batch, std::optional<std::string> path) {
  batch_.append(std::move(batch));
  if (path) batch_paths_.push_back(*std::move(path));
}

Task<Status> Pass::flush() {
  while (flushing_) {
    changed_.expires_after(kLook);
    co_await changed_.async_wait(as_result);
  }
  flushing_ = true;
  const Ledger::Batch batch = std::exchange(batch_, {});
  const std::vector<std::string> paths = std::exchange(batch_paths_, {});
  Status done;
  if (!options_.dry_run && !batch.empty()) {
    auto write = [this, &batch] { return ledger_.commit(batch); };
    done = co_await books_.run(std::move(write));
  }
  for (const std::string& path : paths) active_.erase(path);
  flushing_ = false;
  if (!done && failure_) failure_ = done;
  co_return done;
}

Task<void> Pass::keep_flushing() {
  auto flushed = Clock::now();
  auto adapted = flushed;
  while (!over_) {
    flushed_.expires_after(kLook);
    co_await flushed_.async_wait(as_result);
    const auto now = Clock::now();
    if (stopping_) copier_->stop();
    if (now - adapted > kAdaptAfter) {
      copier_->adapt_readers();
      adapted = now;
    }
    if (batch_.size() < kBatchMax && now - flushed < kFlushAfter) continue;
    static_cast<void>(co_await flush());
    flushed = Clock::now();
  }
  --helpers_;
  changed_.cancel();
}

} // namespace cairn::migrate
