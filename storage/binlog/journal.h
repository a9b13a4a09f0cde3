// The write-ahead journal: what makes an acknowledged change durable with one flush of one file.
//
// A batch holds the frames of the binlog records since the batch before and, for small new files,
// their content. So neither the files nor the binlog have to be synced before the answer: after a
// power loss both are repaired from the journal. Two preallocated files take turns:
//
//   base_path/data/binlog/journal.0, journal.1
//   batch: BatchHeader | entries | zeros up to 4096          at the end of the batch before
//   entry: u32 frame size | u32 content size | frame | content                     big-endian
//
// Every reuse of a file has a generation of its own, above the last by a random step. A batch names
// the oldest generation that is still needed; when the other file's content has been synced where
// it belongs (a checkpoint), later batches no longer name it, and it may be written over. It also
// says up to which position of the log everything is durable with it: after a crash, records behind
// that were never acknowledged.
#pragma once

#include "common/base/result.h"
#include "common/wire/bytes.h"
#include "storage/binlog/async_write.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

namespace cairn::storage {

// A batch in memory, with its header's place in front and aligned for O_DIRECT. Grows to the
// largest batch there was. Not thread-safe.
class JournalBatch {
public:
  JournalBatch();
  ~JournalBatch();
  JournalBatch(const JournalBatch&) = delete;
  JournalBatch& operator=(const JournalBatch&) = delete;
  void swap(JournalBatch& other) noexcept;

  // Adds a record's frame and the content it carries (empty: none).
  void add(wire::View frame, wire::View content);
  void clear() { size_ = 0; }
  bool empty() const { return size_ == 0; }
  // Bytes of all entries.
  std::size_t size() const { return size_; }

private:
  friend class Journal;
  void reserve(std::size_t size); // bytes of entries

  std::byte* memory_ = nullptr;
  std::size_t capacity_ = 0; // of memory_, header included
  std::size_t size_ = 0;
};

class Journal {
public:
  // Called for each entry of the batches that count, in the order they were written. The views are
  // valid during the call. An error ends the replay with it.
  using Replay = std::function<Status(wire::View frame, wire::View content)>;

  // Opens or creates the two files of `file_size` bytes each (at least 1 MiB; larger ones stay as
  // they are) in `directory` and replays what they hold; the caller then syncs what the
  // replay restored and calls release_all(). Errors: io_error, no_space, and those of `replay`.
  static Result<std::unique_ptr<Journal>> open(const std::filesystem::path& directory,
                                               std::uint64_t file_size, const Replay& replay);
  ~Journal();

  // Whether `batch` fits behind the batches of the current file.
  bool fits(const JournalBatch& batch) const;
  // Whether it fits into an empty file at all.
  bool could_fit(const JournalBatch& batch) const;
  // Writes `batch` and makes it durable, and with it that the log is committed up to `committed`.
  // It must fit. After an error the journal takes no more until turn(). Errors: io_error.
  Status write(JournalBatch& batch, std::uint64_t committed);
  // Begins to write `batch`, which stays as it is until settle(), as write() does, without making
  // it durable. False: that is not possible now, and nothing was begun. Before the next call of
  // anything else that writes, settle().
  bool start(JournalBatch& batch, std::uint64_t committed);
  bool is_started() const { return early_.is_started(); }
  // Waits for what start() began. With `keep` the batch counts, and the next write() or flush()
  // makes it durable; else its place is used again. Errors: as write().
  Status settle(bool keep);
  // Makes the batch that was kept durable, and with it that the log is committed up to `committed`,
  // as start() was told. Errors: as write().
  Status flush(std::uint64_t committed);
  // What start() left is no batch any more, so that a replay does not find it; not durable. After
  // settle() without `keep`.
  void forget_started();
  // Goes on in the other file, whose content must have been released.
  void turn();
  // What all files but the current one hold has been synced where it belongs.
  void release_others() { needed_ = generation_; }
  // The same of all that was written so far, and says so on disk, so that a replay finds nothing,
  // and that the log is committed up to `committed`. Errors: io_error.
  Status release_all(std::uint64_t committed);
  // What the last durable batch said of that; nullopt: there never was one.
  std::optional<std::uint64_t> committed() const { return committed_; }
  // True when there is something that a replay would apply.
  bool holds_anything() const { return offset_ > 0 || needed_ != generation_; }

private:
  // What was set aside and never written is beyond the end of the file: the first write to such a
  // block costs a commit of the file system's own journal, which takes as long as three flushes.
  struct Slot {
    int fd = -1;
    std::uint64_t size = 0;    // bytes set aside
    std::uint64_t written = 0; // the file's end
  };

  Journal() = default;
  static Status open_slot(Slot& slot, const std::filesystem::path& file);
  static Status set_aside(Slot& slot, std::uint64_t size);
  // Moves the current file's end to `end` at least.
  Status write_ahead(std::uint64_t end);
  std::size_t seal(JournalBatch& batch, std::uint64_t committed) const;
  Status write_at_current(JournalBatch& batch, std::uint64_t committed);
  // Behind a batch that may be half there nothing would be found again.
  Status close_current(Status failed);

  std::array<Slot, 2> slots_;
  std::size_t current_ = 0;
  std::uint64_t generation_ = 1;
  std::uint64_t needed_ = 1;
  std::uint64_t offset_ = 0; // in the current file
  AsyncWrite early_;
  std::uint64_t early_size_ = 0; // bytes that early_ was to write
  std::optional<std::uint64_t> committed_;
};

} // namespace cairn::storage
