// A backup of the tracker's metadata, read over the wire while the tracker goes on: a checkpoint of
// its store is made, read file by file, and given up. For the owners of the cluster's secret only:
// the store holds access keys.
#pragma once

#include "common/wire/native.h"

namespace cairn::wire {

// To the tracker that holds the metadata.
inline constexpr auto kBackupBegin = static_cast<NativeCommand>(202); // empty -> BackupReply
inline constexpr auto kBackupRead = static_cast<NativeCommand>(203);  // BackupRead -> bytes
inline constexpr auto kBackupEnd = static_cast<NativeCommand>(204);   // BackupEnd -> empty

inline constexpr std::uint32_t kBackupPieceMax = 4U << 20; // bytes of one read

struct BackupFile {
  std::string name;
  std::uint64_t size = 0; // bytes

  static constexpr auto fields() {
    using M = BackupFile;
    return std::tuple{string(&M::name), integer(&M::size)};
  }
};

// Errors of kBackupBegin: busy (another one is being read), unavailable (the metadata is
// elsewhere), io_error, no_space.
struct BackupReply {
  std::uint64_t backup = 0; // its number; it is forgotten when nobody reads it for a minute
  std::string cluster_uuid;
  std::uint64_t epoch = 0; // log position
  std::uint64_t index = 0;
  std::uint64_t time = 0; // unix seconds
  std::vector<BackupFile> files;

  static constexpr auto fields() {
    using M = BackupReply;
    return std::tuple{integer(&M::backup), string(&M::cluster_uuid), integer(&M::epoch),
                      integer(&M::index),  integer(&M::time),        list(&M::files)};
  }
};

// `length` bytes of a file, fewer at its end. Errors: not_found (forgotten, or no such file).
struct BackupRead {
  std::uint64_t backup = 0;
  std::string name;
  std::uint64_t offset = 0;
  std::uint32_t length = kBackupPieceMax;

  static constexpr auto fields() {
    using M = BackupRead;
    return std::tuple{integer(&M::backup), string(&M::name), integer(&M::offset),
                      integer(&M::length)};
  }
};

struct BackupEnd {
  std::uint64_t backup = 0;

  static constexpr auto fields() { return std::tuple{integer(&BackupEnd::backup)}; }
};

// --- as a file -----------------------------------------------------------------------------------

// What `cairn namespace backup` writes and `restore` reads, integers big-endian:
//
//   "CAIRNMD1" | u32 length | encoded BackupReply | u32 crc32 of that
//   and for each of its files, in its order:  the bytes | u32 crc32 of them
inline constexpr std::string_view kBackupMagic = "CAIRNMD1";
inline constexpr std::uint32_t kBackupHeadMax = 64U << 20; // bytes of an encoded BackupReply

} // namespace cairn::wire
