// Who may do what over HTTP: addresses, referers, rate limits, access keys and signatures, and the
// headers by which browsers let other origins in. It decides; resolvers ask it.
#pragma once

#include "common/auth/access_keys.h"
#include "common/config/storage_config.h"
#include "common/net/http_server.h"
#include "common/net/rate_limit.h"

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace cairn::storage {

// The decision about one request: `refusal`, or who it is.
struct Grant {
  std::optional<HttpReply> refusal;
  std::shared_ptr<const auth::AccessKey> key; // null: nobody in particular
};

// Const but for its counters. Any thread.
class HttpGuard {
public:
  // All outlive it. `limiter` is shared with who else counts what a key does.
  HttpGuard(const config::StorageConfig& config, const auth::KeyRing& keys, RateLimiter& limiter);

  // Before anything else: address, rate, and for reads referer and signature. `path` is decoded,
  // `object` is what a key's prefix is compared with ("group1/M00/…").
  Grant admit_read(const HttpRequest& request, const std::string& path, std::string_view object);
  // For reads that admit_read() has let pass and that are not for everybody: an access key or a
  // signature that covers `object`.
  Grant admit_private(const HttpRequest& request, const std::string& path,
                      std::string_view object) const;
  // For what changes something: an access key with `needs` that covers `object`.
  Grant admit_change(const HttpRequest& request, const std::string& path, std::string_view object,
                     auth::Rights needs);
  // Bytes of content that were moved for an admitted request.
  void charge(const HttpRequest& request, const Grant& grant, std::uint64_t bytes);
  // True when charge() does something.
  bool charges(const Grant& grant) const;

  // The answer to a preflight; nullopt: it is none, or the origin is not listed.
  std::optional<HttpReply> preflight(const HttpRequest& request) const;
  // Adds what a script of another origin needs to see the reply.
  void add_cors(const HttpRequest& request, HttpReply& reply) const;

  // The client's address: the peer's, or what trusted proxies say.
  std::string client_address(const HttpRequest& request) const;

private:
  std::optional<HttpReply> refuse_address(const HttpRequest& request) const;
  std::optional<HttpReply> refuse_referer(const HttpRequest& request, std::string_view path) const;
  // The key behind a signature or (if they are looked at) a password; `refusal` when that is given
  // and wrong. `given`: there was one at all.
  Grant identify(const HttpRequest& request, const std::string& path, bool passwords,
                 bool& given) const;
  std::optional<HttpReply> check_key(const Grant& grant, std::string_view object,
                                     auth::Rights needs) const;
  std::optional<HttpReply> refuse_rate(const HttpRequest& request, const Grant& grant);
  RateLimits address_limits() const;
  bool is_listed_origin(std::string_view origin) const;

  const config::HttpAccess& access_;
  const auth::KeyRing& keys_;
  RateLimiter& limiter_;
};

// True when `host` fits `pattern`, in which '*' stands for any text (also none). Lower case.
bool fits_pattern(std::string_view pattern, std::string_view host);

} // namespace cairn::storage
