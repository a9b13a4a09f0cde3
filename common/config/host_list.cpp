// Parsing and matching of address lists.
#include "common/config/host_list.h"

#include "common/base/text.h"

#include <algorithm>
#include <arpa/inet.h>
#include <cstring>
#include <map>
#include <memory>
#include <mutex>
#include <netdb.h>
#include <optional>
#include <utility>

namespace cairn::config {
namespace {

using Address = std::array<std::uint8_t, 16>;

constexpr std::uint64_t kBracketNumberMax = 9'999;
constexpr std::size_t kBracketCountMax = 10'000;

Address from_v4(std::span<const std::uint8_t, 4> octets) {
  Address address{};
  address[10] = address[11] = 0xFF;
  std::copy(octets.begin(), octets.end(), address.begin() + 12);
  return address;
}

// A numeric address; `is_v4` tells how it was written.
struct Parsed {
  Address address;
  bool is_v4;
};

std::optional<Parsed> parse_address(std::string_view text) {
  if (!is_ip_address(text)) return std::nullopt;
  const std::string copy(text);
  std::array<std::uint8_t, 4> v4{};
  if (inet_pton(AF_INET, copy.c_str(), v4.data()) == 1) return Parsed{from_v4(v4), true};
  Address v6{};
  if (inet_pton(AF_INET6, copy.c_str(), v6.data()) == 1) return Parsed{v6, false};
  return std::nullopt;
}

Error bad(std::string_view entry, const char* what) {
  return Error{Errc::invalid_argument, "'" + std::string(entry) + "' " + what};
}

bool is_name(std::string_view text) {
  const auto parsed = parse_host_port(text, 1);
  return parsed && text.find(':') == std::string_view::npos;
}

} // namespace

struct HostList::Resolved {
  struct Name {
    std::vector<std::string> addresses; // sorted
    std::vector<Address> binary;        // the same
    bool missing = false;               // not found the last time
  };
  std::mutex mutex; // guards what follows
  std::map<std::string, Name> names;
};

void HostList::add_name(std::string name) {
  if (!resolved_) resolved_ = std::make_shared<Resolved>();
  names_.push_back(std::move(name));
}

Status HostList::add(std::string_view entries) {
  bool in_brackets = false;
  std::size_t start = 0;
  for (std::size_t i = 0; i <= entries.size(); ++i) {
    const char c = i < entries.size() ? entries[i] : ',';
    if (c == '[') in_brackets = true;
    if (c == ']') in_brackets = false;
    if (i < entries.size() && (c != ',' || in_brackets)) continue;
    CAIRN_RETURN_IF_ERROR(add_one(trim(entries.substr(start, i - start))));
    start = i + 1;
  }
  return {};
}

Status HostList::add_one(std::string_view entry) {
  if (entry.empty()) return Error{Errc::invalid_argument, "an entry is empty"};
  if (entry == "*") {
    everybody_ = true;
  } else if (const std::size_t open = entry.find('['); open != std::string_view::npos) {
    CAIRN_RETURN_IF_ERROR(add_bracketed(entry, open));
  } else if (const std::size_t slash = entry.find('/'); slash != std::string_view::npos) {
    CAIRN_RETURN_IF_ERROR(add_network(entry, slash));
  } else if (const auto parsed = parse_address(entry)) {
    ranges_.push_back({parsed->address, parsed->address});
  } else if (is_name(entry)) {
    add_name(std::string(entry));
  } else {
    return bad(entry, "is no address, network, range or host name");
  }
  entries_.emplace_back(entry);
  return {};
}

bool HostList::everybody() const {
  if (everybody_) return true;
  Range v4{};
  for (const std::size_t i : {10U, 11U}) v4.first[i] = v4.last[i] = 0xFF;
  for (std::size_t i = 12; i < 16; ++i) v4.last[i] = 0xFF;
  Range v6{}; // 2000::/3
  v6.first[0] = 0x20;
  v6.last.fill(0xFF);
  v6.last[0] = 0x3F;
  return covers(v4) || covers(v6);
}

bool HostList::covers(const Range& wanted) const {
  std::vector<Range> sorted = ranges_;
  std::sort(sorted.begin(), sorted.end(),
            [](const Range& a, const Range& b) { return a.first < b.first; });
  Address next = wanted.first; // the lowest address that is not known to be covered
  for (const Range& range : sorted) {
    if (range.first > next) return false;
    if (range.last < next) continue;
    if (range.last >= wanted.last) return true;
    next = range.last;
    for (std::size_t i = next.size(); i-- > 0 && ++next[i] == 0;) {
    }
  }
  return false;
}

Status HostList::add_network(std::string_view entry, std::size_t slash) {
  const auto parsed = parse_address(entry.substr(0, slash));
  const auto bits = parse_u64(entry.substr(slash + 1));
  if (!parsed || !bits || *bits > (parsed->is_v4 ? 32U : 128U)) {
    return bad(entry, "is no network (address/bits)");
  }
  const std::size_t prefix = static_cast<std::size_t>(*bits) + (parsed->is_v4 ? 96 : 0);
  Range range{parsed->address, parsed->address};
  for (std::size_t bit = prefix; bit < 128; ++bit) {
    const auto mask = static_cast<std::uint8_t>(0x80U >> (bit % 8));
    range.first[bit / 8] = static_cast<std::uint8_t>(range.first[bit / 8] & ~mask);
    range.last[bit / 8] = static_cast<std::uint8_t>(range.last[bit / 8] | mask);
  }
  ranges_.push_back(range);
  return {};
}

Status HostList::add_bracketed(std::string_view entry, std::size_t open) {
  const std::size_t close = entry.find(']', open);
  if (close == std::string_view::npos) return bad(entry, "has '[' without ']'");
  const std::string head(entry.substr(0, open));
  const std::string tail(entry.substr(close + 1));
  std::size_t count = 0;
  for (const std::string_view raw : split(entry.substr(open + 1, close - open - 1), ',')) {
    const std::string_view item = trim(raw);
    const std::size_t dash = item.find('-');
    const std::string_view first_text = trim(item.substr(0, dash));
    const std::string_view last_text =
        dash == std::string_view::npos ? first_text : trim(item.substr(dash + 1));
    const auto first = parse_u64(first_text);
    const auto last = parse_u64(last_text);
    if (!first || !last || *first > *last || *last > kBracketNumberMax) {
      return bad(entry, "has no ranges like [1-15,20] in its brackets");
    }
    if ((count += static_cast<std::size_t>(*last - *first + 1)) > kBracketCountMax) {
      return bad(entry, "stands for too many hosts");
    }
    for (std::uint64_t number = *first; number <= *last; ++number) {
      std::string digits = std::to_string(number);
      if (const auto parsed = parse_address(head + digits + tail)) {
        ranges_.push_back({parsed->address, parsed->address});
        continue;
      }
      // "web[01-08]": a leading zero says how wide the numbers are.
      if (first_text.front() == '0' && digits.size() < first_text.size()) {
        digits.insert(0, first_text.size() - digits.size(), '0');
      }
      if (!is_name(head + digits + tail)) return bad(entry, "makes no address or host name");
      add_name(head + digits + tail);
    }
  }
  return {};
}

bool HostList::contains(std::span<const std::uint8_t> address) const {
  Address wanted{};
  if (address.size() == 4) {
    wanted = from_v4(address.first<4>());
  } else if (address.size() == wanted.size()) {
    std::copy(address.begin(), address.end(), wanted.begin());
  } else {
    return false;
  }
  const bool written = std::any_of(ranges_.begin(), ranges_.end(), [&](const Range& range) {
    return range.first <= wanted && wanted <= range.last;
  });
  if (everybody_ || written) return true;
  if (!resolved_) return false;
  const std::lock_guard lock(resolved_->mutex);
  return std::any_of(names_.begin(), names_.end(), [&](const std::string& name) {
    const auto found = resolved_->names.find(name);
    if (found == resolved_->names.end()) return false;
    const auto& all = found->second.binary;
    return std::find(all.begin(), all.end(), wanted) != all.end();
  });
}

bool HostList::contains(std::string_view address) const {
  const auto parsed = parse_address(address.substr(0, address.find('%')));
  return parsed && contains(std::span<const std::uint8_t>(parsed->address));
}

std::vector<HostList::NameChange> HostList::resolve_names(const LookUp& look_up) const {
  std::vector<NameChange> changes;
  for (const std::string& name : names_) {
    auto answer = look_up(name); // without the lock: it may take half a minute
    Resolved::Name fresh;
    if (answer) {
      fresh.addresses = *std::move(answer);
      std::sort(fresh.addresses.begin(), fresh.addresses.end());
      for (const std::string& text : fresh.addresses)
        if (const auto parsed = parse_address(text)) fresh.binary.push_back(parsed->address);
    }
    fresh.missing = fresh.binary.empty();
    const std::lock_guard lock(resolved_->mutex);
    const auto [known, is_new] = resolved_->names.try_emplace(name);
    Resolved::Name& former = known->second;
    const bool is_news = fresh.missing ? is_new || !former.missing
                                       : former.missing || former.addresses != fresh.addresses;
    if (fresh.missing)
      former.missing = true;
    else
      former = std::move(fresh);
    if (is_news) changes.push_back({name, !former.missing, former.addresses});
  }
  return changes;
}

Result<std::vector<std::string>> HostList::ask_resolver(const std::string& name) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM; // one answer an address, not one a protocol
  addrinfo* answer = nullptr;
  if (const int failure = getaddrinfo(name.c_str(), nullptr, &hints, &answer); failure != 0)
    return Error{Errc::not_found, gai_strerror(failure)};
  const std::unique_ptr<addrinfo, void (*)(addrinfo*)> owner(answer, &freeaddrinfo);
  std::vector<std::string> addresses;
  for (const addrinfo* one = answer; one != nullptr; one = one->ai_next) {
    std::array<char, INET6_ADDRSTRLEN> text{};
    const void* binary = nullptr;
    sockaddr_in v4{};
    sockaddr_in6 v6{};
    if (one->ai_family == AF_INET) {
      std::memcpy(&v4, one->ai_addr, sizeof v4);
      binary = &v4.sin_addr;
    } else if (one->ai_family == AF_INET6) {
      std::memcpy(&v6, one->ai_addr, sizeof v6);
      binary = &v6.sin6_addr;
    } else {
      continue;
    }
    if (inet_ntop(one->ai_family, binary, text.data(), text.size()) != nullptr)
      addresses.emplace_back(text.data());
  }
  return addresses;
}

HostList loopback_hosts() {
  HostList list;
  CAIRN_ASSERT(list.add("127.0.0.0/8, ::1"));
  return list;
}

} // namespace cairn::config
