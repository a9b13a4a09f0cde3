// The few cryptographic operations that Cairn's own protocols are made of, over OpenSSL: HMAC,
// comparison in constant time, and sealing of small secrets.
#pragma once

#include "common/base/result.h"
#include "common/wire/bytes.h"

#include <array>
#include <cstddef>
#include <string>
#include <string_view>

namespace cairn::auth {

inline constexpr std::size_t kMacSize = 32;
using Mac = std::array<std::byte, kMacSize>;

// HMAC-SHA256. Aborts where OpenSSL has none: nothing could be trusted then.
Mac hmac_sha256(wire::View key, wire::View message);
// SHA-256. Aborts as above.
Mac sha256(wire::View message);

// True when both are the same bytes; the time taken tells nothing about where they differ.
bool same_bytes(wire::View a, wire::View b);
bool same_text(std::string_view a, std::string_view b);

// Encrypts `plain` under a key derived from `secret` and `purpose` (AES-256-GCM, random nonce):
// nonce, ciphertext, tag.
wire::Bytes seal(wire::View secret, std::string_view purpose, wire::View plain);
// Errors: denied (made with another secret or purpose, or altered).
Result<wire::Bytes> unseal(wire::View secret, std::string_view purpose, wire::View sealed);

// Overwrites it, so that the memory holds no secret when it is given back.
void wipe(wire::Bytes& bytes);

} // namespace cairn::auth
