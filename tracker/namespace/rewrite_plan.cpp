// Windows, runs and gaps.
#include "tracker/namespace/rewrite_plan.h"

#include <algorithm>
#include <utility>

namespace cairn::tracker {

namespace {

// Of a window: what lies in it, and the dead bytes that are charged to it.
struct Window {
  std::vector<Extent> extents;
  std::uint64_t dead = 0;
};

// Runs of data without a hole.
std::vector<RewriteJob::Run> runs_of(const std::vector<Extent>& extents) {
  std::vector<RewriteJob::Run> runs;
  for (const Extent& extent : extents) {
    if (!runs.empty() && runs.back().offset + runs.back().length == extent.offset)
      runs.back().length += extent.length;
    else
      runs.push_back({extent.offset, extent.length});
  }
  return runs;
}

// Joins runs over the smallest gaps until `wanted` are left, or `budget` bytes of zeros are spent.
void fill_gaps(std::vector<RewriteJob::Run>& runs, std::size_t wanted, std::uint64_t budget) {
  if (runs.size() <= wanted) return;
  std::vector<std::pair<std::uint64_t, std::size_t>> gaps; // length, index of the run before it
  for (std::size_t i = 0; i + 1 < runs.size(); ++i)
    gaps.emplace_back(runs[i + 1].offset - runs[i].offset - runs[i].length, i);
  std::ranges::sort(gaps);
  std::vector<bool> joined(runs.size(), false); // with the next one
  std::size_t left = runs.size();
  for (const auto& [length, index] : gaps) {
    if (left <= wanted || length > budget) break;
    budget -= length;
    joined[index] = true;
    --left;
  }
  std::vector<RewriteJob::Run> out;
  for (std::size_t i = 0; i < runs.size(); ++i) {
    if (i > 0 && joined[i - 1])
      out.back().length = runs[i].offset + runs[i].length - out.back().offset;
    else
      out.push_back(runs[i]);
  }
  runs = std::move(out);
}

} // namespace

std::uint64_t extents_allowed(std::uint64_t size, const RewritePolicy& policy) {
  const std::uint64_t windows = size / policy.window + 1;
  return windows * policy.extents_max;
}

std::uint64_t RewriteJob::bytes() const {
  std::uint64_t sum = 0;
  for (const Run& run : runs) sum += run.length;
  return sum;
}

std::vector<Extent> RewriteJob::named(const std::string& ref) const {
  std::vector<Extent> out;
  std::uint64_t source = 0;
  for (const Run& run : runs) {
    Extent extent;
    extent.offset = run.offset;
    extent.length = run.length;
    extent.ref = ref;
    extent.source = source;
    source += run.length;
    out.push_back(std::move(extent));
  }
  return out;
}

std::vector<Extent> cut_to(const std::vector<Extent>& extents, std::uint64_t from,
                           std::uint64_t to) {
  std::vector<Extent> out;
  for (const Extent& extent : extents) {
    if (extent.end() <= from || extent.offset >= to) continue;
    Extent part = extent;
    if (part.offset < from) {
      part.source += from - part.offset;
      part.length -= from - part.offset;
      part.offset = from;
    }
    part.length = std::min(part.length, to - part.offset);
    out.push_back(std::move(part));
  }
  return out;
}

Result<std::map<std::string, std::uint64_t>> mostly_dead(
    const std::vector<Extent>& extents,
    const std::function<Result<std::uint64_t>(const std::string& ref)>& uses) {
  struct Use {
    std::uint64_t live = 0;
    std::uint64_t extents = 0;
  };
  std::map<std::string, Use> used;
  for (const Extent& extent : extents) {
    if (!extent.owned) continue;
    Use& use = used[extent.ref];
    use.live += extent.length;
    ++use.extents;
  }
  std::map<std::string, std::uint64_t> dead;
  for (const auto& [ref, use] : used) {
    CAIRN_TRY(id, decode_ref(ref));
    const std::uint64_t size = stored_size(id);
    if (size <= use.live || size - use.live <= use.live) continue;
    // What another file uses as well would stay, however this one is stored.
    CAIRN_TRY(count, uses(ref));
    if (count == use.extents) dead.emplace(ref, size - use.live);
  }
  return dead;
}

std::vector<RewriteJob> plan_rewrites(const std::vector<Extent>& extents,
                                      const std::map<std::string, std::uint64_t>& dead,
                                      const RewritePolicy& policy) {
  std::map<std::uint64_t, Window> windows; // by number
  std::map<std::string, std::uint64_t> uncharged = dead;
  for (const Extent& extent : extents) {
    const std::uint64_t first = extent.offset / policy.window;
    const std::uint64_t last = (extent.end() - 1) / policy.window;
    if (const auto found = uncharged.find(extent.ref); found != uncharged.end()) {
      windows[first].dead += found->second;
      uncharged.erase(found);
    }
    // A window between the two is this extent and nothing else.
    std::vector<std::uint64_t> numbers{first};
    if (last != first) numbers.push_back(last);
    for (const std::uint64_t number : numbers) {
      auto part = cut_to({extent}, number * policy.window, (number + 1) * policy.window);
      windows[number].extents.push_back(std::move(part.front()));
    }
  }
  std::vector<RewriteJob> jobs;
  for (auto& [number, window] : windows) {
    std::vector<Extent>& all = window.extents;
    const bool many = all.size() > policy.extents_max;
    if (!many && window.dead < policy.dead_min) continue;
    for (std::size_t at = 0; at < all.size();) {
      const std::size_t end = std::min(all.size(), at + policy.parts_max);
      RewriteJob job;
      job.read.assign(all.begin() + static_cast<std::ptrdiff_t>(at),
                      all.begin() + static_cast<std::ptrdiff_t>(end));
      at = end;
      job.from = job.read.front().offset;
      job.to = job.read.back().end();
      job.runs = runs_of(job.read);
      std::uint64_t data = job.bytes();
      const std::uint64_t budget = data > UINT64_MAX / std::max<std::uint64_t>(policy.fill_times, 1)
                                       ? UINT64_MAX
                                       : data * policy.fill_times;
      fill_gaps(job.runs, static_cast<std::size_t>(policy.extents_max / 2), budget);
      // Holes can be what makes it many; then a rewrite would bring nothing, again and again.
      if (window.dead < policy.dead_min && job.runs.size() > job.read.size() / 2) continue;
      jobs.push_back(std::move(job));
    }
  }
  return jobs;
}

} // namespace cairn::tracker
