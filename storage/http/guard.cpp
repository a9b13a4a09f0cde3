// Decisions about HTTP requests.
#include "storage/http/guard.h"

#include "common/auth/crypto.h"
#include "common/auth/signature.h"
#include "common/base/text.h"
#include "storage/http/resolver.h"

#include <openssl/evp.h>

#include <algorithm>
#include <ctime>
#include <utility>

namespace cairn::storage {

namespace {

// Clocks of client and server may differ by this much.
constexpr std::uint64_t kSkew = 30;
// A signature cannot be made to hold for ever.
constexpr std::uint64_t kLifetimeMax = std::uint64_t{366} * 86'400;
constexpr std::string_view kMethods = "GET, HEAD, POST, PUT, DELETE";
constexpr std::string_view kPreflightSeconds = "600";

std::uint64_t unix_now() {
  return static_cast<std::uint64_t>(std::time(nullptr));
}

HttpReply unauthorized(std::string_view why) {
  HttpReply reply = plain_reply(401, why);
  reply.headers.emplace_back("WWW-Authenticate", std::string(auth::kSignatureScheme));
  return reply;
}

Grant refused(HttpReply reply) {
  Grant grant;
  grant.refusal = std::move(reply);
  return grant;
}

// "id:secret" of a Basic header; nullopt when it is none.
std::optional<std::pair<std::string, std::string>> basic_of(std::string_view value) {
  constexpr std::string_view kBasic = "basic ";
  constexpr std::size_t kMax = 1024;
  if (value.size() > kMax || !equals_ignoring_case(value.substr(0, kBasic.size()), kBasic))
    return std::nullopt;
  const std::string_view encoded = trim(value.substr(kBasic.size()));
  std::string text(encoded.size(), '\0');
  const int size = EVP_DecodeBlock(reinterpret_cast<unsigned char*>(text.data()),
                                   reinterpret_cast<const unsigned char*>(encoded.data()),
                                   static_cast<int>(encoded.size()));
  if (size < 0) return std::nullopt;
  // The padding was decoded as zero bytes.
  text.resize(static_cast<std::size_t>(size));
  while (!text.empty() && text.back() == '\0') text.pop_back();
  const std::size_t colon = text.find(':');
  if (colon == std::string::npos) return std::nullopt;
  return std::pair(text.substr(0, colon), text.substr(colon + 1));
}

// The host in "https://shop.example:8443/page", in lower case; empty when there is none.
std::string host_of_url(std::string_view url) {
  const std::size_t scheme = url.find("://");
  if (scheme == std::string_view::npos) return {};
  std::string_view rest = url.substr(scheme + 3);
  rest = rest.substr(0, rest.find_first_of("/?#"));
  if (const std::size_t at = rest.rfind('@'); at != std::string_view::npos)
    rest.remove_prefix(at + 1);
  if (!rest.starts_with('[')) rest = rest.substr(0, rest.find(':'));
  return to_lower(rest);
}

} // namespace

bool fits_pattern(std::string_view pattern, std::string_view host) {
  // The place to go back to: behind the last star, which then takes one character more.
  std::size_t star = std::string_view::npos;
  std::size_t retry = 0;
  std::size_t p = 0;
  std::size_t h = 0;
  while (h < host.size()) {
    if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      retry = h;
    } else if (p < pattern.size() && pattern[p] == host[h]) {
      ++p;
      ++h;
    } else if (star != std::string_view::npos) {
      p = star + 1;
      h = ++retry;
    } else {
      return false;
    }
  }
  while (p < pattern.size() && pattern[p] == '*') ++p;
  return p == pattern.size();
}

HttpGuard::HttpGuard(const config::StorageConfig& config, const auth::KeyRing& keys,
                     RateLimiter& limiter)
    : access_(config.http), keys_(keys), limiter_(limiter) {}

std::string HttpGuard::client_address(const HttpRequest& request) const {
  std::string address = request.connection->peer_address().to_string();
  if (!access_.trusted_proxies.contains(std::string_view(address))) return address;
  const std::string_view forwarded = request.header("X-Forwarded-For");
  if (forwarded.empty()) return address;
  // From the right: what our proxies have added, up to the first that is none of them.
  std::vector<std::string_view> hops = split(forwarded, ',');
  for (auto hop = hops.rbegin(); hop != hops.rend(); ++hop) {
    const std::string_view text = trim(*hop);
    if (!is_ip_address(text)) break;
    address = text;
    if (!access_.trusted_proxies.contains(text)) break;
  }
  return address;
}

std::optional<HttpReply> HttpGuard::refuse_address(const HttpRequest& request) const {
  if (access_.allow_hosts.empty()) return std::nullopt;
  if (access_.allow_hosts.contains(std::string_view(client_address(request)))) return std::nullopt;
  return plain_reply(403, "not allowed");
}

std::optional<HttpReply> HttpGuard::refuse_referer(const HttpRequest& request,
                                                   std::string_view path) const {
  if (access_.referer_allow.empty() && access_.referer_deny.empty() && access_.referer_none)
    return std::nullopt;
  const std::size_t dot = path.rfind('.');
  if (dot != std::string_view::npos) {
    const std::string extension = to_lower(path.substr(dot + 1));
    const auto& exempt = access_.referer_exempt;
    if (std::find(exempt.begin(), exempt.end(), extension) != exempt.end()) return std::nullopt;
  }
  const auto any_fits = [](const std::vector<std::string>& patterns, std::string_view host) {
    return std::any_of(patterns.begin(), patterns.end(),
                       [host](const std::string& one) { return fits_pattern(one, host); });
  };
  const std::string_view referer = request.header("Referer");
  bool good = access_.referer_none;
  if (!referer.empty()) {
    // "blocked": something without a host, as some proxies leave it.
    const std::string host = host_of_url(referer);
    good = (access_.referer_allow.empty() || any_fits(access_.referer_allow, host)) &&
           !any_fits(access_.referer_deny, host);
  }
  if (good) return std::nullopt;
  HttpReply reply = plain_reply(403, "this page may not show the file");
  reply.headers.emplace_back("Vary", "Referer");
  return reply;
}

Grant HttpGuard::identify(const HttpRequest& request, const std::string& path, bool passwords,
                          bool& given) const {
  given = false;
  const std::uint64_t now = unix_now();
  const std::string_view authorization = request.header("Authorization");
  const auto basic = passwords ? basic_of(authorization) : std::nullopt;
  if (basic) {
    given = true;
    // Anybody on the way could read it.
    if (!request.connection->is_tls() && !request.connection->peer_address().is_loopback())
      return refused(plain_reply(403, "a password is taken over TLS or from this machine only"));
    const auto key = keys_.find(basic->first);
    bool good = false;
    if (key && !key->has_expired(now)) {
      for (const auth::Secret& secret : key->secrets(now))
        good = auth::same_text(secret.text(), basic->second) || good;
    }
    if (!good) return refused(unauthorized("wrong access key"));
    Grant grant;
    grant.key = key;
    return grant;
  }

  const bool in_header = authorization.starts_with(auth::kSignatureScheme);
  if (!in_header && request.query().find("cairn-") == std::string_view::npos) return {};
  auto query = auth::parse_query(request.query());
  if (!query) return refused(plain_reply(400, "malformed query"));
  bool in_query = false;
  auto claim = auth::take_claim(*query, in_query);
  given = in_query || in_header || !claim;
  if (!given) return {};
  if (claim && in_header && in_query) return refused(plain_reply(400, "two signatures"));
  if (in_header) claim = auth::parse_authorization(authorization);
  if (!claim) return refused(plain_reply(400, "malformed signature"));

  auth::SignedRequest text;
  text.method = request.method;
  text.path = path;
  text.query = *std::move(query);
  text.key_id = claim->key_id;
  text.expires = claim->expires;
  for (const std::string& name : claim->headers)
    text.headers.emplace_back(name, std::string(request.header(name)));
  const auto key = keys_.find(claim->key_id);
  bool good = false;
  // An unknown key is refused with the same words, after the same work.
  const auth::SecretList secrets =
      key ? key->secrets(now) : auth::SecretList{auth::Secret(auth::make_secret())};
  for (const auth::Secret& secret : secrets) {
    good = auth::same_text(auth::signature_of(secret.view(), text), claim->signature) || good;
    if (request.head) {
      auth::SignedRequest as_get = text;
      as_get.method = "GET";
      good = auth::same_text(auth::signature_of(secret.view(), as_get), claim->signature) || good;
    }
  }
  if (!key || !good) return refused(plain_reply(403, "the signature does not match"));
  if (now > claim->expires + kSkew) return refused(plain_reply(403, "the signature has expired"));
  if (claim->expires > now + kLifetimeMax)
    return refused(plain_reply(403, "the signature expires too late"));
  if (key->has_expired(now)) return refused(plain_reply(403, "the access key has expired"));
  Grant grant;
  grant.key = key;
  return grant;
}

std::optional<HttpReply> HttpGuard::check_key(const Grant& grant, std::string_view object,
                                              auth::Rights needs) const {
  if ((grant.key->rights & needs) != needs)
    return plain_reply(403, "the access key has no right to do this");
  if (!grant.key->covers(object)) return plain_reply(403, "the access key does not hold here");
  return std::nullopt;
}

RateLimits HttpGuard::address_limits() const {
  return {static_cast<double>(access_.address_requests),
          static_cast<double>(access_.address_bytes)};
}

std::optional<HttpReply> HttpGuard::refuse_rate(const HttpRequest& request, const Grant& grant) {
  const auto now = std::chrono::steady_clock::now();
  std::chrono::milliseconds wait{0};
  if (access_.address_requests != 0 || access_.address_bytes != 0)
    wait = limiter_.take("a:" + client_address(request), address_limits(), now);
  if (wait.count() == 0 && grant.key)
    wait = limiter_.take(key_bucket(grant.key->id), key_limits_of(*grant.key), now);
  if (wait.count() == 0) return std::nullopt;
  HttpReply reply = plain_reply(429, "too many requests");
  reply.headers.emplace_back("Retry-After", std::to_string((wait.count() + 999) / 1000));
  return reply;
}

Grant HttpGuard::admit_read(const HttpRequest& request, const std::string& path,
                            std::string_view object) {
  if (auto reply = refuse_address(request)) return refused(std::move(*reply));
  bool given = false;
  // Where everybody may read, a password is some proxy's, not ours.
  Grant grant = identify(request, path, access_.signed_reads, given);
  if (grant.refusal) return grant;
  if (auto reply = refuse_rate(request, grant)) return refused(std::move(*reply));
  if (grant.key) {
    // Who has a signature needs no page that shows it.
    if (auto reply = check_key(grant, object, auth::kRead)) return refused(std::move(*reply));
    return grant;
  }
  if (access_.signed_reads) return refused(unauthorized("a signature is needed"));
  if (auto reply = refuse_referer(request, path)) return refused(std::move(*reply));
  return grant;
}

Grant HttpGuard::admit_private(const HttpRequest& request, const std::string& path,
                               std::string_view object) const {
  bool given = false;
  Grant grant = identify(request, path, /*passwords=*/true, given);
  if (grant.refusal) return grant;
  if (!grant.key) return refused(unauthorized("an access key or a signed URL is needed"));
  if (auto reply = check_key(grant, object, auth::kRead)) return refused(std::move(*reply));
  return grant;
}

Grant HttpGuard::admit_change(const HttpRequest& request, const std::string& path,
                              std::string_view object, auth::Rights needs) {
  if (auto reply = refuse_address(request)) return refused(std::move(*reply));
  if (!access_.uploads) return refused(plain_reply(403, "this is not done here"));
  bool given = false;
  Grant grant = identify(request, path, /*passwords=*/true, given);
  if (grant.refusal) return grant;
  if (auto reply = refuse_rate(request, grant)) return refused(std::move(*reply));
  if (!grant.key) return refused(unauthorized("an access key or a signed URL is needed"));
  if (auto reply = check_key(grant, object, needs)) return refused(std::move(*reply));
  return grant;
}

bool HttpGuard::charges(const Grant& grant) const {
  return access_.address_bytes != 0 || (grant.key && grant.key->bytes_rate != 0);
}

void HttpGuard::charge(const HttpRequest& request, const Grant& grant, std::uint64_t bytes) {
  const auto now = std::chrono::steady_clock::now();
  if (access_.address_bytes != 0)
    limiter_.charge("a:" + client_address(request), address_limits(), bytes, now);
  if (grant.key && grant.key->bytes_rate != 0)
    limiter_.charge(key_bucket(grant.key->id), key_limits_of(*grant.key), bytes, now);
}

bool HttpGuard::is_listed_origin(std::string_view origin) const {
  const std::string lower = to_lower(origin);
  return std::any_of(access_.cors_origins.begin(), access_.cors_origins.end(),
                     [&](const std::string& one) { return one == "*" || one == lower; });
}

std::optional<HttpReply> HttpGuard::preflight(const HttpRequest& request) const {
  if (request.method != "OPTIONS") return std::nullopt;
  const std::string_view origin = request.header("Origin");
  if (origin.empty() || request.header("Access-Control-Request-Method").empty() ||
      !is_listed_origin(origin))
    return std::nullopt;
  HttpReply reply;
  reply.status = 204;
  add_cors(request, reply);
  reply.headers.emplace_back("Access-Control-Allow-Methods", std::string(kMethods));
  if (const std::string_view asked = request.header("Access-Control-Request-Headers");
      !asked.empty())
    reply.headers.emplace_back("Access-Control-Allow-Headers", std::string(asked));
  reply.headers.emplace_back("Access-Control-Max-Age", std::string(kPreflightSeconds));
  return reply;
}

void HttpGuard::add_cors(const HttpRequest& request, HttpReply& reply) const {
  if (access_.cors_origins.empty()) return;
  reply.headers.emplace_back("Vary", "Origin");
  const std::string_view origin = request.header("Origin");
  if (origin.empty() || !is_listed_origin(origin)) return;
  reply.headers.emplace_back("Access-Control-Allow-Origin", std::string(origin));
  reply.headers.emplace_back("Access-Control-Expose-Headers",
                             "ETag, Location, Content-Range, Retry-After");
}

} // namespace cairn::storage
