// Making, describing, sealing and finding access keys.
#include "common/auth/access_keys.h"

#include "common/auth/crypto.h"
#include "common/base/text.h"

#include <algorithm>
#include <array>
#include <utility>

namespace cairn::auth {

namespace {

constexpr std::string_view kKeysPurpose = "access keys";
constexpr std::size_t kIdLetters = 18;
constexpr std::size_t kSecretBytes = 32;
constexpr std::size_t kPrefixMax = 512;

constexpr std::array<std::pair<std::string_view, Rights>, 5> kNames{
    {{"read", kRead}, {"write", kWrite}, {"delete", kDelete}, {"list", kList}, {"admin", kAdmin}}};

// The first byte tells how the rest is to be read.
constexpr std::byte kPlain{0};
constexpr std::byte kSealed{1};

} // namespace

bool AccessKey::covers(std::string_view path) const {
  if (prefixes.empty()) return true;
  for (const KeyPrefix& prefix : prefixes) {
    if (!path.starts_with(prefix.path)) continue;
    if (path.size() == prefix.path.size() || path[prefix.path.size()] == '/') return true;
  }
  return false;
}

SecretList AccessKey::secrets(std::uint64_t now) const {
  SecretList list;
  list.emplace_back(secret);
  if (!former_secret.empty() && now < former_until) list.emplace_back(former_secret);
  return list;
}

std::string make_key_id() {
  constexpr std::string_view kLetters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
  std::array<std::byte, kIdLetters> bytes{};
  random_bytes(bytes);
  std::string id = "CK";
  for (const std::byte byte : bytes) id += kLetters[std::to_integer<std::size_t>(byte) % 32];
  return id;
}

std::string make_key_secret() {
  std::array<std::byte, kSecretBytes> bytes{};
  random_bytes(bytes);
  return base64url_encode(bytes);
}

Result<Rights> parse_rights(std::string_view text) {
  Rights rights = kNothing;
  for (const std::string_view piece : split(text, ',')) {
    const std::string_view word = trim(piece);
    Rights found = word == "all" ? kFastdfsAll : kNothing;
    for (const auto& [name, right] : kNames) {
      if (name == word) found = right;
    }
    if (found == kNothing)
      return Error{Errc::invalid_argument,
                   "'" + std::string(word) + "' is not read, write, delete, list, admin or all"};
    rights = static_cast<Rights>(rights | found);
  }
  return rights;
}

std::string rights_text(Rights rights) {
  std::string text;
  for (const auto& [name, right] : kNames) {
    if ((rights & right) == 0) continue;
    if (!text.empty()) text += ',';
    text += name;
  }
  return text;
}

Result<KeyPrefix> parse_key_prefix(std::string_view text) {
  while (text.starts_with('/')) text.remove_prefix(1);
  while (text.ends_with('/')) text.remove_suffix(1);
  const auto wrong = [&] {
    return Error{Errc::invalid_argument, "'" + std::string(text) + "' is not GROUP[/PATH]"};
  };
  if (text.empty() || text.size() > kPrefixMax) return wrong();
  for (const std::string_view part : split(text, '/')) {
    if (part.empty() || part == "." || part == "..") return wrong();
  }
  for (const char c : text) {
    if (static_cast<unsigned char>(c) < 0x21 || c == 0x7F) return wrong();
  }
  return KeyPrefix{std::string(text)};
}

wire::Bytes seal_keys(const KeyTable& table, const SecretList& secrets) {
  wire::Bytes plain = wire::encode(table);
  const bool is_sealed = !secrets.empty();
  const wire::Bytes body = is_sealed ? seal(secrets.front().view(), kKeysPurpose, plain) : plain;
  wipe(plain);
  wire::Bytes out(1 + body.size());
  out.front() = is_sealed ? kSealed : kPlain;
  std::copy(body.begin(), body.end(), out.begin() + 1);
  return out;
}

Result<KeyTable> unseal_keys(wire::View sealed, const SecretList& secrets) {
  if (sealed.empty()) return Error{Errc::invalid_argument, "no access keys are in it"};
  const wire::View rest = sealed.subspan(1);
  // One who has a secret takes no keys from one who has none.
  if (sealed.front() == kPlain && secrets.empty()) return wire::decode_lenient<KeyTable>(rest);
  if (sealed.front() != kSealed)
    return Error{Errc::denied, "the access keys are not sealed under the cluster's secret"};
  for (const Secret& secret : secrets) {
    auto plain = unseal(secret.view(), kKeysPurpose, rest);
    if (!plain) continue;
    auto table = wire::decode_lenient<KeyTable>(*plain);
    wipe(*plain);
    return table;
  }
  return Error{Errc::denied, "the access keys are sealed under another secret"};
}

bool KeyRing::take(KeyTable table) {
  std::map<std::string, std::shared_ptr<const AccessKey>, std::less<>> next;
  for (AccessKey& key : table.keys) {
    std::string id = key.id;
    next.emplace(std::move(id), std::make_shared<const AccessKey>(std::move(key)));
  }
  const std::lock_guard lock(mutex_);
  if (table.cluster_uuid == cluster_uuid_ && table.version <= version_) return false;
  cluster_uuid_ = std::move(table.cluster_uuid);
  version_ = table.version;
  keys_.swap(next);
  return true;
}

std::shared_ptr<const AccessKey> KeyRing::find(std::string_view id) const {
  const std::lock_guard lock(mutex_);
  const auto found = keys_.find(id);
  return found == keys_.end() ? nullptr : found->second;
}

std::size_t KeyRing::size() const {
  const std::lock_guard lock(mutex_);
  return keys_.size();
}

} // namespace cairn::auth
