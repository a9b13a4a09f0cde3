// Which parts of a file are to be stored anew, because too many pieces make them or because what
// they are stored in is mostly overwritten. Looks at extents only.
#pragma once

#include "tracker/namespace/rows.h"

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

namespace cairn::tracker {

struct RewritePolicy {
  std::uint64_t window = 64ULL << 20; // bytes of a file that are looked at, and stored, together
  std::uint64_t extents_max = 64;     // of a window; more of them are rewritten
  // Holes are filled with zeros, the smallest first, until a window has half of extents_max, but
  // at a time never with more than so many times its data.
  std::uint64_t fill_times = 8;
  std::uint64_t dead_min = 64 * 1024; // overwritten bytes that are worth a rewrite
  std::size_t parts_max = 8192;       // extents of one job
};

// Extents that a file of this size may have before it is looked at.
std::uint64_t extents_allowed(std::uint64_t size, const RewritePolicy& policy = {});

// One new stored file.
struct RewriteJob {
  struct Run {
    std::uint64_t offset = 0; // in the file
    std::uint64_t length = 0;
    friend bool operator==(const Run&, const Run&) = default;
  };
  std::uint64_t from = 0; // of the file: what is replaced
  std::uint64_t to = 0;
  std::vector<Extent> read; // what is between them now, cut to it, in order
  std::vector<Run> runs;    // what the new stored file will be named as, in order; gaps inside are
                            // zeros
  std::uint64_t bytes() const;
  // The extents of the new stored file `ref`.
  std::vector<Extent> named(const std::string& ref) const;
};

// What is to be rewritten of a file with these extents (all of them, or all from some offset on),
// in order. `dead`: for stored files that are mostly overwritten, how many of their bytes are; a
// file that other files use too is not among them. Empty: the file is good as it is. Doing all the
// jobs again and again comes to an end.
std::vector<RewriteJob> plan_rewrites(const std::vector<Extent>& extents,
                                      const std::map<std::string, std::uint64_t>& dead,
                                      const RewritePolicy& policy = {});

// Stored files of which less than half is still in use, by their sizes and the extents of the only
// file that uses them, with the bytes that are not. `uses` answers how many extents anywhere refer
// to a stored file. Errors: those of `uses`.
Result<std::map<std::string, std::uint64_t>> mostly_dead(
    const std::vector<Extent>& extents,
    const std::function<Result<std::uint64_t>(const std::string& ref)>& uses);

// Extents cut to [from, to).
std::vector<Extent> cut_to(const std::vector<Extent>& extents, std::uint64_t from,
                           std::uint64_t to);

} // namespace cairn::tracker
