// The ledger of a job: what has been copied and what is to be done, path by path, in a LevelDB.
// Every change is one atomic batch together with the counters, so that after kill -9 the ledger
// says what was recorded, and work whose end was not recorded is looked at again.
//
//   key    table letter, directory, NUL, name     value
//   F      what was copied, as it was then        FileRow
//   W      what is to be copied                   WorkRow
//   Q      a directory to be listed
//   L      a directory whose listing is complete  Listed
//   R      a name to be removed at the destination
//   U      a directory whose time is to be set
//   S      a file with fewer copies than wanted   ShortRow
//   P      how far a log of the source was read   text
// and, with keys of their own: H (size, SHA-256, inode: who has this content at the destination), I
// (device, inode: the first path of a file with several names), T (time line), C (counters), V
// (format).
//
// A directory's children stand together in the order of their bytes, and every name stands before
// what is below it. Any thread may call; all calls block.
#pragma once

#include "migrate/entry.h"

#include <filesystem>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace leveldb {
class Cache;
class DB;
class FilterPolicy;
class Env;
class Iterator;
} // namespace leveldb

namespace cairn::migrate {

enum class Table : char {
  files = 'F',
  work = 'W',
  scans = 'Q',
  listed = 'L',
  removals = 'R',
  touched = 'U',
  short_copies = 'S',
  positions = 'P',
  contents = 'H',
};

inline constexpr std::uint8_t kRowRacy = 1;   // changed so shortly before it was read that a later
                                              // change could have left no trace in its times
inline constexpr std::uint8_t kRowGone = 2;   // no more in the source; still at the destination
inline constexpr std::uint8_t kRowLinked = 4; // at the destination a further name of another path
inline constexpr std::uint8_t kRowMetadata = 8; // what FastDFS keeps beside a file: counts nowhere
inline constexpr std::uint8_t kRowThere =
    16; // the destination had it before: not this job's to take
inline constexpr std::uint8_t kRowShared = 32; // its content was stored for another file

// What was copied.
struct FileRow {
  Entry seen;                   // of the source, when it was read
  wire::Bytes sha256;           // of a regular file's content: 32 bytes
  std::uint64_t dest_inode = 0; // in the namespace
  std::uint8_t flags = 0;       // kRowRacy …

  static constexpr auto fields() {
    using M = FileRow;
    return std::tuple{wire::nested(&M::seen), wire::blob(&M::sha256), wire::integer(&M::dest_inode),
                      wire::integer(&M::flags)};
  }
  bool has(std::uint8_t flag) const { return (flags & flag) != 0; }
};

enum class WorkKind : std::uint8_t {
  copy = 0,       // content, if it differs, and attributes
  attributes = 1, // only those
  link = 2,       // a further name of `link_to`
};

// What is to be done.
struct WorkRow {
  WorkKind kind = WorkKind::copy;
  Entry seen;                 // by the scanner
  std::uint64_t serial = 0;   // of this wish: a newer one for the same path has another
  std::uint32_t run = 0;      // of the job, in which it, or one that it has replaced, was written
  std::uint32_t attempts = 0; // that failed
  std::uint32_t failed_pass = 0;
  Errc code = Errc::ok; // of the last failure
  std::string error;
  std::string link_to;

  static constexpr auto fields() {
    using M = WorkRow;
    return std::tuple{
        wire::integer(&M::kind), wire::nested(&M::seen),      wire::integer(&M::serial),
        wire::integer(&M::run),  wire::integer(&M::attempts), wire::integer(&M::failed_pass),
        wire::integer(&M::code), wire::string(&M::error),     wire::string(&M::link_to)};
  }
};

// A directory as it was just before it was listed.
struct Listed {
  std::uint64_t inode = 0;
  std::int64_t mtime_s = 0;
  std::uint32_t mtime_ns = 0;
  std::int64_t ctime_s = 0;
  std::uint32_t ctime_ns = 0;

  static constexpr auto fields() {
    using M = Listed;
    return std::tuple{wire::integer(&M::inode), wire::integer(&M::mtime_s),
                      wire::integer(&M::mtime_ns), wire::integer(&M::ctime_s),
                      wire::integer(&M::ctime_ns)};
  }
  friend bool operator==(const Listed&, const Listed&) = default;
};
Listed listed_of(const Entry& directory);

// A file at the destination whose content is known. It has it as long as the namespace says that
// its content has this version.
struct Holder {
  std::uint64_t inode = 0;
  std::uint64_t data_version = 0;

  Holder() {}
  Holder(std::uint64_t i, std::uint64_t version) : inode(i), data_version(version) {}
  friend bool operator==(const Holder&, const Holder&) = default;
};

struct ShortRow {
  std::uint32_t have = 0;
  std::uint32_t wanted = 0;
  std::string ids; // of its stored files, a line each

  static constexpr auto fields() {
    using M = ShortRow;
    return std::tuple{wire::integer(&M::have), wire::integer(&M::wanted), wire::string(&M::ids)};
  }
};

// Kept with every batch. What is gone from the source counts in `gone` only.
struct Counters {
  std::uint64_t files = 0; // regular files that are at the destination
  std::uint64_t bytes = 0; // of those
  std::uint64_t directories = 0;
  std::uint64_t symlinks = 0;
  std::uint64_t hard_links = 0; // further names
  std::uint64_t specials = 0;   // FIFOs, sockets, devices
  std::uint64_t gone = 0;
  std::uint64_t queued = 0; // to be copied, failed ones included
  std::uint64_t queued_bytes = 0;
  std::uint64_t failed = 0;
  std::uint64_t scans = 0;
  std::uint64_t removals = 0;
  std::uint64_t touched = 0;
  std::uint64_t short_copies = 0;
  std::uint64_t next_serial = 1;
  std::uint64_t shared = 0;       // of `files`: with content that was stored for another one
  std::uint64_t shared_bytes = 0; // of those

  static constexpr auto fields() {
    using M = Counters;
    return std::tuple{wire::integer(&M::files),        wire::integer(&M::bytes),
                      wire::integer(&M::directories),  wire::integer(&M::symlinks),
                      wire::integer(&M::hard_links),   wire::integer(&M::specials),
                      wire::integer(&M::gone),         wire::integer(&M::queued),
                      wire::integer(&M::queued_bytes), wire::integer(&M::failed),
                      wire::integer(&M::scans),        wire::integer(&M::removals),
                      wire::integer(&M::touched),      wire::integer(&M::short_copies),
                      wire::integer(&M::next_serial),  wire::integer(&M::shared),
                      wire::integer(&M::shared_bytes)};
  }
  friend bool operator==(const Counters&, const Counters&) = default;
  // Everything that is still to be done before source and destination are the same.
  std::uint64_t debt() const { return queued + scans + removals + touched; }
};

// An event of the time line.
struct Event {
  std::int64_t time = 0; // unix seconds
  std::string text;
};

class Ledger {
public:
  // Changes to be made together.
  class Batch {
  public:
    void put_file(const std::string& path, const FileRow& row);
    void erase_file(const std::string& path);
    // A new wish; gets its serial at commit.
    void put_work(const std::string& path, WorkRow row);
    // The wish `serial` is fulfilled; a newer one stays.
    void finish_work(const std::string& path, std::uint64_t serial);
    // It failed: `row` takes its place, unless there is a newer one.
    void fail_work(const std::string& path, WorkRow row);
    void put_listed(const std::string& path, const Listed& row);
    void put_short(const std::string& path, const ShortRow& row);
    void mark(Table table, const std::string& path); // scans, removals, touched
    void put_position(const std::string& log, const std::string& text);
    void erase(Table table, const std::string& path);
    // `holder` has the content of this size and SHA-256, or has it no more.
    void put_content(std::uint64_t size, const wire::Bytes& sha256, const Holder& holder);
    void erase_content(std::uint64_t size, const wire::Bytes& sha256, std::uint64_t inode);
    // The changes of another one, after these.
    void append(Batch other);

    bool empty() const { return changes_.empty(); }
    std::size_t size() const { return changes_.size(); }

  private:
    friend class Ledger;
    enum class What : std::uint8_t { put, erase, new_work, finish_work, fail_work };
    struct Change {
      What what = What::put;
      std::string key;
      std::string value;
      std::uint64_t serial = 0;
    };
    std::vector<Change> changes_;
  };

  // Opens the ledger in `directory`, made if it is missing; `cache_bytes` bounds what LevelDB keeps
  // of it in memory. Errors: busy (another process has it), corrupt, unsupported (a later format),
  // io_error.
  static Result<std::unique_ptr<Ledger>> open(const std::filesystem::path& directory,
                                              std::size_t cache_bytes);
  ~Ledger();
  Ledger(const Ledger&) = delete;
  Ledger& operator=(const Ledger&) = delete;

  // Makes all changes or none. `sync`: on stable storage before it returns. Errors: io_error,
  // corrupt.
  Status commit(const Batch& batch, bool sync = false);
  Counters counters() const;

  Result<std::optional<FileRow>> file(const std::string& path) const;
  Result<std::optional<WorkRow>> work(const std::string& path) const;
  Result<std::optional<Listed>> listed(const std::string& path) const;
  // As put_position() kept it.
  Result<std::optional<std::string>> position(const std::string& log) const;

  // Who had this content when that was written down, at most `limit` of them.
  Result<std::vector<Holder>> holders(std::uint64_t size, const wire::Bytes& sha256,
                                      std::size_t limit) const;
  // True: somebody had a content of this size.
  Result<bool> has_content_of(std::uint64_t size) const;

  // Rows of a table in order, those after the path `after` (nothing: from the first), at most
  // `limit`.
  template <class Row>
  Result<std::vector<std::pair<std::string, Row>>> page(Table table,
                                                        const std::optional<std::string>& after,
                                                        std::size_t limit) const {
    CAIRN_TRY(raw, raw_page(table, after, limit));
    std::vector<std::pair<std::string, Row>> out;
    for (auto& [path, value] : raw) {
      CAIRN_TRY(row, wire::decode_lenient<Row>(wire::as_view(value)));
      out.emplace_back(std::move(path), std::move(row));
    }
    return out;
  }
  // The same of a table without values.
  Result<std::vector<std::string>> paths(Table table, const std::optional<std::string>& after,
                                         std::size_t limit) const;
  // The last paths of a table, from the end: what is below a directory comes before it.
  Result<std::vector<std::string>> last_paths(Table table, std::size_t limit) const;

  // The rows of `files` that are in one directory, in order of names. What is committed while it is
  // open may or may not be seen.
  class Children {
  public:
    Children(const Ledger& ledger, const std::string& directory);
    ~Children();
    // The next one; nothing at the end. Errors: corrupt, io_error.
    Result<std::optional<std::pair<std::string, FileRow>>> next();

  private:
    std::unique_ptr<leveldb::Iterator> at_;
    std::string prefix_;
  };

  // The path that was told first for a file with several names: `path` if there was none.
  Result<std::string> first_path(std::uint64_t device, std::uint64_t inode,
                                 const std::string& path);
  // `path` takes that place.
  Status set_first_path(std::uint64_t device, std::uint64_t inode, const std::string& path);

  Status note(std::string text); // an event, now
  Result<std::vector<Event>> events() const;

private:
  Ledger();
  Result<std::vector<std::pair<std::string, std::string>>> raw_page(
      Table table, const std::optional<std::string>& after, std::size_t limit) const;
  Result<std::optional<std::string>> get(const std::string& key) const;
  void count(const std::string& key, const std::string& value, bool add, Counters& into) const;

  std::unique_ptr<leveldb::Env> env_;
  std::unique_ptr<const leveldb::FilterPolicy> filter_;
  std::unique_ptr<leveldb::Cache> cache_;
  std::unique_ptr<leveldb::DB> db_; // after what it uses
  mutable std::mutex mutex_;        // guards what follows, and the order of commits
  Counters counters_;
  std::uint64_t event_ = 0;
};

// What to do about a ledger that cannot be read.
std::string ledger_advice(const Error& error);

} // namespace cairn::migrate
