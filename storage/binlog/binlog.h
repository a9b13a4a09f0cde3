// The ordered log of this node's changes: checksummed records in segment files, and group commit
// through the journal (journal.h).
//
//   base_path/data/binlog/<first seq, 16 hex digits>.log
//   record: u32 size | u32 crc32 of the payload | payload (LogRecord)      big-endian
//
// A position is a 32-bit number of the start that gave it (base_path/data/binlog/start, durable
// before use) and a 32-bit counter: one that was lost with an unsynced tail is never given twice.
#pragma once

#include "common/base/result.h"
#include "common/net/task.h"
#include "storage/binlog/journal.h"
#include "storage/binlog/record.h"

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <filesystem>
#include <functional>
#include <future>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>

namespace cairn::storage {

struct BinlogOptions {
  std::uint64_t segment_size = 64 << 20; // bytes after which a new segment begins
  bool durable = true;                   // commit() waits for stable storage
  // Bytes of each of the two journal files that take small files and records durably with one
  // flush; 0: files and log are synced for every batch.
  std::uint64_t journal_size = 0;
  // Makes the files that the records speak of durable (syncfs of the store paths written to since
  // the last call). Called by the commit and the checkpoint thread before they sync the log itself.
  std::function<Status()> sync_files;
  // After a crash: puts the file of a carried record back if it is not there as it should be.
  // Called by open(), once for each that the journal holds, in order.
  std::function<Status(const LogRecord&, wire::View content)> restore;
};

class Binlog {
public:
  // Opens or creates the log in `directory`, cuts a torn record off the end of the last segment,
  // replays the journal and starts the commit thread. Errors: io_error; corrupt (a damaged record
  // that is not the last).
  static Result<std::unique_ptr<Binlog>> open(std::filesystem::path directory,
                                              BinlogOptions options);
  ~Binlog(); // commits what was appended

  // Gives the record its seq, time and running totals, and writes it. Blocks for a write() to the
  // page cache; any thread. The change it describes must be on disk already (page cache). With
  // `content`, the whole of a new file, that file need not be synced for commit(): a copy goes into
  // the journal. Errors: io_error, no_space.
  Result<std::uint64_t> append(LogRecord& record, std::optional<wire::View> content = {});
  // The same for a file that `make`, which is called once, creates. While nobody else commits, the
  // content is on its way into the journal meanwhile. Errors: besides those of
  // `make`, after which there is no record; with any other the file has to go.
  Result<std::uint64_t> append_new(LogRecord& record, std::optional<wire::View> content,
                                   const std::function<Status()>& make);

  // Returns when every record up to `seq` and the files they speak of are on stable storage; at
  // once when not durable. Errors: io_error (a sync failed: the answer must not be success).
  Task<Status> commit(std::uint64_t seq);
  // The same for a thread that may block.
  Status commit_blocking(std::uint64_t seq);
  // The same for any thread: `done` (takes a Status, may be move-only) is called at once when there
  // is nothing to wait for, else on the commit thread, where it must only post.
  template <class Done>
  void when_committed(std::uint64_t seq, Done done) {
    if (committed_.load() >= seq) return done(Status());
    enqueue(std::make_unique<Waiting<Done>>(seq, std::move(done)));
  }
  // The same for a thread that may block: with nobody else to wait for it commits itself, since
  // waking the commit thread takes a quarter of what the flush does. `done` may be called on it.
  template <class Done>
  void commit_then(std::uint64_t seq, Done done) {
    if (committed_.load() >= seq) return done(Status());
    commit_or_enqueue(std::make_unique<Waiting<Done>>(seq, std::move(done)));
  }

  // While one lives a change is being made, committed or copied to others. With many of them a
  // flush waits for an eighth: it costs the same for one change and for many, and each of them
  // waits for several flushes anyway. The log outlives it. Any thread.
  class UnderWay {
  public:
    explicit UnderWay(Binlog& log) : log_(log) { log_.under_way_.fetch_add(1); }
    ~UnderWay() { log_.under_way_.fetch_sub(1); }
    UnderWay(const UnderWay&) = delete;
    UnderWay& operator=(const UnderWay&) = delete;

  private:
    Binlog& log_;
  };

  // Position of the last appended record, 0 when there never was one. Any thread.
  std::uint64_t end_seq() const { return end_.load(); }
  // Position up to which records are durable, and may go to peers. Any thread.
  std::uint64_t committed_seq() const { return committed_.load(); }
  // Position up to which the log was committed when it was opened, nullopt: that is not known (no
  // journal, as with relaxed durability) and all that is there counts. Records behind it were never
  // acknowledged; peers may have new files among them (ChangeSource::may_go_ahead()).
  std::optional<std::uint64_t> committed_at_open() const { return committed_at_open_; }
  // Recovery has done with the records behind committed_at_open(): from the next commit on they
  // count like all others.
  void recovered() { recovered_ = true; }
  // Position before the oldest record kept: a reader can start from here or later.
  std::uint64_t begin_seq() const;
  // A position with at least `bytes` of log behind it, or the beginning.
  std::uint64_t position_before(std::uint64_t bytes) const;
  // Running totals at the end (LogRecord::own_files, own_bytes).
  std::uint64_t own_files() const { return own_files_.load(); }
  std::uint64_t own_bytes() const { return own_bytes_.load(); }

  // `wake` is called (on the commit thread or an appender's; it must only post) each time
  // committed_seq() has grown. Answers a number for forget().
  int on_commit(std::function<void()> wake);
  void forget(int listener);

  // Removes whole segments whose records are all <= `seq`.
  void prune(std::uint64_t seq);

  const std::filesystem::path& directory() const { return directory_; }

private:
  friend class BinlogReader;
  struct Waiter {
    explicit Waiter(std::uint64_t s) : seq(s) {}
    virtual ~Waiter() = default;
    virtual void done(Status status) = 0;
    const std::uint64_t seq;
  };
  template <class Done>
  struct Waiting final : Waiter {
    Waiting(std::uint64_t s, Done d) : Waiter(s), call(std::move(d)) {}
    void done(Status status) override { call(std::move(status)); }
    Done call;
  };

  Binlog(std::filesystem::path directory, BinlogOptions options);
  Status recover();
  Status open_segment(std::uint64_t first_seq);
  Status replay_journal(std::uint64_t& last_seq);
  Status sync_log();
  Status sync_everything();
  Status make_durable(JournalBatch& batch, std::uint64_t target, bool files_too, bool early);
  Status write_journal(JournalBatch& batch, std::uint64_t target, bool early);
  Status make_room(const JournalBatch& batch);
  Status finish_checkpoint(bool wait);
  void clean_journal();
  wire::Bytes frame_of(LogRecord& record) const;
  Status add_frame(const LogRecord& record, wire::View frame);
  bool begin_early(LogRecord& record, wire::View content, wire::Bytes& frame);
  void void_early(std::uint64_t seq);
  void drop_early();
  void enqueue(std::unique_ptr<Waiter> waiter);
  void commit_or_enqueue(std::unique_ptr<Waiter> waiter);
  using CommitLock = std::unique_lock<std::mutex>; // of commit_mutex_
  bool is_worth_it() const;
  bool must_wake() const;
  void wait_for_others(CommitLock& lock);
  void commit_round(CommitLock& lock);
  void clean_round(CommitLock& lock);
  void commit_loop();
  void notify();

  const std::filesystem::path directory_;
  const BinlogOptions options_;

  mutable std::mutex append_mutex_; // guards what follows, up to the atomics
  int fd_ = -1;
  std::uint64_t segment_bytes_ = 0;
  std::map<std::uint64_t, std::filesystem::path> segments_; // by first seq
  std::uint64_t next_seq_ = 1;
  JournalBatch batch_;             // what was appended since the last commit
  bool batch_needs_files_ = false; // some of it speaks of files that are not carried
  // The record of append_new() that goes into the journal while its file is being made has this
  // position; 0: none, or others were appended meanwhile.
  std::uint64_t early_seq_ = 0;
  bool early_appended_ = false; // it is in the log, and to be committed with the next round
  std::atomic<std::uint64_t> end_{0};
  std::atomic<std::uint64_t> own_files_{0};
  std::atomic<std::uint64_t> own_bytes_{0};

  mutable std::mutex commit_mutex_; // guards what follows, up to the atomics
  std::condition_variable commit_wake_;
  std::vector<std::unique_ptr<Waiter>> waiters_;
  bool stopping_ = false;
  bool committing_ = false; // a thread commits, or cleans the journal
  bool resting_ = false;    // the commit thread is in wait_for_others()
  std::chrono::steady_clock::time_point last_commit_{};
  std::atomic<std::size_t> under_way_{0};
  std::atomic<std::uint64_t> committed_{0};
  std::optional<std::uint64_t> committed_at_open_; // constant after open()
  std::atomic<bool> recovered_{false};
  std::thread commit_thread_;
  // Of the thread that has set committing_, once the commit thread runs.
  JournalBatch committed_batch_; // its memory is used again
  JournalBatch early_batch_;     // what Journal::start() writes, and so gone after the journal
  std::unique_ptr<Journal> journal_;
  std::future<Status> checkpoint_; // of the journal file that was left last, while it is due
  bool sync_due_ = false;          // the last commit failed
  std::uint64_t started_seq_ = 0;  // of its record

  std::mutex listeners_mutex_; // guards listeners_
  std::map<int, std::function<void()>> listeners_;
  int next_listener_ = 1;
};

// Reads records in order. Not thread-safe; blocks (disk).
class BinlogReader {
public:
  // Begins after `seq` (0: at the oldest record kept). `binlog` outlives the reader.
  explicit BinlogReader(Binlog& binlog, std::uint64_t after_seq = 0);
  ~BinlogReader();

  // The next record up to committed_seq(), or up to `ahead` if that is further: such a record is in
  // the log and not durable yet. nullopt when there is none yet. Errors: not_found (the records
  // after `after_seq` were pruned: bring the peer up from the catalogue), corrupt (the reader has
  // moved behind the damage; records in between are lost).
  Result<std::optional<LogRecord>> next(std::uint64_t ahead = 0);
  // The same on a thread that must not block: reads only what is in the page cache. nullopt also
  // when next() could give one; needs_disk() says so then.
  Result<std::optional<LogRecord>> next_cached(std::uint64_t ahead);
  bool needs_disk() const { return needs_disk_; }

  // Position of the last record returned (or what it began with).
  std::uint64_t position() const { return position_; }

private:
  Status open_for(std::uint64_t after_seq);
  Result<std::optional<LogRecord>> read(std::uint64_t ahead, bool cached_only);

  Binlog& binlog_;
  std::uint64_t position_;
  int fd_ = -1;
  std::uint64_t segment_ = 0; // first seq of the open segment
  std::uint64_t offset_ = 0;
  wire::Bytes buffer_;
  std::size_t buffer_begin_ = 0;
  std::uint64_t end_seen_ = 0; // records up to here may be given
  bool needs_disk_ = false;
};

} // namespace cairn::storage
