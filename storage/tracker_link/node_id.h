// The numeric storage ID of this node: configured, or derived from its UUID; fixed for ever, and
// kept in base_path/data/node.id, once a tracker has accepted it, since it stands in file names.
#pragma once

#include "common/base/result.h"

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string_view>

namespace cairn::storage {

// Derived IDs lie in the upper half of the 24 bits; the lower half is for people to give.
inline constexpr std::uint32_t kDerivedIdMin = 8'388'608;
inline constexpr std::uint32_t kDerivedIdMax = 16'777'215;

// The first ID a node with this UUID asks for.
std::uint32_t derived_node_id(std::string_view uuid);
// The one it asks for when another node has `id`: the next, at the end of the range the first.
std::uint32_t next_derived_id(std::uint32_t id);

// The ID this node has joined with; nullopt before its first accepted join. Blocks. Errors: corrupt
// (the file holds no ID), those of open and read.
Result<std::optional<std::uint32_t>> load_node_id(const std::filesystem::path& base_path);
// Writes it down durably. Blocks. Errors: those of mkdir, open, write, fsync, rename.
Status store_node_id(const std::filesystem::path& base_path, std::uint32_t id);

} // namespace cairn::storage
