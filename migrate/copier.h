// Carries out one piece of work of the ledger after the other: reads at the source, stores, names,
// and writes down what was done. Many at once on one io_context.
#pragma once

#include "common/net/disk_pool.h"
#include "migrate/destination.h"
#include "migrate/http_source.h"
#include "migrate/itemize.h"
#include "migrate/ledger.h"
#include "migrate/limiter.h"
#include "migrate/options.h"
#include "migrate/source_file.h"
#include "migrate/tally.h"

#include <boost/asio/steady_timer.hpp>

#include <deque>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

namespace cairn::migrate {

// So many may do something at a time; the others wait in order.
class Permits {
public:
  explicit Permits(unsigned most) : most_(most) {}
  Task<void> acquire();
  void release();
  // At least one.
  void set_limit(unsigned most);
  unsigned limit() const { return most_; }

private:
  unsigned most_;
  unsigned taken_ = 0;
  std::deque<asio::steady_timer*> waiting_;
};

class Copier {
public:
  struct Options {
    std::filesystem::path root;
    const CopyOptions* copy = nullptr;
    std::uint32_t run = 0;
    std::uint32_t pass = 0;
    // What the destination has is believed by size and time, as rsync does it; else its content is
    // compared.
    bool quick_check = false;
    bool dry_run = false;
    std::optional<HttpServer> server; // the source, when it is no local tree
    std::filesystem::path spill;      // for long files on their way from it
    std::function<void(const std::string& letters, const std::string& path,
                       const std::string& more)>
        item; // a change, for the list
    std::function<void(const std::string& path, const Error& error)> problem;

    Options() {}
  };
  // Changes of the ledger, and the path that is no longer worked on, if any.
  using Record = std::function<void(Ledger::Batch batch, std::optional<std::string> path)>;

  Copier(Ledger& ledger, Destination& destination, Options options, Limiter& limiter, Tally& tally,
         Record record);

  // Ends when the work is recorded as done or failed, or the run is to stop.
  Task<void> process(std::string path, WorkRow work);
  // True for work that waits until what is in its place is removed.
  bool postponed(const std::string& path) const { return postponed_.contains(path); }
  // Nothing is removed any more in this pass.
  void end_removals() {
    postponed_.clear();
    removals_over_ = true;
  }
  // Removes a name that the source has no more.
  Task<void> remove(std::string path);
  // Sets mode, owner and time of a directory in which things were made.
  Task<void> finish_directory(std::string path);

  // What ends the run: the destination is full, or nothing has worked for too long.
  const std::optional<Error>& fatal() const { return fatal_; }
  void stop() { stopping_ = true; }
  bool stopping() const { return stopping_ || fatal_.has_value(); }
  // Fewer readers while the source is slow. Called about once a second.
  void adapt_readers();

private:
  struct Directory {
    std::uint64_t inode = 0;
    bool fresh = false; // made in this run, or known to have been empty
  };
  // What reading the source gave. Of a long file the bytes are read later, through `file`.
  struct Read {
    Entry entry;
    std::vector<std::byte> bytes;
    wire::Bytes sha256; // empty: not known yet
    std::uint32_t crc32 = 0;
    bool racy = false;
    std::shared_ptr<SourceFile> file;
    bool unread = false; // only looked at: `bytes` and `file` are empty
    CopyCount copies;    // once it is stored

    Read() {}
  };
  struct Attempt {
    std::string path;
    WorkRow work;
    bool check = false; // the destination may have it already
    int unread = 0;     // how often a server did not give it, although others got theirs
    const std::chrono::steady_clock::time_point begun = std::chrono::steady_clock::now();
    Ledger::Batch batch;

    Attempt(std::string p, WorkRow w) : path(std::move(p)), work(std::move(w)) {}
  };
  using Node = Result<wire::NsNodeReply>;

  Task<Result<Directory>> directory(std::string path, const Entry* seen);
  Task<Result<Directory>> make_directory(std::string path, const Entry* seen);
  void forget(std::string_view path);
  Task<Status> attempt(Attempt& at);
  Task<Status> copy_regular(Attempt& at);
  Task<Status> copy_directory(Attempt& at);
  Task<Status> made_directory(Attempt& at, Entry seen);
  Task<Status> copy_other(Attempt& at);
  Task<Status> make_link(Attempt& at);
  Task<Status> try_dry(Attempt& at);
  // Takes away a directory of ours that is something else now.
  Task<Status> clear_directory(const Attempt& at);
  Task<Result<Read>> read_source(std::string path);
  // From the web server. Errors: also already (not changed since `at` was read before).
  Task<Result<Read>> read_server(Attempt& at, const std::optional<FileRow>& before);
  // Without its content.
  Task<Result<Read>> look_at_source(std::string path);
  // Has a storage node take it over. Nothing: none can, it has to be sent.
  Task<Result<std::optional<wire::NsExtent>>> adopt(Attempt& at, Read& read);
  // Hashes a long file without sending it.
  Task<Status> hash(Read& read);
  // True: there is nothing more to do about this file.
  Task<Result<bool>> settle_without_sending(Attempt& at, Read& read,
                                            const std::optional<FileRow>& before,
                                            const Node& there);
  Task<Result<bool>> believe_destination(Attempt& at, const Node& there);
  // The source has it no more. What a run that was killed may have made of it is to be removed.
  Task<Status> vanish(Attempt& at);
  Task<bool> is_at_source(std::string path);
  // By its names from the root, whatever the ledger says.
  Task<Node> find(std::string path);
  Task<Result<std::vector<wire::NsExtent>>> store(Attempt& at, Read& read);
  Task<Result<std::vector<wire::NsExtent>>> store_long(Attempt& at, Read& read,
                                                       std::string extension);
  Task<Result<bool>> same_content(wire::NsNodeReply node, Read& read);
  void note_copies(Attempt& at, const std::vector<wire::NsExtent>& extents, CopyCount count);
  // Puts a new thing under a name that something else has.
  Task<Status> replace(std::uint64_t parent, std::string temporary, std::string name);
  void finished(Attempt& at, const Entry& seen, std::uint64_t inode, const wire::Bytes& sha256,
                std::uint8_t flags);
  void touch(Ledger::Batch& batch, std::string_view directory);
  void item(Change change, const Entry& now, const std::optional<Entry>& before, bool content,
            const std::string& path, const std::string& more = {});
  std::string full(const std::string& path) const;
  Task<void> pause(std::chrono::steady_clock::duration time);

  Ledger& ledger_;
  Destination& destination_;
  Options options_;
  Limiter& limiter_;
  Tally& tally_;
  Record record_;
  DiskPool readers_;
  Permits reading_;
  double latency_ms_ = 0; // of reads, smoothed
  bool stopping_ = false;
  std::optional<Error> fatal_;
  std::chrono::steady_clock::time_point last_success_;
  bool told_not_adopted_ = false;
  std::uint64_t removals_ = 0;
  bool removals_over_ = false;
  std::unordered_set<std::string> postponed_;

  std::unordered_map<std::string, Directory> directories_;
  std::unordered_set<std::string> stale_; // what the ledger says of them does not hold
  std::map<std::string, std::vector<asio::steady_timer*>> making_;
  std::unordered_set<std::string> touched_; // marked in this pass
};

// A name that nobody else uses, for what is renamed into its place at once.
std::string temporary_name();

// Worth trying again: nobody could be reached, or the answer was lost.
bool is_transient(const Error& error);
// Ends the run: nothing else would work either.
bool is_fatal(const Error& error);

} // namespace cairn::migrate
