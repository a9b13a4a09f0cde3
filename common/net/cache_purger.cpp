// One sender for each cache, so that a dead one holds up no other.
#include "common/net/cache_purger.h"

#include "common/base/cache_tag.h"
#include "common/net/front_refresh.h"
#include "common/net/http_client.h"

#include <boost/asio/steady_timer.hpp>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <iterator>
#include <map>
#include <set>
#include <utility>

namespace cairn {

namespace {

using std::chrono::milliseconds;
using Clock = std::chrono::steady_clock;

// Changes of so long go together.
constexpr milliseconds kGather{20};
constexpr milliseconds kTimeout{3000};
constexpr milliseconds kRetryFirst{200};
constexpr milliseconds kRetryMost{10'000};
// Of one request: a header has to stay below 8 KiB.
constexpr std::size_t kTagsOfOne = 200;
// Waiting for a cache, and for their second time.
constexpr std::size_t kWaitingMost = 50'000;
constexpr std::size_t kLaterMost = 200'000;
constexpr const char* kAnyTag = "."; // as a regular expression
// Of a cache that refreshes, before it is looked what else has changed.
constexpr std::size_t kUrlsOfOne = 500;

} // namespace

struct CachePurger::Cache {
  explicit Cache(const asio::any_io_executor& executor) : timer(executor) {}
  Endpoint endpoint;
  bool refreshes = false;
  FindUrls find;
  std::map<std::string, wire::FrontUrl> urls; // to be fetched anew, by front_url_key()
  std::set<std::string> tags;                 // to be told
  std::set<std::string> patterns;
  bool everything = false;                             // instead of both
  std::multimap<Clock::time_point, std::string> later; // tags, to be told once more
  bool telling = false;
  bool waits_for_later = false;
  bool stopping = false;
  bool failing = false; // since the last answer
  asio::steady_timer timer;

  bool has_news() const {
    return everything || !tags.empty() || !patterns.empty() || !urls.empty();
  }
  // Takes over what is due once more; answers when the next one is.
  Clock::time_point take_later() {
    const auto now = Clock::now();
    while (!later.empty() && later.begin()->first <= now)
      tags.insert(std::move(later.extract(later.begin()).mapped()));
    return later.empty() ? Clock::time_point::max() : later.begin()->first;
  }
  // Keeps what is remembered within bounds. True: some of it became "everything".
  bool bound() {
    if (later.size() > kLaterMost) {
      const auto last = std::prev(later.end())->first;
      later.clear();
      later.emplace(last, kAnyTag);
    }
    if (tags.size() + patterns.size() <= kWaitingMost) return false;
    tags.clear();
    patterns.clear();
    everything = true;
    return true;
  }
};

// What one request tells. It is taken out of its cache before it is sent, so that what changes once
// more meanwhile is told once more.
struct CachePurger::Told {
  std::vector<std::string> tags;
  std::string pattern; // or this
  bool everything = false;

  explicit Told(Cache& from) {
    everything = std::exchange(from.everything, false);
    if (everything) {
      from.tags.clear();
      from.patterns.clear();
    } else if (!from.patterns.empty()) {
      pattern = std::move(from.patterns.extract(from.patterns.begin()).value());
    } else {
      while (!from.tags.empty() && tags.size() < kTagsOfOne)
        tags.push_back(std::move(from.tags.extract(from.tags.begin()).value()));
    }
  }
  void give_back(Cache& to) {
    to.everything = to.everything || everything;
    if (!pattern.empty()) to.patterns.insert(std::move(pattern));
    for (std::string& tag : tags) to.tags.insert(std::move(tag));
  }
  // What a cache that refreshes is told: the URLs of the tags, or of the pattern.
  Task<Result<std::vector<wire::FrontUrl>>> find(const FindUrls& find_urls) const {
    std::string any = everything ? "." : pattern;
    // A tag that stands for all of them.
    if (std::find(tags.begin(), tags.end(), kAnyTag) != tags.end()) any = ".";
    return find_urls(tags, std::move(any));
  }
  HttpAsk ask(const Cache& cache) const {
    HttpAsk ask;
    ask.method = "BAN";
    ask.host = cache.endpoint.text();
    if (everything || !pattern.empty()) {
      ask.headers.emplace_back(kCacheUrlsHeader, everything ? "." : pattern);
      return ask;
    }
    std::string all;
    for (const std::string& tag : tags) all += (all.empty() ? "" : "|") + tag;
    ask.headers.emplace_back(kCacheTagsHeader, std::move(all));
    return ask;
  }
};

CachePurger::CachePurger(asio::any_io_executor executor, std::vector<PurgeTarget> caches,
                         Delays again, FindUrls find)
    : executor_(std::move(executor)),
      again_(std::move(again)),
      counters_(std::make_shared<Counters>()) {
  for (PurgeTarget& target : caches) {
    caches_.push_back(std::make_shared<Cache>(executor_));
    caches_.back()->endpoint = std::move(target.endpoint);
    caches_.back()->refreshes = target.refreshes;
    caches_.back()->find = find;
  }
}

CachePurger::~CachePurger() {
  stop();
}

void CachePurger::stop() {
  for (const auto& cache : caches_) {
    cache->stopping = true;
    cache->timer.cancel();
  }
}

std::size_t CachePurger::waiting() const {
  std::size_t most = 0;
  for (const auto& cache : caches_)
    most = std::max(most, cache->tags.size() + cache->patterns.size() + cache->urls.size());
  return most;
}

void CachePurger::changed(const std::string& tag) {
  const auto now = Clock::now();
  for (const auto& cache : caches_) {
    if (!cache->everything) cache->tags.insert(tag);
    for (const milliseconds delay : again_) cache->later.emplace(now + delay, tag);
    begin(cache);
  }
}

void CachePurger::changed_urls(const std::string& pattern) {
  for (const auto& cache : caches_) {
    if (!cache->everything) cache->patterns.insert(pattern);
    begin(cache);
  }
}

void CachePurger::begin(const std::shared_ptr<Cache>& cache) {
  if (cache->bound()) ++counters_->everything;
  if (cache->waits_for_later) cache->timer.cancel();
  if (cache->telling || cache->stopping) return;
  cache->telling = true;
  spawn(executor_, tell(cache, counters_), "cache purger");
}

Task<Status> CachePurger::ban(Cache& cache, Counters& counters) {
  Told told(cache);
  HttpAsk ask = told.ask(cache);
  const auto answer = co_await HttpCall::send(cache.endpoint, std::move(ask), kTimeout);
  if (answer && answer->status() == 200) {
    ++counters.requests;
    counters.tags += told.tags.size();
    co_return Status();
  }
  told.give_back(cache);
  if (!answer) co_return answer.error();
  co_return Error{Errc::denied, "status " + std::to_string(answer->status())};
}

Task<Status> CachePurger::refresh(Cache& cache, Counters& counters) {
  if (cache.everything || !cache.tags.empty() || !cache.patterns.empty()) {
    Told told(cache);
    auto found = co_await told.find(cache.find);
    if (!found) {
      told.give_back(cache);
      co_return std::move(found).error();
    }
    counters.tags += told.tags.size();
    for (wire::FrontUrl& url : *found) {
      // What is too much holds until the cache asks by itself, which it does soon.
      if (cache.urls.size() >= kWaitingMost) break;
      std::string key = front_url_key(url);
      cache.urls.insert_or_assign(std::move(key), std::move(url));
    }
  }
  if (cache.urls.empty()) co_return Status();
  std::vector<wire::FrontUrl> some;
  while (!cache.urls.empty() && some.size() < kUrlsOfOne)
    some.push_back(std::move(cache.urls.extract(cache.urls.begin()).mapped()));
  Refreshed done = co_await refresh_urls(cache.endpoint, std::move(some), kTimeout);
  counters.requests += done.taken > 0 ? 1 : 0;
  counters.refreshes += done.taken;
  for (wire::FrontUrl& url : done.unasked) {
    std::string key = front_url_key(url);
    cache.urls.emplace(std::move(key), std::move(url));
  }
  co_return std::move(done.status);
}

Task<void> CachePurger::tell(std::shared_ptr<Cache> cache, std::shared_ptr<Counters> counters) {
  milliseconds pause = kGather;
  while (!cache->stopping) {
    const auto next = cache->take_later();
    const bool news = cache->has_news();
    if (!news && next == Clock::time_point::max()) break;
    // What is new cuts the wait for what is later short.
    cache->waits_for_later = !news;
    cache->timer.expires_at(news ? Clock::now() + pause : next);
    co_await cache->timer.async_wait(as_result);
    cache->waits_for_later = false;
    if (cache->stopping) break;
    if (!news) continue;
    Status told;
    if (cache->refreshes)
      told = co_await refresh(*cache, *counters);
    else
      told = co_await ban(*cache, *counters);
    if (told) {
      cache->failing = false;
      pause = kGather;
      continue;
    }
    ++counters->failures;
    if (!std::exchange(cache->failing, true))
      spdlog::warn("a cache does not take purges cache={} cause={}", cache->endpoint.text(),
                   told.error().text());
    pause = std::min(kRetryMost, std::max(pause * 2, kRetryFirst));
  }
  cache->telling = false;
}

} // namespace cairn
