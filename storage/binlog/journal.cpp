// Writing, reuse and replay of the journal's files.
#include "storage/binlog/journal.h"

#include "common/base/crc32.h"
#include "common/base/text.h"
#include "common/wire/codec.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <new>
#include <optional>
#include <sys/stat.h>
#include <unistd.h>

namespace cairn::storage {

namespace {

constexpr std::size_t kBlock = 4096; // what O_DIRECT asks for, on disks of either sector size
constexpr std::uint64_t kMagic = 0x434149524e4a4f55; // "CAIRNJOU"
constexpr std::size_t kEntryHead = 8;
constexpr std::uint64_t kFileMin = 1 << 20;
// How far zeros are written in front of the batches, and how many in one call.
constexpr std::uint64_t kAhead = 4 << 20;
constexpr std::size_t kZeros = 1 << 20;
// Larger than any batch that the binlog makes: a length beyond it is damage.
constexpr std::uint32_t kBatchMax = 64 << 20;

struct BatchHeader {
  std::uint64_t magic = kMagic;
  std::uint64_t generation = 0; // of the file it is in
  std::uint64_t needed = 0;     // the oldest generation that a replay begins with
  std::uint64_t committed = 0;  // position of the last record that is durable with this batch
  std::uint32_t size = 0;       // bytes of entries
  std::uint32_t crc32 = 0;      // of the entries
  std::uint32_t own_crc32 = 0;  // of this header up to here

  static constexpr auto fields() {
    using M = BatchHeader;
    return std::tuple{wire::integer(&M::magic),    wire::integer(&M::generation),
                      wire::integer(&M::needed),   wire::integer(&M::committed),
                      wire::integer(&M::size),     wire::integer(&M::crc32),
                      wire::integer(&M::own_crc32)};
  }
};

constexpr std::size_t kHeaderSize = wire::size_of<BatchHeader>;
constexpr std::size_t kHeaderChecked = kHeaderSize - 4;

std::uint64_t padded(std::uint64_t size) {
  return (size + kBlock - 1) / kBlock * kBlock;
}

std::byte* aligned_memory(std::size_t size) {
  void* const memory = std::aligned_alloc(kBlock, size);
  if (memory == nullptr) throw std::bad_alloc();
  return static_cast<std::byte*>(memory);
}

struct Free {
  void operator()(std::byte* memory) const { std::free(memory); }
};
using AlignedBuffer = std::unique_ptr<std::byte, Free>;

Status read_fully(int fd, std::byte* out, std::size_t size, std::uint64_t offset) {
  while (size > 0) {
    const ssize_t count = ::pread(fd, out, size, static_cast<off_t>(offset));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return errno_error("read the journal", errno);
    if (count == 0) return Error{Errc::io_error, "the journal is shorter than it was"};
    out += count;
    size -= static_cast<std::size_t>(count);
    offset += static_cast<std::uint64_t>(count);
  }
  return {};
}

Status write_fully(int fd, const std::byte* from, std::size_t size, std::uint64_t offset) {
  while (size > 0) {
    const ssize_t count = ::pwrite(fd, from, size, static_cast<off_t>(offset));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return errno_error("write the journal", errno);
    from += count;
    size -= static_cast<std::size_t>(count);
    offset += static_cast<std::uint64_t>(count);
  }
  return {};
}

// The header at `offset`; nullopt: what is there is no batch.
Result<std::optional<BatchHeader>> read_header(int fd, std::uint64_t file_size,
                                               std::uint64_t offset) {
  if (offset + kBlock > file_size) return std::optional<BatchHeader>();
  const AlignedBuffer block(aligned_memory(kBlock));
  CAIRN_RETURN_IF_ERROR(read_fully(fd, block.get(), kBlock, offset));
  const wire::View raw(block.get(), kHeaderSize);
  CAIRN_TRY(header, wire::decode<BatchHeader>(raw));
  if (header.magic != kMagic || header.own_crc32 != crc32(0, raw.first(kHeaderChecked)) ||
      header.size > kBatchMax || offset + padded(kHeaderSize + header.size) > file_size)
    return std::optional<BatchHeader>();
  return std::optional<BatchHeader>(header);
}

Status replay_entries(wire::View entries, const Journal::Replay& replay) {
  while (!entries.empty()) {
    if (entries.size() < kEntryHead) return Error{Errc::corrupt, "journal entry is cut"};
    const std::uint64_t frame = wire::load_big_endian(entries.data(), 4);
    const std::uint64_t content = wire::load_big_endian(entries.data() + 4, 4);
    entries = entries.subspan(kEntryHead);
    if (frame > entries.size() || content > entries.size() - frame)
      return Error{Errc::corrupt, "journal entry is cut"};
    CAIRN_RETURN_IF_ERROR(replay(entries.first(frame), entries.subspan(frame, content)));
    entries = entries.subspan(frame + content);
  }
  return {};
}

// Replays one file from its beginning (without `replay`: only reads it), as long as its batches are
// of its first one's generation and whole: what follows was never acknowledged. Answers what the
// last of them says was committed; nullopt: there is no whole batch.
Result<std::optional<std::uint64_t>> replay_file(int fd, std::uint64_t file_size,
                                                 std::uint64_t generation,
                                                 const Journal::Replay* replay) {
  std::optional<std::uint64_t> committed;
  std::uint64_t batches = 0;
  for (std::uint64_t offset = 0;;) {
    CAIRN_TRY(header, read_header(fd, file_size, offset));
    if (!header || header->generation != generation) break;
    const std::uint64_t size = padded(kHeaderSize + header->size);
    const AlignedBuffer batch(aligned_memory(size));
    CAIRN_RETURN_IF_ERROR(read_fully(fd, batch.get(), size, offset));
    const wire::View entries(batch.get() + kHeaderSize, header->size);
    if (crc32(0, entries) != header->crc32) break; // torn by the power loss
    if (replay != nullptr) CAIRN_RETURN_IF_ERROR(replay_entries(entries, *replay));
    committed = header->committed;
    offset += size;
    ++batches;
  }
  spdlog::debug("journal replayed generation={} batches={}", generation, batches);
  return committed;
}

} // namespace

JournalBatch::JournalBatch() = default;

JournalBatch::~JournalBatch() {
  std::free(memory_);
}

void JournalBatch::swap(JournalBatch& other) noexcept {
  std::swap(memory_, other.memory_);
  std::swap(capacity_, other.capacity_);
  std::swap(size_, other.size_);
}

void JournalBatch::reserve(std::size_t size) {
  const std::size_t wanted = padded(kHeaderSize + size);
  if (wanted <= capacity_) return;
  const std::size_t capacity = std::max(wanted, capacity_ * 2);
  std::byte* const memory = aligned_memory(capacity);
  if (size_ > 0) std::memcpy(memory + kHeaderSize, memory_ + kHeaderSize, size_);
  std::free(memory_);
  memory_ = memory;
  capacity_ = capacity;
}

void JournalBatch::add(wire::View frame, wire::View content) {
  reserve(size_ + kEntryHead + frame.size() + content.size());
  std::byte* out = memory_ + kHeaderSize + size_;
  wire::store_big_endian(out, frame.size(), 4);
  wire::store_big_endian(out + 4, content.size(), 4);
  std::memcpy(out + kEntryHead, frame.data(), frame.size());
  if (!content.empty())
    std::memcpy(out + kEntryHead + frame.size(), content.data(), content.size());
  size_ += kEntryHead + frame.size() + content.size();
}

Journal::~Journal() {
  for (const Slot& slot : slots_)
    if (slot.fd >= 0) ::close(slot.fd);
}

Status Journal::open_slot(Slot& slot, const std::filesystem::path& file) {
  constexpr int kFlags = O_RDWR | O_CREAT | O_CLOEXEC;
  // Some file systems refuse O_DIRECT; through the page cache it is only slower.
  slot.fd = ::open(file.c_str(), kFlags | O_DIRECT, 0600);
  if (slot.fd < 0 && errno == EINVAL) slot.fd = ::open(file.c_str(), kFlags, 0600);
  if (slot.fd < 0) return errno_error("open " + file.string(), errno);
  struct stat info {};
  if (::fstat(slot.fd, &info) != 0) return errno_error("stat " + file.string(), errno);
  slot.written = static_cast<std::uint64_t>(info.st_size) / kBlock * kBlock;
  slot.size = std::max(slot.written, kFileMin);
  return {};
}

// Sets `size` bytes aside for the file, as far as there are less. Errors: no_space, io_error.
Status Journal::set_aside(Slot& slot, std::uint64_t size) {
  size = std::max(padded(size), slot.size);
  if (::fallocate(slot.fd, FALLOC_FL_KEEP_SIZE, 0, static_cast<off_t>(size)) != 0) {
    if (errno != EOPNOTSUPP) return errno_error("preallocate the journal", errno);
    // Written block by block then, once.
    if (const int error = ::posix_fallocate(slot.fd, 0, static_cast<off_t>(size)); error != 0)
      return errno_error("preallocate the journal", error);
    slot.written = size;
  }
  if (::fsync(slot.fd) != 0) return errno_error("fsync the journal", errno);
  slot.size = size;
  return {};
}

Result<std::unique_ptr<Journal>> Journal::open(const std::filesystem::path& directory,
                                               std::uint64_t file_size, const Replay& replay) {
  std::unique_ptr<Journal> journal(new Journal());
  std::array<std::optional<BatchHeader>, 2> first;
  const std::array files{directory / "journal.0", directory / "journal.1"};
  for (std::size_t i = 0; i < 2; ++i)
    CAIRN_RETURN_IF_ERROR(open_slot(journal->slots_[i], files[i]));
  for (Slot& slot : journal->slots_) {
    Status done = set_aside(slot, file_size);
    if (done) continue;
    if (journal->slots_[0].written == 0 && journal->slots_[1].written == 0) {
      // Nothing was ever in them: the next start begins as this one did.
      for (const auto& file : files) ::unlink(file.c_str());
      return std::move(done).error();
    }
    spdlog::warn("journal goes on with what it has size={} wanted={}: {}", slot.size, file_size,
                 done.error().text());
  }
  for (std::size_t i = 0; i < 2; ++i) {
    const Slot& slot = journal->slots_[i];
    CAIRN_TRY(header, read_header(slot.fd, slot.written, 0));
    first[i] = header;
  }

  // What is needed is said by the last batch of the newest file; its first one is enough to find
  // it, for a batch never needs less than those before it.
  const auto generation = [&](std::size_t i) { return first[i] ? first[i]->generation : 0; };
  const std::size_t newest = generation(1) > generation(0) ? 1 : 0;
  const std::size_t older = 1 - newest;
  journal->current_ = newest;
  journal->generation_ = generation(newest);
  if (first[newest]) {
    const Slot& slot = journal->slots_[newest];
    std::uint64_t needed = first[newest]->needed;
    for (std::uint64_t offset = 0;;) {
      CAIRN_TRY(header, read_header(slot.fd, slot.written, offset));
      if (!header || header->generation != generation(newest)) break;
      needed = std::max(needed, header->needed);
      offset += padded(kHeaderSize + header->size);
    }
    const Slot& before = journal->slots_[older];
    if (first[older] && generation(older) >= needed) {
      CAIRN_TRY(committed, replay_file(before.fd, before.written, generation(older), &replay));
      journal->committed_ = committed;
    }
    CAIRN_TRY(committed, replay_file(slot.fd, slot.written, generation(newest), &replay));
    if (committed) journal->committed_ = committed;
    if (first[older] && !journal->committed_) {
      // The power went in the first batch after the turn.
      CAIRN_TRY(earlier, replay_file(before.fd, before.written, generation(older), nullptr));
      journal->committed_ = earlier;
    }
  }
  journal->needed_ = journal->generation_;
  return journal;
}

bool Journal::fits(const JournalBatch& batch) const {
  return offset_ + padded(kHeaderSize + batch.size()) <= slots_[current_].size;
}

bool Journal::could_fit(const JournalBatch& batch) const {
  const std::uint64_t size = padded(kHeaderSize + batch.size());
  return size <= slots_[0].size && size <= slots_[1].size;
}

Status Journal::write(JournalBatch& batch, std::uint64_t committed) {
  CAIRN_ASSERT(fits(batch));
  if (Status written = write_at_current(batch, committed); !written)
    return close_current(std::move(written));
  return flush(committed);
}

Status Journal::close_current(Status failed) {
  offset_ = slots_[current_].size;
  return failed;
}

bool Journal::start(JournalBatch& batch, std::uint64_t committed) {
  const std::uint64_t size = padded(kHeaderSize + batch.size());
  const Slot& slot = slots_[current_];
  if (!fits(batch) || offset_ + size > slot.written) return false;
  early_size_ = seal(batch, committed);
  return early_.start(slot.fd, batch.memory_, early_size_, offset_);
}

Status Journal::settle(bool keep) {
  if (Status written = early_.finish(); !written) return close_current(std::move(written));
  if (keep) offset_ += early_size_;
  return {};
}

Status Journal::flush(std::uint64_t committed) {
  if (::fdatasync(slots_[current_].fd) != 0)
    return close_current(errno_error("fdatasync the journal", errno));
  committed_ = committed;
  return {};
}

void Journal::forget_started() {
  const AlignedBuffer zeros(aligned_memory(kBlock));
  std::memset(zeros.get(), 0, kBlock);
  if (Status written = write_fully(slots_[current_].fd, zeros.get(), kBlock, offset_); !written)
    (void)close_current(std::move(written));
}

Status Journal::write_ahead(std::uint64_t end) {
  Slot& slot = slots_[current_];
  if (end <= slot.written) return {};
  const std::uint64_t until = std::min(slot.size, std::max(end, slot.written + kAhead));
  const AlignedBuffer zeros(aligned_memory(kZeros));
  std::memset(zeros.get(), 0, kZeros);
  while (slot.written < until) {
    const std::uint64_t size = std::min<std::uint64_t>(kZeros, until - slot.written);
    CAIRN_RETURN_IF_ERROR(write_fully(slot.fd, zeros.get(), size, slot.written));
    slot.written += size;
  }
  return {};
}

// Fills in the header and what is behind the entries; answers the bytes to be written.
std::size_t Journal::seal(JournalBatch& batch, std::uint64_t committed) const {
  batch.reserve(batch.size());
  const std::size_t size = padded(kHeaderSize + batch.size());
  std::byte* const memory = batch.memory_;
  std::memset(memory + kHeaderSize + batch.size(), 0, size - kHeaderSize - batch.size());
  BatchHeader header;
  header.generation = generation_;
  header.needed = needed_;
  header.committed = committed;
  header.size = static_cast<std::uint32_t>(batch.size());
  header.crc32 = crc32(0, wire::View(memory + kHeaderSize, batch.size()));
  const auto encode = [&] {
    const wire::Bytes raw = wire::encode(header);
    std::memcpy(memory, raw.data(), raw.size());
  };
  encode();
  header.own_crc32 = crc32(0, wire::View(memory, kHeaderChecked));
  encode();
  return size;
}

Status Journal::write_at_current(JournalBatch& batch, std::uint64_t committed) {
  const std::size_t size = seal(batch, committed);
  CAIRN_RETURN_IF_ERROR(write_ahead(offset_ + size));
  const int fd = slots_[current_].fd;
  CAIRN_RETURN_IF_ERROR(write_fully(fd, batch.memory_, size, offset_));
  offset_ += size;
  return {};
}

void Journal::turn() {
  CAIRN_ASSERT(needed_ == generation_);
  current_ = 1 - current_;
  // Behind the last batch lies content of former ones, which clients have chosen: they must not be
  // able to write there what reads as the next batch. A step of 40 bits cannot be guessed, and 64
  // bits last for millions of turns.
  std::array<std::byte, 5> random{};
  random_bytes(random);
  generation_ += 1 + wire::load_big_endian(random.data(), random.size());
  offset_ = 0;
}

Status Journal::release_all(std::uint64_t committed) {
  release_others();
  turn();
  release_others();
  JournalBatch nothing;
  return write(nothing, committed);
}

} // namespace cairn::storage
