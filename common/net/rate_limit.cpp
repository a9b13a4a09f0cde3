// Token buckets by client.
#include "common/net/rate_limit.h"

#include "common/auth/access_keys.h"

#include <algorithm>
#include <functional>

namespace cairn {

namespace {

// In one shard. Beyond it those that have been full for a while are forgotten, and then everybody:
// forgetting favours the client.
constexpr std::size_t kBucketsMax = 8192;
constexpr std::chrono::seconds kForget{10};

std::chrono::milliseconds time_for(double missing, double rate) {
  return std::chrono::milliseconds(
      std::max<std::int64_t>(1, static_cast<std::int64_t>(missing / rate * 1000)));
}

} // namespace

std::string key_bucket(std::string_view key_id) {
  return std::string("k:").append(key_id);
}

RateLimits key_limits_of(const auth::AccessKey& key) {
  return {static_cast<double>(key.requests_rate), static_cast<double>(key.bytes_rate)};
}

RateLimiter::Shard& RateLimiter::shard_of(std::string_view client) {
  return shards_[std::hash<std::string_view>{}(client) % shards_.size()];
}

RateLimiter::Bucket& RateLimiter::refill(Shard& shard, std::string_view client,
                                         const RateLimits& limits, Time now) {
  if (shard.buckets.size() >= kBucketsMax) {
    std::erase_if(shard.buckets, [&](const auto& item) {
      return now - item.second.last > kForget && item.second.bytes >= 0;
    });
    if (shard.buckets.size() >= kBucketsMax) shard.buckets.clear();
  }
  const auto [found, made] = shard.buckets.try_emplace(std::string(client));
  Bucket& bucket = found->second;
  if (made) {
    bucket = {limits.requests, limits.bytes, now};
    return bucket;
  }
  const double seconds = std::max(0.0, std::chrono::duration<double>(now - bucket.last).count());
  bucket.requests = std::min(limits.requests, bucket.requests + seconds * limits.requests);
  bucket.bytes = std::min(limits.bytes, bucket.bytes + seconds * limits.bytes);
  bucket.last = now;
  return bucket;
}

std::chrono::milliseconds RateLimiter::take(std::string_view client, const RateLimits& limits,
                                            Time now) {
  if (limits.requests <= 0 && limits.bytes <= 0) return {};
  Shard& shard = shard_of(client);
  const std::lock_guard lock(shard.mutex);
  Bucket& bucket = refill(shard, client, limits, now);
  if (limits.requests > 0 && bucket.requests < 1)
    return time_for(1 - bucket.requests, limits.requests);
  if (limits.bytes > 0 && bucket.bytes < 0) return time_for(-bucket.bytes, limits.bytes);
  if (limits.requests > 0) bucket.requests -= 1;
  return {};
}

void RateLimiter::charge(std::string_view client, const RateLimits& limits, std::uint64_t bytes,
                         Time now) {
  if (limits.bytes <= 0) return;
  Shard& shard = shard_of(client);
  const std::lock_guard lock(shard.mutex);
  refill(shard, client, limits, now).bytes -= static_cast<double>(bytes);
}

} // namespace cairn
