// Gathered for a moment, told to any tracker.
#include "storage/handlers/cache_changes.h"

#include "common/base/cache_tag.h"
#include "common/wire/cache_purge.h"

#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <chrono>
#include <utility>
#include <vector>

namespace cairn::storage {

namespace {

using std::chrono::milliseconds;
using Clock = std::chrono::steady_clock;

constexpr milliseconds kGather{30};
constexpr milliseconds kTimeout{3000};
constexpr milliseconds kRetry{1000};
constexpr int kTries = 30;
constexpr std::size_t kWaitingMost = 100'000;
// A cluster without caches is asked only so often whether it has some by now.
constexpr std::chrono::seconds kSilence{10};

// What is to be told; one per I/O thread, like the Remote.
struct Changes {
  std::vector<std::string> tags;
  bool telling = false;
  Clock::time_point silent_until;
};
Changes& changes() {
  thread_local Changes all;
  return all;
}

// How many caches there are. Errors: unavailable (no tracker takes it).
Task<Result<std::uint32_t>> tell_tracker(Context& context, wire::Bytes message) {
  Error failure(Errc::unavailable, "no tracker answers");
  for (const config::TrackerAddress& tracker : context.config.trackers) {
    for (const std::string& host : tracker.hosts) {
      Endpoint endpoint;
      endpoint.host = host;
      endpoint.port = tracker.port;
      wire::Bytes copy = message;
      auto answer = co_await context.remote().pool().call(
          endpoint, static_cast<std::uint8_t>(wire::kCachesChanged), std::move(copy), kTimeout);
      auto reply = answer ? wire::decode_lenient<wire::CachesChangedReply>(*answer)
                          : Result<wire::CachesChangedReply>(answer.error());
      if (reply) co_return reply->caches;
      failure = std::move(reply).error();
    }
  }
  co_return failure;
}

Task<void> tell(Context& context) {
  Changes& all = changes();
  asio::steady_timer timer(co_await asio::this_coro::executor);
  int tries = 0;
  while (!all.tags.empty() && !context.stopping) {
    timer.expires_after(tries == 0 ? kGather : kRetry);
    co_await timer.async_wait(as_result);
    const std::size_t count = std::min(all.tags.size(), wire::kCacheWordsMax);
    wire::CachesChanged message;
    for (std::size_t i = 0; i < count; ++i) message.tags.push_back({all.tags[i]});
    wire::Bytes bytes = wire::encode(message);
    const auto caches = co_await tell_tracker(context, std::move(bytes));
    if (!caches && ++tries < kTries) continue;
    if (!caches)
      spdlog::warn("caches in front were not told of deleted files={} cause={}", count,
                   caches.error().text());
    tries = 0;
    all.tags.erase(all.tags.begin(), all.tags.begin() + static_cast<std::ptrdiff_t>(count));
    if (!caches || *caches > 0) continue;
    all.tags.clear();
    all.silent_until = Clock::now() + kSilence;
  }
  all.telling = false;
}

} // namespace

void tell_caches(Context& context, const asio::any_io_executor& executor, const RemoteName& name) {
  Changes& all = changes();
  if (context.stopping || Clock::now() < all.silent_until || all.tags.size() >= kWaitingMost)
    return;
  all.tags.push_back(
      cache_tag_of_id(context.config.group_name + "/" + std::string(name.canonical())));
  if (std::exchange(all.telling, true)) return;
  spawn(executor, tell(context), "tell caches");
}

} // namespace cairn::storage
