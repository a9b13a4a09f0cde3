// Paths: folders and files with names of their own, over stored files.
//
//   cairn::Namespace tree(options, cairn::NamespaceOptions("images"));
//   if (auto status = tree.open(); !status) …
//   tree.write("2012/03/a.jpg", cairn::Content::file("a.jpg"), cairn::WriteOptions());
//   for (const auto& entry : *tree.list("2012/03")) …
//
// Errors of all calls carry the errno of Linux as their code: not_found (ENOENT), exists, denied,
// and those that Errc has no name for, such as ENOTEMPTY (39) and EDQUOT (122).
#pragma once

#include "cairn/types.h"

#include <optional>

namespace cairn {

struct NamespaceOptions {
  std::string export_name; // paths begin at its root; empty: at the list of all exports
  std::uint32_t uid = 0;   // who asks
  std::uint32_t gid = 0;
  std::vector<std::uint32_t> groups;
  bool admin = false; // may change exports and see everything; from administrators' addresses only
  std::string label;  // shown to operators
  Timeout timeout;    // of one call; 0: ClientOptions::operation_timeout

  NamespaceOptions() {}
  explicit NamespaceOptions(std::string name) : export_name(std::move(name)) {}
};

enum class NodeType : std::uint8_t {
  fifo = 1,
  character_device = 2,
  directory = 4,
  block_device = 6,
  regular = 8,
  symlink = 10,
  socket = 12,
};

// A moment with nanoseconds.
struct FileTime {
  std::int64_t seconds = 0; // unix
  std::uint32_t nanoseconds = 0;

  FileTime() {}
  FileTime(std::int64_t s, std::uint32_t ns) : seconds(s), nanoseconds(ns) {}
  auto operator<=>(const FileTime&) const = default;
};

// What stat(2) tells.
struct FileStatus {
  std::uint64_t inode = 0;
  NodeType type = NodeType::regular;
  std::uint32_t mode = 0; // permission, set-ID and sticky bits
  std::uint32_t nlink = 0;
  std::uint32_t uid = 0;
  std::uint32_t gid = 0;
  std::uint64_t rdev = 0;
  std::uint64_t size = 0;  // bytes
  std::uint64_t bytes = 0; // stored; less than size in a file with holes
  FileTime atime, mtime, ctime, btime;
  std::uint64_t data_version = 0; // grows with every change of content
  std::string target;             // of a symlink
  // Of a small file: the IDs of its stored files. Empty for files of many parts.
  std::vector<std::string> ids;

  FileStatus() {}
  bool is_directory() const { return type == NodeType::directory; }
};

struct DirectoryEntry {
  std::string name; // any bytes but '/' and NUL
  FileStatus status;

  DirectoryEntry() {}
};

// Bytes for a file, readable at any place so that large ones are sent in several parts at once.
class Content {
public:
  // Reads up to out.size() bytes at `offset`, fewer only at the end. Several threads at once.
  using ReadAt = std::function<Result<std::size_t>(std::uint64_t offset, std::span<std::byte> out)>;

  // A regular file. Errors: not_found, denied, is_directory.
  static Result<Content> file(const std::filesystem::path& path);
  // Bytes of its own.
  static Content bytes(std::vector<std::byte> bytes);
  static Content text(std::string_view text);
  static Content reader(std::uint64_t size, ReadAt read);

  std::uint64_t size() const { return size_; }
  const ReadAt& read_at() const { return read_; }

private:
  Content(std::uint64_t size, ReadAt read) : size_(size), read_(std::move(read)) {}
  std::uint64_t size_;
  ReadAt read_;
};

struct WriteOptions {
  std::uint32_t mode = 0644;
  bool exclusive = false; // fail if the name is taken (exists)
  bool parents = false;   // make missing directories
  std::optional<FileTime> mtime;
  std::optional<std::uint32_t> uid; // uid 0 only
  std::optional<std::uint32_t> gid;
  Progress progress;

  WriteOptions() {}
};

// A part of a stored file as a part of a named one.
struct StoredPart {
  std::uint64_t offset = 0; // in the named file
  std::uint64_t length = 0;
  std::string id;
  std::uint64_t source = 0; // offset in the stored file
  // The namespace deletes the stored file when nothing names it any more. Only for what was stored
  // for it, and is named by nothing else.
  bool owned = false;

  StoredPart() {}
};

// Which attributes to set.
struct SetStatus {
  std::optional<std::uint32_t> mode;
  std::optional<std::uint32_t> uid;
  std::optional<std::uint32_t> gid;
  std::optional<std::uint64_t> size;
  std::optional<FileTime> atime;
  std::optional<FileTime> mtime;

  SetStatus() {}
};

// An export, as operators see it.
struct ExportInfo {
  std::string name;
  bool is_public = false;
  bool read_only = false;
  bool listing = false;
  std::uint64_t quota_bytes = 0;  // 0: none
  std::uint64_t quota_inodes = 0; // 0: none
  std::uint64_t used_bytes = 0;
  std::uint64_t used_inodes = 0;
  std::vector<std::string> clients; // networks; empty: all that the tracker allows
  unsigned copies = 2;
  std::vector<std::string> groups;
  std::string squash = "none"; // none, root, all; all and root may be followed by :UID:GID
  std::uint64_t trash_seconds = 0;

  ExportInfo() {}
};
// What to change of one; the rest stays.
struct ExportChange {
  std::optional<bool> is_public, read_only, listing;
  std::optional<std::uint64_t> quota_bytes, quota_inodes, trash_seconds;
  std::optional<std::vector<std::string>> clients, groups;
  std::optional<unsigned> copies;
  std::optional<std::string> squash;
  std::optional<std::uint32_t> owner_uid, owner_gid, mode; // of the root directory

  ExportChange() {}
};

struct TrashItem {
  std::uint64_t inode = 0;
  std::string path; // where it was
  std::uint64_t size = 0;
  std::int64_t removed = 0; // unix seconds
  std::int64_t expires = 0;

  TrashItem() {}
};

// One session with the namespace, on an I/O thread of its own. Any thread may call, many at once;
// each call blocks its caller. After a lost connection calls go on with a new one; a change is made
// exactly once, or fails with outcome_unknown when the session was lost.
class Namespace {
public:
  Namespace(ClientOptions client, NamespaceOptions options);
  ~Namespace(); // says goodbye to the tracker
  Namespace(const Namespace&) = delete;
  Namespace& operator=(const Namespace&) = delete;

  // Connects; every other call comes after it. Errors: unavailable, denied, not_found (export).
  Status open();

  // --- questions
  Result<FileStatus> stat(std::string path, bool follow = true);
  // In order of creation. All of a directory: see list_pages for large ones.
  Result<std::vector<DirectoryEntry>> list(std::string path);
  // Page by page, until `page` answers an Error, which is passed on.
  Status list_pages(std::string path,
                    const std::function<Status(const std::vector<DirectoryEntry>&)>& page);
  // Streams a file's bytes from `offset`, `length` 0: to its end. Errors: is_directory, those of
  // Client::download().
  Status read(std::string path, Sink::Writer sink, std::uint64_t offset = 0,
              std::uint64_t length = 0, Progress progress = {});

  // --- changes
  // Stores the content, then names it: in place of a file of this name, whose readers see either
  // the old content or the new.
  Result<FileStatus> write(std::string path, Content content, WriteOptions options = {});
  // A file whose bytes are stored already; `parts` are in order, and what lies between them is
  // zeros. Errors: also invalid_argument (a part reaches beyond its stored file).
  Result<FileStatus> name(std::string path, std::vector<StoredPart> parts, std::uint64_t size,
                          WriteOptions options = {});
  Result<FileStatus> mkdir(std::string path, std::uint32_t mode = 0755, bool parents = false);
  Result<FileStatus> symlink(std::string target, std::string path);
  Result<FileStatus> link(std::string existing, std::string path);
  Status remove(std::string path);           // a file, symlink, …
  Status remove_directory(std::string path); // an empty one
  Status rename(std::string from, std::string to, bool noreplace = false, bool exchange = false);
  Result<FileStatus> set(std::string path, SetStatus change, bool follow = true);
  // A file that shares the stored data of another.
  Result<FileStatus> clone(std::string from, std::string to);

  // --- exports, trash and upkeep (administrators)
  // Everything there is, in order of inodes; `name` is the whole path, empty for what has none (in
  // the trash, or removed and still open), and `ids` has all stored files. Not a snapshot: what
  // changes meanwhile is seen before or after. Ends with the first Error of `page`.
  Status walk(const std::function<Status(const std::vector<DirectoryEntry>&)>& page);
  Result<std::vector<ExportInfo>> exports(std::string name = {});
  Result<ExportInfo> add_export(std::string name, ExportChange values);
  Result<ExportInfo> set_export(std::string name, ExportChange values);
  Status remove_export(std::string name);
  Result<std::vector<TrashItem>> trash(std::string export_name, std::string prefix,
                                       std::int64_t removed_since);
  Status restore(std::uint64_t inode, std::string path, bool parents);

private:
  struct Loop;
  std::unique_ptr<Loop> loop_;
};

} // namespace cairn
