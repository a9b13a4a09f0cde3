// Stored files that were uploaded for the namespace and never got a name: a client was killed
// between an upload and its commit.
//
//   1. storage nodes list the files with an origin mark that are old enough
//   2. those whose writer's session lives, or that the marked inode or path has, are in use
//   3. the rest is condemned: from then on no commit can name it
//   4. all inodes and extents are read; what one of them names is acquitted
//   5. what is left is deleted, and forgotten
//
// So what has a reference is never deleted, however it came by it, and nothing can get one in
// between. Files without a mark (uploaded by ID, adopted) are not even listed.
#include "common/daemon/log.h"
#include "common/wire/origin_mark.h"
#include "tracker/handlers/namespace_service.h"

#include <boost/asio/steady_timer.hpp>

#include <algorithm>
#include <unordered_set>
#include <utility>

namespace cairn::tracker {

namespace {

constexpr std::chrono::milliseconds kListTimeout{20'000};
// A member may get a file so long after its upload, and be asked only then.
constexpr std::uint64_t kLateSync = 24 * 60 * 60;
constexpr std::size_t kRowsOfOneChange = 1000;

spdlog::logger& log() {
  static spdlog::logger& one = logger("tracker.namespace");
  return one;
}

std::uint64_t unix_now() {
  return static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::seconds>(
                                        std::chrono::system_clock::now().time_since_epoch())
                                        .count());
}

bool names(const std::vector<Extent>& extents, const std::string& ref) {
  return std::ranges::any_of(extents, [&](const Extent& extent) { return extent.ref == ref; });
}

// Whether an inode has that stored file among its extents. Errors: io_error, corrupt.
Result<bool> inode_names(const KeyValueView& view, std::uint64_t ino, const std::string& ref) {
  CAIRN_TRY(row, view.get(key::inode(ino)));
  if (!row) return false;
  CAIRN_TRY(inode, decode_inode(ino, *row));
  if (inode.extent_rows == 0) return names(inode.extents, ref);
  bool found = false;
  Status damaged;
  const auto on_row = [&](std::string_view key, std::string_view value) {
    auto extent = decode_extent(key::number_at(key, 9), value);
    if (!extent) damaged = std::move(extent).error();
    found = damaged && extent->ref == ref;
    return damaged && !found;
  };
  CAIRN_RETURN_IF_ERROR(view.scan(key::prefix('E', ino), {}, on_row));
  CAIRN_RETURN_IF_ERROR(std::move(damaged));
  return found;
}

// Whether what the mark tells leads to the reference. False: it has to be looked for.
Result<bool> is_where_it_was(const KeyValueView& view, const wire::OriginMark& mark,
                             const std::string& ref) {
  if (mark.inode != 0) return inode_names(view, mark.inode, ref);
  CAIRN_TRY(root, view.get(key::export_name(mark.export_name)));
  if (!root || mark.path_is_cut) return false;
  CAIRN_TRY(ino, decode_count(*root));
  std::string_view rest = mark.path;
  while (!rest.empty()) {
    const std::string_view name = rest.substr(0, rest.find('/'));
    rest.remove_prefix(std::min(rest.size(), name.size() + 1));
    if (name.empty()) continue;
    CAIRN_TRY(row, view.get(key::entry(ino, name)));
    if (!row) return false;
    CAIRN_TRY(entry, decode_entry(*row));
    ino = entry.ino;
  }
  return inode_names(view, ino, ref);
}

// Takes out of `suspects` whatever any inode names or the queue of deletions has. Reads all of
// both. Errors: io_error, corrupt: then nothing is known of any.
Result<std::vector<std::string>> referenced(const KeyValueView& view,
                                            std::unordered_set<std::string>& suspects) {
  std::vector<std::string> used;
  Status damaged;
  const auto meet = [&](std::string_view ref) {
    const auto found = suspects.find(std::string(ref));
    if (found == suspects.end()) return;
    used.push_back(*found);
    suspects.erase(found);
  };
  const auto on_inode = [&](std::string_view key, std::string_view value) {
    const auto inode = decode_inode(key::number_at(key, 1), value);
    if (!inode) {
      damaged = inode.error();
      return false;
    }
    for (const Extent& extent : inode->extents) meet(extent.ref);
    return !suspects.empty();
  };
  const auto on_extent = [&](std::string_view key, std::string_view value) {
    const auto extent = decode_extent(key::number_at(key, 9), value);
    if (!extent) {
      damaged = extent.error();
      return false;
    }
    meet(extent->ref);
    return !suspects.empty();
  };
  const auto on_garbage = [&](std::string_view key, std::string_view) {
    meet(key.substr(9));
    return !suspects.empty();
  };
  CAIRN_RETURN_IF_ERROR(view.scan("I", {}, on_inode));
  CAIRN_RETURN_IF_ERROR(damaged);
  CAIRN_RETURN_IF_ERROR(view.scan("E", {}, on_extent));
  CAIRN_RETURN_IF_ERROR(damaged);
  CAIRN_RETURN_IF_ERROR(view.scan("G", {}, on_garbage));
  return used;
}

class Mark {
public:
  explicit Mark(bool& flag) : flag_(flag) { flag_ = true; }
  Mark(const Mark&) = delete;
  Mark& operator=(const Mark&) = delete;
  ~Mark() { flag_ = false; }

private:
  bool& flag_;
};

} // namespace

Task<void> NamespaceService::sweep_sometimes() {
  const auto now = std::chrono::steady_clock::now();
  if (now < next_sweep_ || sweeping_) co_return;
  next_sweep_ = now + std::chrono::seconds(orphan_age_s_);
  const std::uint64_t began = unix_now();
  const auto swept = co_await sweep(orphan_age_s_, swept_until_, true);
  if (!swept) {
    log().warn("stored files without a name were not looked for error={}", swept.error().text());
    co_return;
  }
  if (!swept->found.empty())
    log().info("stored files without a name found={} removed={}", swept->found.size(),
               swept->removed);
  // What could not be asked or removed is looked at again.
  if (!swept->groups.empty() || swept->removed < swept->found.size()) co_return;
  const std::uint64_t slack = orphan_age_s_ + kLateSync;
  swept_until_ = began > slack ? began - slack : 0;
}

Task<Status> NamespaceService::collect_unnamed(std::string group, std::uint64_t age_s,
                                               std::uint64_t since, Sweep& out,
                                               std::vector<std::string>& suspects) {
  std::vector<Endpoint> members;
  for (const Node* node : cluster_.members(group)) {
    if (!node->is_up()) continue;
    Endpoint endpoint;
    endpoint.host = node->fact.host;
    endpoint.port = node->fact.port;
    members.push_back(std::move(endpoint));
  }
  if (members.empty()) co_return Error{Errc::unavailable, "no member of " + group + " is up"};
  const Endpoint member = members[sweep_turn_ % members.size()];
  const std::uint32_t realm = wire::origin_realm(cluster_.facts().cluster_uuid());
  wire::ListMarked request;
  request.age_s = age_s;
  request.since = since;
  for (bool done = false; !done && suspects.size() < kSweepMax && !stopping_;) {
    wire::Bytes body = wire::encode(request);
    CAIRN_CO_TRY(answer,
                 co_await storages_.call(member, static_cast<std::uint8_t>(wire::kListMarked),
                                         std::move(body), kListTimeout));
    CAIRN_CO_TRY(page, wire::decode_lenient<wire::ListMarkedReply>(answer));
    done = page.done || page.last == request.after;
    request.after = page.last;
    struct Doubtful {
      wire::OriginMark mark;
      std::string ref;
    };
    std::vector<Doubtful> doubtful;
    for (const wire::MarkedFile& file : page.files) {
      ++out.looked_at;
      auto mark = wire::decode_origin(file.mark);
      auto ref = encode_ref(group + "/" + file.name);
      if (!mark || !ref || mark->realm != realm) {
        ++out.unknown;
        continue;
      }
      if (sessions_.contains(mark->session)) continue;
      Doubtful one;
      one.mark = *std::move(mark);
      one.ref = *std::move(ref);
      doubtful.push_back(std::move(one));
    }
    struct Judged {
      std::vector<std::string> suspects;
      std::uint64_t unknown = 0;
    };
    auto judge = [this, &doubtful]() -> Result<Judged> {
      Judged judged;
      const auto view = store_.view();
      CAIRN_TRY(state, read_state(*view));
      for (Doubtful& one : doubtful) {
        const std::uint64_t session = one.mark.session;
        if (session < state.session_floor || session >= state.session) {
          ++judged.unknown;
          continue;
        }
        CAIRN_TRY(used, is_where_it_was(*view, one.mark, one.ref));
        if (!used) judged.suspects.push_back(std::move(one.ref));
      }
      return judged;
    };
    CAIRN_CO_TRY(judged, co_await pool_.run(std::move(judge)));
    out.unknown += judged.unknown;
    std::ranges::move(judged.suspects, std::back_inserter(suspects));
  }
  co_return Status();
}

Task<Status> NamespaceService::mark_stored(std::vector<std::string> refs, bool condemned) {
  for (std::size_t at = 0; at < refs.size(); at += kRowsOfOneChange) {
    const auto from = refs.begin() + static_cast<std::ptrdiff_t>(at);
    const auto to =
        refs.begin() + static_cast<std::ptrdiff_t>(std::min(refs.size(), at + kRowsOfOneChange));
    std::vector<std::string> some(from, to);
    std::function<Result<std::uint64_t>(Evaluation&)> work =
        [some = std::move(some), condemned](Evaluation& evaluation) -> Result<std::uint64_t> {
      condemned ? evaluation.condemn(some) : evaluation.acquit(some);
      return std::uint64_t{0};
    };
    CAIRN_CO_TRY(done, co_await writer_.internal(std::move(work)));
    static_cast<void>(done);
  }
  co_return Status();
}

Task<Result<NamespaceService::Sweep>> NamespaceService::sweep(std::uint64_t age_s,
                                                              std::uint64_t since, bool remove) {
  if (sweeping_) co_return Error{Errc::busy, "stored files are being looked at already"};
  const Mark mark(sweeping_);
  ++sweep_turn_;
  Sweep out;
  std::vector<std::string> suspects;
  std::vector<std::string> groups;
  for (const auto& [name, fact] : cluster_.facts().groups()) groups.push_back(name);
  for (const std::string& group : groups) {
    const Status asked = co_await collect_unnamed(group, age_s, since, out, suspects);
    if (!asked) {
      log().debug("group not looked at group={} error={}", group, asked.error().text());
      out.groups.push_back(group);
    }
  }
  if (suspects.empty() || stopping_) co_return out;

  if (remove) {
    std::vector<std::string> all = suspects;
    CAIRN_CO_RETURN_IF_ERROR(co_await mark_stored(std::move(all), true));
  }
  // Only now: whoever named one of them before is in this view.
  std::unordered_set<std::string> left(suspects.begin(), suspects.end());
  auto search = [this, &left] {
    const auto view = store_.view();
    return referenced(*view, left);
  };
  auto used = co_await pool_.run(std::move(search));
  std::vector<std::string> settled; // no longer to be condemned
  Status failure;
  if (!used) {
    failure = std::move(used).error();
    settled = std::move(suspects);
    left.clear();
  } else {
    settled = *std::move(used);
  }
  for (const std::string& ref : left) {
    auto id = decode_ref(ref);
    if (!id) continue;
    const bool gone = remove && !stopping_ && co_await delete_stored(*id);
    if (gone) {
      ++out.removed;
      ++counters_.stored_orphans;
    }
    out.found.push_back(*std::move(id));
    settled.push_back(ref);
  }
  if (remove) CAIRN_CO_RETURN_IF_ERROR(co_await mark_stored(std::move(settled), false));
  CAIRN_CO_RETURN_IF_ERROR(std::move(failure));
  co_return out;
}

} // namespace cairn::tracker
