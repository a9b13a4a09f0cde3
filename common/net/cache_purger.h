// Tells caches in front of the cluster what has changed, by the tags of cache_tag.h: HTTP requests
// with the method BAN and the header X-Cairn-Tags, which holds a regular expression for the tags
// that a cached answer carries, or X-Cairn-Urls with one for URLs (conf/varnish/cairn.vcl). What
// happens at about the same time goes in one request. A cache that does not answer is told again,
// until what is to be told is too much: then it is told to forget everything. Each tag is told once
// more a little later: until then a storage node may have answered from what it remembered of a
// name, and the cache would keep that. Lives on one io_context.
#pragma once

#include "common/net/frame_client.h"
#include "common/net/task.h"

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace cairn {

class CachePurger {
public:
  struct Counters {
    std::uint64_t tags = 0;       // that caches were told, once for each cache
    std::uint64_t requests = 0;   // that a cache has answered with 200
    std::uint64_t failures = 0;   // not answered, or with something else
    std::uint64_t everything = 0; // caches that were told to forget all, because it was too much
  };
  using Delays = std::vector<std::chrono::milliseconds>;
  // Longer than storage nodes remember paths (1 s) and aliases (10 s).
  static Delays usual_delays() {
    return {std::chrono::milliseconds(2000), std::chrono::milliseconds(12'000)};
  }

  // `caches`: where their HTTP ports are; none: nothing is ever done. `again`: when each tag is
  // told once more, counted from the change.
  CachePurger(asio::any_io_executor executor, std::vector<Endpoint> caches,
              Delays again = usual_delays());
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

  asio::any_io_executor executor_;
  Delays again_;
  std::vector<std::shared_ptr<Cache>> caches_;
  std::shared_ptr<Counters> counters_; // outlived by requests that are under way
};

} // namespace cairn
