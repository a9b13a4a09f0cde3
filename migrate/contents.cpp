// Entries in memory over those of the ledger, and claims.
#include "migrate/contents.h"

#include <boost/asio/this_coro.hpp>

#include <algorithm>
#include <chrono>

namespace cairn::migrate {

namespace {

// Much more than a pass has on its way or has not written down (pass.cpp), and a few MB.
constexpr std::size_t kYoungMax = 8192;
// Of one content: who else has it hardly matters.
constexpr std::size_t kHoldersMax = 4;

std::string key_of(std::uint64_t size, const wire::Bytes& sha256) {
  wire::Bytes key;
  wire::Writer writer(key);
  writer.integer(size, 8);
  writer.raw(sha256);
  return std::string(wire::as_text(key));
}

std::string key_of(std::uint64_t size, const wire::Bytes& sha256, std::uint64_t inode) {
  wire::Bytes number;
  wire::Writer writer(number);
  writer.integer(inode, 8);
  return key_of(size, sha256) + std::string(wire::as_text(number));
}

// The first key that begins with `prefix`, if there is one.
template <class Map>
auto first_of(Map& map, const std::string& prefix) {
  const auto at = map.lower_bound(prefix);
  return at != map.end() && at->first.starts_with(prefix) ? at : map.end();
}

} // namespace

Contents::Claim::Claim(Contents& contents, std::string key)
    : contents_(&contents), key_(std::move(key)) {
  contents_->claims_.emplace(key_, std::vector<asio::steady_timer*>());
}

Contents::Claim::~Claim() {
  if (contents_ == nullptr) return;
  const auto waiting = contents_->claims_.extract(key_);
  for (asio::steady_timer* ready : waiting.mapped()) ready->cancel();
}

Task<Result<Contents::Found>> Contents::find(std::uint64_t size, wire::Bytes sha256) {
  Found out;
  const std::string key = key_of(size, sha256);
  const std::string unread = key_of(size, {});
  for (;;) {
    CAIRN_CO_TRY(holders, known(size, sha256));
    if (!holders.empty()) {
      out.holders = std::move(holders);
      co_return out;
    }
    auto claimed = claims_.find(key);
    if (claimed == claims_.end()) claimed = claims_.find(unread);
    if (claimed == claims_.end()) {
      out.claim = Claim(*this, key);
      co_return out;
    }
    asio::steady_timer ready(co_await asio::this_coro::executor,
                             std::chrono::steady_clock::time_point::max());
    claimed->second.push_back(&ready);
    co_await ready.async_wait(as_result);
  }
}

Result<std::optional<Contents::Claim>> Contents::claim_unread(std::uint64_t size) {
  const std::string key = key_of(size, {});
  if (first_of(claims_, key) != claims_.end() || first_of(young_, key) != young_.end() ||
      first_of(old_, key) != old_.end())
    return std::optional<Claim>();
  if (!lately_) {
    CAIRN_TRY(there, ledger_.has_content_of(size));
    if (there) return std::optional<Claim>();
  }
  return std::optional<Claim>(Claim(*this, key));
}

Result<std::vector<Holder>> Contents::known(std::uint64_t size, const wire::Bytes& sha256) const {
  const std::string key = key_of(size, sha256);
  std::vector<Holder> out;
  for (const Entries* entries : {&young_, &old_})
    for (auto at = entries->lower_bound(key);
         at != entries->end() && at->first.starts_with(key) && out.size() < kHoldersMax; ++at)
      if (at->second && (entries == &young_ || !young_.contains(at->first)))
        out.push_back(*at->second);
  if (!out.empty() || lately_) return out;
  CAIRN_TRY(written, ledger_.holders(size, sha256, kHoldersMax));
  std::erase_if(written, [&](const Holder& holder) {
    const std::string entry = key_of(size, sha256, holder.inode);
    return young_.contains(entry) || old_.contains(entry);
  });
  return written;
}

void Contents::note(std::string key, std::optional<Holder> holder) {
  if (young_.size() >= kYoungMax) {
    old_ = std::move(young_);
    young_.clear();
  }
  young_[std::move(key)] = holder;
}

void Contents::add(Ledger::Batch& batch, std::uint64_t size, const wire::Bytes& sha256,
                   const Holder& holder) {
  note(key_of(size, sha256, holder.inode), holder);
  batch.put_content(size, sha256, holder);
}

void Contents::drop(Ledger::Batch& batch, std::uint64_t size, const wire::Bytes& sha256,
                    std::uint64_t inode) {
  note(key_of(size, sha256, inode), std::nullopt);
  batch.erase_content(size, sha256, inode);
}

} // namespace cairn::migrate
