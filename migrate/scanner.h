// Walks a source with several threads, compares what is there with the ledger, and writes down what
// is to be done. Directories that wait to be listed stand in the ledger, so the scan's memory
// does not depend on the tree, and it goes on after a crash where it was.
#pragma once

#include "migrate/fastdfs_node.h"
#include "migrate/filter.h"
#include "migrate/ledger.h"
#include "migrate/options.h"

#include <atomic>
#include <condition_variable>
#include <deque>
#include <filesystem>
#include <functional>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <vector>

namespace cairn::migrate {

class FastdfsSource;

// What a scan has seen so far. Any thread.
struct ScanCounters {
  std::atomic<std::uint64_t> directories{0};
  std::atomic<std::uint64_t> skipped{0}; // of those, not listed: unchanged since the last pass
  std::atomic<std::uint64_t> entries{0}; // looked at
  std::atomic<std::uint64_t> wanted{0};  // new work
  std::atomic<std::uint64_t> failures{0};
  std::atomic<std::uint64_t> odd_names{0};    // no UTF-8, or with control characters
  std::atomic<std::uint64_t> unsafe_links{0}; // left out by --safe-links
  std::atomic<std::uint64_t> foreign{0};      // beside FastDFS's files; in a tar, leading out of it
};

class Scanner {
public:
  struct Options {
    std::filesystem::path root;
    const CopyOptions* copy = nullptr;
    const Filter* filter = nullptr;
    std::uint32_t run = 0;
    std::uint32_t pass = 0;
    std::filesystem::path spill; // folder for long lists of names
    // Set: nothing is written, new work is told here instead. Any thread; may block.
    std::function<void(const std::string& path, const WorkRow& work,
                       const std::optional<FileRow>& before)>
        tell;
    std::function<void()> on_work; // there may be new rows in the ledger. Any thread
    // Set: there is no local tree. Calls `offer` for each file there is, in the order of paths;
    // ends with the first error. On a thread of the scanner.
    using Offer = std::function<Status(const std::string& path)>;
    std::function<Status(const Offer& offer)> feed;
    // Set: as `feed`, of a source that tells what each thing is.
    struct EntryOffer {
      // Whether it is to be copied, by the filter and by what the ledger knows.
      std::function<Result<bool>(const std::string& path, const WorkRow& work)> wants;
      std::function<Status(const std::string& path, WorkRow work)> offer;
      // A directory that something is in, and that the source may not tell of; nothing happens when
      // it is known. What was offered before counts after flush().
      std::function<Status(const std::string& path)> missing_directory;
      // Lets what was offered be copied. All of them answer closed when the pass ends.
      std::function<Status()> flush;
      std::function<void()> skipped;  // something that cannot be copied
      std::function<bool()> stopping; // the pass ends; for who waits for the source
    };
    using EntryFeed = std::function<Status(const EntryOffer& offer)>;
    EntryFeed entry_feed;
    // Set: the source is a node of FastDFS. With `log_only` the directories are not looked through,
    // if its log tells all since the last pass.
    const FastdfsSource* fastdfs = nullptr;
    bool log_only = false;

    Options() {}
  };

  Scanner(Ledger& ledger, Options options);
  ~Scanner(); // stop()

  // Begins a whole pass. Directories left over from an interrupted one are listed too.
  Status start();
  // Lists only these directories, not what is below them unless it is new.
  Status start(const std::vector<std::string>& directories);
  void stop(); // leaves the rest in the ledger
  // All directories are listed, or the scan has failed.
  bool finished() const;
  // Of the ledger; what cannot be read in the source is a row of its own there.
  Status failure() const;
  const ScanCounters& counters() const { return counters_; }

private:
  struct Found;
  class Writer;

  void run();
  Status start_feed();
  Status start_entry_feed();
  Result<bool> wants(const std::string& path, const WorkRow& work);
  WorkRow made_directory() const;
  bool is_stopping() const;
  Status start_fastdfs();
  // `walked_until`: what was logged before is found by the walk, but for what is in trunk files.
  Status read_fastdfs_log(FastdfsPosition at, std::optional<FastdfsPosition> walked_until);
  Status look_at_fastdfs(const std::string& path, const std::optional<FileRow>& before,
                         Writer& writer);
  Status take_fed(const std::string& path, Writer& writer);
  Result<std::optional<std::string>> take();
  void done(const std::string& path, Status status);
  Status list(const std::string& path);
  // False: the source could not be read, which is a row of the ledger now.
  Result<bool> list_names(const std::string& path, int fd, Writer& writer);
  Status list_known(const std::string& path, int fd, Writer& writer);
  Status look_at(const std::string& path, int fd, const std::string& name,
                 const std::optional<FileRow>& before, Writer& writer);
  Status vanished(const std::string& path, const FileRow& before, Writer& writer);
  void cannot_take(const std::string& path, Entry entry, const Error& error, Writer& writer);
  std::optional<WorkRow> decide(const Entry& entry, const std::optional<FileRow>& before) const;
  Status link_kind(const std::string& path, const Entry& entry, WorkRow& work);
  bool leads_into_itself(const std::string& path, const Entry& entry) const;
  bool may_skip(const std::string& path) const;
  std::string full(const std::string& path) const;

  Ledger& ledger_;
  Options options_;
  ScanCounters counters_;
  std::vector<std::thread> threads_;
  std::string fed_directory_; // the feed's thread: the last one that was looked at

  mutable std::mutex mutex_; // guards what follows
  std::condition_variable changed_;
  std::deque<std::string> queue_;
  std::set<std::string> active_;
  bool more_in_ledger_ = false; // rows of Table::scans that are not in queue_
  std::uint64_t loads_ = 0;     // how often queue_ was filled from there
  bool recursive_ = true;
  bool stopping_ = false;
  Status failure_;
};

} // namespace cairn::migrate
