// One store path of FastDFS that is being taken over or given back: its lock, its directories in
// order, and the folder that remembers how it was:
//
//   <store path>/data/.adopted/list.gz     every name there was
//                             /links/      symbolic links that hard links stand in for now
//                             /done        all of it was taken over
//
// Blocks.
#pragma once

#include "common/base/result.h"

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <sys/stat.h>
#include <vector>

typedef struct gzFile_s* gzFile;

namespace cairn::migrate {

// A file descriptor that is closed with its owner.
class Handle {
public:
  Handle() = default;
  explicit Handle(int fd) : fd_(fd) {}
  Handle(Handle&& other) noexcept : fd_(other.fd_) { other.fd_ = -1; }
  Handle& operator=(Handle&& other) noexcept;
  ~Handle();

  int get() const { return fd_; }
  explicit operator bool() const { return fd_ >= 0; }

private:
  int fd_ = -1;
};

// An entry of a directory.
struct DiskName {
  std::string name;
  struct stat status {};
};

class AdoptedPath {
public:
  // Opens <root>/data. With `lock` no Cairn storage node can use it meanwhile. Errors: busy (one
  // does), those of open.
  static Result<AdoptedPath> open(std::uint8_t index, const std::filesystem::path& root, bool lock);

  std::uint8_t index() const { return index_; }
  const std::filesystem::path& data() const { return data_; }
  int fd() const { return fd_.get(); } // of data/
  // "M00/" + what stands below data/.
  std::string remote(std::string_view below) const;

  // Calls `visit` for each of the HH/LL directories in order, with all that is in it in the order
  // of names, but for names with a leading dot. Errors: io_error, those of `visit`.
  Status each_directory(const std::function<Status(const std::string& directory,
                                                   std::vector<DiskName>& entries)>& visit) const;

  std::filesystem::path folder() const { return data_ / ".adopted"; }
  std::filesystem::path list_file() const { return folder() / "list.gz"; }
  std::filesystem::path done_file() const { return folder() / "done"; }
  // Where the symbolic link of that name ("HH/LL/leaf") is kept.
  std::filesystem::path saved_link(std::string_view below) const;
  // The "HH/LL/leaf" of the links that are kept.
  std::vector<std::string> saved_links() const;
  Status make_folder() const;

  // Puts `bytes` there under "HH/LL/leaf" with that time and the owner of `like`, whole or not at
  // all. Errors: exists, no_space, io_error, unsupported (no unnamed files on that disk).
  Status put(const std::string& below, std::span<const std::byte> bytes, std::uint32_t mtime,
             const struct stat& like) const;
  // Gives `target` a second name "HH/LL/leaf", or a copy where that cannot be (another disk).
  // `target` must be a regular file, or it is not_found. Errors: as put().
  Status link(const std::filesystem::path& target, const std::string& below) const;

private:
  AdoptedPath(std::uint8_t index, std::filesystem::path data, Handle fd)
      : index_(index), data_(std::move(data)), fd_(std::move(fd)) {}

  std::uint8_t index_;
  std::filesystem::path data_;
  Handle fd_;
};

// A name that was there, and how it was.
struct AdoptedName {
  char type = 'f'; // f: file, m: metadata, l: symbolic link, o: something else
  std::uint64_t size = 0;
  std::int64_t mtime_s = 0;
  std::uint32_t mtime_ns = 0;
  std::string below; // printable("HH/LL/leaf")

  bool is_as_before(const struct stat& now) const;
};
AdoptedName adopted_name(char type, std::string_view below, const struct stat& status);

// The list on the disk: a line each, compressed, in the order of each_directory().
class AdoptedListWriter {
public:
  // Errors: those of making the file.
  static Result<AdoptedListWriter> open(const AdoptedPath& path);
  AdoptedListWriter(AdoptedListWriter&& other) noexcept;
  AdoptedListWriter& operator=(AdoptedListWriter&&) = delete;
  ~AdoptedListWriter();
  Status add(const AdoptedName& name);
  // Makes it durable under its name. Once.
  Status finish();

private:
  AdoptedListWriter(const AdoptedPath& path, gzFile file) : path_(&path), file_(file) {}
  const AdoptedPath* path_;
  gzFile file_;
};

class AdoptedListReader {
public:
  // Errors: not_found (it was never adopted), those of open.
  static Result<AdoptedListReader> open(const AdoptedPath& path);
  AdoptedListReader(AdoptedListReader&& other) noexcept;
  AdoptedListReader& operator=(AdoptedListReader&&) = delete;
  ~AdoptedListReader();
  // The next one; nothing: that was the last. Errors: corrupt.
  Result<std::optional<AdoptedName>> next();

private:
  explicit AdoptedListReader(gzFile file) : file_(file) {}
  gzFile file_;
};

} // namespace cairn::migrate
