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
  auto report = admin(**client, {{"verb", "namespace.check"}});
  if (!report) return context.fail("fsck", report.error());
  Missing missing;
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
    context.say(std::to_string(report->value("inodes", std::uint64_t{0})) + " inodes, " +
                std::to_string(report->value("stored_files", std::uint64_t{0})) +
                " stored files, " + std::to_string(faults.size()) + " faults" +
                (args.data ? ", " + std::to_string(missing.lines.size()) + " missing, " +
                                 std::to_string(missing.unknown) + " not to be asked"
                           : std::string()));
  }
  if (!faults.empty() || !missing.lines.empty()) return kVerifyFailed;
  return missing.unknown == 0 ? kGood : kDegraded;
}

} // namespace cairn::tools
