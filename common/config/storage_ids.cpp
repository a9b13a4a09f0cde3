// Parses storage_ids.conf.
#include "common/config/storage_ids.h"

#include "common/base/file_id.h"
#include "common/base/text.h"
#include "common/config/conf_file.h"
#include "common/config/server_config.h"

#include <algorithm>
#include <set>
#include <utility>

namespace cairn::config {
namespace {

std::vector<std::string_view> words_of(std::string_view line) {
  std::vector<std::string_view> words;
  while (!(line = trim(line)).empty()) {
    const std::size_t end = std::min(line.find_first_of(" \t"), line.size());
    words.push_back(line.substr(0, end));
    line.remove_prefix(end);
  }
  return words;
}

Result<StorageIdEntry> parse_entry(const std::vector<std::string_view>& words) {
  if (words.size() < 3) return Error{Errc::invalid_argument, "not <id> <group> <address>"};
  StorageIdEntry entry;
  const auto id = parse_u64(words[0]);
  if (!id || *id < 1 || *id > kServerIdMax) {
    return Error{Errc::invalid_argument, "the ID must be 1 to 16777215"};
  }
  entry.id = static_cast<std::uint32_t>(*id);
  CAIRN_RETURN_IF_ERROR(validate_group_name(words[1]));
  entry.group = words[1];
  CAIRN_TRY(addresses, parse_addresses(words[2]));
  if (addresses.hosts.size() > 2) {
    return Error{Errc::invalid_argument, "more than two addresses"};
  }
  entry.hosts = std::move(addresses.hosts);
  entry.port = addresses.port.value_or(0);
  for (std::size_t i = 3; i < words.size(); ++i) {
    if (!words[i].starts_with("rw=")) {
      return Error{Errc::invalid_argument, "unknown option " + std::string(words[i])};
    }
    const std::string_view mode = words[i].substr(3);
    if (mode != "both" && mode != "read" && mode != "write" && mode != "none") {
      return Error{Errc::invalid_argument, "rw is none, read, write or both"};
    }
    entry.readable = mode == "both" || mode == "read";
    entry.writable = mode == "both" || mode == "write";
  }
  return entry;
}

} // namespace

Result<std::vector<StorageIdEntry>> parse_storage_ids(std::string_view text,
                                                      std::string_view name) {
  std::vector<StorageIdEntry> entries;
  std::set<std::uint32_t> ids;
  std::set<std::string> addresses;
  Location where{std::string(name), 0};
  for (const std::string_view line : split(text, '\n')) {
    ++where.line;
    const auto words = words_of(line);
    if (words.empty() || words.front().starts_with('#')) continue;
    const auto fail = [&](const std::string& what) {
      return Error{Errc::invalid_argument, where.text() + ": " + what};
    };
    auto entry = parse_entry(words);
    if (!entry) return fail(entry.error().detail);
    if (!ids.insert(entry->id).second) return fail("ID " + std::to_string(entry->id) + " again");
    for (const std::string& host : entry->hosts) {
      // Several nodes on one machine differ by their port.
      const std::string address = entry->group + "/" + HostPort{host, entry->port}.text();
      if (!addresses.insert(address).second) return fail("address " + host + " again");
    }
    entries.push_back(std::move(*entry));
  }
  return entries;
}

Result<std::vector<StorageIdEntry>> read_storage_ids(const std::filesystem::path& path) {
  CAIRN_TRY(text, read_text_file(path));
  return parse_storage_ids(text, path.string());
}

} // namespace cairn::config
