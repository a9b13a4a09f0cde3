// The counts.
#include "common/net/connection_gauge.h"

#include <boost/asio/ip/address_v6.hpp>

#include <string_view>

namespace cairn {

namespace {

std::array<unsigned char, 16> key_of(const boost::asio::ip::address& address) {
  namespace ip = boost::asio::ip;
  if (address.is_v6()) return address.to_v6().to_bytes();
  return ip::make_address_v6(ip::v4_mapped, address.to_v4()).to_bytes();
}

} // namespace

std::size_t ConnectionGauge::Hash::operator()(const ConnectionSlot::Address& address) const {
  return std::hash<std::string_view>()(
      std::string_view(reinterpret_cast<const char*>(address.data()), address.size()));
}

std::optional<ConnectionSlot> ConnectionGauge::admit(const boost::asio::ip::address& address,
                                                     const ConnectionLimits& limits) {
  const auto key = key_of(address);
  const std::lock_guard lock(mutex_);
  const std::size_t now = open.load();
  const auto found = by_address_.find(key);
  const std::size_t theirs = found == by_address_.end() ? 0 : found->second;
  if (now >= limits.total || (limits.per_address != 0 && theirs >= limits.per_address)) {
    refused.fetch_add(1, std::memory_order_relaxed);
    return std::nullopt;
  }
  by_address_[key] = theirs + 1;
  open.store(now + 1);
  if (now + 1 > open_max.load()) open_max.store(now + 1);
  return ConnectionSlot(*this, key);
}

void ConnectionGauge::release(const ConnectionSlot::Address& address) {
  const std::lock_guard lock(mutex_);
  const auto found = by_address_.find(address);
  if (--found->second == 0) by_address_.erase(found);
  open.fetch_sub(1);
}

ConnectionSlot::~ConnectionSlot() {
  if (gauge_ != nullptr) gauge_->release(address_);
}

} // namespace cairn
