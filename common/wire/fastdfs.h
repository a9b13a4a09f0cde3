// Messages of the FastDFS client protocol that clients send and daemons answer, with the IPv4-mode
// (16-byte) layouts as structs. Wider layouts are built where they are chosen, in the tracker.
#pragma once

#include "common/wire/codec.h"

namespace cairn::wire {

inline constexpr std::size_t kGroupSize = 16;
inline constexpr std::size_t kExtensionSize = 6;
inline constexpr std::size_t kPrefixSize = 16;

// Body of commands 90, 104, 107.
struct GroupRequest {
  std::string group;
  static constexpr auto fields() { return std::tuple{text<kGroupSize>(&GroupRequest::group)}; }
};

// Body of 12, 15, 22 (storage) and 102, 103, 105 (tracker): a group and a remote file name.
struct GroupFile {
  std::string group;
  std::string name;
  static constexpr auto fields() {
    return std::tuple{text<kGroupSize>(&GroupFile::group), tail(&GroupFile::name)};
  }
};

// Reply to 101 and 104.
struct StoreTarget {
  std::string group;
  std::string host; // numeric address
  std::uint64_t port = 0;
  std::uint8_t store_path = 0;
  static constexpr auto fields() {
    using M = StoreTarget;
    return std::tuple{text<kGroupSize>(&M::group), text<15>(&M::host), integer(&M::port),
                      integer(&M::store_path)};
  }
};
static_assert(size_of<StoreTarget> == 40);

// Reply to 102 and 103.
struct FetchTarget {
  std::string group;
  std::string host;
  std::uint64_t port = 0;
  static constexpr auto fields() {
    using M = FetchTarget;
    return std::tuple{text<kGroupSize>(&M::group), text<15>(&M::host), integer(&M::port)};
  }
};
static_assert(size_of<FetchTarget> == 39);

// Before the content in 11 and 23.
struct UploadPrefix {
  std::uint8_t store_path = 0xFF; // 0xFF: the storage node decides
  std::uint64_t file_size = 0;
  std::string extension; // without dot
  static constexpr auto fields() {
    using M = UploadPrefix;
    return std::tuple{integer(&M::store_path), integer(&M::file_size),
                      text<kExtensionSize>(&M::extension)};
  }
};
static_assert(size_of<UploadPrefix> == 15);

// Before the master's name and the content in 21.
struct SlavePrefix {
  std::uint64_t master_size = 0; // length of the master's name
  std::uint64_t file_size = 0;
  std::string prefix;
  std::string extension;
  static constexpr auto fields() {
    using M = SlavePrefix;
    return std::tuple{integer(&M::master_size), integer(&M::file_size),
                      text<kPrefixSize>(&M::prefix), text<kExtensionSize>(&M::extension)};
  }
};
static_assert(size_of<SlavePrefix> == 38);

// Before name and content in 24.
struct AppendPrefix {
  std::uint64_t name_size = 0;
  std::uint64_t length = 0;
  static constexpr auto fields() {
    using M = AppendPrefix;
    return std::tuple{integer(&M::name_size), integer(&M::length)};
  }
};
static_assert(size_of<AppendPrefix> == 16);

// Before name and content in 34.
struct ModifyPrefix {
  std::uint64_t name_size = 0;
  std::uint64_t offset = 0;
  std::uint64_t length = 0;
  static constexpr auto fields() {
    using M = ModifyPrefix;
    return std::tuple{integer(&M::name_size), integer(&M::offset), integer(&M::length)};
  }
};
static_assert(size_of<ModifyPrefix> == 24);

// Body of 36: name length, new size, name.
struct Truncate {
  std::uint64_t name_size = 0;
  std::uint64_t size = 0; // signed on the wire: bit 63 set is an error
  std::string name;
  static constexpr auto fields() {
    using M = Truncate;
    return std::tuple{integer(&M::name_size), integer(&M::size), tail(&M::name)};
  }
};

// Body of 14.
struct Download {
  std::uint64_t offset = 0;
  std::uint64_t length = 0; // 0: to the end
  std::string group;
  std::string name;
  static constexpr auto fields() {
    using M = Download;
    return std::tuple{integer(&M::offset), integer(&M::length), text<kGroupSize>(&M::group),
                      tail(&M::name)};
  }
};

// Before name and metadata in 13.
struct SetMetadataPrefix {
  std::uint64_t name_size = 0;
  std::uint64_t meta_size = 0;
  std::uint8_t flag = 'O'; // O overwrite, M merge
  std::string group;
  static constexpr auto fields() {
    using M = SetMetadataPrefix;
    return std::tuple{integer(&M::name_size), integer(&M::meta_size), integer(&M::flag),
                      text<kGroupSize>(&M::group)};
  }
};
static_assert(size_of<SetMetadataPrefix> == 33);

// Reply to 22.
struct FileInfo {
  std::uint64_t size = 0;
  std::uint64_t mtime = 0;
  std::uint64_t crc32 = 0; // sign-extended from 32 bits
  std::string source_host;
  static constexpr auto fields() {
    using M = FileInfo;
    return std::tuple{integer(&M::size), integer(&M::mtime), integer(&M::crc32),
                      text<16>(&M::source_host)};
  }
};
static_assert(size_of<FileInfo> == 40);

// Before master, source and signature in 20.
struct CreateLinkPrefix {
  std::uint64_t master_size = 0;
  std::uint64_t source_size = 0;
  std::uint64_t signature_size = 0;
  std::string group;
  std::string prefix;
  std::string extension;
  static constexpr auto fields() {
    using M = CreateLinkPrefix;
    return std::tuple{integer(&M::master_size),      integer(&M::source_size),
                      integer(&M::signature_size),   text<kGroupSize>(&M::group),
                      text<kPrefixSize>(&M::prefix), text<kExtensionSize>(&M::extension)};
  }
};
static_assert(size_of<CreateLinkPrefix> == 62);

// Reply to 11, 20, 21, 23, 38, and how files are named everywhere: group and remote file name.
using StoredFile = GroupFile;

} // namespace cairn::wire
