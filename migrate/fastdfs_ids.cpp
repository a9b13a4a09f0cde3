// Looks for one line among those of the group.
#include "migrate/fastdfs_ids.h"

#include <algorithm>
#include <arpa/inet.h>
#include <array>
#include <ifaddrs.h>
#include <memory>
#include <netdb.h>
#include <netinet/in.h>
#include <system_error>

namespace cairn::migrate {

namespace {

namespace fs = std::filesystem;
using config::StorageIdEntry;

bool names_one_of(const StorageIdEntry& entry, const std::vector<std::string>& addresses) {
  return std::any_of(entry.hosts.begin(), entry.hosts.end(), [&](const std::string& host) {
    return std::find(addresses.begin(), addresses.end(), host) != addresses.end();
  });
}

} // namespace

Result<FastdfsIds> read_fastdfs_ids(const FastdfsNode& node, const fs::path& conf,
                                    const fs::path& file,
                                    const std::vector<std::string>& own_addresses) {
  FastdfsIds ids;
  ids.file = file.empty() ? conf.parent_path() / "storage_ids.conf" : file;
  std::error_code ignored;
  if (file.empty() && !fs::exists(ids.file, ignored)) return FastdfsIds();
  CAIRN_TRY(entries, config::read_storage_ids(ids.file));

  const std::vector<std::string> own =
      node.bind_addr.empty() ? own_addresses : std::vector<std::string>{node.bind_addr};
  std::vector<const StorageIdEntry*> fitting;
  for (const StorageIdEntry& entry : entries) {
    if (entry.group != node.group) continue;
    ids.addresses[std::to_string(entry.id)] = entry.hosts.front();
    if (names_one_of(entry, own)) fitting.push_back(&entry);
  }
  // Several daemons of a group on one machine differ in their ports.
  const auto has_port = [&](const StorageIdEntry* entry) { return entry->port == node.port; };
  if (fitting.size() > 1 && std::count_if(fitting.begin(), fitting.end(), has_port) == 1)
    fitting = {*std::find_if(fitting.begin(), fitting.end(), has_port)};
  if (fitting.size() == 1) ids.own = fitting.front()->id;
  return ids;
}

std::vector<std::string> addresses_of_this_machine() {
  ifaddrs* first = nullptr;
  if (::getifaddrs(&first) != 0) return {};
  const std::unique_ptr<ifaddrs, decltype(&::freeifaddrs)> all(first, &::freeifaddrs);
  std::vector<std::string> out;
  for (const ifaddrs* one = first; one != nullptr; one = one->ifa_next) {
    if (one->ifa_addr == nullptr) continue;
    const bool v4 = one->ifa_addr->sa_family == AF_INET;
    if (!v4 && one->ifa_addr->sa_family != AF_INET6) continue;
    std::array<char, NI_MAXHOST> text{};
    const socklen_t size = v4 ? sizeof(sockaddr_in) : sizeof(sockaddr_in6);
    if (::getnameinfo(one->ifa_addr, size, text.data(), text.size(), nullptr, 0, NI_NUMERICHOST) !=
        0)
      continue;
    const std::string address = text.data();
    if (address != "127.0.0.1" && address != "::1") out.push_back(address);
  }
  return out;
}

} // namespace cairn::migrate
