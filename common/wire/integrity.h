// Messages by which the copies of a file are compared and repaired, between the members of a group
// and from the command line.
#pragma once

#include "common/wire/native.h"

namespace cairn::wire {

// To a storage node; see NativeCommand.
inline constexpr auto kInspectCopy = static_cast<NativeCommand>(190); // InspectCopy -> CopyFacts
inline constexpr auto kDigestFiles = static_cast<NativeCommand>(191); // DigestFiles -> …Reply
inline constexpr auto kRepairFile = static_cast<NativeCommand>(192);  // NameRequest -> RepairReply

struct InspectCopy {
  std::string name;
  bool verify = false; // compare the content with its checksums, unless that was done lately

  static constexpr auto fields() {
    using M = InspectCopy;
    return std::tuple{string(&M::name), integer(&M::verify)};
  }
};

// What one node knows of its copy of a file.
struct CopyFacts {
  Presence presence = Presence::absent;
  bool damaged = false;   // known to be, or found so for this answer
  bool crc_known = false; // size and crc32 say what the content should be; also for a damaged copy,
  std::uint64_t size = 0; // and for one that is missing and should be there
  std::uint32_t crc32 = 0;
  std::uint32_t mtime = 0; // unix seconds
  std::uint64_t stamp = 0; // hybrid clock of the file's creation
  std::uint64_t meta_stamp = 0;
  std::uint32_t meta_crc32 = 0;
  bool meta_damaged = false;
  std::uint64_t deleted_stamp = 0; // of its tombstone, 0: none
  std::uint32_t deleted_by = 0;    // node where it was deleted
  bool is_listed = false;          // the catalogue has it: if it is absent, it was lost
  std::string mark;                // origin mark, see origin_mark.h
  // When the name was used again after a delete (slaves, files restored from the trash); 0: never.
  std::uint64_t reused_stamp = 0;

  static constexpr auto fields() {
    using M = CopyFacts;
    return std::tuple{
        integer(&M::presence),     integer(&M::damaged),       integer(&M::crc_known),
        integer(&M::size),         integer(&M::crc32),         integer(&M::mtime),
        integer(&M::stamp),        integer(&M::meta_stamp),    integer(&M::meta_crc32),
        integer(&M::meta_damaged), integer(&M::deleted_stamp), integer(&M::deleted_by),
        integer(&M::is_listed),    string(&M::mark),           integer(&M::reused_stamp)};
  }
};

// How closely the files are looked at for a digest.
enum class DigestLook : std::uint8_t {
  catalogue = 0, // what the catalogue says
  disk = 1,      // each file must be there, have its size, and be verified since it last changed
};

// Digests of the files whose names are greater than `after` and smaller than `until`. The node
// stops after about `time_ms`, with a file at least; the caller goes on after `last`. With an empty
// `after` they have all that was committed before. Errors: unavailable (the catalogue is being made
// or seconds behind).
struct DigestFiles {
  std::string after;
  std::string until; // "" : to the end
  DigestLook look = DigestLook::catalogue;
  std::uint32_t time_ms = 1000;

  static constexpr auto fields() {
    using M = DigestFiles;
    return std::tuple{string(&M::after), string(&M::until), integer(&M::look),
                      integer(&M::time_ms)};
  }
};

// The files of one directory ("M00/1A/2B"), or of a part of it. `sum` adds up (modulo 2^64), so the
// digests of two parts together are that of the whole.
struct DirectoryDigest {
  std::string directory;
  std::uint64_t count = 0;
  std::uint64_t sum = 0;

  static constexpr auto fields() {
    using M = DirectoryDigest;
    return std::tuple{string(&M::directory), integer(&M::count), integer(&M::sum)};
  }
};

struct FileProblem {
  std::string name;
  bool missing = false; // else damaged

  static constexpr auto fields() {
    using M = FileProblem;
    return std::tuple{string(&M::name), integer(&M::missing)};
  }
};

struct DigestFilesReply {
  std::vector<DirectoryDigest> directories;
  std::vector<FileProblem> problems; // DigestLook::disk
  std::string last;                  // everything up to this name is in
  bool done = false;

  static constexpr auto fields() {
    using M = DigestFilesReply;
    return std::tuple{list(&M::directories), list(&M::problems), string(&M::last),
                      integer(&M::done)};
  }
};

enum class RepairOutcome : std::uint8_t {
  good = 0,     // there was nothing to do
  repaired = 1, // the node has what it should have
  lost = 2,     // nobody has a good copy
  later = 3,    // a member that may have one cannot be asked now; it will be tried again
};

struct RepairReply {
  RepairOutcome outcome = RepairOutcome::good;
  std::string detail;

  static constexpr auto fields() {
    using M = RepairReply;
    return std::tuple{integer(&M::outcome), string(&M::detail)};
  }
};

} // namespace cairn::wire
