// The directories of a node of FastDFS, which may be running, as a source: file IDs without the
// group are the paths ("M00/HH/LL/…"), whether a file lies there or in a trunk file; its metadata
// are at that path with "-m" behind.
#pragma once

#include "migrate/entry.h"
#include "migrate/fastdfs_node.h"
#include "migrate/source_file.h"

#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace cairn::migrate {

// "fastdfs:/etc/fdfs/storage.conf": what the command line calls it.
inline constexpr std::string_view kFastdfsPrefix = "fastdfs:";
inline bool is_fastdfs(std::string_view source) {
  return source.starts_with(kFastdfsPrefix);
}

// What a file is at the moment. Of a long one the bytes are read later, through `file`.
struct FastdfsContent {
  Entry entry;
  std::vector<std::byte> bytes;
  wire::Bytes sha256;
  std::uint32_t crc32 = 0;
  bool racy = false; // see kRowRacy
  std::shared_ptr<SourceFile> file;
  // Not empty: it is not what its name says.
  std::string damage;

  FastdfsContent() {}
};

// Any thread; blocks.
class FastdfsSource {
public:
  // Errors: those of read_fastdfs_conf(); not_found (a store path without FastDFS's directories: it
  // may not be mounted).
  static Result<std::unique_ptr<FastdfsSource>> open(const std::filesystem::path& conf);

  const FastdfsNode& node() const { return node_; }
  // "M00", "M01" …: the roots of what there is.
  std::vector<std::string> roots() const;
  // Where a path lies on the disk; empty: there is no such store path.
  std::string full(std::string_view path) const;

  enum class What : std::uint8_t {
    directory, // that may hold files, or others that do
    file,
    metadata,
    other, // trunk files, and what is not of FastDFS
  };
  static What what(std::string_view path, bool is_directory);
  // A directory of files: its times tell when one came or went.
  static bool is_leaf_directory(std::string_view path) { return path.size() == 9; }
  // A file that holds others, for readers of its own.
  static bool is_trunk_file(std::string_view path);
  // By its name; it may all the same lie there as a plain file.
  static bool may_be_in_trunk(std::string_view path);
  // For the path of metadata, that of their file; else the path itself.
  static std::string_view file_of(std::string_view path);

  // What stat(2) tells of a file or of metadata; of what is in a trunk file the same in its terms.
  // Symbolic links lead only to files of this node. Errors: not_found, denied (a link that leads
  // elsewhere), io_error.
  Result<Entry> look(const std::string& path) const;
  // Reads and hashes it; the content of one that is longer than `size_max` is not kept. Errors: as
  // look(); busy (it does not hold still); corrupt (in a trunk file, and damaged).
  Result<FastdfsContent> read(const std::string& path, std::uint64_t size_max) const;

private:
  explicit FastdfsSource(FastdfsNode node) : node_(std::move(node)) {}
  // Of the file itself, behind a symbolic link of FastDFS.
  Result<std::string> resolved(std::string_view path) const;
  // What the trunk file has under that name.
  Result<FastdfsContent> in_trunk(const std::string& path, bool with_content) const;

  FastdfsNode node_;
  std::vector<std::string> data_; // of each store path, canonical, without '/' at its end
};

} // namespace cairn::migrate
