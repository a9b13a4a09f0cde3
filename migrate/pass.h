// One pass of a job: the scan, the work it finds, hard links, removals, and the times of
// directories, in this order; the scan and the copying run side by side. What a pass leaves is in
// the ledger.
#pragma once

#include "migrate/scanner.h"
#include "migrate/session.h"
#include "migrate/worker.h"

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace cairn::migrate {

// A look at a pass that is under way, for people and status files.
struct Progress {
  std::string phase; // "copy", "links", "removals", "directories"
  bool scanning = false;
  Counters ledger;
};

class Pass {
public:
  struct Options {
    std::filesystem::path root;
    const CopyOptions* copy = nullptr;
    const Filter* filter = nullptr;
    std::uint32_t run = 0;
    std::uint32_t pass = 0;
    std::filesystem::path spill;
    bool quick_check = false;
    bool dry_run = false;
    // Not empty: only these directories are listed (changes that were watched).
    std::vector<std::string> directories;
    // Set: the source is a web server; `feed` tells what it has.
    std::optional<HttpServer> server;
    std::function<Status(const Scanner::Options::Offer& offer)> feed;
    // Set: it is a tar stream, whose content waits on `tar`.
    Scanner::Options::EntryFeed entry_feed;
    TarShelf* tar = nullptr;
    // Set: it is a node of FastDFS; see Scanner::Options.
    const FastdfsSource* fastdfs = nullptr;
    bool log_only = false;
    // A change; one call at a time.
    std::function<void(const std::string& letters, const std::string& path,
                       const std::string& more)>
        item;
    std::function<void(const std::string& path, const Error& error)> problem;

    Options() {}
  };

  // All of these outlive the pass.
  Pass(Session& session, Ledger& ledger, Limiter& limiter, Tally& tally, Options options);
  ~Pass();

  // Until everything is done that can be done, or stop(). Blocks; not on the loop. Errors: what
  // ended it early: closed (stop()), no_space, timeout, corrupt (the ledger), those of the source's
  // root.
  Status run();
  // Ends it soon; the rest stays in the ledger. Any thread, also a signal's.
  void stop() { stopping_ = true; }
  Progress progress() const;
  const ScanCounters& scanned() const { return scanner_->counters(); }

private:
  enum class Sweep : std::uint8_t { copies, links };
  struct Item {
    std::string path;
    WorkRow work;
  };

  Task<Status> conduct();
  Task<Status> sweep(Sweep what);
  Task<Status> remove_gone();
  Task<Status> finish_directories();
  Task<void> work_one(Item item);
  Task<void> remove_one(std::string path);
  Task<void> finish_one(std::string path);
  Task<bool> wait_for_room(std::size_t most);
  Task<void> keep_flushing();
  Task<Status> flush();
  void record(Ledger::Batch batch, std::optional<std::string> path);
  void set_phase(std::string phase);
  Status ended() const; // why to stop now; success: go on

  asio::io_context& io_;
  Ledger& ledger_;
  Options options_;
  Tally& tally_;
  std::unique_ptr<Scanner> scanner_;
  DiskPool books_; // what touches the ledger for long
  std::unique_ptr<Worker> copier_;

  std::atomic<bool> stopping_{false};
  std::atomic<bool> news_{false}; // the scanner has written rows
  mutable std::mutex phase_mutex_;
  std::string phase_ = "copy"; // guarded by phase_mutex_

  // On the loop.
  std::set<std::string> active_; // paths that are worked on, or not yet written down
  std::size_t running_ = 0;
  asio::steady_timer changed_;
  asio::steady_timer flushed_; // until the next look at what is to be written down
  Ledger::Batch batch_;
  std::vector<std::string> batch_paths_;
  bool flushing_ = false;
  bool over_ = false;
  std::size_t helpers_ = 0;
  Status failure_;
  std::vector<std::pair<std::string, WorkRow>> told_; // a dry run's work; guarded by told_mutex_
  std::mutex told_mutex_;
};

} // namespace cairn::migrate
