// Many small files for the namespace in one request: together they cost the client, the node and
// its disk much less than as many uploads (193).
#pragma once

#include "common/wire/native.h"

namespace cairn::wire {

// client -> storage node: u32 length, UploadFiles of that length, then the contents one after the
// other -> UploadFilesReply.
inline constexpr auto kUploadFiles = static_cast<NativeCommand>(207);

// In one request.
inline constexpr std::size_t kUploadFilesMax = 64;
inline constexpr std::uint64_t kUploadFilesBytesMax = 512 * 1024; // of contents

struct UploadFile {
  std::uint64_t size = 0; // bytes, not 0
  std::string extension;  // of the stored file's name, without dot
  std::string mark;       // encode_origin()

  static constexpr auto fields() {
    using M = UploadFile;
    return std::tuple{integer(&M::size), string(&M::extension), string(&M::mark)};
  }
};

// Errors of the whole: those of an upload; busy (no memory is left for it). Nothing is stored then,
// but for what an io_error or a cut connection leaves unsaid.
struct UploadFiles {
  std::uint8_t copies = 1; // as the flags of an upload, see common/wire/copies.h
  std::vector<UploadFile> files;

  static constexpr auto fields() {
    using M = UploadFiles;
    return std::tuple{integer(&M::copies), list(&M::files)};
  }
};

struct UploadedFile {
  Errc code = Errc::ok; // else it is not stored
  std::string error;    // for people
  std::string id;       // "group1/M00/…"

  static constexpr auto fields() {
    using M = UploadedFile;
    return std::tuple{integer(&M::code), string(&M::error), string(&M::id)};
  }
};

// As StoredCopies, for all of them.
struct UploadFilesReply {
  std::uint8_t have = 1;
  std::uint8_t wanted = 1;
  bool refused = false;
  std::vector<UploadedFile> files; // in the order of the request

  static constexpr auto fields() {
    using M = UploadFilesReply;
    return std::tuple{integer(&M::have), integer(&M::wanted), integer(&M::refused),
                      list(&M::files)};
  }
};

} // namespace cairn::wire
