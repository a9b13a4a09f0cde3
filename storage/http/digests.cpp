// MD5 and SHA-256 of uploads by OpenSSL.
#include "storage/http/digests.h"

#include "common/auth/crypto.h"
#include "common/base/text.h"

#include <openssl/evp.h>

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

namespace cairn::storage {

namespace {

// Standard base64 with padding, as the headers carry it.
std::optional<wire::Bytes> base64_decode(std::string_view text) {
  constexpr std::size_t kMax = 128;
  if (text.empty() || text.size() > kMax || text.size() % 4 != 0) return std::nullopt;
  wire::Bytes bytes(text.size() / 4 * 3);
  const int size = EVP_DecodeBlock(reinterpret_cast<unsigned char*>(bytes.data()),
                                   reinterpret_cast<const unsigned char*>(text.data()),
                                   static_cast<int>(text.size()));
  if (size < 0) return std::nullopt;
  const std::size_t padding = text.ends_with("==") ? 2 : text.ends_with("=") ? 1 : 0;
  bytes.resize(static_cast<std::size_t>(size) - padding);
  return bytes;
}

} // namespace

struct ContentDigests::Sum {
  const char* name; // "md5"
  std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context{EVP_MD_CTX_new(),
                                                                  &EVP_MD_CTX_free};
  std::vector<wire::Bytes> expected;
  wire::Bytes value;
};

ContentDigests::ContentDigests() = default;
ContentDigests::ContentDigests(ContentDigests&&) noexcept = default;
ContentDigests& ContentDigests::operator=(ContentDigests&&) noexcept = default;
ContentDigests::~ContentDigests() = default;

ContentDigests::Sum& ContentDigests::sum(const char* name) {
  for (const auto& one : sums_) {
    if (std::string_view(one->name) == name) return *one;
  }
  auto made = std::make_unique<Sum>();
  made->name = name;
  const EVP_MD* algorithm = std::string_view(name) == "md5" ? EVP_md5() : EVP_sha256();
  CAIRN_ASSERT(EVP_DigestInit_ex(made->context.get(), algorithm, nullptr) == 1);
  sums_.push_back(std::move(made));
  return *sums_.back();
}

Result<ContentDigests> ContentDigests::of(const HttpRequest& request) {
  ContentDigests digests;
  const auto expect = [&](const char* name, std::string_view text) -> Status {
    const auto bytes = base64_decode(trim(text));
    const std::size_t size = std::string_view(name) == "md5" ? 16 : 32;
    if (!bytes || bytes->size() != size)
      return Error{Errc::invalid_argument, std::string("malformed ") + name};
    digests.sum(name).expected.push_back(*bytes);
    return {};
  };
  const auto algorithm = [](std::string_view name) -> const char* {
    if (equals_ignoring_case(name, "md5")) return "md5";
    if (equals_ignoring_case(name, "sha-256")) return "sha256";
    return nullptr;
  };
  if (const auto md5 = request.header("Content-MD5"); !md5.empty())
    CAIRN_RETURN_IF_ERROR(expect("md5", md5));
  for (const char* header : {"Digest", "Content-Digest"}) {
    for (const std::string_view piece : split(request.header(header), ',')) {
      const std::size_t equals = piece.find('=');
      if (equals == std::string_view::npos) continue;
      const char* name = algorithm(trim(piece.substr(0, equals)));
      if (name == nullptr) continue;
      std::string_view value = trim(piece.substr(equals + 1));
      // Content-Digest writes bytes between colons.
      if (value.size() > 1 && value.front() == ':' && value.back() == ':')
        value = value.substr(1, value.size() - 2);
      CAIRN_RETURN_IF_ERROR(expect(name, value));
    }
  }
  for (const std::string_view wanted : split(request.header("Want-Digest"), ',')) {
    if (const char* name = algorithm(trim(wanted.substr(0, wanted.find(';'))))) digests.sum(name);
  }
  return digests;
}

void ContentDigests::add(wire::View bytes) {
  for (const auto& one : sums_)
    CAIRN_ASSERT(EVP_DigestUpdate(one->context.get(), bytes.data(), bytes.size()) == 1);
}

Status ContentDigests::check() {
  bool good = true;
  for (const auto& one : sums_) {
    one->value.resize(EVP_MAX_MD_SIZE);
    unsigned size = 0;
    CAIRN_ASSERT(EVP_DigestFinal_ex(one->context.get(),
                                    reinterpret_cast<unsigned char*>(one->value.data()),
                                    &size) == 1);
    one->value.resize(size);
    for (const wire::Bytes& expected : one->expected)
      good = auth::same_bytes(expected, one->value) && good;
  }
  if (!good) return Error{Errc::corrupt, "the content is not what its checksum says"};
  return {};
}

std::vector<std::pair<std::string, std::string>> ContentDigests::values() const {
  std::vector<std::pair<std::string, std::string>> values;
  for (const auto& one : sums_) values.emplace_back(one->name, hex_encode(one->value));
  return values;
}

} // namespace cairn::storage
