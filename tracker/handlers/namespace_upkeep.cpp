// What the namespace's service does from time to time: sessions that have gone silent, inodes that
// nobody has open any more, trash that is over, stored files whose grace time is over.
#include "common/base/file_id.h"
#include "common/daemon/log.h"
#include "common/wire/fastdfs.h"
#include "tracker/handlers/namespace_backup.h"
#include "tracker/handlers/namespace_service.h"

#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>

#include <algorithm>
#include <iterator>
#include <utility>

namespace cairn::tracker {

namespace {

using wire::NsOp;

constexpr std::chrono::milliseconds kTick{500};
constexpr std::uint64_t kTrashAtOnce = 200;
// Of the queue, from the front: groups that are away do not keep others from their turn.
constexpr std::uint32_t kDueMax = 5000;
constexpr std::size_t kDeleteAtOnce = 200;
constexpr std::chrono::milliseconds kDeleteTimeout{10'000};
constexpr std::chrono::milliseconds kFrontUrlsTimeout{1000};

spdlog::logger& log() {
  static spdlog::logger& one = logger("tracker.namespace");
  return one;
}

std::uint64_t unix_now() {
  return static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::seconds>(
                                        std::chrono::system_clock::now().time_since_epoch())
                                        .count());
}

} // namespace

Task<void> NamespaceService::watch() {
  asio::steady_timer timer(co_await asio::this_coro::executor);
  for (unsigned turn = 0; !stopping_; ++turn) {
    timer.expires_after(kTick);
    co_await timer.async_wait(as_result);
    if (stopping_ || !log_.lease_valid()) continue;
    co_await expire();
    if (grace_ && std::chrono::steady_clock::now() >= grace_until_) {
      grace_ = false;
      opens_.set_grace(false);
      for (const std::uint64_t ino : orphans_) {
        if (!opens_.is_open(ino)) reap_later(ino);
      }
    }
    if (turn % 2 == 0) co_await refresh_exports();
    if (turn % 10 == 4) co_await empty_trash();
    if (turn % 4 == 2) co_await delete_due();
    if (!grace_) co_await sweep_sometimes();
    if (backup_ != nullptr) co_await backup_->expire();
  }
}

Task<void> NamespaceService::expire() {
  const auto silent = std::chrono::steady_clock::now() - kLease - kLeaseSlack;
  std::vector<std::uint64_t> over;
  for (const auto& [number, session] : sessions_) {
    if (session->seen < silent) over.push_back(number);
  }
  for (const std::uint64_t number : over) {
    const NamespaceSession* session = find(number);
    if (session == nullptr || session->seen >= silent) continue;
    log().info("session is over session={} address={} label={}", number, session->address,
               session->label);
    ++counters_.expired;
    const Status ended = co_await end(number);
    if (!ended) log().warn("session not ended session={} error={}", number, ended.error().text());
  }
}

void NamespaceService::reap_later(std::uint64_t ino) {
  if (stopping_ || grace_ || !orphans_.contains(ino)) return;
  spawn(executor_, reap(ino), "reap");
}

Task<void> NamespaceService::reap(std::uint64_t ino) {
  std::function<Result<std::uint64_t>(Evaluation&)> work =
      [ino](Evaluation& evaluation) -> Result<std::uint64_t> {
    CAIRN_RETURN_IF_ERROR(evaluation.reap(ino));
    return std::uint64_t{0};
  };
  const auto done = co_await writer_.internal(std::move(work));
  if (!done) {
    log().warn("orphan not removed inode={} error={}", ino, done.error().text());
  } else if (!opens_.is_open(ino)) {
    orphans_.erase(ino);
  }
}

Task<void> NamespaceService::empty_trash() {
  for (std::uint64_t gone = kTrashAtOnce; gone == kTrashAtOnce && !stopping_;) {
    std::function<Result<std::uint64_t>(Evaluation&)> work =
        [now = unix_now()](Evaluation& evaluation) {
          return evaluation.empty_trash(now, kTrashAtOnce);
        };
    const auto done = co_await writer_.internal(std::move(work));
    if (!done) log().warn("trash not emptied error={}", done.error().text());
    gone = done ? *done : 0;
  }
}

Task<void> NamespaceService::refresh_exports() {
  wire::Bytes body = wire::encode(wire::NsExports());
  const Outcome outcome = co_await writer_.ask(NsOp::exports, Caller(), std::move(body));
  if (outcome.status != 0) co_return;
  auto reply = wire::decode_lenient<wire::NsExportsReply>(outcome.body);
  if (reply) exports_ = std::move(reply->exports);
}

// --- deferred deletion ---------------------------------------------------------------------------

Task<bool> NamespaceService::delete_stored(std::string id) {
  const auto parsed = parse_file_id(id);
  if (!parsed) co_return true; // nothing that could be deleted
  std::vector<Endpoint> nodes;
  for (const Node* node : cluster_.members(parsed->group)) {
    if (!node->is_up()) continue;
    Endpoint endpoint;
    endpoint.host = node->fact.host;
    endpoint.port = node->fact.port;
    nodes.push_back(std::move(endpoint));
  }
  wire::GroupFile request;
  request.group = parsed->group;
  request.name = std::string(parsed->name.text());
  for (const Endpoint& node : nodes) {
    wire::Bytes body = wire::encode(request);
    const auto reply =
        co_await storages_.call(node, static_cast<std::uint8_t>(wire::Command::delete_file),
                                std::move(body), kDeleteTimeout);
    // A tombstone spreads by sync: one node is enough. Not there is as good as deleted.
    if (reply || reply.code() == Errc::not_found) co_return true;
    log().debug("stored file not deleted id={} node={} error={}", id, node.text(),
                reply.error().text());
  }
  co_return false;
}

Task<Result<std::vector<wire::FrontUrl>>> NamespaceService::front_urls(
    std::vector<std::string> tags, std::string pattern) {
  std::vector<Endpoint> nodes;
  for (const auto& [number, node] : cluster_.nodes()) {
    if (!node.is_up()) continue;
    Endpoint endpoint;
    endpoint.host = node.fact.host;
    endpoint.port = node.fact.port;
    nodes.push_back(std::move(endpoint));
  }
  std::vector<wire::FrontUrl> all;
  Error failure(Errc::unavailable, "no storage node is up");
  bool answered = false;
  for (const Endpoint& node : nodes) {
    if (stopping_) break;
    wire::FrontUrls request;
    for (const std::string& tag : tags) request.tags.push_back({tag});
    request.pattern = pattern;
    for (bool more = true; more && !stopping_;) {
      wire::Bytes body = wire::encode(request);
      const auto answer = co_await storages_.call(node, static_cast<std::uint8_t>(wire::kFrontUrls),
                                                  std::move(body), kFrontUrlsTimeout);
      auto page = answer ? wire::decode_lenient<wire::FrontUrlsReply>(*answer)
                         : Result<wire::FrontUrlsReply>(answer.error());
      if (!page) {
        log().debug("not asked for the URLs of caches node={} error={}", node.text(),
                    page.error().text());
        failure = std::move(page).error();
        break;
      }
      answered = true;
      more = page->more && page->last > request.after;
      request.after = page->last;
      std::move(page->urls.begin(), page->urls.end(), std::back_inserter(all));
    }
  }
  if (!answered) co_return failure;
  co_return all;
}

Task<Result<wire::Bytes>> NamespaceService::call_storage(Endpoint node, std::uint8_t command,
                                                         wire::Bytes body,
                                                         std::chrono::milliseconds timeout) {
  CAIRN_CO_TRY(lease, co_await storages_.acquire(std::move(node), /*fresh=*/true));
  Connection* const connection = &lease->connection();
  long_calls_.insert(connection);
  if (stopping_) connection->close();
  auto reply = co_await lease->call(command, body, timeout);
  long_calls_.erase(connection);
  co_return reply;
}

Task<void> NamespaceService::delete_due() {
  Caller own;
  own.admin = true;
  wire::NsDue due;
  due.limit = kDueMax;
  wire::Bytes body = wire::encode(due);
  Caller asking = own;
  const Outcome outcome = co_await writer_.ask(NsOp::due, std::move(asking), std::move(body));
  if (outcome.status != 0) co_return;
  auto reply = wire::decode_lenient<wire::NsDueReply>(outcome.body);
  if (!reply || reply->items.empty()) co_return;
  wire::NsDeleted gone;
  std::set<std::string> away;
  for (const wire::NsDueItem& item : reply->items) {
    if (stopping_ || gone.items.size() == kDeleteAtOnce) break;
    const std::string group = item.id.substr(0, item.id.find('/'));
    if (away.contains(group)) continue;
    if (co_await delete_stored(item.id)) {
      gone.items.push_back(item);
      ++counters_.deleted_files;
    } else {
      ++counters_.delete_errors;
      away.insert(group);
    }
  }
  if (gone.items.empty()) co_return;
  std::function<Result<std::uint64_t>(Evaluation&)> work =
      [message = wire::encode(gone)](Evaluation& evaluation) -> Result<std::uint64_t> {
    CAIRN_TRY(done, evaluation.run(NsOp::deleted, message));
    static_cast<void>(done);
    return std::uint64_t{0};
  };
  const auto done = co_await writer_.internal(std::move(work));
  if (!done) log().warn("deletions not noted error={}", done.error().text());
}

Task<Result<std::uint64_t>> NamespaceService::mend(std::vector<RowFix> fixes) {
  std::function<Result<std::uint64_t>(Evaluation&)> work =
      [fixes = std::move(fixes)](Evaluation& evaluation) { return evaluation.mend(fixes); };
  co_return co_await writer_.internal(std::move(work));
}

Task<Result<CheckReport>> NamespaceService::check() {
  auto work = [this]() -> Result<CheckReport> {
    const auto view = store_.view();
    return check_tables(*view);
  };
  co_return co_await pool_.run(std::move(work));
}

} // namespace cairn::tracker
