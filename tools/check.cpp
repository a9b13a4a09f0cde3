// cairn check: waits for the sync position seen at its start, then compares the members of each
// group: digests of directories first, then the files of those that differ. Each node looks at its
// files on the way, so that damaged and missing ones are found too. With --repair each node that is
// concerned makes its own copy right.
#include "tools/admin.h"
#include "tools/compare.h"
#include "tools/context.h"
#include "tools/nodes.h"
#include "tools/status_model.h"
#include "tools/verbs.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <map>
#include <set>
#include <thread>

namespace cairn::tools {

namespace {

using Clock = std::chrono::steady_clock;

constexpr std::chrono::milliseconds kTimeout{60'000};
constexpr std::chrono::milliseconds kPoll{250};
constexpr std::uint32_t kPageSize = 1000;
// A node may have to read a large file before it can answer.
constexpr std::chrono::minutes kDigestTimeout{10};
// More differences are counted, not shown.
constexpr std::size_t kShownMax = 1000;
// Looks at a file that seems to differ: it may only have changed while it was listed.
constexpr int kLooks = 4;

Result<ClusterStatus> ask_status(Client& client) {
  const nlohmann::json request{{"verb", "status"}};
  CAIRN_TRY(reply, admin(client, request));
  return read_status(reply);
}

bool is_up(const StatusNode& node) {
  return node.node.state == NodeState::active || node.node.state == NodeState::online;
}

bool concerns(const StatusNode& node, const std::string& group) {
  return group.empty() || node.node.group == group;
}

// Waits until every change that was made before now has come to every member. Errors: timeout.
Status wait_for_sync(Client& client, const std::string& group, Clock::time_point end) {
  std::uint64_t start = 0;
  std::map<std::uint32_t, std::uint64_t> wanted; // by source: its last record
  for (std::string behind;;) {
    CAIRN_TRY(status, ask_status(client));
    if (start == 0) start = status.time;
    behind.clear();
    for (const StatusNode& node : status.nodes) {
      if (!concerns(node, group) || !is_up(node)) continue;
      // Only a heartbeat sent after we began speaks of everything stored before.
      if (!wanted.contains(node.node.id) && node.last_heartbeat > start)
        wanted[node.node.id] = node.end_seq;
      if (!wanted.contains(node.node.id)) behind = node_name(node.node) + " has not reported";
    }
    for (const StatusSync& sync : status.sync) {
      const StatusNode* from = status.find(sync.from);
      const StatusNode* to = status.find(sync.to);
      if (!concerns(*from, group) || !is_up(*from) || !is_up(*to)) continue;
      const auto target = wanted.find(sync.from);
      if (target == wanted.end()) continue;
      if (sync.lag_files > 0 && sync.acked_seq < target->second)
        behind = node_name(to->node) + " lacks " + std::to_string(sync.lag_files) + " changes of " +
                 node_name(from->node);
    }
    if (behind.empty()) return {};
    if (Clock::now() >= end) return Error{Errc::timeout, "sync has not caught up: " + behind};
    std::this_thread::sleep_for(kPoll);
  }
}

struct Difference {
  std::string name;
  DifferenceKind kind = DifferenceKind::missing;
  std::vector<CopyState> copies;
  std::string cause; // after --repair: why it still differs
};

struct GroupReport {
  std::string group;
  std::vector<ClusterNode> nodes;
  std::vector<std::string> unreachable;
  std::uint64_t files = 0;
  std::uint64_t difference_count = 0; // those that were repaired not counted
  std::uint64_t repaired = 0;
  std::uint64_t postponed = 0;         // of the differences: a member cannot be asked now
  std::vector<Difference> differences; // the first kShownMax
};

using Digests = std::map<std::string, wire::DirectoryDigest>;

// Looks at a file again that seemed to differ. nullopt: it does not.
std::optional<Difference> look_again(Client& client, const std::vector<ClusterNode>& nodes,
                                     Difference difference) {
  for (int look = 0; look < kLooks; ++look) {
    if (look > 0) std::this_thread::sleep_for(kPoll);
    std::vector<CopyState> copies;
    for (const ClusterNode& node : nodes) {
      const auto reply = probe(client, node, difference.name);
      if (!reply) {
        difference.cause = node_name(node) + ": " + reply.error().text();
        return difference;
      }
      copies.push_back(copy_state(*reply));
    }
    const auto kind = judge_copies(copies);
    if (!kind) return std::nullopt;
    difference.kind = *kind;
    difference.copies = std::move(copies);
  }
  return difference;
}

// What one node has, by directory; the names of its damaged and missing files go to `problems`.
Result<Digests> digests_of(Client& client, const ClusterNode& node, bool quick,
                           std::set<std::string>& problems) {
  Digests digests;
  wire::DigestFiles request;
  request.look = quick ? wire::DigestLook::catalogue : wire::DigestLook::disk;
  for (;;) {
    CAIRN_TRY(reply, digest_files(client, node, request, kDigestTimeout));
    for (const wire::DirectoryDigest& part : reply.directories) {
      wire::DirectoryDigest& whole = digests[part.directory];
      whole.count += part.count;
      whole.sum += part.sum;
    }
    for (const wire::FileProblem& problem : reply.problems) problems.insert(problem.name);
    if (reply.done) return digests;
    if (reply.last <= request.after)
      return Error{Errc::corrupt, "the digests do not move on at " + request.after};
    request.after = reply.last;
  }
}

// The files of one directory that differ by what the catalogues say.
Status compare_directory(Client& client, const std::vector<ClusterNode>& nodes,
                         const std::string& directory, std::set<std::string>& suspects) {
  const std::string prefix = directory + "/";
  CatalogueMerge merge(nodes.size(), prefix);
  for (;;) {
    while (const auto member = merge.wants_page()) {
      auto page = list_files(client, nodes[*member], merge.after(*member), kPageSize);
      if (!page) return Error{page.code(), node_name(nodes[*member]) + ": " + page.error().detail};
      std::erase_if(page->files, [&](const wire::FileSummary& file) {
        const bool beyond = !file.name.starts_with(prefix);
        page->done = page->done || beyond;
        return beyond;
      });
      CAIRN_RETURN_IF_ERROR(merge.add_page(*member, *std::move(page)));
    }
    auto file = merge.next();
    if (!file) return {};
    if (judge_copies(file->copies)) suspects.insert(std::move(file->name));
  }
}

// Lets every node make its copy right. What still differs comes back.
std::optional<Difference> repair(Client& client, const std::vector<ClusterNode>& nodes,
                                 Difference difference, GroupReport& report) {
  bool postponed = false;
  for (const ClusterNode& node : nodes) {
    const auto reply = repair_file(client, node, difference.name, kDigestTimeout);
    if (!reply || reply->outcome == wire::RepairOutcome::later) postponed = true;
    if (!reply)
      difference.cause = node_name(node) + ": " + reply.error().text();
    else if (reply->outcome == wire::RepairOutcome::lost ||
             reply->outcome == wire::RepairOutcome::later)
      difference.cause = node_name(node) + ": " + reply->detail;
  }
  auto left = look_again(client, nodes, std::move(difference));
  if (left && postponed) ++report.postponed;
  if (!left) ++report.repaired;
  return left;
}

Result<GroupReport> compare_group(Client& client, std::string group, std::vector<ClusterNode> nodes,
                                  const CheckArgs& args) {
  GroupReport report;
  report.group = std::move(group);
  std::erase_if(nodes, [&report](const ClusterNode& node) {
    const bool up = node.state == NodeState::active || node.state == NodeState::online;
    if (!up) report.unreachable.push_back(node_name(node));
    return !up;
  });
  report.nodes = std::move(nodes);

  std::set<std::string> suspects;
  std::set<std::string> directories;
  std::vector<Digests> digests;
  for (const ClusterNode& node : report.nodes) {
    auto of_node = digests_of(client, node, args.quick, suspects);
    if (!of_node) return Error{of_node.code(), node_name(node) + ": " + of_node.error().detail};
    std::uint64_t files = 0;
    for (const auto& [directory, digest] : *of_node) {
      directories.insert(directory);
      files += digest.count;
    }
    report.files = std::max(report.files, files);
    digests.push_back(*std::move(of_node));
  }
  for (const std::string& directory : directories) {
    const auto same = [&](const Digests& of_node) {
      const auto found = of_node.find(directory);
      const auto first = digests.front().find(directory);
      return found != of_node.end() && first != digests.front().end() &&
             found->second.sum == first->second.sum && found->second.count == first->second.count;
    };
    if (std::all_of(digests.begin(), digests.end(), same)) continue;
    CAIRN_RETURN_IF_ERROR(compare_directory(client, report.nodes, directory, suspects));
  }

  for (const std::string& name : suspects) {
    Difference difference;
    difference.name = name;
    auto confirmed = look_again(client, report.nodes, std::move(difference));
    if (confirmed && args.repair)
      confirmed = repair(client, report.nodes, *std::move(confirmed), report);
    if (!confirmed) continue;
    ++report.difference_count;
    if (report.differences.size() < kShownMax) report.differences.push_back(*std::move(confirmed));
  }
  return report;
}

std::string copy_text(const CopyState& copy) {
  if (!copy.present) return copy.deleted ? "deleted" : "missing";
  std::string text = std::to_string(copy.size) + " bytes, crc32 " + hex32(copy.crc32);
  if (copy.damaged) text += ", DAMAGED";
  if (copy.meta_crc32 != 0) text += ", metadata " + hex32(copy.meta_crc32);
  return text;
}

nlohmann::json report_json(const GroupReport& report) {
  nlohmann::json document{{"group", report.group},
                          {"files", report.files},
                          {"differences", report.difference_count},
                          {"repaired", report.repaired},
                          {"unreachable", report.unreachable},
                          {"nodes", nlohmann::json::array()},
                          {"files_differing", nlohmann::json::array()}};
  for (const ClusterNode& node : report.nodes) document["nodes"].push_back(node_name(node));
  for (const Difference& difference : report.differences) {
    nlohmann::json one{{"id", report.group + "/" + difference.name},
                       {"kind", describe(difference.kind)},
                       {"copies", nlohmann::json::array()}};
    if (!difference.cause.empty()) one["cause"] = difference.cause;
    for (std::size_t i = 0; i < difference.copies.size(); ++i) {
      const CopyState& copy = difference.copies[i];
      nlohmann::json at{{"node", node_name(report.nodes[i])}, {"present", copy.present}};
      if (copy.deleted) at["deleted"] = true;
      if (copy.present) {
        at["size"] = copy.size;
        at["crc32"] = hex32(copy.crc32);
        at["damaged"] = copy.damaged;
        at["meta_crc32"] = hex32(copy.meta_crc32);
      }
      one["copies"].push_back(std::move(at));
    }
    document["files_differing"].push_back(std::move(one));
  }
  return document;
}

void show(const Context& context, const GroupReport& report) {
  for (const Difference& difference : report.differences) {
    context.answer(std::string(describe(difference.kind)) + "  " + report.group + "/" +
                   difference.name);
    for (std::size_t i = 0; i < difference.copies.size(); ++i)
      context.answer("    " + node_name(report.nodes[i]) + ": " + copy_text(difference.copies[i]));
    if (!difference.cause.empty()) context.answer("    " + difference.cause);
  }
  std::string line = report.group + ": " + std::to_string(report.files) + " files on " +
                     std::to_string(report.nodes.size()) + " nodes, " +
                     std::to_string(report.difference_count) + " differ";
  if (report.difference_count > report.differences.size())
    line += " (the first " + std::to_string(report.differences.size()) + " are listed)";
  if (report.repaired > 0) line += ", " + std::to_string(report.repaired) + " repaired";
  for (const std::string& node : report.unreachable) line += "; " + node + " could not be asked";
  context.say(line);
}

} // namespace

int run_check(Context& context, const CheckArgs& args) {
  auto client = context.client();
  if (!client) return context.fail("check", client.error());
  const auto end = Clock::now() + context.timeout_or(kTimeout);
  if (const Status synced = wait_for_sync(**client, args.group, end); !synced)
    return context.fail("check", synced.error());

  const auto cluster = (*client)->cluster(args.group);
  if (!cluster) return context.fail("check", cluster.error());
  std::map<std::string, std::vector<ClusterNode>> groups;
  for (ClusterNode& node : members(*cluster, args.group)) groups[node.group].push_back(node);
  if (groups.empty())
    return context.fail(
        "check", Error(Errc::not_found, args.group.empty() ? "the cluster has no storage node"
                                                           : "no node is in " + args.group));
  nlohmann::json reports = nlohmann::json::array();
  bool differs = false;
  bool postponed = true; // all that differs
  bool unreachable = false;
  for (auto& [group, nodes] : groups) {
    const auto report = compare_group(**client, group, std::move(nodes), args);
    if (!report) return context.fail("check " + group, report.error());
    differs = differs || report->difference_count > 0;
    postponed = postponed && report->postponed == report->difference_count;
    unreachable = unreachable || !report->unreachable.empty();
    if (context.json())
      reports.push_back(report_json(*report));
    else
      show(context, *report);
  }
  if (context.json())
    context.answer_json({{"groups", reports}, {"good", !differs && !unreachable}});
  // What only waits for a member to come back is repaired then, without our help.
  if (differs) return args.repair && postponed ? kDegraded : kVerifyFailed;
  return unreachable ? kUnavailable : kGood;
}

} // namespace cairn::tools
