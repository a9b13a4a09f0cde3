// cairn fsck
#include "tools/admin.h"
#include "tools/cluster_path.h"
#include "tools/tree_verbs.h"

#include <nlohmann/json.hpp>

#include <set>

namespace cairn::tools {

namespace {

// What the namespace names and the storage nodes do not have.
struct Missing {
  std::uint64_t asked = 0;
  std::uint64_t unknown = 0; // nobody could say
  std::vector<std::string> lines;
};

Status ask_storage(Trees& trees, Client& client, Missing& out) {
  CAIRN_TRY(tree, trees.admin());
  std::set<std::string> asked;
  return tree->walk([&](const std::vector<DirectoryEntry>& entries) -> Status {
    for (const DirectoryEntry& entry : entries) {
      for (const std::string& id : entry.status.ids) {
        if (!asked.insert(id).second) continue;
        ++out.asked;
        const auto info = client.info(id);
        if (info) continue;
        const std::string name =
            entry.name.empty() ? "inode " + std::to_string(entry.status.inode) : entry.name;
        if (info.code() == Errc::not_found)
          out.lines.push_back(name + ": " + id + " is on no node");
        else
          ++out.unknown;
      }
    }
    return {};
  });
}

} // namespace

int run_fsck(Context& context, const FsckArgs& args) {
  auto client = context.client();
  if (!client) return context.fail("fsck", client.error());
  auto report = admin(**client, {{"verb", "namespace.check"}, {"repair", args.repair}});
  if (!report) return context.fail("fsck", report.error());
  Missing missing;
  std::vector<std::string> unnamed;
  if (args.data || args.repair) {
    auto swept = admin(**client, {{"verb", "namespace.sweep"}, {"repair", args.repair}});
    if (!swept) return context.fail("fsck", swept.error());
    unnamed = swept->value("unnamed", unnamed);
    missing.unknown += swept->value("groups_away", std::vector<std::string>()).size();
    (*report)["marked"] = swept->value("looked_at", std::uint64_t{0});
    (*report)["unnamed"] = unnamed;
    (*report)["removed"] = swept->value("removed", std::uint64_t{0});
  }
  if (args.data) {
    Trees trees(context);
    if (auto done = ask_storage(trees, **client, missing); !done)
      return context.fail("fsck --data", done.error());
    (*report)["asked"] = missing.asked;
    (*report)["unknown"] = missing.unknown;
    (*report)["missing"] = missing.lines;
  }
  const auto faults = report->value("faults", std::vector<std::string>());
  if (context.json()) {
    context.answer_json(*report);
  } else {
    for (const std::string& line : faults) context.answer(line);
    for (const std::string& line : missing.lines) context.answer(line);
    for (const std::string& id : unnamed) context.answer(id + " is stored, and nothing names it");
    context.say(std::to_string(report->value("inodes", std::uint64_t{0})) + " inodes, " +
                std::to_string(report->value("stored_files", std::uint64_t{0})) +
                " stored files, " + std::to_string(faults.size()) + " faults" +
                (args.data ? ", " + std::to_string(missing.lines.size()) + " missing, " +
                                 std::to_string(missing.unknown) + " not to be asked, " +
                                 std::to_string(unnamed.size()) + " without a name"
                           : std::string()));
    if (args.repair)
      context.say(std::to_string(report->value("mended", std::uint64_t{0})) + " rows mended, " +
                  std::to_string(report->value("removed", std::uint64_t{0})) +
                  " stored files removed");
  }
  if (args.repair && (!faults.empty() || !unnamed.empty())) {
    // What is left is what a second look finds.
    auto again = admin(**client, {{"verb", "namespace.check"}});
    if (!again) return context.fail("fsck", again.error());
    const auto left = again->value("faults", std::vector<std::string>());
    if (!left.empty() || !missing.lines.empty()) return kVerifyFailed;
    return missing.unknown == 0 ? kGood : kDegraded;
  }
  if (!faults.empty() || !missing.lines.empty() || !unnamed.empty()) return kVerifyFailed;
  return missing.unknown == 0 ? kGood : kDegraded;
}

} // namespace cairn::tools
