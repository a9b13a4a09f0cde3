// The list of suspects, and what is done about each.
#include "storage/scrub/repairer.h"

#include "common/base/crc32.h"
#include "common/daemon/log.h"
#include "storage/scrub/inspect.h"

#include <boost/asio/post.hpp>
#include <boost/asio/this_coro.hpp>

#include <algorithm>
#include <unistd.h>

namespace cairn::storage {

namespace {

constexpr std::size_t kWorkers = 4;
// More are found again by the next scrub or comparison.
constexpr std::size_t kItemsMax = 100'000;
constexpr std::chrono::milliseconds kIdle{1'000};
constexpr std::chrono::milliseconds kRetryMin{250};
constexpr std::chrono::milliseconds kRetryMax{60'000};
// A peer verifies what it sends: in pieces that it can read before we take it for dead.
constexpr std::uint64_t kPiece = 8 << 20;
constexpr std::size_t kReadSize = 256 * 1024;

spdlog::logger& log() {
  static spdlog::logger& logger = cairn::logger("storage.scrub");
  return logger;
}

// Whether staged content is what a normal file's name says, in either kind of checksum.
bool matches_name(const RemoteName& name, const StagedFile& staged) {
  const FileIdFields& fields = *name.fields();
  if (staged.size() != fields.size()) return false;
  if (staged.crc32() == fields.crc32) return true;
  LegacyCrc32 legacy;
  wire::Buffer buffer(kReadSize);
  for (std::uint64_t offset = 0; offset < staged.size();) {
    const ssize_t count =
        ::pread(staged.fd(), buffer.data(), buffer.size(), static_cast<off_t>(offset));
    if (count <= 0) return false;
    legacy.update(buffer.view().first(static_cast<std::size_t>(count)));
    offset += static_cast<std::uint64_t>(count);
  }
  return legacy.value() == fields.crc32;
}

} // namespace

Repairer::Repairer(asio::io_context& context, Remote& remote, const config::StorageConfig& config,
                   Store& store, Binlog& binlog, Catalogue& catalogue, Peers& peers)
    : context_(context),
      remote_(remote),
      store_(store),
      binlog_(binlog),
      catalogue_(catalogue),
      peers_(peers),
      bucket_(config.repair_rate) {
  for (std::size_t i = 0; i < kWorkers; ++i)
    timers_.push_back(std::make_shared<asio::steady_timer>(context_));
}

void Repairer::start() {
  for (const auto& timer : timers_)
    spawn(context_.get_executor(), work(timer), "storage.scrub.repair");
}

void Repairer::request_stop() {
  stopping_ = true;
  asio::post(context_, [this] {
    for (const auto& timer : timers_) timer->cancel();
  });
}

void Repairer::submit(const RemoteName& name, Cause cause, const std::string& why) {
  if (stopping_) return;
  const std::string key = name.canonical();
  {
    const std::lock_guard lock(mutex_);
    if (items_.contains(key) || items_.size() >= kItemsMax) return;
    items_.emplace(key, Item{name, cause, 0, {}, false, false});
  }
  if (cause == Cause::damaged) {
    ++found_;
    log().error("damaged copy file={} cause={}", key, why);
  }
  asio::post(context_, [this] {
    for (const auto& timer : timers_) timer->cancel();
  });
}

// A suspect whose time has come; nullopt: none.
std::optional<Repairer::Item> Repairer::take() {
  const Clock::time_point now = Clock::now();
  const std::lock_guard lock(mutex_);
  for (auto& [key, item] : items_) {
    if (item.busy || item.due > now) continue;
    item.busy = true;
    return item;
  }
  return std::nullopt;
}

void Repairer::finish(const Item& item, const Result<wire::RepairReply>& outcome) {
  const std::string key = item.name.canonical();
  const bool done = outcome && (outcome->outcome == wire::RepairOutcome::good ||
                                outcome->outcome == wire::RepairOutcome::repaired);
  const bool lost = outcome && outcome->outcome == wire::RepairOutcome::lost;
  const std::string why = outcome ? outcome->detail : outcome.error().text();
  const std::lock_guard lock(mutex_);
  const auto found = items_.find(key);
  if (found == items_.end()) return;
  // Who only differed and cannot be helped is found again by the next comparison.
  if (done || (item.cause != Cause::damaged && !lost)) {
    items_.erase(found);
    return;
  }
  Item& kept = found->second;
  kept.busy = false;
  ++kept.attempts;
  if (lost && !kept.lost) log().error("no good copy is left file={} cause={}", key, why);
  if (!lost && kept.attempts == 1)
    log().warn("copy is not replaced yet file={} cause={}", key, why);
  kept.lost = lost;
  const auto wait = kRetryMin * (1U << std::min<std::uint32_t>(kept.attempts, 8));
  kept.due = Clock::now() + (lost ? kRetryMax : std::min(kRetryMax, wait));
}

Task<void> Repairer::pause(std::chrono::milliseconds time) {
  asio::steady_timer timer(context_);
  timer.expires_after(time);
  const auto ended = co_await timer.async_wait(as_result);
  (void)ended;
}

Task<void> Repairer::work(std::shared_ptr<asio::steady_timer> timer) {
  while (!stopping_) {
    const auto item = take();
    if (!item) {
      timer->expires_after(kIdle);
      const auto ended = co_await timer->async_wait(as_result);
      (void)ended; // cancelled: there is something to do
      continue;
    }
    const auto outcome = co_await repair(item->name, item->cause == Cause::seen_elsewhere);
    finish(*item, outcome);
  }
}

Task<std::vector<PeerCopy>> Repairer::ask_peers(RemoteName name,
                                                std::vector<wire::NodeView> nodes) {
  const wire::InspectCopy request{name.canonical(), false};
  const wire::Bytes body = wire::encode(request);
  std::vector<PeerCopy> copies;
  for (const wire::NodeView& node : nodes) {
    PeerCopy copy;
    copy.id = node.id;
    const auto reply = co_await remote_.ask_node(node, wire::kInspectCopy, body);
    if (reply) {
      if (auto facts = wire::decode_lenient<wire::CopyFacts>(*reply)) {
        copy.answered = true;
        copy.facts = *facts;
      }
    }
    copies.push_back(std::move(copy));
  }
  co_return copies;
}

Task<Result<wire::RepairReply>> Repairer::repair(RemoteName name, bool only_listed) {
  wire::RepairReply reply;
  if (name.store_path() >= store_.path_count())
    co_return Error{Errc::invalid_argument, "no such store path"};
  const auto map = peers_.get();
  if (!map->is_known()) {
    reply.outcome = wire::RepairOutcome::later;
    reply.detail = "the members of the group are not known yet";
    co_return reply;
  }
  DiskPool& pool = store_.pool(name.store_path());
  // The copy as it is before it is judged: only that one may be replaced.
  std::optional<CopyStamp> seen;
  auto inspect = [this, &name, &seen]() -> Result<wire::CopyFacts> {
    seen = store_.copy_of(name);
    return inspect_copy(store_, catalogue_, name, true);
  };
  CAIRN_CO_TRY(own, co_await pool.run(std::move(inspect)));
  if (only_listed && own.presence == wire::Presence::absent && !own.is_listed)
    co_return reply; // sync will bring it
  const std::vector<wire::NodeView> nodes = map->members();
  const std::vector<PeerCopy> copies = co_await ask_peers(name, nodes);
  const RepairPlan plan =
      plan_content(name.kind(), own, map->own_id(), map->owner_of(name), copies);
  switch (plan.action) {
    case RepairPlan::Action::none:
      break;
    case RepairPlan::Action::remove: {
      Origin origin;
      origin.id = plan.deleted_by != 0 ? plan.deleted_by : map->own_id();
      origin.stamp = plan.deleted_stamp;
      auto remove = [this, &name, origin] { return store_.remove(name, origin, true); };
      CAIRN_CO_TRY(change, co_await pool.run(std::move(remove)));
      if (change.seq != 0) CAIRN_CO_RETURN_IF_ERROR(co_await binlog_.commit(change.seq));
      log().info("a file that was deleted elsewhere is gone file={}", name.canonical());
      ++repaired_;
      reply.outcome = wire::RepairOutcome::repaired;
      reply.detail = "it was deleted";
      co_return reply;
    }
    case RepairPlan::Action::lost:
      reply.outcome = wire::RepairOutcome::lost;
      reply.detail = plan.why;
      co_return reply;
    case RepairPlan::Action::wait:
      reply.outcome = wire::RepairOutcome::later;
      reply.detail = plan.why;
      co_return reply;
    case RepairPlan::Action::fetch: {
      const wire::NodeView& node = nodes[plan.from];
      const Status fetched = co_await fetch(name, node, copies[plan.from].facts, seen);
      if (!fetched) {
        reply.outcome = wire::RepairOutcome::later;
        reply.detail = "from node " + std::to_string(node.id) + ": " + fetched.error().text();
        co_return reply;
      }
      log().warn("copy was replaced file={} from={}", name.canonical(), node.id);
      ++repaired_;
      reply.outcome = wire::RepairOutcome::repaired;
      reply.detail = "content from node " + std::to_string(node.id);
      break;
    }
  }
  if (const auto from = plan_metadata(own, copies)) {
    const wire::NodeView& node = nodes[*from];
    const Status fetched = co_await fetch_metadata(name, node, copies[*from].facts.meta_stamp);
    if (!fetched) {
      reply.outcome = wire::RepairOutcome::later;
      reply.detail =
          "metadata from node " + std::to_string(node.id) + ": " + fetched.error().text();
      co_return reply;
    }
    log().info("metadata were replaced file={} from={}", name.canonical(), node.id);
    ++repaired_;
    reply.outcome = wire::RepairOutcome::repaired;
    reply.detail += std::string(reply.detail.empty() ? "" : ", ") + "metadata from node " +
                    std::to_string(node.id);
  } else if (own.meta_damaged) {
    const bool all = std::all_of(copies.begin(), copies.end(),
                                 [](const PeerCopy& copy) { return copy.answered; });
    reply.outcome = all ? wire::RepairOutcome::lost : wire::RepairOutcome::later;
    reply.detail = "the metadata are damaged and no member has good ones";
  }
  co_return reply;
}

Task<Status> Repairer::fetch(RemoteName name, wire::NodeView node, wire::CopyFacts theirs,
                             std::optional<CopyStamp> damaged) {
  DiskPool& pool = store_.pool(name.store_path());
  auto stage = [this, &name] { return store_.stage(name.store_path()); };
  CAIRN_CO_TRY(staged, co_await pool.run(std::move(stage)));
  wire::Buffer buffer(kReadSize);
  std::uint32_t mtime = theirs.mtime;
  for (std::uint64_t size = 1; staged.size() < size;) {
    CAIRN_CO_TRY(piece, co_await remote_.open_at(node, name, staged.size(), kPiece));
    size = piece.file_size;
    mtime = piece.mtime;
    if (size == 0) break;
    if (piece.length == 0) co_return Error{Errc::busy, "the file changes while it is fetched"};
    for (;;) {
      CAIRN_CO_TRY(count, co_await piece.read_some(buffer.span()));
      if (count == 0) break;
      auto write = [&staged, bytes = buffer.view().first(count)] { return staged.write(bytes); };
      CAIRN_CO_RETURN_IF_ERROR(co_await pool.run(std::move(write)));
      fetched_bytes_ += count;
      const auto wait = bucket_.take(count, Clock::now());
      if (wait.count() > 0) co_await pause(wait);
      if (stopping_) co_return Error{Errc::unavailable, "stopping"};
    }
  }
  const bool constant = name.kind() == FileKind::normal && name.fields();
  auto put = [this, &name, &staged, &theirs, &damaged, constant, mtime,
              id = node.id]() -> Result<Change> {
    const bool right = constant ? matches_name(name, staged)
                                : !theirs.crc_known || (staged.size() == theirs.size &&
                                                        staged.crc32() == theirs.crc32);
    if (!right) return Error{Errc::corrupt, "what was fetched is not what was promised"};
    Origin origin;
    origin.id = id;
    origin.stamp = theirs.stamp;
    origin.mtime = mtime;
    origin.mark = theirs.mark;
    if (theirs.reused_stamp != 0 && name.kind() != FileKind::slave) {
      origin.restored = true;
      origin.stamp = theirs.reused_stamp;
    }
    return store_.replace_copy(name, std::move(staged), damaged, origin);
  };
  CAIRN_CO_TRY(change, co_await pool.run(std::move(put)));
  if (change.seq == 0) co_return Error{Errc::busy, "the copy has changed meanwhile"};
  co_return co_await binlog_.commit(change.seq);
}

Task<Status> Repairer::fetch_metadata(RemoteName name, wire::NodeView node, std::uint64_t stamp) {
  const wire::NameRequest request{name.canonical()};
  const wire::Bytes body = wire::encode(request);
  auto reply = co_await remote_.ask_node(node, wire::NativeCommand::fetch_meta, body);
  if (!reply && reply.code() != Errc::not_found) co_return std::move(reply).error();
  std::string text;
  if (reply) text = std::string(wire::as_text(*reply));
  Origin origin;
  origin.id = node.id;
  origin.stamp = stamp;
  auto set = [this, &name, &text, origin] {
    return store_.set_metadata(name, text, false, origin);
  };
  CAIRN_CO_TRY(change, co_await store_.pool(name.store_path()).run(std::move(set)));
  if (change.seq == 0) co_return Status();
  co_return co_await binlog_.commit(change.seq);
}

std::uint64_t Repairer::damaged_copies() const {
  const std::lock_guard lock(mutex_);
  return static_cast<std::uint64_t>(std::count_if(items_.begin(), items_.end(), [](const auto& e) {
    return e.second.cause == Cause::damaged || e.second.lost;
  }));
}

std::uint64_t Repairer::lost_copies() const {
  const std::lock_guard lock(mutex_);
  return static_cast<std::uint64_t>(std::count_if(
      items_.begin(), items_.end(), [](const auto& entry) { return entry.second.lost; }));
}

std::vector<std::string> Repairer::lost_names(std::size_t limit) const {
  std::vector<std::string> names;
  const std::lock_guard lock(mutex_);
  for (const auto& [key, item] : items_) {
    if (names.size() >= limit) break;
    if (item.lost) names.push_back(key);
  }
  return names;
}

void Repairer::write_metrics(MetricsText& out, MetricsText::Labels labels) const {
  out.family("cairn_damaged_copies_found_total", "counter",
             "Copies of this node found damaged or missing.");
  out.sample(found_.load(), labels);
  out.family("cairn_repaired_copies_total", "counter",
             "Copies of this node that were replaced, removed or given newer metadata.");
  out.sample(repaired_.load(), labels);
  out.family("cairn_repair_bytes_total", "counter", "Bytes fetched from peers to replace copies.");
  out.sample(fetched_bytes_.load(), labels);
  out.family("cairn_damaged_copies", "gauge", "Copies found damaged or missing, not yet replaced.");
  out.sample(damaged_copies(), labels);
  out.family("cairn_lost_copies", "gauge", "Of those, such that no member has a good copy.");
  out.sample(lost_copies(), labels);
}

} // namespace cairn::storage
