// Bytes written to a file that are not stored yet: runs of a file's bytes, the later write winning.
// Pure data; when they are stored and committed is decided in files.cpp.
#pragma once

#include "common/wire/namespace_ops.h"

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace cairn::fuse {

class DirtyRanges {
public:
  // Puts `bytes` at `offset`, over what was there. Runs that touch are joined.
  void put(std::uint64_t offset, wire::View bytes);
  // Copies what lies in [offset, offset + out.size()) over `out`, and leaves the rest of it.
  void overlay(std::uint64_t offset, std::span<std::byte> out) const;
  // A copy of what lies in the range.
  DirtyRanges clip(std::uint64_t offset, std::uint64_t length) const;
  // True when every byte of the range is here.
  bool covers(std::uint64_t offset, std::uint64_t length) const;

  bool empty() const { return runs_.empty(); }
  std::uint64_t bytes() const { return bytes_; }
  std::size_t runs() const { return runs_.size(); }
  // First byte, and the one after the last; 0 when empty.
  std::uint64_t begin() const { return runs_.empty() ? 0 : runs_.begin()->first; }
  std::uint64_t end() const {
    return runs_.empty() ? 0 : runs_.rbegin()->first + runs_.rbegin()->second.size();
  }

  // All runs one after another: what is uploaded as one stored file.
  wire::Bytes joined() const;
  // The extents that name the runs, given those that name joined() (which begin at 0). Offsets are
  // counted from `base`.
  std::vector<wire::NsExtent> extents(const std::vector<wire::NsExtent>& stored,
                                      std::uint64_t base) const;

private:
  std::map<std::uint64_t, wire::Bytes> runs_; // by offset; they neither overlap nor touch
  std::uint64_t bytes_ = 0;
};

// What a file's extents are after a commit of `fresh` (in order of offset, without overlap, as
// `all` is): it covers what was there, pieces of which remain before and behind.
std::vector<wire::NsExtent> overlaid(const std::vector<wire::NsExtent>& all,
                                     const std::vector<wire::NsExtent>& fresh);

} // namespace cairn::fuse
