// A table by number, key and tag.
#include "storage/http/front_memory.h"

#include "common/base/text.h"
#include "common/net/front_refresh.h"

#include <algorithm>
#include <iterator>
#include <set>
#include <utility>

namespace cairn::storage {

namespace {

// What an HTTP request line of common servers may have.
constexpr std::size_t kUrlMost = 8 * 1024;
// What an entry takes beside its text: nodes of the four containers.
constexpr std::size_t kEntryBytes = 400;
constexpr std::size_t kTagBytes = 120;

// In one reply.
constexpr std::size_t kPageBytes = 4 << 20;

// Adds one more URL; false: the page is full.
bool add_to(wire::FrontUrlsReply& page, const wire::FrontUrl& url, std::uint64_t number,
            std::size_t most, std::size_t& bytes) {
  bytes += url.host.size() + url.target.size();
  for (const wire::FrontHeader& header : url.headers) bytes += header.value.size();
  page.more = page.urls.size() >= most || (bytes > kPageBytes && !page.urls.empty());
  if (page.more) return false;
  page.urls.push_back(url);
  page.last = number;
  return true;
}

} // namespace

void FrontMemory::note(wire::FrontUrl url, std::string_view tags, std::chrono::seconds kept,
                       Time now) {
  std::string key = front_url_key(url);
  if (key.size() > kUrlMost || tags.empty() || kept <= std::chrono::seconds::zero()) return;
  Entry entry;
  entry.until = now + std::min(kept, kKeptMost);
  std::set<std::string_view> seen; // an alias may have one tag for several hosts
  for (const std::string_view tag : split(tags, ','))
    if (seen.insert(tag).second) entry.tags.emplace_back(tag);
  entry.bytes = kEntryBytes + 3 * key.size() + kTagBytes * entry.tags.size();
  entry.url = std::move(url);
  entry.key = key;

  const std::lock_guard lock(mutex_);
  if (const auto known = by_key_.find(key); known != by_key_.end())
    drop(entries_.find(known->second));
  expire(now);
  while (!entries_.empty() && (entries_.size() >= urls_max_ || bytes_ + entry.bytes > bytes_max_))
    drop(entries_.begin());
  const std::uint64_t number = ++last_;
  for (const std::string& tag : entry.tags) by_tag_.emplace(tag, number);
  by_key_.emplace(std::move(key), number);
  bytes_ += entry.bytes;
  entries_.emplace(number, std::move(entry));
}

void FrontMemory::drop(Entries::iterator entry) {
  for (const std::string& tag : entry->second.tags) {
    auto [at, end] = by_tag_.equal_range(tag);
    while (at != end && at->second != entry->first) ++at;
    if (at != end) by_tag_.erase(at);
  }
  by_key_.erase(entry->second.key);
  bytes_ -= entry->second.bytes;
  entries_.erase(entry);
}

void FrontMemory::expire(Time now) {
  // Fronts with different times are rare; what one of them holds up here is bounded like the rest.
  while (!entries_.empty() && entries_.begin()->second.until <= now) drop(entries_.begin());
}

wire::FrontUrlsReply FrontMemory::with_tags(const std::vector<wire::CacheWord>& tags,
                                            std::uint64_t after, std::size_t most, Time now) {
  wire::FrontUrlsReply reply;
  const std::lock_guard lock(mutex_);
  expire(now);
  std::set<std::uint64_t> found;
  for (const wire::CacheWord& tag : tags) {
    const auto [begin, end] = by_tag_.equal_range(tag.text);
    for (auto at = begin; at != end; ++at)
      if (at->second > after) found.insert(at->second);
  }
  std::size_t bytes = 0;
  for (const std::uint64_t number : found)
    if (!add_to(reply, entries_.at(number).url, number, most, bytes)) break;
  return reply;
}

wire::FrontUrlsReply FrontMemory::fitting(const std::function<bool(const std::string&)>& fits,
                                          std::uint64_t after, std::size_t most, Time now) {
  wire::FrontUrlsReply reply;
  const std::lock_guard lock(mutex_);
  expire(now);
  std::size_t bytes = 0;
  for (auto at = entries_.upper_bound(after); at != entries_.end(); ++at)
    if (fits(at->second.url.target) && !add_to(reply, at->second.url, at->first, most, bytes))
      break;
  return reply;
}

std::size_t FrontMemory::size() const {
  const std::lock_guard lock(mutex_);
  return entries_.size();
}

} // namespace cairn::storage
