// Checksums of a file's content by blocks, so that a range can be verified without reading the
// rest. Pure: no disk.
//
//   block 0        block 1        ...  last block (short)
//   | crc32        | crc32        |    | crc32 |            block size 1 MiB, doubled as needed
//
// At most 512 blocks, so that the record fits an extended attribute: a file that outgrows them gets
// blocks of twice the size, made by combining neighbours. Combining all of them gives the CRC32 of
// the whole content, which for a normal file stands in its name.
#pragma once

#include "common/base/result.h"
#include "common/wire/bytes.h"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

namespace cairn::storage {

class FileSums {
public:
  static constexpr std::uint64_t kBlockSizeMin = 1 << 20; // bytes
  static constexpr std::size_t kBlocksMax = 512;

  // Bytes [from, to) of a file.
  struct Span {
    std::uint64_t from = 0;
    std::uint64_t to = 0;
  };

  // Of an empty file.
  FileSums() = default;

  // Continues behind the last byte.
  void append(wire::View bytes);

  std::uint64_t size() const { return size_; } // bytes of the file
  std::uint64_t block_size() const { return block_size_; }
  std::size_t block_count() const { return blocks_.size(); }
  std::uint32_t block(std::size_t index) const { return blocks_[index]; }
  // Where that block lies; its end is the file's for the last one.
  Span span_of(std::size_t index) const;
  // The blocks that touch [offset, offset + length), as indexes [first, last).
  Span blocks_of(std::uint64_t offset, std::uint64_t length) const;
  // CRC32 of the whole content.
  std::uint32_t crc32() const;

  // The file now has `size` bytes: later blocks are forgotten, new ones have checksum 0 until
  // set_block() (and the last one's may have changed).
  void resize(std::uint64_t size);
  void set_block(std::size_t index, std::uint32_t crc) { blocks_[index] = crc; }

  // A change of these bytes has begun and not ended: after a crash whatever they are is right.
  std::optional<Span> pending;
  // Bytes that were changed lately, the last time at `recent_time` (unix seconds): what a power
  // loss may have taken back, since data and checksums reach the disk apart.
  Span recent;
  std::uint64_t recent_time = 0;
  // Notes a change of `span`.
  void note_change(Span span, std::uint64_t now);
  // The name holds the checksum that FastDFS before 5.12 computed, and the content was checked
  // against it: crc32() is not what the name says.
  bool legacy_name = false;

  // As kept beside the file, with a checksum of its own.
  wire::Bytes encode() const;
  // Errors: corrupt.
  static Result<FileSums> decode(wire::View bytes);

  friend bool operator==(const FileSums& a, const FileSums& b) {
    return a.size_ == b.size_ && a.block_size_ == b.block_size_ && a.blocks_ == b.blocks_;
  }

private:
  void merge_neighbours();

  std::uint64_t size_ = 0;
  std::uint64_t block_size_ = kBlockSizeMin;
  std::vector<std::uint32_t> blocks_;
};

} // namespace cairn::storage
