// Trunk files of FastDFS: many small files in one of 64 MiB, each in a slot behind a header.
//
//   0      1             5           9       13      17           24
//   | type | slot size   | file size | crc32 | mtime | ext. block | content, slack
//
// Integers are big-endian. The type is 'F' (a file), 'L' (a link: the content is the name of what
// it means) or 0 (free). A slot does not know the name of its file; the name knows the slot.
#pragma once

#include "common/base/file_id.h"

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace cairn::migrate {

inline constexpr std::size_t kSlotHeaderSize = 24; // bytes

struct TrunkSlot {
  char type = 0;
  std::uint32_t slot_size = 0; // bytes, header included
  std::uint32_t file_size = 0;
  std::uint32_t crc32 = 0;
  std::uint32_t mtime = 0; // unix seconds
  std::string extension;   // 7 characters

  // True for the slot of the file with this name, and nothing that came into its place later.
  bool holds(const RemoteName& name) const;
};

// "000001": the leaf of a trunk file. It lies in the directory that the names of its files say.
std::string trunk_leaf(std::uint32_t number);
// True for such a leaf.
bool is_trunk_leaf(std::string_view leaf);

// An open trunk file. Blocks.
class TrunkFile {
public:
  // Errors: those of open.
  static Result<TrunkFile> open(const std::filesystem::path& path);
  TrunkFile(TrunkFile&& other) noexcept;
  TrunkFile& operator=(TrunkFile&& other) noexcept;
  ~TrunkFile();

  std::uint64_t size() const { return size_; } // bytes
  // Errors: corrupt (the file ends before), io_error.
  Status read(std::uint64_t offset, std::byte* out, std::size_t count) const;
  // Errors: as read().
  Result<TrunkSlot> slot(std::uint64_t offset) const;
  // The content of a slot, checked. Errors: corrupt (other bytes than the checksum says), io_error.
  Result<std::vector<std::byte>> content(std::uint64_t offset, const TrunkSlot& slot) const;

private:
  TrunkFile(int fd, std::uint64_t size, std::string path)
      : fd_(fd), size_(size), path_(std::move(path)) {}
  int fd_ = -1;
  std::uint64_t size_ = 0;
  std::string path_;
};

} // namespace cairn::migrate
