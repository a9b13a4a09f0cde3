// Files that lie on the machine of a storage node already are taken over by it: their content is
// not sent. The node looks only below the directories that its own configuration names
// (`adopt_from`), and follows no symbolic link there.
#pragma once

#include "common/wire/native.h"

namespace cairn::wire {

// To a storage node, by who knows the cluster's secret.
inline constexpr auto kAdoptFiles = static_cast<NativeCommand>(198); // AdoptFiles -> …Reply

inline constexpr std::size_t kAdoptFilesMax = 256; // in one request

// How a file got into the store.
enum class AdoptHow : std::uint8_t {
  copy = 0,  // its bytes were copied
  clone = 1, // they are shared (reflink) until one of the two is written to
  link = 2,  // it is the same file, with a second name
};

// One file, and how it must look: else it is another one, or was changed since it was seen.
struct AdoptFile {
  std::string path; // absolute, on the node's machine
  std::uint64_t inode = 0;
  std::uint64_t size = 0; // bytes
  std::int64_t mtime_s = 0;
  std::uint32_t mtime_ns = 0;
  std::string extension; // of the stored file's name, without dot
  std::string mark;      // encode_origin(); empty: none

  static constexpr auto fields() {
    using M = AdoptFile;
    return std::tuple{string(&M::path),     integer(&M::inode),    integer(&M::size),
                      integer(&M::mtime_s), integer(&M::mtime_ns), string(&M::extension),
                      string(&M::mark)};
  }
};

// Errors of the whole: denied (adopt_from is not set), invalid_argument, unavailable.
struct AdoptFiles {
  bool probe = false;      // only tell whether they could be; the answer holds no IDs
  bool may_link = false;   // nobody writes into the old files any more
  std::uint8_t copies = 1; // as the flags of an upload, see common/wire/copies.h
  std::vector<AdoptFile> files;

  static constexpr auto fields() {
    using M = AdoptFiles;
    return std::tuple{integer(&M::probe), integer(&M::may_link), integer(&M::copies),
                      list(&M::files)};
  }
};

struct AdoptedFile {
  Errc code = Errc::ok; // busy: it is not what was asked for; denied: not below adopt_from
  std::string error;    // for people
  std::string id;       // "group1/M00/…"
  AdoptHow how = AdoptHow::copy;
  Bytes sha256; // of the content, 32 bytes
  // Of the old file afterwards: a second name is a change of its inode.
  std::int64_t ctime_s = 0;
  std::uint32_t ctime_ns = 0;

  static constexpr auto fields() {
    using M = AdoptedFile;
    return std::tuple{integer(&M::code),    string(&M::error), string(&M::id),
                      integer(&M::how),     blob(&M::sha256),  integer(&M::ctime_s),
                      integer(&M::ctime_ns)};
  }
};

struct AdoptFilesReply {
  std::vector<AdoptedFile> files; // in the order of the request
  std::uint8_t have = 1;          // copies of each of them that there are by now
  std::uint8_t wanted = 1;

  static constexpr auto fields() {
    using M = AdoptFilesReply;
    return std::tuple{list(&M::files), integer(&M::have), integer(&M::wanted)};
  }
};

} // namespace cairn::wire
