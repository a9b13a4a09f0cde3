// MD5 by OpenSSL.
#include "storage/http/token.h"

#include "common/base/text.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>

#include <algorithm>
#include <array>
#include <limits>

namespace cairn::storage {

Result<std::string> make_token(std::string_view name, std::string_view secret, std::uint64_t ts) {
  std::string text;
  text.append(name).append(secret).append(std::to_string(ts));
  std::array<std::byte, EVP_MAX_MD_SIZE> digest{};
  unsigned size = 0;
  // A FIPS build of OpenSSL refuses MD5.
  if (EVP_Digest(text.data(), text.size(), reinterpret_cast<unsigned char*>(digest.data()), &size,
                 EVP_md5(), nullptr) != 1)
    return Error{Errc::unsupported, "OpenSSL has no MD5 for http tokens"};
  return hex_encode(std::span(digest).first(size));
}

Result<std::chrono::seconds> check_token(std::string_view name, std::string_view secret,
                                         std::string_view token, std::string_view ts,
                                         std::int64_t now, std::chrono::seconds ttl) {
  const auto signed_at = parse_u64(ts);
  // The digest is over the number: "007" would be the same ts in another spelling.
  if (!signed_at || std::to_string(*signed_at) != ts) return Error{Errc::denied, "malformed ts"};
  if (*signed_at == 0) return Error{Errc::denied, "ts 0 would never expire"};
  CAIRN_TRY(expected, make_token(name, secret, *signed_at));
  if (token.size() != expected.size() ||
      CRYPTO_memcmp(token.data(), expected.data(), expected.size()) != 0)
    return Error{Errc::denied, "wrong token"};
  constexpr auto kTimeMax = std::uint64_t{std::numeric_limits<std::int64_t>::max()};
  const auto at = static_cast<std::int64_t>(std::min(*signed_at, kTimeMax));
  const std::int64_t age = std::max<std::int64_t>(now - at, 0);
  if (age > ttl.count()) return Error{Errc::denied, "token has expired"};
  return ttl - std::chrono::seconds(age);
}

} // namespace cairn::storage
