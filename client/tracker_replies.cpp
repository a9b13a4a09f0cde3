// The layouts behind tracker_replies.h.
#include "client/tracker_replies.h"

#include "common/wire/codec.h"
#include "common/wire/fastdfs.h"

#include <array>
#include <optional>

namespace cairn {

namespace {

using wire::Reader;
using wire::View;

constexpr std::size_t kMetaNameMax = 64;
constexpr std::size_t kMetaValueMax = 256;
constexpr char kRecordEnd = '\x01';
constexpr char kNameEnd = '\x02';

// "Pick a server" replies have address fields one byte shorter than 16 and 46.
constexpr std::array<std::size_t, 2> kAddressSizes{15, 45};

Error malformed(std::string_view what, std::size_t size) {
  return Error{Errc::invalid_argument, "the answer to '" + std::string(what) + "' has " +
                                           std::to_string(size) +
                                           " bytes, which no known version sends"};
}

bool read_address(Reader& reader, std::size_t size, Address& out) {
  std::uint64_t port = 0;
  if (!reader.padded(size, out.host) || !reader.integer(8, port)) return false;
  out.port = static_cast<std::uint16_t>(port);
  return !out.host.empty() && port > 0 && port <= 65'535;
}

std::uint64_t integer_at(View record, std::size_t offset, std::size_t size = 8) {
  return wire::load_big_endian(record.data() + offset, size);
}

std::string text_at(View record, std::size_t offset, std::size_t size) {
  const std::string_view text = wire::as_text(record.subspan(offset, size));
  return std::string(text.substr(0, text.find('\0')));
}

} // namespace

Result<StorePlace> parse_store_one(View reply) {
  for (const std::size_t size : kAddressSizes) {
    if (reply.size() != 16 + size + 8 + 1) continue;
    StorePlace place;
    Reader reader(reply);
    std::uint64_t path = 0;
    if (reader.padded(16, place.group) && read_address(reader, size, place.address) &&
        reader.integer(1, path)) {
      place.store_path = static_cast<std::uint8_t>(path);
      return place;
    }
  }
  return malformed("where to store", reply.size());
}

Result<std::vector<StorePlace>> parse_store_all(View reply) {
  for (const std::size_t size : kAddressSizes) {
    const std::size_t entry = size + 8;
    if (reply.size() < 17 + entry || (reply.size() - 17) % entry != 0) continue;
    Reader reader(reply.first(reply.size() - 1));
    std::string group;
    if (!reader.padded(16, group)) continue;
    std::vector<StorePlace> places;
    bool good = true;
    while (good && reader.left() > 0) {
      StorePlace place;
      place.group = group;
      good = read_address(reader, size, place.address);
      places.push_back(std::move(place));
    }
    // The index is the first node's; the others choose themselves.
    if (good) {
      places.front().store_path = std::to_integer<std::uint8_t>(reply.back());
      return places;
    }
  }
  return malformed("where to store, all nodes", reply.size());
}

Result<Address> parse_fetch_one(View reply) {
  for (const std::size_t size : kAddressSizes) {
    if (reply.size() != 16 + size + 8) continue;
    Reader reader(reply);
    std::string group;
    Address address;
    if (reader.padded(16, group) && read_address(reader, size, address)) return address;
  }
  return malformed("where to read", reply.size());
}

Result<std::vector<Address>> parse_fetch_all(View reply) {
  // The later layout gives every node its port; in the older one all have the first node's. A size
  // can fit both (345 bytes more): the one whose addresses are readable wins.
  for (const std::size_t size : kAddressSizes) {
    for (const bool with_ports : {true, false}) {
      const std::size_t first = 16 + size + 8;
      const std::size_t entry = with_ports ? size + 8 : size;
      if (reply.size() < first || (reply.size() - first) % entry != 0) continue;
      Reader reader(reply);
      std::string group;
      std::vector<Address> addresses(1);
      bool good = reader.padded(16, group) && read_address(reader, size, addresses.front());
      while (good && reader.left() > 0) {
        Address address;
        if (with_ports) {
          good = read_address(reader, size, address);
        } else {
          good = reader.padded(size, address.host) && !address.host.empty();
          address.port = addresses.front().port;
        }
        good = good &&
               address.host.find_first_not_of("0123456789abcdefABCDEF.:%") == std::string::npos;
        addresses.push_back(std::move(address));
      }
      if (good) return addresses;
    }
  }
  return malformed("where to read, all nodes", reply.size());
}

Result<std::vector<GroupInfo>> parse_groups(View reply) {
  constexpr std::size_t kNow = 113;   // FastDFS from 6.13.1
  constexpr std::size_t kOlder = 105; // before
  std::vector<GroupInfo> groups;
  if (reply.empty()) return groups;
  const bool now = reply.size() % kNow == 0;
  if (!now && reply.size() % kOlder != 0) return malformed("groups", reply.size());
  for (View rest = reply; !rest.empty(); rest = rest.subspan(now ? kNow : kOlder)) {
    GroupInfo group;
    group.name = text_at(rest, 0, 17);
    group.total_mb = integer_at(rest, 17);
    group.free_mb = integer_at(rest, 25);
    group.storage_count = integer_at(rest, now ? 49 : 41);
    group.readable_count = integer_at(rest, 65);
    group.writable_count = integer_at(rest, now ? 73 : 65);
    group.store_path_count = integer_at(rest, now ? 89 : 81);
    groups.push_back(std::move(group));
  }
  return groups;
}

Result<std::vector<StorageInfo>> parse_storages(View reply) {
  // Offsets in the statistics structures of the versions.
  struct Layout {
    std::size_t size, id, host, host_size, version, version_size, up_time, total, free, paths, port;
  };
  static constexpr std::array<Layout, 6> kLayouts{{
      {487, 2, 18, 16, 50, 8, 66, 74, 82, 106, 130},
      {517, 2, 18, 46, 80, 8, 96, 104, 112, 136, 160},
      {612, 1, 17, 16, 177, 6, 191, 199, 207, 223, 247},
      {509, 2, 18, 46, 80, 8, 96, 104, 112, 128, 152},
      {642, 1, 17, 46, 207, 6, 221, 229, 237, 253, 277},
      {644, 1, 17, 46, 207, 8, 223, 231, 239, 255, 279},
  }};
  std::vector<StorageInfo> storages;
  if (reply.empty()) return storages;
  for (const Layout& layout : kLayouts) {
    if (reply.size() % layout.size != 0) continue;
    for (View rest = reply; !rest.empty(); rest = rest.subspan(layout.size)) {
      StorageInfo storage;
      storage.state = static_cast<NodeState>(integer_at(rest, 0, 1));
      storage.id = text_at(rest, layout.id, 16);
      storage.host = text_at(rest, layout.host, layout.host_size);
      storage.port = static_cast<std::uint16_t>(integer_at(rest, layout.port));
      storage.version = text_at(rest, layout.version, layout.version_size);
      storage.start_time = static_cast<std::int64_t>(integer_at(rest, layout.up_time));
      storage.total_mb = integer_at(rest, layout.total);
      storage.free_mb = integer_at(rest, layout.free);
      storage.store_path_count = integer_at(rest, layout.paths);
      storages.push_back(std::move(storage));
    }
    return storages;
  }
  return malformed("storage nodes", reply.size());
}

Result<FileInfo> parse_file_info(View reply) {
  if (reply.size() != 40 && reply.size() != 70) return malformed("file info", reply.size());
  FileInfo info;
  info.size = integer_at(reply, 0);
  info.mtime = static_cast<std::int64_t>(integer_at(reply, 8));
  info.crc32 = static_cast<std::uint32_t>(integer_at(reply, 16));
  info.source_host = text_at(reply, 24, reply.size() - 24);
  return info;
}

std::string metadata_text(const Metadata& metadata) {
  std::string text;
  for (const auto& [name, value] : metadata) {
    if (!text.empty()) text += kRecordEnd;
    text += name;
    text += kNameEnd;
    text += value;
  }
  return text;
}

Metadata parse_metadata(std::string_view text) {
  Metadata metadata;
  while (!text.empty()) {
    const std::string_view record = text.substr(0, text.find(kRecordEnd));
    text.remove_prefix(std::min(text.size(), record.size() + 1));
    const std::size_t end = record.find(kNameEnd);
    if (end == std::string_view::npos) continue;
    metadata[std::string(record.substr(0, end))] = record.substr(end + 1);
  }
  return metadata;
}

Status validate_metadata(const Metadata& metadata) {
  for (const auto& [name, value] : metadata) {
    if (name.empty() || name.size() > kMetaNameMax)
      return Error{Errc::invalid_argument, "metadata name '" + name + "' must have 1 to 64 bytes"};
    if (value.size() > kMetaValueMax)
      return Error{Errc::invalid_argument,
                   "the value of metadata '" + name + "' is longer than 256 bytes"};
    for (const std::string& text : {name, value}) {
      if (text.find_first_of(std::string{kRecordEnd, kNameEnd}) != std::string::npos)
        return Error{Errc::invalid_argument,
                     "metadata '" + name + "' holds a byte 1 or 2, which separate records"};
    }
  }
  return {};
}

} // namespace cairn
