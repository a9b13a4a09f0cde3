// Find, plan, have stored, swap.
#include "tracker/handlers/namespace_rewrite.h"

#include "common/base/file_id.h"
#include "common/daemon/log.h"
#include "common/wire/copies.h"
#include "common/wire/origin_mark.h"
#include "common/wire/rewrite.h"

#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>

#include <algorithm>
#include <cerrno>
#include <functional>
#include <map>
#include <set>
#include <utility>

namespace cairn::tracker {

namespace {

using std::chrono::milliseconds;

constexpr milliseconds kLook{1000};
// After something that did not work: the nodes may need a while.
constexpr milliseconds kAfterFailure{10'000};
// To read, store and copy 64 MiB.
constexpr milliseconds kRewriteTimeout{180'000};
constexpr std::size_t kRowsOfOneLook = 1000;
// A file that is written all the time is rewritten when it has so many times the extents it may.
constexpr std::uint64_t kFarTooMany = 16;
// Extents of one file that are planned at a time.
constexpr std::size_t kExtentsAtOnce = 128 * 1024;
constexpr std::size_t kNodesTried = 2;

spdlog::logger& log() {
  static spdlog::logger& one = logger("tracker.rewrite");
  return one;
}

std::uint64_t unix_ms() {
  return static_cast<std::uint64_t>(
      std::chrono::duration_cast<milliseconds>(std::chrono::system_clock::now().time_since_epoch())
          .count());
}

// Whether a file is due by what its row says.
bool is_due(const FragmentsRow& row, const Inode& inode, std::uint64_t now_ms,
            const NamespacePolicy& policy) {
  const std::uint64_t allowed = extents_allowed(inode.size);
  const std::uint64_t rows = inode.extent_rows;
  const bool many = rows > allowed;
  const bool dead = row.dead >= RewritePolicy().dead_min && row.dead > inode.bytes;
  const bool idle = now_ms >= row.written_ms + policy.rewrite_idle_ms;
  return (many || dead) && (idle || rows > kFarTooMany * allowed);
}

// Nothing in it may shadow what is written later, when a lost namespace is rebuilt: it is as old as
// the newest stored file it was made of.
std::uint64_t written_of(const RewriteJob& job) {
  std::uint64_t newest = 0;
  for (const Extent& extent : job.read) {
    const auto text = decode_ref(extent.ref);
    const auto id = text ? parse_file_id(*text) : Result<FileId>(Errc::corrupt);
    if (id && id->name.fields())
      newest = std::max(newest, std::uint64_t{id->name.fields()->timestamp});
  }
  return (newest + 1) * 1'000'000;
}

Result<std::map<std::string, std::uint64_t>> dead_of(const KeyValueView& view,
                                                     const std::vector<Extent>& extents) {
  return mostly_dead(extents, [&](const std::string& ref) -> Result<std::uint64_t> {
    CAIRN_TRY(row, view.get(key::references(ref)));
    if (!row) return std::uint64_t{1};
    return decode_count(*row);
  });
}

// Extents of a file that end behind `from`, at most kExtentsAtOnce. Errors: io_error, corrupt.
Result<std::vector<Extent>> extents_from(const KeyValueView& view, const Inode& inode,
                                         std::uint64_t from) {
  if (inode.extent_rows == 0) return cut_to(inode.extents, from, wire::kNsFileSizeMax);
  std::vector<Extent> extents;
  Status damaged;
  const auto on_row = [&](std::string_view key, std::string_view value) {
    auto extent = decode_extent(key::number_at(key, 9), value);
    if (!extent) {
      damaged = std::move(extent).error();
      return false;
    }
    extents.push_back(*std::move(extent));
    return extents.size() < kExtentsAtOnce;
  };
  CAIRN_RETURN_IF_ERROR(
      view.scan(key::prefix('E', inode.ino), key::extent(inode.ino, from + 1), on_row));
  CAIRN_RETURN_IF_ERROR(std::move(damaged));
  return cut_to(extents, from, wire::kNsFileSizeMax);
}

struct Plan {
  std::vector<RewriteJob> jobs;
  bool all = true; // that there is to do
};

// What is to be done for a file, as much as is held in memory at a time.
Result<Plan> plan_of(const KeyValueView& view, const Inode& inode, const RewritePolicy& policy) {
  Plan plan;
  std::size_t held = 0;
  for (std::uint64_t from = 0;;) {
    CAIRN_TRY(extents, extents_from(view, inode, from));
    const bool end = extents.size() < kExtentsAtOnce;
    if (!end) {
      // Whole windows only, unless one is that bad.
      const std::uint64_t window = extents.back().offset / policy.window * policy.window;
      from = window > extents.front().offset ? window : extents.back().end();
      extents = cut_to(extents, 0, from);
    }
    // What is dead is seen when all extents are; a file of more has other troubles first.
    std::map<std::string, std::uint64_t> dead;
    if (end && plan.jobs.empty() && extents.size() == inode.extent_count()) {
      CAIRN_TRY(found, dead_of(view, extents));
      dead = std::move(found);
    }
    for (RewriteJob& job : plan_rewrites(extents, dead, policy)) {
      held += job.read.size();
      plan.jobs.push_back(std::move(job));
    }
    if (end) return plan;
    if (held >= kExtentsAtOnce) {
      plan.all = false;
      return plan;
    }
  }
}

// A path to an inode within its export; only a hint, so empty when there is none.
std::string path_hint(const KeyValueView& view, std::uint64_t ino) {
  Evaluation paths(view, Caller(), NsTime());
  wire::NsInode which;
  which.inode = ino;
  const auto text = paths.run(wire::NsOp::path_of, wire::encode(which));
  const auto path =
      text ? wire::decode_lenient<wire::NsText>(*text) : Result<wire::NsText>(text.error());
  if (!path) return {};
  const std::size_t slash = path->text.find('/');
  return slash == std::string::npos ? std::string() : path->text.substr(slash + 1);
}

} // namespace

Task<void> NamespaceRewriter::pause(milliseconds time) {
  asio::steady_timer timer(co_await asio::this_coro::executor);
  const auto until = std::chrono::steady_clock::now() + time;
  while (!service_.stopping() && std::chrono::steady_clock::now() < until) {
    timer.expires_at(std::min(until, std::chrono::steady_clock::now() + milliseconds(200)));
    co_await timer.async_wait(as_result);
  }
}

Task<void> NamespaceRewriter::run() {
  if (policy_.rewrite_rate == 0) co_return;
  while (!service_.stopping()) {
    co_await pause(kLook);
    if (service_.stopping() || !service_.leads()) continue;
    co_await look();
  }
}

Task<void> NamespaceRewriter::look() {
  auto work = [this, now = unix_ms()] { return find(now); };
  auto found = co_await pool_.run(std::move(work));
  if (!found) {
    log().warn("fragmented files not looked for error={}", found.error().text());
    co_return;
  }
  rows_seen_ += found->rows;
  cursor_ = std::move(found->next);
  if (found->end) {
    service_.counters().fragmented = std::exchange(rows_seen_, 0);
    cursor_.clear();
  }
  for (const auto& one : found->settled) co_await settle(one.first, one.second);
  for (Work& one : found->work) co_await rewrite_file(std::move(one));
}

Result<NamespaceRewriter::Found> NamespaceRewriter::find(std::uint64_t now_ms) const {
  Found found;
  found.end = true;
  const auto view = store_.view();
  CAIRN_TRY(state, read_state(*view));
  Status damaged;
  std::vector<std::pair<std::uint64_t, FragmentsRow>> rows;
  const auto on_row = [&](std::string_view key, std::string_view value) {
    if (rows.size() == kRowsOfOneLook) {
      found.end = false;
      return false;
    }
    auto row = decode_row<FragmentsRow>(value);
    if (!row) {
      damaged = std::move(row).error();
      return false;
    }
    rows.emplace_back(key::number_at(key, 1), *row);
    found.next = std::string(key) + '\0';
    return true;
  };
  CAIRN_RETURN_IF_ERROR(view->scan("F", cursor_, on_row));
  CAIRN_RETURN_IF_ERROR(std::move(damaged));
  for (const auto& [ino, row] : rows) {
    ++found.rows;
    CAIRN_TRY(bytes, view->get(key::inode(ino)));
    if (!bytes) {
      found.settled.emplace_back(ino, row.written_ms);
      continue;
    }
    CAIRN_TRY(inode, decode_inode(ino, *bytes));
    // In the trash it costs space for a while, but nobody reads it.
    if (inode.trash_due != 0 || inode.nlink == 0 || !is_due(row, inode, now_ms, policy_)) continue;
    CAIRN_TRY(of, view->get(key::quota(inode.root)));
    CAIRN_TRY(plan, plan_of(*view, inode, RewritePolicy()));
    if (plan.jobs.empty() || !of) {
      found.settled.emplace_back(ino, row.written_ms);
      continue;
    }
    Work work;
    CAIRN_TRY(of_row, decode_row<wire::NsExport>(*of));
    work.of = std::move(of_row);
    work.ino = ino;
    work.written_ms = row.written_ms;
    work.inode = std::move(inode);
    work.session_floor = state.session_floor;
    work.path = path_hint(*view, ino);
    work.jobs = std::move(plan.jobs);
    work.all = plan.all;
    found.work.push_back(std::move(work));
    found.end = false;
    found.next = key::fragmented(ino) + '\0';
    break;
  }
  return found;
}

Task<void> NamespaceRewriter::settle(std::uint64_t ino, std::uint64_t written_ms) {
  std::function<Result<std::uint64_t>(Evaluation&)> work =
      [ino, written_ms](Evaluation& evaluation) -> Result<std::uint64_t> {
    CAIRN_RETURN_IF_ERROR(evaluation.settle_fragments(ino, written_ms));
    return std::uint64_t{0};
  };
  const auto done = co_await service_.writer().internal(std::move(work));
  if (!done) log().warn("not settled inode={} error={}", ino, done.error().text());
}

std::vector<Endpoint> NamespaceRewriter::nodes_for(const Work& work, const RewriteJob& job) {
  // The group that has most of it, of those that the export uses.
  std::map<std::string, std::uint64_t> bytes;
  for (const auto& known : service_.cluster().facts().groups()) {
    const bool wanted = work.of.groups.empty() ||
                        std::ranges::any_of(work.of.groups, [&known](const wire::NsText& group) {
                          return group.text == known.first;
                        });
    if (wanted) bytes[known.first] = 0;
  }
  for (const Extent& extent : job.read) {
    const auto id = decode_ref(extent.ref);
    if (!id) continue;
    const auto found = bytes.find(id->substr(0, id->find('/')));
    if (found != bytes.end()) found->second += extent.length;
  }
  std::vector<std::pair<std::uint64_t, std::string>> groups;
  for (auto& [name, size] : bytes) groups.emplace_back(size, name);
  std::ranges::sort(groups, std::greater<>());
  std::vector<Endpoint> nodes;
  ++turn_;
  for (const auto& [size, group] : groups) {
    const std::size_t first = nodes.size();
    for (const Node* node : service_.cluster().members(group)) {
      if (!node->is_up() || !node->writable || node->fact.draining) continue;
      Endpoint endpoint;
      endpoint.host = node->fact.host;
      endpoint.port = node->fact.port;
      nodes.push_back(std::move(endpoint));
    }
    const std::size_t count = nodes.size() - first;
    if (count > 1)
      std::rotate(nodes.begin() + static_cast<std::ptrdiff_t>(first),
                  nodes.begin() + static_cast<std::ptrdiff_t>(first + turn_ % count), nodes.end());
  }
  return nodes;
}

wire::Rewrite NamespaceRewriter::request_for(const Work& work, const RewriteJob& job) const {
  wire::Rewrite request;
  request.copies =
      static_cast<std::uint8_t>(std::clamp<std::uint32_t>(work.of.copies, 1, wire::kCopiesMask));
  const std::size_t dot = work.path.rfind('.');
  if (dot != std::string::npos && validate_extension(work.path.substr(dot + 1)))
    request.extension = work.path.substr(dot + 1);
  std::set<std::string> groups;
  auto run = job.runs.begin();
  std::uint64_t at = run->offset; // everything of the file before it is in `parts`, or a hole
  const auto add = [&](std::string id, std::uint64_t offset, std::uint64_t length) {
    wire::RewritePart part;
    part.id = std::move(id);
    part.offset = offset;
    part.length = length;
    request.parts.push_back(std::move(part));
  };
  for (const Extent& extent : job.read) {
    while (extent.offset >= run->offset + run->length) at = (++run)->offset;
    if (extent.offset > at) add(std::string(), 0, extent.offset - at);
    const auto id = decode_ref(extent.ref);
    const auto parsed = id ? parse_file_id(*id) : Result<FileId>(Errc::corrupt);
    if (parsed) groups.insert(parsed->group);
    add(id ? *id : std::string("?"), extent.source, extent.length);
    at = extent.end();
  }
  for (const std::string& group : groups) {
    for (const Node* node : service_.cluster().members(group)) {
      if (!node->is_up()) continue;
      wire::RewriteSource source;
      source.group = group;
      source.host = node->fact.host;
      source.port = node->fact.port;
      request.sources.push_back(std::move(source));
    }
  }
  wire::OriginMark mark;
  mark.realm = wire::origin_realm(service_.cluster().facts().cluster_uuid());
  // Of no session that lives, and of the history that this store knows: a crash before the swap
  // leaves something that the sweep removes.
  mark.session = work.session_floor;
  mark.inode = work.ino;
  mark.written = written_of(job);
  mark.file_size = work.inode.size;
  mark.mode = work.inode.mode;
  mark.uid = work.inode.uid;
  mark.gid = work.inode.gid;
  mark.export_name = work.of.name;
  mark.path = work.path;
  if (job.runs.size() <= wire::kOriginRangesMax) {
    for (const RewriteJob::Run& one : job.runs) mark.ranges.push_back({one.offset, one.length});
  }
  request.mark = wire::encode_origin(mark);
  return request;
}

Task<NamespaceRewriter::Done> NamespaceRewriter::rewrite_part(const Work& work,
                                                              const RewriteJob& job) {
  const std::vector<Endpoint> nodes = nodes_for(work, job);
  const wire::Bytes body = wire::encode(request_for(work, job));
  Error failure(Errc::unavailable, "no node may store it now");
  std::string id;
  for (std::size_t i = 0; i < std::min(nodes.size(), kNodesTried) && id.empty(); ++i) {
    wire::Bytes copy = body;
    auto answer = co_await service_.call_storage(
        nodes[i], static_cast<std::uint8_t>(wire::kRewrite), std::move(copy), kRewriteTimeout);
    auto reply = answer ? wire::decode_lenient<wire::RewriteReply>(*answer)
                        : Result<wire::RewriteReply>(answer.error());
    if (reply)
      id = std::move(reply->id);
    else
      failure = std::move(reply).error();
  }
  auto ref = encode_ref(id);
  if (!ref) {
    ++service_.counters().rewrite_errors;
    log().warn("not rewritten inode={} error={}", work.ino, failure.text());
    co_return Done::failed;
  }
  std::function<Result<std::uint64_t>(Evaluation&)> swap =
      [ino = work.ino, &job,
       now = job.named(*ref)](Evaluation& evaluation) -> Result<std::uint64_t> {
    CAIRN_RETURN_IF_ERROR(evaluation.rewrite(ino, job, now));
    return std::uint64_t{1};
  };
  const auto swapped = co_await service_.writer().internal(std::move(swap));
  if (swapped) {
    ++service_.counters().rewrites;
    service_.counters().rewritten_bytes += job.bytes();
    service_.counters().rewritten_extents += job.read.size();
    co_return Done::good;
  }
  // Nobody knows what became of it: the sweep for files without a name decides.
  if (swapped.code() == Errc::unavailable || swapped.code() == Errc::io_error) {
    ++service_.counters().rewrite_errors;
    log().warn("rewrite not named inode={} error={}", work.ino, swapped.error().text());
    co_return Done::failed;
  }
  static_cast<void>(co_await service_.delete_stored(std::move(id)));
  if (swapped.code() == static_cast<Errc>(EDQUOT)) co_return Done::no_quota;
  ++service_.counters().rewrite_conflicts;
  co_return Done::conflict;
}

Task<void> NamespaceRewriter::rewrite_file(Work work) {
  for (const RewriteJob& job : work.jobs) {
    if (service_.stopping() || !service_.leads()) co_return;
    Done done = co_await rewrite_part(work, job);
    // A file at its limit: as it is, without zeros for its holes, if that is any better.
    if (done == Done::no_quota) {
      RewritePolicy policy;
      policy.fill_times = 0;
      const std::vector<RewriteJob> without = plan_rewrites(job.read, {}, policy);
      for (const RewriteJob& bare : without) {
        done = co_await rewrite_part(work, bare);
        if (done != Done::good) break;
      }
    }
    // What was in vain has cost as much.
    co_await pause(done == Done::failed ? kAfterFailure
                                        : milliseconds(job.bytes() * 1000 / policy_.rewrite_rate));
    // The rest of a file that is being written is as likely to be in vain.
    if (done == Done::conflict || done == Done::failed) co_return;
  }
  if (work.all) co_await settle(work.ino, work.written_ms);
  log().debug("rewritten inode={} files={}", work.ino, work.jobs.size());
}

} // namespace cairn::tracker
