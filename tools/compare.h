// Compares what the members of a group say they hold. Pure: pages come in, differences go out.
#pragma once

#include "common/wire/native.h"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace cairn::tools {

enum class DifferenceKind : std::uint8_t {
  missing,  // some members lack the file
  content,  // size or checksum differ
  metadata, // only the metadata differ
};

// "missing", "content", "metadata".
std::string_view describe(DifferenceKind kind);

// A file's state at one member.
struct CopyState {
  bool present = false;
  bool deleted = false; // known to be deleted there
  std::uint64_t size = 0;
  std::uint32_t crc32 = 0;
  std::uint32_t meta_crc32 = 0;
  bool damaged = false;
};

CopyState copy_state(const wire::FileSummary& summary);
CopyState copy_state(const wire::ProbeReply& reply);

// What is wrong with copies of one file, by member; nullopt: nothing.
std::optional<DifferenceKind> judge_copies(const std::vector<CopyState>& copies);

// Merges the name-ordered pages of the members. Feed pages while wants_page() names a member, then
// take names.
class CatalogueMerge {
public:
  // `after`: names greater than this one are compared.
  explicit CatalogueMerge(std::size_t members, const std::string& after = {}) : streams_(members) {
    for (Stream& stream : streams_) stream.after = after;
  }

  // A member whose next page is needed before next() can say more; nullopt: none.
  std::optional<std::size_t> wants_page() const;
  // What to ask it for: names after this one.
  const std::string& after(std::size_t member) const { return streams_[member].after; }
  // Errors: corrupt (names out of order: the comparison would be wrong).
  Status add_page(std::size_t member, wire::ListFilesReply page);

  struct File {
    std::string name;
    std::vector<CopyState> copies; // by member
  };
  // The next file in name order; nullopt at the end. Only while wants_page() is nullopt.
  std::optional<File> next();

private:
  struct Stream {
    std::vector<wire::FileSummary> page;
    std::size_t at = 0;
    bool done = false; // no page after this one
    std::string after;
  };
  std::vector<Stream> streams_;
};

} // namespace cairn::tools
