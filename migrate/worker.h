// What carries out one piece of work of the ledger after the other, whatever source and destination
// are: tries again what may be tried again, and writes down what failed. Lives on one io_context.
#pragma once

#include "common/net/disk_pool.h"
#include "common/net/task.h"
#include "migrate/copies.h"
#include "migrate/http_source.h"
#include "migrate/itemize.h"
#include "migrate/ledger.h"
#include "migrate/limiter.h"
#include "migrate/options.h"
#include "migrate/tally.h"

#include <boost/asio/steady_timer.hpp>

#include <chrono>
#include <deque>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace cairn::migrate {

class FastdfsSource;
class TarShelf;
struct TarContent;

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

// Bytes that contents on their way hold in memory, at most. Who finds no room waits, in order; what
// is longer than all of it goes alone.
class Room {
public:
  explicit Room(std::uint64_t most) : most_(most) {}
  Room(const Room&) = delete;
  Room& operator=(const Room&) = delete;

  // A part of it, given back at its end.
  class Part {
  public:
    Part() {}
    Part(Room& room, std::uint64_t bytes) : room_(&room), bytes_(bytes) {}
    Part(Part&& other) noexcept
        : room_(std::exchange(other.room_, nullptr)), bytes_(other.bytes_) {}
    Part& operator=(Part&& other) noexcept {
      std::swap(room_, other.room_);
      std::swap(bytes_, other.bytes_);
      return *this;
    }
    ~Part();

  private:
    Room* room_ = nullptr;
    std::uint64_t bytes_ = 0;
  };
  Task<Part> take(std::uint64_t bytes);

private:
  bool fits(std::uint64_t bytes) const { return taken_ == 0 || taken_ + bytes <= most_; }

  const std::uint64_t most_;
  std::uint64_t taken_ = 0;
  std::deque<asio::steady_timer*> waiting_;
};

class Worker {
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
    std::optional<HttpServer> server;       // the source, when it is a web server
    std::filesystem::path spill;            // for long files on their way from it
    const FastdfsSource* fastdfs = nullptr; // the source, when it is a node of FastDFS
    TarShelf* tar = nullptr;                // where its content waits, when it is a tar stream
    std::function<void(const std::string& letters, const std::string& path,
                       const std::string& more)>
        item; // a change, for the list
    std::function<void(const std::string& path, const Error& error)> problem;

    Options() {}
  };
  // Changes of the ledger, and the path that is no longer worked on, if any.
  using Record = std::function<void(Ledger::Batch batch, std::optional<std::string> path)>;

  Worker(Ledger& ledger, Options options, Limiter& limiter, Tally& tally, Record record);
  virtual ~Worker() = default;
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  // Ends when the work is recorded as done or failed, or the run is to stop.
  Task<void> process(std::string path, WorkRow work);
  // True for work that waits: until what is in its place is removed, or its content has come.
  virtual bool postponed(const std::string& path, const WorkRow& work) const = 0;
  // Nothing is removed any more in this pass.
  virtual void end_removals() = 0;
  // Removes a name that the source has no more.
  virtual Task<void> remove(std::string path) = 0;
  // Sets mode, owner and time of a directory in which things were made.
  virtual Task<void> finish_directory(std::string path) = 0;

  // What ends the run: the destination is full, or nothing has worked for too long.
  const std::optional<Error>& fatal() const { return fatal_; }
  void stop() { stopping_ = true; }
  bool stopping() const { return stopping_ || fatal_.has_value(); }
  // Fewer readers while the source is slow. Called about once a second.
  void adapt_readers();

protected:
  struct Attempt {
    std::string path;
    WorkRow work;
    bool check = false; // the destination may have it already
    int unread = 0;     // how often a server did not give it, although others got theirs
    const std::chrono::steady_clock::time_point begun = std::chrono::steady_clock::now();
    Ledger::Batch batch;
    std::shared_ptr<TarContent> held; // its content, when it is out of a tar stream

    Attempt(std::string p, WorkRow w) : path(std::move(p)), work(std::move(w)) {}
  };

  // One try. What it has done is in `at.batch`.
  virtual Task<Status> attempt(Attempt& at) = 0;
  // No more tries.
  virtual void ended(const Attempt&) {}
  // The destination is not what the ledger says there: somebody else was at it.
  virtual void forget(std::string_view path) = 0;
  // True: the work is tried again later in this pass.
  virtual bool postpone(const std::string& path, const Error& error) = 0;

  void finished(Attempt& at, const Entry& seen, std::uint64_t inode, const wire::Bytes& sha256,
                std::uint8_t flags);
  // `ids`: of the stored files that are the file.
  void note_copies(Attempt& at, const std::vector<std::string>& ids, CopyCount count);
  void item(Change change, const Entry& now, const std::optional<Entry>& before, bool content,
            const std::string& path, const std::string& more = {});
  void note_latency(std::chrono::steady_clock::duration took);
  Task<void> pause(std::chrono::steady_clock::duration time);
  // For what may be tried again: waits a while that gets longer, or answers false when nothing has
  // worked for too long, or the run is to stop.
  Task<bool> pause_before_next_try(std::chrono::milliseconds& wait);

  Ledger& ledger_;
  Options options_;
  Limiter& limiter_;
  Tally& tally_;
  Record record_;
  DiskPool readers_;
  Permits reading_;
  Room room_; // for contents that are held as a whole
  bool stopping_ = false;
  std::optional<Error> fatal_;
  std::chrono::steady_clock::time_point last_success_;
  std::uint64_t removals_ = 0;

private:
  double latency_ms_ = 0; // of reads, smoothed
};

// The first wait of pause_before_next_try().
inline constexpr std::chrono::milliseconds kPauseFirst{50};

// Worth trying again: nobody could be reached, or the answer was lost.
bool is_transient(const Error& error);
// Ends the run: nothing else would work either.
bool is_fatal(const Error& error);
// Not there, or not any more.
bool is_gone(const Error& error);

} // namespace cairn::migrate
