// Which URLs this node has answered to caches in front that cannot be told what an answer is made
// of (stock nginx: it has no list of its URLs). Such a front says with `X-Cairn-Kept: SECONDS` for
// how long it gives an answer to others without asking again; for that long the URL is remembered
// here under the tags of its answer (common/base/cache_tag.h), so that a tracker can have it
// fetched anew when one of them changes. Bounded; what does not fit is forgotten, the oldest first,
// and then holds until the front asks again. Time is an argument.
#pragma once

#include "common/wire/cache_purge.h"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace cairn::storage {

class FrontMemory {
public:
  using Time = std::chrono::steady_clock::time_point;

  // Not longer, whatever a front says.
  static constexpr std::chrono::seconds kKeptMost{3600};

  explicit FrontMemory(std::size_t urls_max = 65'536, std::size_t bytes_max = 32 << 20)
      : urls_max_(urls_max), bytes_max_(bytes_max) {}

  // An answer with these tags went to a front that keeps it for `kept`. `tags` as in the header:
  // separated by commas. URLs that are too long to be asked for again are not remembered. Any
  // thread.
  void note(wire::FrontUrl url, std::string_view tags, std::chrono::seconds kept, Time now);

  // The URLs with one of the tags that were noted after the one with the number `after` (0: all),
  // up to `most`, in the order they were noted. Any thread.
  wire::FrontUrlsReply with_tags(const std::vector<wire::CacheWord>& tags, std::uint64_t after,
                                 std::size_t most, Time now);
  // The same for those whose target (path and arguments) passes. `fits` is called under the lock.
  wire::FrontUrlsReply fitting(const std::function<bool(const std::string&)>& fits,
                               std::uint64_t after, std::size_t most, Time now);

  std::size_t size() const;

private:
  struct Entry {
    wire::FrontUrl url;
    std::string key;
    std::vector<std::string> tags;
    Time until;
    std::size_t bytes = 0;
  };
  using Entries = std::map<std::uint64_t, Entry>; // by number; the oldest first

  void drop(Entries::iterator entry);
  // Drops the oldest ones whose time is over.
  void expire(Time now);

  const std::size_t urls_max_;
  const std::size_t bytes_max_;
  mutable std::mutex mutex_; // guards what follows
  std::uint64_t last_ = 0;
  std::size_t bytes_ = 0;
  Entries entries_;
  std::unordered_map<std::string, std::uint64_t> by_key_;
  std::unordered_multimap<std::string, std::uint64_t> by_tag_;
};

} // namespace cairn::storage
