// Access keys: who may do what without being a node. The tracker keeps them among its facts, every
// node has a copy (KeyRing) to check signatures against.
#pragma once

#include "common/auth/rights.h"
#include "common/auth/secret.h"
#include "common/base/result.h"
#include "common/wire/codec.h"

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

namespace cairn::auth {

// Where a key holds: "group1", or a path below it such as "group1/M00/0A".
struct KeyPrefix {
  std::string path; // without '/' at its ends

  static constexpr auto fields() { return std::tuple{wire::string(&KeyPrefix::path)}; }
  friend bool operator==(const KeyPrefix&, const KeyPrefix&) = default;
};

// One key, secret included: never to be logged or shown whole.
struct AccessKey {
  std::string id;                 // "CK" and 18 characters of A-Z 2-7; public
  std::string secret;             // 43 characters; shown once, when the key is made
  std::string former_secret;      // after a rotation: still taken until `former_until`
  std::uint64_t former_until = 0; // unix seconds
  Rights rights = kNothing;
  std::vector<KeyPrefix> prefixes; // empty: everywhere
  std::uint64_t expires = 0;       // unix seconds; 0: never
  std::uint32_t requests_rate = 0; // per second at one node; 0: no limit
  std::uint64_t bytes_rate = 0;    // per second at one node, either direction; 0: no limit
  std::uint64_t created = 0;       // unix seconds
  std::string note;                // what an administrator wrote about it

  bool has_expired(std::uint64_t now) const { return expires != 0 && now >= expires; }
  // `path` as "group1/M00/…": whether it lies in one of the prefixes, counted in whole parts.
  bool covers(std::string_view path) const;
  // The secrets that hold at `now`: the newest first.
  SecretList secrets(std::uint64_t now) const;

  static constexpr auto fields() {
    using M = AccessKey;
    return std::tuple{wire::string(&M::id),
                      wire::string(&M::secret),
                      wire::string(&M::former_secret),
                      wire::integer(&M::former_until),
                      wire::integer(&M::rights),
                      wire::list(&M::prefixes),
                      wire::integer(&M::expires),
                      wire::integer(&M::requests_rate),
                      wire::integer(&M::bytes_rate),
                      wire::integer(&M::created),
                      wire::string(&M::note)};
  }
  friend bool operator==(const AccessKey&, const AccessKey&) = default;
};

// All keys, as they travel from tracker to node: sealed under the cluster's secret.
struct KeyTable {
  std::string cluster_uuid;
  std::uint64_t version = 0; // grows with every change of a key; the same at every tracker
  std::vector<AccessKey> keys;

  static constexpr auto fields() {
    using M = KeyTable;
    return std::tuple{wire::string(&M::cluster_uuid), wire::integer(&M::version),
                      wire::list(&M::keys)};
  }
};

// A new ID and a new secret.
std::string make_key_id();
std::string make_key_secret();

// "read,write" as rights; "all" is read, write, delete and list. Errors: invalid_argument.
Result<Rights> parse_rights(std::string_view text);
// "read,write".
std::string rights_text(Rights rights);
// Errors: invalid_argument ("/", "..", empty parts, characters that no path has).
Result<KeyPrefix> parse_key_prefix(std::string_view text);

// The table for one who knows the cluster's secret: sealed under the first one. Without a secret
// (then all nodes are on one machine) it travels as it is.
wire::Bytes seal_keys(const KeyTable& table, const SecretList& secrets);
// Errors: denied (sealed under another secret), invalid_argument.
Result<KeyTable> unseal_keys(wire::View sealed, const SecretList& secrets);

// The keys a node knows. Any thread.
class KeyRing {
public:
  KeyRing() = default;

  // Takes the place of all keys, unless it is older than what is there: a tracker that lags behind
  // must not bring a revoked key back. True when it was taken.
  bool take(KeyTable table);
  // The key, or null.
  std::shared_ptr<const AccessKey> find(std::string_view id) const;
  std::size_t size() const;

private:
  mutable std::mutex mutex_; // guards all below
  std::string cluster_uuid_;
  std::uint64_t version_ = 0;
  std::map<std::string, std::shared_ptr<const AccessKey>, std::less<>> keys_;
};

} // namespace cairn::auth
