// Counts the connections of one listening port, all together and by address, and holds them to
// their limits. Sockets and answers are the listener's.
#pragma once

#include <boost/asio/ip/address.hpp>

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <optional>
#include <unordered_map>
#include <utility>

namespace cairn {

struct ConnectionLimits {
  std::size_t total = 65'536;
  std::size_t per_address = 0; // 0: no limit
};

class ConnectionGauge;

// One open connection in a gauge; it counts until it is destroyed. The gauge outlives it.
class ConnectionSlot {
public:
  ConnectionSlot(ConnectionSlot&& other) noexcept
      : gauge_(std::exchange(other.gauge_, nullptr)), address_(other.address_) {}
  ConnectionSlot& operator=(ConnectionSlot&& other) noexcept {
    std::swap(gauge_, other.gauge_);
    std::swap(address_, other.address_);
    return *this;
  }
  ~ConnectionSlot();

private:
  friend class ConnectionGauge;
  using Address = std::array<unsigned char, 16>; // IPv4 as ::ffff:a.b.c.d

  ConnectionSlot(ConnectionGauge& gauge, const Address& address)
      : gauge_(&gauge), address_(address) {}

  ConnectionGauge* gauge_;
  Address address_;
};

// Any thread may call any function.
class ConnectionGauge {
public:
  std::atomic<std::size_t> open{0};
  std::atomic<std::size_t> open_max{0};   // the most that were open at once
  std::atomic<std::uint64_t> accepted{0}; // since start, with those refused later
  std::atomic<std::uint64_t> refused{0};  // over a limit, or no descriptor was left

  // Counts a new connection from `address`. nullopt: that would be over a limit; counted as
  // refused.
  std::optional<ConnectionSlot> admit(const boost::asio::ip::address& address,
                                      const ConnectionLimits& limits);

private:
  friend class ConnectionSlot;
  struct Hash {
    std::size_t operator()(const ConnectionSlot::Address& address) const;
  };
  void release(const ConnectionSlot::Address& address);

  std::mutex mutex_; // guards by_address_; taken once when a connection begins and once at its end
  std::unordered_map<ConnectionSlot::Address, std::size_t, Hash> by_address_;
};

} // namespace cairn
