// The files of this node: naming, create, read, change, delete, metadata, on the FastDFS layout
//   <store path>/data/HH/LL/<name>      and <name>-m for metadata
// Blocking calls, to be run on the DiskPool of the file's store path (pool()). Each change appends
// its record to the binlog under the lock of its file, so that the log's order is the disk's order;
// the caller then waits for Binlog::commit() of the returned position before it answers.
#pragma once

#include "common/base/file_id.h"
#include "common/base/result.h"
#include "common/config/storage_config.h"
#include "common/net/disk_pool.h"
#include "common/wire/adopt_files.h"
#include "storage/binlog/binlog.h"
#include "storage/store/file_sums.h"
#include "storage/store/hybrid_clock.h"
#include "storage/store/path_health.h"
#include "storage/store/space.h"
#include "storage/store/tombstones.h"
#include "storage/store/verdicts.h"

#include <array>
#include <atomic>
#include <ctime>
#include <filesystem>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

namespace cairn::storage {

// An open file descriptor.
class File {
public:
  File() = default;
  explicit File(int fd) : fd_(fd) {}
  File(File&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  File& operator=(File&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~File();

  int get() const { return fd_; }
  explicit operator bool() const { return fd_ >= 0; }
  int release() { return std::exchange(fd_, -1); }

private:
  int fd_ = -1;
};

// A stored file opened for reading.
struct OpenedFile {
  File file;
  std::uint64_t size = 0;
  std::uint32_t mtime = 0; // unix seconds; for a normal file the time in its name
  CopyStamp stamp;         // of the moment it was opened
};

// A file that is being written and that no reader sees. Its memory is one descriptor; the content
// goes straight to disk.
class StagedFile {
public:
  StagedFile() = default;
  StagedFile(std::uint8_t store_path, File file)
      : store_path_(store_path), file_(std::move(file)) {}

  // Appends. Errors: no_space, io_error.
  Status write(wire::View bytes);
  std::uint64_t size() const { return sums_.size(); }
  // CRC32 of all that was written.
  std::uint32_t crc32() const { return sums_.crc32(); }
  // Block checksums of all that was written.
  const FileSums& sums() const { return sums_; }
  std::uint8_t store_path() const { return store_path_; }
  int fd() const { return file_.get(); }

private:
  std::uint8_t store_path_ = 0;
  File file_;
  FileSums sums_;
};

// What an upload asks for.
struct NewFile {
  std::uint8_t store_path = 0xFF; // 0xFF: choose_path() decides
  std::string extension;          // valid, without dot
  bool appender = false;
  std::string mark; // origin mark, as it came (common/wire/origin_mark.h); empty: none
};

// A change that was made: the file's name, and the binlog position to commit.
struct Change {
  std::string name;      // remote file name
  std::uint64_t seq = 0; // 0: nothing had to be done
};

// Where a change comes from when it is not this node's own.
struct Origin {
  std::uint32_t id = 0;    // 0: this node, now
  std::uint64_t seq = 0;   // position in its binlog, 0 during a bring-up
  std::uint64_t stamp = 0; // hybrid clock of the change
  std::uint32_t mtime = 0; // of the file after it
  std::string mark;        // origin mark of a put; empty: none
  // Of a put: the name was deleted and is used again, by a restore from the trash; `stamp` is when.
  bool restored = false;
  // Of a remove: the file waits in the trash, where there is one.
  bool to_trash = false;
};

// Mark such changes in LogRecord::extra and SyncOp::extra.
inline constexpr const char* kRestoredMark = "restored";
inline constexpr const char* kTrashMark = "trash";

// A deleted file that can still be restored.
struct TrashedFile {
  std::string name; // canonical
  std::uint64_t size = 0;
  std::uint64_t deleted = 0;     // unix seconds; only the day where the tombstone is gone
  std::uint64_t deleted_day = 0; // days since 1970, which decide when it expires
};

// A file that was here already and is a stored one now.
struct Adopted {
  Change change;
  wire::AdoptHow how = wire::AdoptHow::copy;
  wire::Bytes sha256; // of its content, 32 bytes
  timespec ctime{};   // of the old file afterwards
};

// Where a new file goes, with room held for it until this is destroyed.
struct Place {
  std::uint8_t store_path = 0;
  SpaceHold room;
};

// One store path as it is now.
struct PathStatus {
  std::filesystem::path root;
  wire::PathUsage usage;
  bool readonly = false;   // by configuration
  std::uint64_t files = 0; // created here since start
  std::string failure;     // why it is read_only or failed
  std::size_t queued = 0;  // jobs waiting in its pool
};

class Store {
public:
  // Opens the store paths (creates `data/` where missing) and the tombstones; `config` outlives the
  // store. Errors: one line naming the path and what is wrong with it.
  static Result<std::unique_ptr<Store>> open(const config::StorageConfig& config);
  // Whether open() would find its store paths there, writable, and used by no other daemon. Touches
  // nothing. Errors: as open().
  static Status check_paths(const config::StorageConfig& config);
  ~Store(); // drains

  // Must be called once before any change; `binlog` outlives the store.
  void attach(Binlog& binlog) { binlog_ = &binlog; }
  // The numeric storage ID; may change until the first accepted join.
  void set_node_id(std::uint32_t id) { node_id_ = id; }
  std::uint32_t node_id() const { return node_id_; }

  std::size_t path_count() const { return paths_.size(); }
  // Threads of one store path for changes, and for reads: a flood of reads must not hold up
  // uploads.
  DiskPool& pool(std::uint8_t store_path) { return *paths_[store_path]->pool; }
  DiskPool& read_pool(std::uint8_t store_path) { return *paths_[store_path]->read_pool; }
  // Finishes what is queued in the pools and ends their threads: nothing may be posted after it.
  void drain();
  HybridClock& clock() { return clock_; }
  Tombstones& tombstones() { return *tombstones_; }

  // --- new files

  // Room for an upload of `size` bytes: on store path `wanted`, or on another one when that is
  // 0xFF, read-only or full. Errors: invalid_argument (no such path), no_space. Does not block.
  Result<Place> choose_path(std::uint8_t wanted, std::uint64_t size);
  // Stores a file whose content is in memory, under a new name. Errors: no_space, io_error.
  Result<Change> create(const NewFile& file, std::uint8_t store_path, wire::View content);
  // For larger ones: an unnamed file on that path, then publish() gives it a new name.
  Result<StagedFile> stage(std::uint8_t store_path);
  Result<Change> publish(const NewFile& file, StagedFile staged);
  // A store path that takes files and lies on that device (st_dev), if there is one. Any thread.
  std::optional<std::uint8_t> path_on(std::uint64_t device) const;
  // Makes a file of this machine a stored one under a new name: cloned where the file system can,
  // else linked if `may_link`, else copied. Nobody may write into a file that is linked. Errors:
  // busy (it was changed while it was read), is_directory, no_space, io_error.
  Result<Adopted> adopt(const NewFile& file, std::uint8_t store_path, const File& source,
                        bool may_link);
  // Gives a file that name: slave files (origin.id 0) and copies from peers. A name with a
  // tombstone that is not older is not used again: exists. With `replace` a file of that name gives
  // way. Errors: exists.
  Result<Change> put(const RemoteName& name, StagedFile staged, const Origin& origin,
                     bool replace = false);
  Result<Change> put(const RemoteName& name, wire::View content, const Origin& origin,
                     bool replace = false);
  // A second name for `source` (a hard link) with a name made from `extension`, or `name` when it
  // is given (a copy from a peer). Errors: not_found, invalid_argument (an appender).
  Result<Change> link(const RemoteName& source, const std::string& extension,
                      const RemoteName* name, const Origin& origin);

  // --- reading

  // Opens for reading. Errors: not_found (also after a delete), is_directory, corrupt (a normal
  // file whose size is not the one in its name), io_error.
  Result<OpenedFile> open_file(const RemoteName& name) const;
  // The same if it needs no disk at all (path and inode are cached); nullopt: ask open_file() on
  // the pool. Does not block.
  std::optional<Result<OpenedFile>> open_cached(const RemoteName& name) const;
  bool exists(const RemoteName& name) const;
  // CRC32 of the content: for a normal file from the name unless `read`, else by reading.
  Result<std::uint32_t> content_crc32(const RemoteName& name, bool read) const;
  // Canonical metadata text. Errors: not_found (no file, or no metadata).
  Result<std::string> get_metadata(const RemoteName& name) const;
  // Stamp of the metadata, 0 when there never was any.
  std::uint64_t metadata_stamp(const RemoteName& name) const;
  // The origin mark of a file that was uploaded for the namespace; empty: it has none, or there is
  // no such file.
  std::string mark_of(const RemoteName& name) const;
  // The same of an open file.
  std::string mark_of(const RemoteName& name, int fd) const;

  // --- checksums (G5)

  // What is known of that part of an opened copy without reading it. Does not block.
  Verdict verdict(const OpenedFile& opened, std::uint64_t offset, std::uint64_t length) const;
  // Reads the blocks of [offset, offset + length) that are not known to be right and compares them
  // with their checksums; a file that came without any gets them here. What is damaged is told to
  // on_suspect(). Errors: corrupt, io_error.
  Status verify(const RemoteName& name, const OpenedFile& opened, std::uint64_t offset,
                std::uint64_t length);
  // Reads all of it, whatever is known, past the page cache where the file system can. `paced` is
  // called after each piece with its size, and may wait; it answers false to give up (unavailable).
  // Errors: as verify().
  Status scrub(const RemoteName& name, const std::function<bool(std::uint64_t)>& paced);
  // The block checksums as they are kept. Errors: not_found (there are none), corrupt.
  Result<FileSums> sums_of(const RemoteName& name) const;
  // The copy that has the name now, whatever its condition; nullopt: none.
  std::optional<CopyStamp> copy_of(const RemoteName& name) const;
  // `suspect` is called, on any thread, each time a copy is found damaged or missing: with the name
  // and what is wrong. It must only post. Before serving.
  void on_suspect(std::function<void(const RemoteName&, const std::string&)> suspect) {
    on_suspect_ = std::move(suspect);
  }
  void suspect(const RemoteName& name, const std::string& why) const {
    if (on_suspect_) on_suspect_(name, why);
  }
  // Puts a verified copy from a peer in the place of one that is damaged or missing. The damaged
  // one keeps a name in data/.quarantine/. `damaged`: the copy that was found so (nullopt: none
  // was there); if another one is there by now nothing is done: seq 0. Errors: exists (the file was
  // deleted), io_error, no_space.
  Result<Change> replace_copy(const RemoteName& name, StagedFile staged,
                              const std::optional<CopyStamp>& damaged, const Origin& origin);
  // Removes quarantined copies older than `before` (unix seconds); answers how many are left.
  std::uint64_t prune_quarantine(std::uint32_t before);
  // Moves a file and its metadata to data/.returned/, where nobody serves it. Errors: io_error.
  Status move_to_returned(const RemoteName& name);

  // --- changes

  // Appender files only (invalid_argument otherwise). Errors: not_found, no_space, io_error. A
  // change of nothing answers seq 0.
  Result<Change> append(const RemoteName& name, wire::View content);
  Result<Change> append(const RemoteName& name, const StagedFile& content);
  Result<Change> modify(const RemoteName& name, std::uint64_t offset, wire::View content);
  Result<Change> modify(const RemoteName& name, std::uint64_t offset, const StagedFile& content);
  Result<Change> truncate(const RemoteName& name, std::uint64_t size);
  // Turns an appender file into a normal one with a new name; its metadata moves along.
  Result<Change> regenerate(const RemoteName& name);
  // Deletes file and metadata, or moves them to the trash (Origin::to_trash, when trash_days is not
  // 0), and leaves a tombstone. With `force` a tombstone is left although no
  // file is here (it is at another node, or on its way). Errors: not_found.
  Result<Change> remove(const RemoteName& name, const Origin& origin, bool force = false);
  // `text` is in FastDFS form, not yet canonical. `merge`: union with what is there. With an origin
  // the text replaces what is there if its stamp is higher. Errors: not_found (no such file).
  Result<Change> set_metadata(const RemoteName& name, std::string_view text, bool merge,
                              const Origin& origin);
  // From a peer: writes `content` at `offset` and sets the size. Errors: not_found.
  Result<Change> apply_range(const RemoteName& name, std::uint64_t offset, wire::View content,
                             std::uint64_t total_size, const Origin& origin);
  // From a peer: a file that is here already without its origin mark (a reader brought it) gets it.
  // seq 0: it has one. Errors: not_found.
  Result<Change> apply_mark(const RemoteName& name, const Origin& origin);
  // From a peer: renames. Errors: not_found (the former name is not here; exists counts as done).
  Result<Change> apply_rename(const RemoteName& from, const RemoteName& to, const Origin& origin);

  // --- trash (trash.cpp)

  // Those of one store path with names after `after`, in name order. Blocks.
  std::vector<TrashedFile> list_trash(std::uint8_t store_path, const std::string& after,
                                      std::size_t limit) const;
  // Gives a file in the trash its name back, for all members: the name is used again after the
  // delete. Errors: not_found (it is not in the trash here), exists, corrupt, unsupported (no
  // extended attributes on that disk).
  Result<Change> restore_from_trash(const RemoteName& name);
  // From a peer: the copy that is here is in use since origin.stamp (slaves, restored files); a
  // delete before that has not come yet and must not take it. Errors: not_found, io_error.
  Result<Change> mark_reused(const RemoteName& name, const Origin& origin);
  // Removes one file from the trash for good; false: it is not there.
  bool purge_from_trash(const RemoteName& name);
  // Removes what was deleted on days that ended before `before` (unix seconds); answers how many
  // files. Blocks.
  std::uint64_t empty_trash(std::uint64_t before);
  // When the name of an open file was used again after a delete (slaves, restored files); 0: never.
  static std::uint64_t reused_stamp(int fd);

  // --- condition

  // Has every path asked for its free space and inodes on a thread of its own, takes out one that
  // does not answer and lets one back in that works again. Does not block. Called every second.
  void refresh_usage();
  // Whether the disk of that path does not answer at all: reads are better sent elsewhere.
  bool is_out(std::uint8_t store_path) const {
    return paths_[store_path]->state == static_cast<std::uint8_t>(wire::PathState::failed);
  }
  // Notes that an operation on the path failed, and gives the error back: an error of the disk
  // makes the path read-only, a full one takes no more until its free space is read again.
  Error report(std::uint8_t store_path, Error error) {
    return fail(*paths_[store_path], std::move(error));
  }
  std::vector<PathStatus> status() const;
  // For the binlog: syncfs of every path that was written to since the last call. Returns when a
  // call under way in another thread has ended, too.
  Status sync_files();
  // For the binlog after a crash: the file of `record` is as its name says, or is made so from
  // `content`, unless it was deleted. Errors: io_error, no_space.
  Status restore(const LogRecord& record, wire::View content);
  // Removes the temporary files that a crash left. Blocks; before serving.
  void sweep();
  // After a crash: what was written last may lack its record, or be written half. A whole file, a
  // delete or metadata without a record is logged anew, so that the peers get it too; a file that
  // is not what its name says was never acknowledged and goes, and what an append without an answer
  // has left behind its file's committed end is cut off. Blocks; before serving, once the
  // node has its ID. Answers how many were logged. Errors: io_error.
  Result<std::uint64_t> recover_after_crash();

private:
  struct Path {
    std::filesystem::path root;
    int data_fd = -1; // of root/data
    bool readonly = false;
    std::unique_ptr<DiskPool> pool;
    std::unique_ptr<DiskPool> read_pool;
    std::unique_ptr<DiskPool> probe_pool;         // one thread, which may hang with the disk
    std::atomic<std::uint64_t> directory_turn{0}; // new files so far, plus a random start
    Space space;
    std::atomic<std::uint64_t> files{0};
    std::atomic<std::uint8_t> state{0};     // wire::PathState, as health has it
    std::atomic<bool> dirty{true};          // written to since the last sync, or before the start
    std::atomic<bool> cannot_clone{false};  // the file system has no reflinks
    std::atomic<bool> has_side_sums{false}; // data/.sums/ is in use: no extended attributes there
    mutable std::mutex health_mutex;        // guards health
    PathHealth health;
  };
  struct Directory {
    std::uint8_t high;
    std::uint8_t low;
  };

  explicit Store(const config::StorageConfig& config);

  Path& path_of(const RemoteName& name) { return *paths_[name.store_path()]; }
  const Path& path_of(const RemoteName& name) const { return *paths_[name.store_path()]; }
  Status check(const RemoteName& name) const; // the store path exists
  Directory next_directory(Path& path);
  std::optional<SpaceHold> room(Path& path, std::uint64_t size) const;
  std::mutex& lock_of(const RemoteName& name) const;
  Result<File> unnamed(Path& path);
  Status link_under(Path& path, int fd, const std::string& true_name);
  Status replace_under(Path& path, int fd, const std::string& true_name);
  Status make_directory(Path& path, std::string_view true_name);
  // `content`: of a file that is new and whole, see Binlog::append().
  Result<std::uint64_t> log(LogRecord record, const Origin& origin,
                            std::optional<wire::View> content = {});
  Result<Change> put_staged(const RemoteName& name, StagedFile staged, const Origin& origin,
                            bool replace, std::optional<wire::View> content);
  void probe(Path& path);
  Error read_usage(Path& path) const;
  Error fail(Path& path, Error error); // see report()
  Error fail(Path& path, std::string_view what, int error) {
    return fail(path, errno_error(what, error));
  }
  std::string new_name(std::uint8_t store_path, Directory directory, FileKind kind,
                       std::uint64_t size, std::uint32_t crc32, std::uint32_t time,
                       const std::string& extension) const;
  LogRecord record_of_new(const std::string& name, std::uint64_t size, std::uint32_t crc32,
                          std::uint32_t time, std::string mark);
  Status write_new(Path& path, const NewFile& file, const std::string& name, wire::View content,
                   std::uint32_t time);
  Result<Change> log_new(Path& path, std::string name, std::uint64_t size, std::uint32_t crc32,
                         std::uint32_t time, std::string mark);
  Result<File> open_appender(const RemoteName& name) const;
  // All of these under the lock of the file.
  Status trash_away(Path& path, const RemoteName& name, std::uint64_t stamp);
  std::string find_in_trash(const Path& path, const RemoteName& name) const; // "": it is not there
  bool drop_from_trash(Path& path, const RemoteName& name);
  struct Restored {
    Change change;
    std::string metadata; // text; empty: it had none
  };
  Result<Restored> restore_content(const RemoteName& name); // takes the lock
  Result<FileSums> load_sums(const RemoteName& name, int fd) const;
  void save_sums(std::string_view true_name, Path& path, int fd, const FileSums& sums);
  void drop_sums(Path& path, std::string_view true_name);
  void save_beside(std::string_view true_name, Path& path, const std::string& side,
                   wire::View record, int cause);
  void save_mark(std::string_view true_name, Path& path, int fd, const std::string& mark);
  void note_written(int fd);
  Status verify_constant(const RemoteName& name, const OpenedFile& opened, std::uint64_t offset,
                         std::uint64_t length);
  Status verify_block(const RemoteName& name, int fd, std::uint64_t& offset, bool anew = false);
  bool may_be_cut(const FileSums& sums, const CopyStamp& copy, std::uint64_t from,
                  std::uint64_t to) const;
  Status take_as_it_is(const RemoteName& name, int fd, FileSums& sums, std::uint64_t size);
  void note_unclean_stop(std::uint64_t since, std::uint64_t until);
  void read_unclean_stop();
  std::filesystem::path unclean_file() const;
  Result<FileSums> settled_sums(const RemoteName& name, int fd, std::uint64_t size);
  Status found_damaged(const RemoteName& name, const CopyStamp& copy, std::string why);
  // A change of [from, to) of a file that then has `new_size` bytes, between these two, under the
  // lock of the file. What stays of the blocks it touches is verified first. Errors: corrupt.
  struct Mutation {
    FileSums sums;
    bool was_good = false; // the whole copy was known to be right
    std::uint64_t from = 0;
    std::uint64_t to = 0;
    std::uint64_t new_size = 0;
  };
  Result<Mutation> begin_change(const RemoteName& name, int fd, std::uint64_t from,
                                std::uint64_t to, std::uint64_t new_size);
  // `appended`: the bytes, when they were appended and are in memory.
  Status end_change(const RemoteName& name, int fd, Mutation change, wire::View appended);
  Result<Change> write_range(const RemoteName& name, std::optional<std::uint64_t> offset,
                             wire::View content, const StagedFile* staged);
  // What recover_after_crash() consists of (crash_recovery.cpp).
  using LookAt = std::function<Status(Path& path, const std::string& prefix, // "M00/"
                                      const std::string& directory, std::uint32_t since)>;
  Status each_changed_directory(std::uint32_t since, const LookAt& look_at);
  bool is_own_appender(const RemoteName& name) const;
  using CommittedSizes = std::unordered_map<std::string, std::optional<std::uint64_t>>;
  Status cut_unanswered_appends(CommittedSizes sizes, std::uint64_t committed, std::uint32_t since);
  Status cut_unanswered(const RemoteName& name, std::uint64_t committed);
  Result<bool> recover_file(Path& path, const std::string& name);
  // The latest metadata of a file that the tail of the log speaks of, by stamp; 0: none.
  struct LoggedMetadata {
    std::uint64_t any = 0;
    std::uint64_t committed = 0; // before the crash
  };
  Result<bool> recover_metadata(const RemoteName& name, const LoggedMetadata& logged);
  Result<bool> recover_delete(const std::string& name, const Tombstone& tombstone, bool has_record);
  Result<OpenedFile> finish_open(const RemoteName& name, File file) const;

  const config::StorageConfig& config_;
  std::vector<std::unique_ptr<Path>> paths_;
  std::unique_ptr<Tombstones> tombstones_;
  Binlog* binlog_ = nullptr;
  std::atomic<std::uint32_t> node_id_{0};
  std::atomic<std::uint32_t> path_turn_{0};
  HybridClock clock_;
  mutable Verdicts verdicts_;
  // Of the last stop that was no clean one, unix seconds: from the last change that is known to be
  // on the disk to the start after it. Constant while serving.
  std::uint64_t unclean_since_ = 0;
  std::uint64_t unclean_until_ = 0;
  std::function<void(const RemoteName&, const std::string&)> on_suspect_; // constant while serving
  std::mutex sync_mutex_; // held while sync_files() runs
  // One lock per file would be millions; names are spread over these.
  mutable std::array<std::mutex, 256> locks_;
};

// Sets modification and access time of an open file, in unix seconds.
void set_mtime(int fd, std::uint32_t time);

// FastDFS metadata text in canonical form: records sorted by name, names cut to 64 and values to
// 256 bytes, records without separator dropped, later ones winning. With `base` the union of both.
std::string canonical_metadata(std::string_view text, std::string_view base = {});

} // namespace cairn::storage
