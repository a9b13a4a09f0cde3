// A tar stream as the source: read once, from its beginning to its end, by libarchive (compressed
// or not). Content waits on a shelf until it is stored: in memory while it is short, else in
// unnamed files.
#pragma once

#include "migrate/entry.h"
#include "migrate/options.h"
#include "migrate/scanner.h"
#include "migrate/source_file.h"

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

struct archive;

namespace cairn::migrate {

// "tar:FILE", or "tar:-" for standard input.
inline constexpr std::string_view kTarPrefix = "tar:";
inline bool is_tar(std::string_view source) {
  return source.starts_with(kTarPrefix);
}

// Of a regular file. Of a long one the bytes are in `file`.
struct TarContent {
  std::vector<std::byte> bytes;
  std::shared_ptr<SourceFile> file; // null: `bytes` is all
  std::uint64_t size = 0;           // bytes
};

struct TarEntry {
  std::string path;
  bool is_usable = true; // false: its path would lead out of the destination, or is none
  Entry entry;
  std::string link_to; // not empty: a further name of that path
};

// Blocks; one thread.
class TarReader {
public:
  // `file`: a path, or "-". `silence_max`: how long nothing may come; `stopping` is asked while
  // nothing does. Errors: those of open; corrupt (no tar archive); timeout, closed (stopping).
  static Result<std::unique_ptr<TarReader>> open(const std::string& file,
                                                 std::chrono::seconds silence_max,
                                                 std::function<bool()> stopping);
  ~TarReader();
  TarReader(const TarReader&) = delete;
  TarReader& operator=(const TarReader&) = delete;

  // The next one; nothing at the end. Errors: corrupt (damaged, or cut off), io_error, timeout,
  // closed.
  Result<std::optional<TarEntry>> next();
  // Of the entry that next() gave, if it is a regular file; more than `memory_max` bytes go into an
  // unnamed file in `spill`. Errors: as next(), and those of writing.
  Result<std::shared_ptr<TarContent>> content(std::uint64_t memory_max,
                                              const std::filesystem::path& spill);

private:
  struct Input;
  TarReader(archive* from, std::unique_ptr<Input> input);
  Error failed() const;

  archive* archive_;
  std::unique_ptr<Input> input_; // what libarchive reads from
};

// Content between who reads the stream and who stores it. Any thread.
class TarShelf {
public:
  // Holds about `memory_max` bytes in memory, and as much as fits of longer files.
  explicit TarShelf(std::uint64_t memory_max) : memory_max_(memory_max) {}

  // Whether there is room for one that is so long. One alone has always.
  bool has_room(const TarContent& content) const;
  // Waits for that, a moment only: false, it is still full.
  bool wait_for_room(const TarContent& content);
  void put(const std::string& path, std::shared_ptr<TarContent> content);
  // What is there; null: nothing.
  std::shared_ptr<TarContent> get(const std::string& path) const;
  // If it is still this one that is there.
  void drop(const std::string& path, const std::shared_ptr<TarContent>& content);
  // Nothing more comes.
  void end();
  bool has_ended() const;

private:
  bool fits(const TarContent& content) const; // with mutex_ held

  const std::uint64_t memory_max_;
  mutable std::mutex mutex_; // guards what follows
  std::condition_variable changed_;
  std::unordered_map<std::string, std::shared_ptr<TarContent>> held_;
  std::uint64_t in_memory_ = 0;
  std::uint64_t in_files_ = 0;
  bool ended_ = false;
};

// A feed for Pass::Options: what is in the stream and was not copied by an earlier pass, its
// content on `shelf` before it is offered. The shelf outlives it. Errors of the feed: those of
// TarReader.
Scanner::Options::EntryFeed tar_feed(std::string file, std::filesystem::path spill,
                                     std::chrono::seconds silence_max, TarShelf& shelf);

} // namespace cairn::migrate
