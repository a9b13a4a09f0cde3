// Runs that are split, replaced and joined.
#include "fuse/dirty.h"

#include <algorithm>
#include <iterator>
#include <utility>

namespace cairn::fuse {

void DirtyRanges::put(std::uint64_t offset, wire::View bytes) {
  if (bytes.empty()) return;
  const std::uint64_t end = offset + bytes.size();
  auto next = runs_.upper_bound(offset);
  if (next != runs_.begin()) {
    auto before = std::prev(next);
    const std::uint64_t before_end = before->first + before->second.size();
    if (before_end >= offset) {
      // Written in order, as most files are, or inside a run: it grows in place.
      wire::Bytes& run = before->second;
      const auto at = static_cast<std::size_t>(offset - before->first);
      const std::size_t inside = std::min(bytes.size(), run.size() - at);
      std::copy_n(bytes.begin(), inside, run.begin() + static_cast<std::ptrdiff_t>(at));
      run.insert(run.end(), bytes.begin() + static_cast<std::ptrdiff_t>(inside), bytes.end());
      bytes_ += bytes.size() - inside;
      next = before;
    }
  }
  if (next == runs_.end() || next->first > offset) {
    next = runs_.emplace(offset, wire::Bytes(bytes.begin(), bytes.end())).first;
    bytes_ += bytes.size();
  }
  // Whatever lies behind its beginning and up to its end is covered now, or joins it.
  wire::Bytes& run = next->second;
  for (auto later = std::next(next); later != runs_.end() && later->first <= end;) {
    const std::uint64_t run_end = next->first + run.size();
    const std::uint64_t later_end = later->first + later->second.size();
    bytes_ -= later->second.size();
    if (later_end > run_end) {
      const auto skip = static_cast<std::ptrdiff_t>(run_end - later->first);
      run.insert(run.end(), later->second.begin() + skip, later->second.end());
      bytes_ += later_end - run_end;
    }
    later = runs_.erase(later);
  }
}

void DirtyRanges::overlay(std::uint64_t offset, std::span<std::byte> out) const {
  const std::uint64_t end = offset + out.size();
  auto at = runs_.upper_bound(offset);
  if (at != runs_.begin()) --at;
  for (; at != runs_.end() && at->first < end; ++at) {
    const std::uint64_t from = std::max(at->first, offset);
    const std::uint64_t to = std::min(at->first + at->second.size(), end);
    if (from >= to) continue;
    std::copy_n(at->second.begin() + static_cast<std::ptrdiff_t>(from - at->first), to - from,
                out.begin() + static_cast<std::ptrdiff_t>(from - offset));
  }
}

DirtyRanges DirtyRanges::clip(std::uint64_t offset, std::uint64_t length) const {
  DirtyRanges out;
  const std::uint64_t end = offset + length;
  auto at = runs_.upper_bound(offset);
  if (at != runs_.begin()) --at;
  for (; at != runs_.end() && at->first < end; ++at) {
    const std::uint64_t from = std::max(at->first, offset);
    const std::uint64_t to = std::min(at->first + at->second.size(), end);
    if (from < to) out.put(from, wire::View(at->second).subspan(from - at->first, to - from));
  }
  return out;
}

bool DirtyRanges::covers(std::uint64_t offset, std::uint64_t length) const {
  auto at = runs_.upper_bound(offset);
  if (at == runs_.begin()) return false;
  --at;
  return at->first + at->second.size() >= offset + length;
}

wire::Bytes DirtyRanges::joined() const {
  wire::Bytes out;
  out.reserve(static_cast<std::size_t>(bytes_));
  for (const auto& [offset, run] : runs_) out.insert(out.end(), run.begin(), run.end());
  return out;
}

std::vector<wire::NsExtent> DirtyRanges::extents(const std::vector<wire::NsExtent>& stored,
                                                 std::uint64_t base) const {
  std::vector<wire::NsExtent> out;
  std::uint64_t at = 0; // in joined()
  std::size_t piece = 0;
  for (const auto& [offset, run] : runs_) {
    for (std::uint64_t done = 0; done < run.size();) {
      while (stored[piece].offset + stored[piece].length <= at) ++piece;
      const wire::NsExtent& from = stored[piece];
      wire::NsExtent extent = from;
      extent.offset = offset + done - base;
      extent.source = from.source + (at - from.offset);
      extent.length = std::min(from.offset + from.length - at, run.size() - done);
      at += extent.length;
      done += extent.length;
      out.push_back(std::move(extent));
    }
  }
  return out;
}

std::vector<wire::NsExtent> overlaid(const std::vector<wire::NsExtent>& all,
                                     const std::vector<wire::NsExtent>& fresh) {
  std::vector<wire::NsExtent> out = fresh;
  std::size_t first = 0; // of `fresh` that does not end before the extent
  for (const wire::NsExtent& old : all) {
    const std::uint64_t end = old.offset + old.length;
    std::uint64_t at = old.offset; // what lies before is done
    const auto keep_up_to = [&](std::uint64_t to) {
      if (to <= at) return;
      wire::NsExtent piece = old;
      piece.offset = at;
      piece.length = to - at;
      piece.source += at - old.offset;
      out.push_back(std::move(piece));
    };
    while (first < fresh.size() && fresh[first].offset + fresh[first].length <= at) ++first;
    for (std::size_t i = first; i < fresh.size() && fresh[i].offset < end; ++i) {
      keep_up_to(fresh[i].offset);
      at = std::max(at, fresh[i].offset + fresh[i].length);
    }
    keep_up_to(end);
  }
  std::ranges::sort(out, {}, &wire::NsExtent::offset);
  return out;
}

} // namespace cairn::fuse
