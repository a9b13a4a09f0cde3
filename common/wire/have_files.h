// Asking one storage node which of many files it holds: whoever stores by the thousand waits for
// copies with one request a node, and not with one a file.
#pragma once

#include "common/wire/native.h"

namespace cairn::wire {

// To a storage node; see NativeCommand.
inline constexpr auto kHaveFiles = static_cast<NativeCommand>(195); // HaveFiles -> HaveFilesReply

inline constexpr std::size_t kHaveFilesMax = 4096; // names in one request

struct HaveName {
  std::string name; // "M00/…"

  static constexpr auto fields() { return std::tuple{string(&HaveName::name)}; }
};

// Errors: invalid_argument (a name that is none, or more than kHaveFilesMax).
struct HaveFiles {
  std::vector<HaveName> files;

  static constexpr auto fields() { return std::tuple{list(&HaveFiles::files)}; }
};

struct HaveFilesReply {
  std::string present; // a byte per file: '1' it is on the node's own disk, '0' it is not

  static constexpr auto fields() { return std::tuple{string(&HaveFilesReply::present)}; }
};

} // namespace cairn::wire
