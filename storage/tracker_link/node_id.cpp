// Choosing and keeping the storage ID.
#include "storage/tracker_link/node_id.h"

#include "common/base/durable_file.h"
#include "common/base/file_id.h"
#include "common/base/text.h"

#include <string>
#include <system_error>

namespace cairn::storage {

namespace {
std::filesystem::path id_file(const std::filesystem::path& base_path) {
  return base_path / "data" / "node.id";
}
} // namespace

std::uint32_t derived_node_id(std::string_view uuid) {
  // FNV-1a, folded to the 23 bits of the range: any spread will do, but it must never change.
  std::uint64_t hash = 0xcbf2'9ce4'8422'2325;
  for (const char c : uuid) {
    hash ^= static_cast<unsigned char>(c);
    hash *= 0x0000'0100'0000'01b3;
  }
  return kDerivedIdMin + static_cast<std::uint32_t>((hash ^ hash >> 23 ^ hash >> 46) &
                                                    (kDerivedIdMax - kDerivedIdMin));
}

std::uint32_t next_derived_id(std::uint32_t id) {
  return id >= kDerivedIdMin && id < kDerivedIdMax ? id + 1 : kDerivedIdMin;
}

Result<std::optional<std::uint32_t>> load_node_id(const std::filesystem::path& base_path) {
  const auto path = id_file(base_path);
  auto text = read_small_file(path, 64);
  if (text.code() == Errc::not_found) return std::optional<std::uint32_t>();
  if (!text) return std::move(text).error();
  const auto id = parse_u64(trim(*text));
  if (!id || *id == 0 || *id > kServerIdMax)
    return Error{Errc::corrupt, path.string() + " holds no storage ID"};
  return std::optional(static_cast<std::uint32_t>(*id));
}

Status store_node_id(const std::filesystem::path& base_path, std::uint32_t id) {
  const auto path = id_file(base_path);
  std::error_code error;
  std::filesystem::create_directories(path.parent_path(), error);
  if (error) return errno_error("mkdir " + path.parent_path().string(), error.value());
  return durable_write_file(path, std::to_string(id) + "\n");
}

} // namespace cairn::storage
