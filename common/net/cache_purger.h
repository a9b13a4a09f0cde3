// Tells caches in front of the cluster what has changed, by the tags of cache_tag.h. A cache that
// knows the tags of its answers (conf/varnish/cairn.vcl) gets HTTP requests with the method BAN and
// the header X-Cairn-Tags, which holds a regular expression for tags, or X-Cairn-Urls with one for
// URLs. Stock nginx knows nothing of the kind: storage nodes remember which URLs they have answered
// to it, and it is asked to fetch those anew (front_refresh.h). What happens at about the same time
// goes together. A cache that does not answer is told again, until what is to be told is too much:
// then it is told to forget everything. Each tag is told once more a little later: until then a
// storage node may have answered from what it remembered of a name, and the cache would keep that.
// Lives on one io_context.
#pragma once

#include "common/net/frame_client.h"
#include "common/net/task.h"
#include "common/wire/cache_purge.h"

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace cairn {

// A cache that is to be told.
struct PurgeTarget {
  PurgeTarget(Endpoint at, bool by_url = false) : endpoint(std::move(at)), refreshes(by_url) {}

  Endpoint endpoint; // of its HTTP port
  bool refreshes;    // has URLs fetched anew, instead of forgetting tags
};

class CachePurger {
public:
  struct Counters {
    std::uint64_t tags = 0;       // that caches were told, once for each cache
    std::uint64_t requests = 0;   // that a cache has answered with 200
    std::uint64_t refreshes = 0;  // URLs that a cache has fetched anew
    std::uint64_t failures = 0;   // not answered, or with something else
    std::uint64_t everything = 0; // caches that were told to forget all, because it was too much
  };
  using Delays = std::vector<std::chrono::milliseconds>;
  // Longer than storage nodes remember paths (1 s) and aliases (10 s).
  static Delays usual_delays() {
    return {std::chrono::milliseconds(2000), std::chrono::milliseconds(12'000)};
  }

  // The URLs that were answered to caches in front, with one of the tags; if there is a pattern
  // instead, those that match this regular expression. Errors: nobody could be asked.
  using FindUrls = std::function<Task<Result<std::vector<wire::FrontUrl>>>(
      std::vector<std::string> tags, std::string pattern)>;

  // `caches`: none: nothing is ever done. `again`: when each tag is told once more, counted from
  // the change. `find`: for caches that refresh.
  CachePurger(asio::any_io_executor executor, std::vector<PurgeTarget> caches,
              Delays again = usual_delays(), FindUrls find = {});
  ~CachePurger();
  CachePurger(const CachePurger&) = delete;
  CachePurger& operator=(const CachePurger&) = delete;

  std::size_t caches() const { return caches_.size(); }
  // Answers with this tag are not what they were. On the loop; never waits.
  void changed(const std::string& tag);
  // Answers to URLs (path and arguments) that match this regular expression are not what they were.
  void changed_urls(const std::string& pattern);
  // Ends what is under way, as soon as a request has been answered or has timed out.
  void stop();

  const Counters& counters() const { return *counters_; }
  // What some cache has not been told yet.
  std::size_t waiting() const;

private:
  struct Cache;
  struct Told;
  void begin(const std::shared_ptr<Cache>& cache);
  static Task<void> tell(std::shared_ptr<Cache> cache, std::shared_ptr<Counters> counters);
  // One request, or URLs of a cache that refreshes. Errors: why the cache has not taken it; then it
  // is waiting again.
  static Task<Status> ban(Cache& cache, Counters& counters);
  static Task<Status> refresh(Cache& cache, Counters& counters);

  asio::any_io_executor executor_;
  Delays again_;
  std::vector<std::shared_ptr<Cache>> caches_;
  std::shared_ptr<Counters> counters_; // outlived by requests that are under way
};

} // namespace cairn
