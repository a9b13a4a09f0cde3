// HMAC, AES-GCM and constant-time comparison by OpenSSL.
#include "common/auth/crypto.h"

#include "common/base/text.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <algorithm>
#include <memory>

namespace cairn::auth {

namespace {

constexpr std::size_t kSealNonce = 12;
constexpr std::size_t kSealTag = 16;

const unsigned char* in(wire::View bytes) {
  return reinterpret_cast<const unsigned char*>(bytes.data());
}
unsigned char* out(std::byte* bytes) {
  return reinterpret_cast<unsigned char*>(bytes);
}

Mac seal_key(wire::View secret, std::string_view purpose) {
  const std::string label = "cairn seal 1 " + std::string(purpose);
  return hmac_sha256(secret, wire::as_view(label));
}

using CipherContext = std::unique_ptr<EVP_CIPHER_CTX, decltype(&EVP_CIPHER_CTX_free)>;

CipherContext make_context() {
  CipherContext context(EVP_CIPHER_CTX_new(), &EVP_CIPHER_CTX_free);
  CAIRN_ASSERT(context != nullptr);
  return context;
}

} // namespace

Mac hmac_sha256(wire::View key, wire::View message) {
  Mac mac{};
  unsigned size = 0;
  const auto* made = HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()), in(message),
                          message.size(), out(mac.data()), &size);
  CAIRN_ASSERT(made != nullptr && size == kMacSize);
  return mac;
}

Mac sha256(wire::View message) {
  Mac digest{};
  unsigned size = 0;
  const int made =
      EVP_Digest(message.data(), message.size(), out(digest.data()), &size, EVP_sha256(), nullptr);
  CAIRN_ASSERT(made == 1 && size == kMacSize);
  return digest;
}

bool same_bytes(wire::View a, wire::View b) {
  return a.size() == b.size() && CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

bool same_text(std::string_view a, std::string_view b) {
  return same_bytes(wire::as_view(a), wire::as_view(b));
}

wire::Bytes seal(wire::View secret, std::string_view purpose, wire::View plain) {
  const Mac key = seal_key(secret, purpose);
  wire::Bytes sealed(kSealNonce + plain.size() + kSealTag);
  const std::span<std::byte> nonce = std::span(sealed).first(kSealNonce);
  random_bytes(nonce);
  std::byte* text = sealed.data() + kSealNonce;
  const CipherContext context = make_context();
  int size = 0;
  int last = 0;
  const bool good =
      EVP_EncryptInit_ex(context.get(), EVP_aes_256_gcm(), nullptr, in(key), in(nonce)) == 1 &&
      EVP_EncryptUpdate(context.get(), out(text), &size, in(plain),
                        static_cast<int>(plain.size())) == 1 &&
      EVP_EncryptFinal_ex(context.get(), out(text) + size, &last) == 1 &&
      EVP_CIPHER_CTX_ctrl(context.get(), EVP_CTRL_GCM_GET_TAG, kSealTag, text + plain.size()) == 1;
  CAIRN_ASSERT(good);
  return sealed;
}

Result<wire::Bytes> unseal(wire::View secret, std::string_view purpose, wire::View sealed) {
  if (sealed.size() < kSealNonce + kSealTag) return Error{Errc::denied, "sealed data is cut"};
  const Mac key = seal_key(secret, purpose);
  const wire::View nonce = sealed.first(kSealNonce);
  const wire::View text = sealed.subspan(kSealNonce, sealed.size() - kSealNonce - kSealTag);
  std::array<std::byte, kSealTag> tag{};
  std::copy_n(sealed.end() - kSealTag, kSealTag, tag.begin());
  wire::Bytes plain(text.size());
  const CipherContext context = make_context();
  int size = 0;
  int last = 0;
  const bool good =
      EVP_DecryptInit_ex(context.get(), EVP_aes_256_gcm(), nullptr, in(key), in(nonce)) == 1 &&
      EVP_DecryptUpdate(context.get(), out(plain.data()), &size, in(text),
                        static_cast<int>(text.size())) == 1 &&
      EVP_CIPHER_CTX_ctrl(context.get(), EVP_CTRL_GCM_SET_TAG, kSealTag, tag.data()) == 1 &&
      EVP_DecryptFinal_ex(context.get(), out(plain.data()) + size, &last) == 1;
  if (!good) {
    wipe(plain);
    return Error{Errc::denied, "sealed data was made with another secret, or was altered"};
  }
  return plain;
}

void wipe(wire::Bytes& bytes) {
  OPENSSL_cleanse(bytes.data(), bytes.size());
}

} // namespace cairn::auth
