// Varints.
#include "common/wire/origin_mark.h"

#include "common/base/crc32.h"

namespace cairn::wire {

namespace {

constexpr char kVersion = 1;
constexpr std::size_t kExportNameMax = 64;

void put_varint(std::string& out, std::uint64_t value) {
  for (; value >= 0x80; value >>= 7) out.push_back(static_cast<char>(value | 0x80));
  out.push_back(static_cast<char>(value));
}

bool take_varint(std::string_view& rest, std::uint64_t& value) {
  value = 0;
  for (unsigned shift = 0; shift < 64 && !rest.empty(); shift += 7) {
    const auto next = static_cast<unsigned char>(rest.front());
    rest.remove_prefix(1);
    value |= static_cast<std::uint64_t>(next & 0x7F) << shift;
    if ((next & 0x80) == 0) return true;
  }
  return false;
}

} // namespace

std::uint32_t origin_realm(std::string_view cluster_uuid) {
  return crc32(0, as_view(cluster_uuid));
}

std::string encode_origin(const OriginMark& mark) {
  std::string out(1, kVersion);
  for (unsigned shift = 32; shift > 0; shift -= 8)
    out.push_back(static_cast<char>(mark.realm >> (shift - 8) & 0xFF));
  for (const std::uint64_t number :
       {mark.session, mark.inode, mark.written, mark.file_size, std::uint64_t{mark.mode},
        std::uint64_t{mark.uid}, std::uint64_t{mark.gid}})
    put_varint(out, number);
  const bool told = mark.ranges.size() <= kOriginRangesMax;
  put_varint(out, told ? mark.ranges.size() : 0);
  std::uint64_t end = 0;
  for (const OriginRange& range : told ? mark.ranges : std::vector<OriginRange>()) {
    put_varint(out, range.offset - end); // modulo 2^64, should they be out of order
    put_varint(out, range.length);
    end = range.offset + range.length;
  }
  put_varint(out, std::min(mark.export_name.size(), kExportNameMax));
  out.append(mark.export_name, 0, kExportNameMax);
  const std::size_t room = kOriginMarkMax - out.size() - 1;
  const bool cut = mark.path_is_cut || mark.path.size() > room;
  out.push_back(cut ? '\1' : '\0');
  out.append(mark.path, mark.path.size() > room ? mark.path.size() - room : 0);
  return out;
}

Result<OriginMark> decode_origin(std::string_view bytes) {
  const Error damaged(Errc::invalid_argument, "an origin mark that does not decode");
  if (bytes.size() < 5 || bytes.size() > kOriginMarkMax || bytes[0] != kVersion) return damaged;
  OriginMark mark;
  for (std::size_t i = 1; i < 5; ++i)
    mark.realm = mark.realm << 8 | static_cast<unsigned char>(bytes[i]);
  bytes.remove_prefix(5);
  std::uint64_t mode = 0;
  std::uint64_t uid = 0;
  std::uint64_t gid = 0;
  std::uint64_t ranges = 0;
  for (std::uint64_t* number :
       {&mark.session, &mark.inode, &mark.written, &mark.file_size, &mode, &uid, &gid, &ranges})
    if (!take_varint(bytes, *number)) return damaged;
  mark.mode = static_cast<std::uint16_t>(mode);
  mark.uid = static_cast<std::uint32_t>(uid);
  mark.gid = static_cast<std::uint32_t>(gid);
  if (ranges > kOriginRangesMax) return damaged;
  std::uint64_t end = 0;
  for (std::uint64_t i = 0; i < ranges; ++i) {
    OriginRange range;
    if (!take_varint(bytes, range.offset) || !take_varint(bytes, range.length)) return damaged;
    range.offset += end;
    end = range.offset + range.length;
    mark.ranges.push_back(range);
  }
  std::uint64_t size = 0;
  if (!take_varint(bytes, size) || size > kExportNameMax || bytes.size() < size + 1) return damaged;
  mark.export_name = bytes.substr(0, size);
  mark.path_is_cut = bytes[size] != '\0';
  mark.path = bytes.substr(size + 1);
  return mark;
}

} // namespace cairn::wire
