// What a stored file says of the part of the namespace that it was uploaded for. A client gives it
// with the upload; storage nodes keep it with the file (as an extended attribute, in the log and in
// the catalogue) and pass it on to their group (SyncOp::extra of a put), and never look inside. The
// tracker reads it to find what a crash left between an upload and its commit, and to rebuild a
// lost namespace.
//
// Small enough for the room that ext4 has in an inode when the path is short: integers are varints.
//
//   version | realm, 4 bytes | session | inode | written | file size | mode | uid | gid
//           | number of ranges, and for each: gap behind the last one, length
//           | length of the export's name, name | path, up to the end
#pragma once

#include "common/wire/native.h"

namespace cairn::wire {

// Bytes of an encoded mark; a path that does not fit loses its beginning.
inline constexpr std::size_t kOriginMarkMax = 1024;
// Ranges that a mark tells; a stored file with more cannot be put back into its file by it.
inline constexpr std::size_t kOriginRangesMax = 24;

// Of the content of a file, in the order of the stored file's bytes.
struct OriginRange {
  std::uint64_t offset = 0; // in the file
  std::uint64_t length = 0;

  friend bool operator==(const OriginRange&, const OriginRange&) = default;
};

struct OriginMark {
  std::uint32_t realm = 0;     // origin_realm() of the cluster
  std::uint64_t session = 0;   // who uploaded it
  std::uint64_t inode = 0;     // 0: its name was made with this content; the path tells
  std::uint64_t written = 0;   // unix microseconds of the upload: orders the parts of a file
  std::uint64_t file_size = 0; // of the file, as far as its writer knew
  std::uint16_t mode = 0;      // of the file; with uid and gid only for new names, else 0
  std::uint32_t uid = 0;
  std::uint32_t gid = 0;
  std::vector<OriginRange> ranges; // none: too many to tell
  std::string export_name;
  std::string path; // where it was, in the export; only a hint, and only its end when it was long
  bool path_is_cut = false;

  friend bool operator==(const OriginMark&, const OriginMark&) = default;
};

// Tells the marks of one cluster from those of files that came from another.
std::uint32_t origin_realm(std::string_view cluster_uuid);

// At most kOriginMarkMax bytes.
std::string encode_origin(const OriginMark& mark);
// Errors: invalid_argument (damaged, or of a later version).
Result<OriginMark> decode_origin(std::string_view bytes);

// --- between nodes and clients -------------------------------------------------------------------

// client -> storage node: u32 length, an encoded mark, then exactly the body of upload_file.
inline constexpr auto kUploadMarked = static_cast<NativeCommand>(193);
// tracker -> storage node: ListMarked -> ListMarkedReply, from the node's catalogue.
inline constexpr auto kListMarked = static_cast<NativeCommand>(194);

// Marked files whose names are greater than `after`, and that are at least `age_s` old. The node
// stops after about `time_ms` of looking; the caller goes on after `last`. Errors: unavailable (the
// catalogue is being made).
struct ListMarked {
  std::string after;
  std::uint64_t age_s = 0;
  std::uint64_t since = 0; // unix seconds: older ones are left out
  std::uint32_t time_ms = 500;

  static constexpr auto fields() {
    using M = ListMarked;
    return std::tuple{string(&M::after), integer(&M::age_s), integer(&M::since),
                      integer(&M::time_ms)};
  }
};

struct MarkedFile {
  std::string name; // remote file name
  std::string mark;
  std::uint64_t size = 0;  // bytes
  std::uint32_t crc32 = 0; // of the content
  std::uint32_t mtime = 0; // unix seconds of the upload

  static constexpr auto fields() {
    using M = MarkedFile;
    return std::tuple{string(&M::name), string(&M::mark), integer(&M::size), integer(&M::crc32),
                      integer(&M::mtime)};
  }
};

struct ListMarkedReply {
  std::vector<MarkedFile> files; // at most 1000
  std::string last;              // everything up to this name was looked at
  bool done = false;

  static constexpr auto fields() {
    using M = ListMarkedReply;
    return std::tuple{list(&M::files), string(&M::last), integer(&M::done)};
  }
};

} // namespace cairn::wire
