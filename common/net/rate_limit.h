// Requests and bytes per second of many clients: a token bucket for each, and a bound on how many
// are remembered. Time is the caller's.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>

namespace cairn {

namespace auth {
struct AccessKey;
}

// What a client may have per second; 0: no limit. A second's worth may come at once.
struct RateLimits {
  double requests = 0;
  double bytes = 0;
};

// The name and the limits of an access key's bucket: one a daemon, whatever the protocol.
std::string key_bucket(std::string_view key_id);
RateLimits key_limits_of(const auth::AccessKey& key);

// Any thread.
class RateLimiter {
public:
  using Time = std::chrono::steady_clock::time_point;

  // Takes one request of `client`. Zero: it may go on; else how long it should stay away. Bytes are
  // charged afterwards (charge()): who is in debt waits.
  std::chrono::milliseconds take(std::string_view client, const RateLimits& limits, Time now);
  // Charges bytes that were sent to or taken from `client`.
  void charge(std::string_view client, const RateLimits& limits, std::uint64_t bytes, Time now);

private:
  struct Bucket {
    double requests = 0;
    double bytes = 0;
    Time last{};
  };
  struct Shard {
    std::mutex mutex; // guards buckets
    std::unordered_map<std::string, Bucket> buckets;
  };

  Shard& shard_of(std::string_view client);
  static Bucket& refill(Shard& shard, std::string_view client, const RateLimits& limits, Time now);

  std::array<Shard, 16> shards_;
};

} // namespace cairn
