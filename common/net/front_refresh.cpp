// A few workers, each with a connection of its own.
#include "common/net/front_refresh.h"

#include "common/base/cache_tag.h"
#include "common/net/http_client.h"

#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>

#include <algorithm>
#include <memory>
#include <utility>

namespace cairn {

namespace {

constexpr std::size_t kWorkers = 8;

// What the workers share; all of them are on one io_context.
struct Work {
  explicit Work(const asio::any_io_executor& executor) : finished(executor) {}
  Endpoint front;
  std::vector<wire::FrontUrl> urls;
  std::chrono::milliseconds timeout{0};
  std::size_t next = 0;
  std::size_t running = 0;
  Refreshed result;
  asio::steady_timer finished; // cancelled by the last worker
};

HttpAsk ask_for(const wire::FrontUrl& url) {
  HttpAsk ask;
  ask.method = "HEAD";
  ask.target = url.target;
  ask.host = url.host;
  ask.keep = true;
  ask.headers.emplace_back(kCacheRefreshHeader, "1");
  for (const wire::FrontHeader& header : url.headers)
    ask.headers.emplace_back(header.name, header.value);
  return ask;
}

Task<Result<HttpCall>> send(Work& work, std::unique_ptr<Connection> idle,
                            const wire::FrontUrl& url) {
  if (idle != nullptr) {
    HttpAsk ask = ask_for(url);
    auto call =
        co_await HttpCall::send_over(std::move(idle), work.front, std::move(ask), work.timeout);
    if (call || call.code() != Errc::closed) co_return std::move(call);
  }
  HttpAsk ask = ask_for(url);
  co_return co_await HttpCall::send(work.front, std::move(ask), work.timeout);
}

// What an answer says about the refresh.
Status taken(const HttpCall& call) {
  if (call.status() >= 500)
    return Error{Errc::unavailable, "status " + std::to_string(call.status())};
  if (call.header("X-Cache") != "BYPASS")
    return Error{Errc::denied, "it does not fetch anew for this tracker (X-Cache: " +
                                   std::string(call.header("X-Cache")) + ")"};
  return {};
}

Task<void> ask_all(std::shared_ptr<Work> work) {
  std::unique_ptr<Connection> idle;
  while (work->next < work->urls.size()) {
    wire::FrontUrl& url = work->urls[work->next++];
    auto call = co_await send(*work, std::move(idle), url);
    if (call) {
      Status done = taken(*call);
      if (done)
        ++work->result.taken;
      else
        work->result.status = std::move(done);
      idle = call->release();
      continue;
    }
    // A URL that cannot be sent at all (a blank in a header) is nobody's fault but its own.
    if (call.code() == Errc::invalid_argument) continue;
    work->result.status = std::move(call).error();
    work->result.unasked.push_back(std::move(url));
    // The others would wait for the same: what they have not begun is left.
    for (; work->next < work->urls.size(); ++work->next)
      work->result.unasked.push_back(std::move(work->urls[work->next]));
  }
  if (--work->running == 0) work->finished.cancel();
}

} // namespace

std::string front_url_key(const wire::FrontUrl& url) {
  std::string key = url.host + "\n" + url.target;
  for (const wire::FrontHeader& header : url.headers)
    key.append("\n").append(header.name).append(":").append(header.value);
  return key;
}

Task<Refreshed> refresh_urls(Endpoint front, std::vector<wire::FrontUrl> urls,
                             std::chrono::milliseconds timeout) {
  const auto executor = co_await asio::this_coro::executor;
  const auto work = std::make_shared<Work>(executor);
  work->front = std::move(front);
  work->urls = std::move(urls);
  work->timeout = timeout;
  work->finished.expires_at(std::chrono::steady_clock::time_point::max());
  work->running = std::min(kWorkers, work->urls.size());
  if (work->running == 0) co_return Refreshed();
  for (std::size_t i = 0, count = work->running; i < count; ++i)
    spawn(executor, ask_all(work), "refresh of a cache");
  if (work->running > 0) co_await work->finished.async_wait(as_result);
  co_return std::move(work->result);
}

} // namespace cairn
