// The scrubber's thread.
#include "storage/scrub/scrubber.h"

#include "common/daemon/log.h"
#include "storage/sync/small_file.h"

#include <algorithm>
#include <sys/syscall.h>
#include <unistd.h>

namespace cairn::storage {

namespace {

constexpr std::size_t kPage = 256;
constexpr std::chrono::milliseconds kIdle{1'000};
constexpr std::chrono::milliseconds kYield{20};
// However busy the disk is, a piece is read now and then.
constexpr int kYieldsMax = 250;
constexpr std::uint64_t kPruneInterval = 600; // seconds
// A file that holds next to nothing costs a seek all the same.
constexpr std::uint64_t kFileCost = 16 * 1024;
// What was stored lately was verified on its way: it is left to the next pass.
constexpr std::uint64_t kFreshAge = 86'400; // seconds

spdlog::logger& log() {
  static spdlog::logger& logger = cairn::logger("storage.scrub");
  return logger;
}

std::uint64_t unix_seconds() {
  return static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::seconds>(
                                        std::chrono::system_clock::now().time_since_epoch())
                                        .count());
}

// The kernel serves this thread's reads when nobody else has any. (glibc has no name for the call;
// the numbers are those of linux/ioprio.h: this thread, class idle.)
void lower_disk_priority() {
  constexpr int kThisThread = 1;
  constexpr int kClassIdle = 3 << 13;
  ::syscall(SYS_ioprio_set, kThisThread, 0, kClassIdle);
}

} // namespace

Scrubber::Scrubber(const config::StorageConfig& config, Store& store, Catalogue& catalogue,
                   std::function<void(const RemoteName&)> missing)
    : config_(config),
      store_(store),
      catalogue_(catalogue),
      missing_(std::move(missing)),
      file_(config.base_path / "data" / "scrub"),
      bucket_(config.scrub_rate) {
  if (auto bytes = read_small_file(file_)) {
    if (auto state = wire::decode_lenient<ScrubState>(*bytes)) state_ = *std::move(state);
  } else if (bytes.code() != Errc::not_found) {
    log().warn("scrubbing begins anew, its position is lost cause={}", bytes.error().text());
  }
}

Scrubber::~Scrubber() {
  stop();
}

void Scrubber::start() {
  thread_ = std::thread([this] { loop(); });
}

void Scrubber::stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  if (thread_.joinable()) thread_.join();
}

ScrubState Scrubber::state() const {
  const std::lock_guard lock(mutex_);
  return state_;
}

// False when it is time to stop.
bool Scrubber::wait(std::chrono::milliseconds time) {
  std::unique_lock lock(mutex_);
  return !wake_.wait_for(lock, time, [this] { return stopping_; });
}

bool Scrubber::pace(std::uint8_t store_path, std::uint64_t bytes) {
  const auto due = bucket_.take(bytes, TokenBucket::Time::clock::now());
  if (!wait(due)) return false;
  const auto is_busy = [this, store_path] {
    return store_.pool(store_path).queued() + store_.read_pool(store_path).queued() > 0;
  };
  for (int i = 0; i < kYieldsMax && is_busy(); ++i)
    if (!wait(kYield)) return false;
  return true;
}

void Scrubber::save() {
  const ScrubState now = state();
  if (auto saved = write_small_file(file_, wire::encode(now)); !saved)
    log().warn("position of scrubbing is not saved error={}", saved.error().text());
}

void Scrubber::loop() {
  lower_disk_priority();
  std::uint64_t pruned = 0;
  while (wait(std::chrono::milliseconds(0))) {
    const ScrubState now = state();
    const std::uint64_t time = unix_seconds();
    if (time >= pruned + kPruneInterval) {
      pruned = time;
      const auto kept = static_cast<std::uint64_t>(config_.quarantine_retention.count());
      quarantined_ = store_.prune_quarantine(static_cast<std::uint32_t>(time - kept));
    }
    const auto period = static_cast<std::uint64_t>(config_.scrub_period.count());
    if (period == 0 || (now.finished != 0 && time < now.started + period)) {
      wait(kIdle);
      continue;
    }
    if (now.started == 0 || now.finished != 0) {
      const std::lock_guard lock(mutex_);
      const std::uint64_t last = state_.finished;
      state_ = ScrubState();
      state_.started = time;
      state_.last_pass = last;
    }
    const Status page = scrub_page();
    if (!page && page.code() != Errc::unavailable)
      log().warn("scrubbing is held up error={}", page.error().text());
    if (!page) wait(kIdle);
  }
  save();
}

// Reads the next files. Errors: unavailable (stopping, or the catalogue is being made), io_error.
Status Scrubber::scrub_page() {
  CAIRN_TRY(rows, catalogue_.list(state().after, kPage));
  const auto period = static_cast<std::uint64_t>(config_.scrub_period.count());
  const std::uint64_t fresh_since = unix_seconds() - std::min(kFreshAge, period);
  for (const CatalogueRow& row : rows) {
    const auto name = parse_remote_name(row.summary.name);
    bool damaged = false;
    const bool fresh = name && name->fields() && name->fields()->timestamp > fresh_since;
    if (name && !fresh && name->store_path() < store_.path_count()) {
      const auto paced = [&](std::uint64_t bytes) { return pace(name->store_path(), bytes); };
      const Status good = store_.scrub(*name, paced);
      if (good.code() == Errc::unavailable) return good;
      if (good.code() == Errc::not_found) {
        // Deleted since it was listed, or lost.
        const auto still = catalogue_.find(row.summary.name);
        const auto tombstone = store_.tombstones().find(row.summary.name);
        damaged = still && *still && tombstone && !*tombstone;
        if (damaged) missing_(*name);
      }
      damaged = damaged || good.code() == Errc::corrupt;
      // Damaged metadata are told to on_suspect() too.
      if (row.summary.meta_crc32 != 0) (void)store_.get_metadata(*name);
      if (!pace(name->store_path(), kFileCost)) return Error{Errc::unavailable, "stopping"};
    }
    const std::lock_guard lock(mutex_);
    state_.after = row.summary.name;
    if (fresh) continue;
    ++state_.files;
    state_.bytes += row.summary.size;
    if (damaged) ++state_.damaged;
  }
  if (rows.size() < kPage) {
    const std::lock_guard lock(mutex_);
    state_.finished = unix_seconds();
    state_.after.clear();
    log().info("all files were read files={} bytes={} damaged={} seconds={}", state_.files,
               state_.bytes, state_.damaged, state_.finished - state_.started);
  }
  save();
  return Status();
}

void Scrubber::write_metrics(MetricsText& out, MetricsText::Labels labels) const {
  const ScrubState now = state();
  out.family("cairn_scrub_files", "gauge", "Files that the present pass of scrubbing has read.");
  out.sample(now.files, labels);
  out.family("cairn_scrub_bytes", "gauge", "Bytes that the present pass of scrubbing has read.");
  out.sample(now.bytes, labels);
  out.family("cairn_scrub_damaged", "gauge", "Damaged and missing copies that it has found.");
  out.sample(now.damaged, labels);
  out.family("cairn_scrub_finished_timestamp_seconds", "gauge",
             "When a whole pass was finished last, 0: never.");
  out.sample(now.finished != 0 ? now.finished : now.last_pass, labels);
  out.family("cairn_quarantined_copies", "gauge",
             "Damaged copies that were replaced and are kept in data/.quarantine/ for a while.");
  out.sample(quarantined_.load(), labels);
}

} // namespace cairn::storage
