// The parts of replication, wired together.
#include "storage/sync/sync_service.h"

#include "common/base/text.h"
#include "common/daemon/log.h"
#include "storage/sync/small_file.h"

#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>

#include <algorithm>
#include <charconv>
#include <future>

namespace cairn::storage {

namespace {

constexpr std::chrono::seconds kTick{1};
// Waking the senders for every one of 20,000 changes a second would cost a tenth of the rate.
// Those who wait for copies do not wait for that long.
constexpr std::chrono::milliseconds kWakeGather{2};
constexpr std::chrono::microseconds kWakeGatherAwaited{300};
// So few do not wait at all: each has its own batch sooner than a common one would begin.
constexpr std::size_t kFewWaiting = 8;
constexpr std::uint32_t kTicksUntilPrune = 60;
// Without durable commits a saved position costs a sync of the store paths.
constexpr std::uint32_t kTicksUntilRelaxedSave = 5;
constexpr std::uint32_t kListMax = 10'000;

spdlog::logger& log() {
  static spdlog::logger& logger = cairn::logger("storage.sync");
  return logger;
}

std::uint32_t unix_seconds() {
  return static_cast<std::uint32_t>(std::chrono::duration_cast<std::chrono::seconds>(
                                        std::chrono::system_clock::now().time_since_epoch())
                                        .count());
}

// Holds its own files and can list them.
bool is_active(const wire::NodeView& node) {
  return node.state == wire::NodeState::active || node.state == wire::NodeState::online;
}

} // namespace

SyncService::SyncService(const config::StorageConfig& config, std::string uuid, Store& store,
                         Binlog& binlog, Peers& peers, Credentials credentials)
    : config_(config),
      uuid_(std::move(uuid)),
      directory_(config.base_path / "data" / "sync"),
      store_(store),
      binlog_(binlog),
      peers_(peers),
      credentials_(std::move(credentials)) {}

Result<std::unique_ptr<SyncService>> SyncService::open(const config::StorageConfig& config,
                                                       const std::string& uuid, Store& store,
                                                       Binlog& binlog, Peers& peers,
                                                       Credentials credentials) {
  std::unique_ptr<SyncService> service(
      new SyncService(config, uuid, store, binlog, peers, std::move(credentials)));
  ReceiverOptions options;
  options.group = config.group_name;
  options.own_uuid = uuid;
  options.threads_per_path = config.disk_threads;
  options.has_trash = config.trash_days != 0;
  options.owner_of = [&peers](const RemoteName& name) { return peers.get()->owner_of(name); };
  if (config.durability == config::Durability::relaxed)
    options.sync_files = [&store] { return store.sync_files(); };
  CAIRN_TRY(receiver, SyncReceiver::open(service->directory_, store, binlog, std::move(options)));
  service->receiver_ = std::move(receiver);
  CAIRN_RETURN_IF_ERROR(service->make_log_id());

  std::vector<std::filesystem::path> roots;
  for (const auto& path : config.store_paths) roots.push_back(path.path);
  CAIRN_TRY(catalogue, Catalogue::open(config.base_path / "data" / "catalogue", std::move(roots),
                                       store, binlog));
  service->catalogue_ = std::move(catalogue);
  return service;
}

SyncService::~SyncService() {
  stop();
  // The context goes before them, with its timers.
  senders_.clear();
  retiring_.clear();
  tick_timer_.reset();
}

// The identity of the binlog lies beside its segments: who deletes them deletes it, and peers learn
// that positions count anew.
Status SyncService::make_log_id() {
  const std::filesystem::path file = binlog_.directory() / "identity";
  if (auto bytes = read_small_file(file)) {
    log_id_ = std::string(wire::as_text(*bytes));
    if (!log_id_.empty()) return {};
  }
  log_id_ = uuid_v4();
  return write_small_file(file, wire::as_view(log_id_));
}

Status SyncService::begin_anew(const std::vector<std::uint8_t>& store_paths) {
  for (const std::uint8_t index : store_paths) catalogue_->walk_again(index);
  return receiver_->forget_positions();
}

std::uint64_t SyncService::acked_by_any() const {
  std::uint64_t acked = 0;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(directory_, error)) {
    if (entry.path().extension() != ".cursor") continue;
    const auto bytes = read_small_file(entry.path());
    if (!bytes) continue;
    const auto cursor = wire::decode_lenient<Cursor>(*bytes);
    if (cursor && cursor->log_id == log_id_) acked = std::max(acked, cursor->position.seq);
  }
  return acked;
}

void SyncService::start_catalogue() {
  if (std::exchange(catalogue_started_, true)) return;
  catalogue_->start();
}

Status SyncService::start() {
  CAIRN_ASSERT(!started_);
  started_ = true;
  start_catalogue();
  {
    const std::lock_guard lock(waker_->mutex);
    waker_->service = this;
  }
  const auto wake = [waker = waker_] {
    if (waker->posted) return;
    const std::lock_guard lock(waker->mutex);
    if (waker->service == nullptr || waker->service->is_all_read()) return;
    if (!waker->posted.exchange(true)) waker->service->post_wake();
  };
  listener_ = binlog_.on_commit(wake);
  peers_.on_change([waker = waker_] {
    const std::lock_guard lock(waker->mutex);
    if (waker->service != nullptr) waker->service->post_tick();
  });
  spawn(io_.at(0).get_executor(), tick(), "storage.sync");
  io_.start();
  return {};
}

void SyncService::stop() {
  if (!started_) {
    if (std::exchange(catalogue_started_, false)) catalogue_->stop();
    return;
  }
  started_ = false;
  stopping_ = true;
  binlog_.forget(listener_);
  {
    const std::lock_guard lock(waker_->mutex);
    waker_->service = nullptr;
  }
  // On their thread: no sender is made any more once this has run.
  std::vector<std::shared_ptr<Sender>> senders;
  std::promise<void> asked;
  asio::post(io_.at(0), [&] {
    for (const auto& [id, sender] : senders_) senders.push_back(sender);
    senders.insert(senders.end(), retiring_.begin(), retiring_.end());
    for (const auto& sender : senders) sender->request_stop();
    if (tick_timer_) tick_timer_->cancel();
    wake_timer_.cancel();
    asked.set_value();
  });
  asked.get_future().wait();
  for (const auto& sender : senders) sender->wait();
  io_.stop();
  catalogue_->stop();
  if (auto saved = receiver_->save(); !saved)
    log().warn("sync positions are not saved error={}", saved.error().text());
}

void SyncService::post_wake() {
  asio::post(io_.at(0), [this] { wake_senders(); });
}

// What is logged in the next moment does not wake them one by one; at its end they are told.
void SyncService::wake_senders() {
  if (stopping_) return;
  const std::uint64_t seen = end_to_send();
  for (const auto& [id, sender] : senders_) sender->wake();
  const std::size_t waiting = copies_.waiting();
  const bool awaited = waiting > 0 || ahead_ > binlog_.committed_seq();
  if (awaited && waiting < kFewWaiting) {
    waker_->posted = false;
    if (end_to_send() != seen && !waker_->posted.exchange(true)) post_wake();
    return;
  }
  gathering_long_ = !awaited;
  if (awaited)
    wake_timer_.expires_after(kWakeGatherAwaited);
  else
    wake_timer_.expires_after(kWakeGather);
  wake_timer_.async_wait([this, seen](boost::system::error_code error) {
    if (error) return;
    gathering_long_ = false;
    waker_->posted = false;
    if (end_to_send() != seen && !waker_->posted.exchange(true)) wake_senders();
  });
}

// Position up to which there is something for peers.
std::uint64_t SyncService::end_to_send() const {
  return std::max(binlog_.committed_seq(), ahead_.load());
}

void SyncService::send_ahead(std::uint64_t seq) {
  std::uint64_t known = ahead_;
  while (known < seq && !ahead_.compare_exchange_weak(known, seq)) {
  }
  if (!waker_->posted.exchange(true))
    post_wake();
  else
    hurry();
}

// Whether the senders have read all that is committed: it went ahead.
bool SyncService::is_all_read() const {
  const std::uint64_t committed = binlog_.committed_seq();
  const std::lock_guard lock(senders_mutex_);
  return std::all_of(senders_.begin(), senders_.end(),
                     [committed](const auto& entry) { return entry.second->has_read(committed); });
}

void SyncService::hurry() {
  if (gathering_long_.exchange(false)) post_wake();
}

Task<unsigned> SyncService::wait_for_copies(std::uint64_t seq, unsigned copies,
                                            std::chrono::milliseconds timeout) {
  hurry();
  co_return co_await copies_.wait(seq, copies, timeout);
}

// The group has changed: the next tick is now.
void SyncService::post_tick() {
  asio::post(io_.at(0), [this] {
    if (tick_timer_) tick_timer_->cancel();
  });
}

Task<void> SyncService::tick() {
  const auto timer = std::make_shared<asio::steady_timer>(io_.at(0));
  tick_timer_ = timer;
  for (std::uint32_t ticks = 1; !stopping_; ++ticks) {
    reconcile();
    const bool relaxed = config_.durability == config::Durability::relaxed;
    const bool prune = ticks % kTicksUntilPrune == 0;
    if (!relaxed || ticks % kTicksUntilRelaxedSave == 0 || prune) {
      auto work = [this, prune]() -> Status {
        housekeep(prune);
        return {};
      };
      const Status done = co_await background_.run(std::move(work));
      if (!done) log().warn("housekeeping failed error={}", done.error().text());
    }
    if (stopping_) break;
    timer->expires_after(kTick);
    const auto ended = co_await timer->async_wait(as_result);
    (void)ended; // cancelled: there is something to do at once
  }
}

// Makes the senders what the view of the group says.
void SyncService::reconcile() {
  if (stopping_) return;
  const auto map = peers_.get();
  std::erase_if(retiring_, [](const auto& sender) { return sender->has_ended(); });
  if (map->own_id() == 0 || map->own_id() != store_.node_id()) return;

  const std::vector<wire::NodeView>& members = map->members();
  std::vector<std::shared_ptr<Sender>> gone;
  for (const auto& entry : senders_) {
    const std::shared_ptr<Sender>& sender = entry.second;
    const bool stays = std::any_of(members.begin(), members.end(), [&](const auto& member) {
      return member.id == sender->peer().id && member.uuid == sender->peer().uuid;
    });
    if (!stays) gone.push_back(sender);
  }
  for (const auto& sender : gone) {
    log().info("peer is no member any more peer={}", sender->peer().id);
    sender->request_stop();
    const std::lock_guard lock(senders_mutex_);
    senders_.erase(sender->peer().id);
    retiring_.push_back(sender);
  }
  for (const wire::NodeView& member : members) {
    if (const auto found = senders_.find(member.id); found != senders_.end()) {
      found->second->move_to(member);
      continue;
    }
    // The former one may still be writing the cursor file.
    const bool waits = std::any_of(retiring_.begin(), retiring_.end(), [&](const auto& sender) {
      return sender->peer().id == member.id;
    });
    if (waits) continue;
    auto sender = std::make_shared<Sender>(io_.at(0), store_, binlog_, *catalogue_, member,
                                           sender_options(member));
    sender->start();
    const std::lock_guard lock(senders_mutex_);
    senders_.emplace(member.id, std::move(sender));
  }
}

SenderOptions SyncService::sender_options(const wire::NodeView& peer) {
  SenderOptions options;
  options.own_uuid = uuid_;
  options.credentials = credentials_;
  options.group = config_.group_name;
  options.log_id = log_id_;
  options.limits.window_bytes = config_.sync_window_bytes;
  options.limits.batch_bytes = config_.sync_batch_bytes;
  options.connect_timeout = config_.connect_timeout;
  options.io_timeout = config_.network_timeout;
  options.bring_up_rate = config_.sync_bring_up_rate;
  options.cursor_file = directory_ / (std::to_string(peer.id) + ".cursor");
  options.group_now = [this] { return group_now(); };
  options.changed = changed_;
  options.copies = &copies_;
  options.ahead = [this] { return ahead_.load(); };
  return options;
}

GroupSnapshot SyncService::group_now() const {
  const auto map = peers_.get();
  GroupSnapshot group;
  group.own_id = map->own_id();
  for (const wire::NodeView& member : map->members())
    group.members.push_back({member.id, is_active(member)});
  group.source_of = [map](const RemoteName& name) -> std::uint32_t {
    if (!name.fields()) return 0;
    const wire::NodeView* source = map->resolve(name.fields()->source);
    return source == nullptr ? 0 : source->id;
  };
  return group;
}

// On a background thread.
void SyncService::housekeep(bool prune) {
  if (auto saved = receiver_->save(); !saved)
    log().warn("sync positions are not saved error={}", saved.error().text());
  if (!prune) return;
  prune_log();
  const auto retention = static_cast<std::uint32_t>(config_.tombstone_retention.count());
  const std::uint32_t now = unix_seconds();
  const std::uint32_t before = now > retention ? now - retention : 0;
  if (auto pruned = store_.tombstones().prune(before); !pruned)
    log().warn("tombstones are not pruned error={}", pruned.error().text());
  if (auto pruned = receiver_->prune(before); !pruned)
    log().warn("waiting metadata is not pruned error={}", pruned.error().text());
}

// Removes what every member has, and what is older than the log is kept for anybody.
void SyncService::prune_log() {
  // Before the first view nobody is known, not: nobody is there.
  if (peers_.get()->own_id() != 0)
    binlog_.prune(std::min(min_acked(), catalogue_->kept_position()));

  // A segment that was last written to before the limit holds nothing younger.
  std::map<std::uint64_t, std::filesystem::file_time_type> segments; // by first position
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(binlog_.directory(), error)) {
    if (entry.path().extension() != ".log") continue;
    const std::string stem = entry.path().stem().string();
    std::uint64_t first = 0;
    const auto [end, failed] = std::from_chars(stem.data(), stem.data() + stem.size(), first, 16);
    std::error_code gone;
    const auto time = std::filesystem::last_write_time(entry.path(), gone);
    if (failed == std::errc() && end == stem.data() + stem.size() && !gone)
      segments.emplace(first, time);
  }
  const auto limit = std::filesystem::file_time_type::clock::now() - config_.binlog_retention;
  std::uint64_t old = 0;
  for (auto at = segments.begin(); at != segments.end() && std::next(at) != segments.end(); ++at) {
    if (at->second >= limit) break;
    old = std::next(at)->first - 1;
  }
  if (old > binlog_.begin_seq()) {
    log().info("binlog is pruned by age position={}", old);
    binlog_.prune(old);
  }
}

std::uint64_t SyncService::min_acked() const {
  std::uint64_t least = binlog_.end_seq();
  const std::lock_guard lock(senders_mutex_);
  for (const auto& [id, sender] : senders_)
    if (const auto keep = sender->keep_after()) least = std::min(least, *keep);
  return least;
}

std::vector<wire::PeerSync> SyncService::peers_report() const {
  std::vector<wire::PeerSync> report;
  const std::lock_guard lock(senders_mutex_);
  for (const auto& [id, sender] : senders_) report.push_back(sender->report());
  return report;
}

Task<Result<wire::ListFilesReply>> SyncService::list_files(wire::ListFiles request) {
  const std::size_t limit = std::clamp<std::uint32_t>(request.limit, 1, kListMax);
  auto list = [this, limit,
               after = std::move(request.after)]() -> Result<std::vector<CatalogueRow>> {
    if (after.empty()) CAIRN_RETURN_IF_ERROR(catalogue_->catch_up());
    return catalogue_->list(after, limit);
  };
  CAIRN_CO_TRY(rows, co_await background_.run(std::move(list)));
  wire::ListFilesReply reply;
  reply.done = rows.size() < limit;
  for (CatalogueRow& row : rows) reply.files.push_back(std::move(row.summary));
  co_return reply;
}

void SyncService::write_metrics(MetricsText& out) const {
  const std::string from = std::to_string(store_.node_id());
  out.family("cairn_sync_failing_changes", "gauge",
             "Changes that failed repeatedly at a peer and are tried again every minute.");
  {
    const std::lock_guard lock(senders_mutex_);
    for (const auto& [id, sender] : senders_) {
      const std::string to = std::to_string(id);
      out.sample(static_cast<std::uint64_t>(sender->dead_letters()),
                 {{"group", config_.group_name}, {"from", from}, {"to", to}});
    }
  }
  const ReceiverCounters counters = receiver_->counters();
  const MetricsText::Labels labels = {{"group", config_.group_name}, {"node", from}};
  out.family("cairn_sync_received_operations_total", "counter", "Changes of peers taken in.");
  out.sample(counters.operations, labels);
  out.family("cairn_sync_received_failures_total", "counter", "Changes of peers that failed here.");
  out.sample(counters.failures, labels);
  out.family("cairn_sync_received_bytes_total", "counter", "Content of changes of peers.");
  out.sample(counters.bytes, labels);
}

} // namespace cairn::storage
