// Block checksums and their record.
#include "storage/store/file_sums.h"

#include "common/base/crc32.h"
#include "common/wire/codec.h"

#include <algorithm>

namespace cairn::storage {

namespace {

constexpr std::size_t kChecksumSize = 4;

// The record as it is kept; a checksum of the rest stands in front of it.
struct Record {
  std::uint8_t version = 1;
  std::uint8_t legacy_name = 0;
  std::uint64_t size = 0;
  std::uint64_t block_size = 0;
  std::uint64_t pending_from = 0;
  std::uint64_t pending_to = 0; // equal to pending_from: none
  wire::Bytes blocks;           // four bytes each, big-endian
  std::uint64_t recent_from = 0;
  std::uint64_t recent_to = 0;
  std::uint64_t recent_time = 0;

  static constexpr auto fields() {
    using M = Record;
    return std::tuple{wire::integer(&M::version),      wire::integer(&M::legacy_name),
                      wire::integer(&M::size),         wire::integer(&M::block_size),
                      wire::integer(&M::pending_from), wire::integer(&M::pending_to),
                      wire::blob(&M::blocks),          wire::integer(&M::recent_from),
                      wire::integer(&M::recent_to),    wire::integer(&M::recent_time)};
  }
};

std::size_t blocks_for(std::uint64_t size, std::uint64_t block_size) {
  return static_cast<std::size_t>(size / block_size + (size % block_size != 0 ? 1 : 0));
}

} // namespace

void FileSums::append(wire::View bytes) {
  while (!bytes.empty()) {
    const std::uint64_t used = size_ % block_size_;
    if (used == 0) {
      if (blocks_.size() == kBlocksMax) {
        merge_neighbours();
        continue;
      }
      blocks_.push_back(0);
    }
    const auto count =
        static_cast<std::size_t>(std::min<std::uint64_t>(bytes.size(), block_size_ - used));
    blocks_.back() = cairn::crc32(blocks_.back(), bytes.first(count));
    size_ += count;
    bytes = bytes.subspan(count);
  }
}

FileSums::Span FileSums::span_of(std::size_t index) const {
  const std::uint64_t from = index * block_size_;
  return {from, std::min(from + block_size_, size_)};
}

FileSums::Span FileSums::blocks_of(std::uint64_t offset, std::uint64_t length) const {
  if (length == 0 || offset >= size_) return {0, 0};
  const std::uint64_t end = length > size_ - offset ? size_ : offset + length;
  return {offset / block_size_, blocks_for(end, block_size_)};
}

std::uint32_t FileSums::crc32() const {
  std::uint32_t whole = 0;
  for (std::size_t i = 0; i < blocks_.size(); ++i) {
    const Span span = span_of(i);
    whole = i == 0 ? blocks_[0] : crc32_combine(whole, blocks_[i], span.to - span.from);
  }
  return whole;
}

void FileSums::resize(std::uint64_t size) {
  // Neighbours are combined while all their lengths are still known.
  while (blocks_for(size, block_size_) > kBlocksMax) merge_neighbours();
  size_ = size;
  blocks_.resize(blocks_for(size, block_size_), 0);
}

void FileSums::merge_neighbours() {
  std::vector<std::uint32_t> merged;
  merged.reserve(blocks_.size() / 2 + 1);
  for (std::size_t i = 0; i < blocks_.size(); i += 2) {
    if (i + 1 == blocks_.size()) {
      merged.push_back(blocks_[i]);
      break;
    }
    const Span second = span_of(i + 1);
    merged.push_back(crc32_combine(blocks_[i], blocks_[i + 1], second.to - second.from));
  }
  blocks_ = std::move(merged);
  block_size_ *= 2;
}

void FileSums::note_change(Span span, std::uint64_t now) {
  // Longer ago than this it is on the disk.
  constexpr std::uint64_t kRecently = 60;
  if (recent_time + kRecently < now) recent = span;
  recent = Span{std::min(recent.from, span.from), std::max(recent.to, span.to)};
  recent_time = now;
}

wire::Bytes FileSums::encode() const {
  Record record;
  record.legacy_name = legacy_name ? 1 : 0;
  record.size = size_;
  record.block_size = block_size_;
  if (pending) {
    record.pending_from = pending->from;
    record.pending_to = pending->to;
  }
  record.recent_from = recent.from;
  record.recent_to = recent.to;
  record.recent_time = recent_time;
  record.blocks.resize(blocks_.size() * kChecksumSize);
  for (std::size_t i = 0; i < blocks_.size(); ++i)
    wire::store_big_endian(record.blocks.data() + i * kChecksumSize, blocks_[i], kChecksumSize);
  wire::Bytes out(kChecksumSize);
  wire::Writer writer(out);
  wire::encode_into(writer, record);
  const wire::View content = wire::View(out).subspan(kChecksumSize);
  wire::store_big_endian(out.data(), cairn::crc32(0, content), kChecksumSize);
  return out;
}

Result<FileSums> FileSums::decode(wire::View bytes) {
  const Error damaged{Errc::corrupt, "the record of block checksums is damaged"};
  if (bytes.size() < kChecksumSize) return damaged;
  const wire::View content = bytes.subspan(kChecksumSize);
  if (wire::load_big_endian(bytes.data(), kChecksumSize) != cairn::crc32(0, content))
    return damaged;
  const auto record = wire::decode_lenient<Record>(content);
  if (!record || record->block_size < kBlockSizeMin ||
      (record->block_size & (record->block_size - 1)) != 0 ||
      record->blocks.size() % kChecksumSize != 0 ||
      record->blocks.size() / kChecksumSize != blocks_for(record->size, record->block_size))
    return damaged;
  FileSums sums;
  sums.size_ = record->size;
  sums.block_size_ = record->block_size;
  sums.legacy_name = record->legacy_name != 0;
  if (record->pending_to > record->pending_from)
    sums.pending = Span{record->pending_from, record->pending_to};
  sums.recent = Span{record->recent_from, record->recent_to};
  sums.recent_time = record->recent_time;
  sums.blocks_.resize(record->blocks.size() / kChecksumSize);
  for (std::size_t i = 0; i < sums.blocks_.size(); ++i)
    sums.blocks_[i] = static_cast<std::uint32_t>(
        wire::load_big_endian(record->blocks.data() + i * kChecksumSize, kChecksumSize));
  return sums;
}

} // namespace cairn::storage
