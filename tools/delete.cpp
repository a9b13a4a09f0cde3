// cairn delete: a few files by ID, or many by a list.
#include "common/base/file_id.h"
#include "common/base/text.h"
#include "tools/cluster_path.h"
#include "tools/context.h"
#include "tools/nodes.h"
#include "tools/verbs.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <ctime>
#include <fstream>
#include <functional>
#include <iostream>
#include <set>
#include <thread>

namespace cairn::tools {

namespace {

// Whether the IDs come one after the other from somewhere instead of the command line.
bool is_bulk(const DeleteArgs& args) {
  return !args.from_list.empty() || !args.older_than.empty();
}

// Deletes (or looks at) one file after the other, and keeps count.
class Deleter {
public:
  Deleter(Context& context, Client& client, const DeleteArgs& args)
      : context_(context), client_(client), args_(args), next_(Clock::now()) {}

  void take(const std::string& id) {
    if (args_.rate > 0) {
      std::this_thread::sleep_until(next_);
      next_ = std::max(next_, Clock::now() - std::chrono::seconds(1)) +
              std::chrono::nanoseconds(1'000'000'000 / args_.rate);
    }
    const Status status = args_.dry_run ? look(id) : client_.remove(id);
    if (status) {
      ++good_;
      if (!is_bulk(args_)) deleted_.push_back(id);
      return;
    }
    ++failed_;
    const int code = context_.fail((args_.dry_run ? "look at " : "delete ") + id, status.error());
    if (first_failure_ == kGood) first_failure_ = code;
  }

  int finish() const {
    if (context_.json()) {
      nlohmann::json answer{{"failed", failed_}};
      if (!is_bulk(args_))
        answer["deleted"] = deleted_;
      else
        answer["deleted_count"] = args_.dry_run ? 0 : good_;
      if (args_.dry_run) answer["found"] = good_;
      context_.answer_json(answer);
    } else if (args_.dry_run || is_bulk(args_)) {
      context_.say(std::to_string(good_) + (args_.dry_run ? " would be deleted, " : " deleted, ") +
                   std::to_string(failed_) + " failed");
    }
    if (first_failure_ == kGood) return kGood;
    return good_ > 0 ? kPartial : first_failure_;
  }

private:
  using Clock = std::chrono::steady_clock;

  Status look(const std::string& id) {
    const auto info = client_.info(id);
    return info ? Status() : Status(info.error());
  }

  Context& context_;
  Client& client_;
  const DeleteArgs& args_;
  Clock::time_point next_;
  std::size_t good_ = 0;
  std::size_t failed_ = 0;
  int first_failure_ = kGood;
  nlohmann::json deleted_ = nlohmann::json::array();
};

// Calls `each` with the lines that hold an ID; # begins a comment line.
Status read_list(const std::string& file, const std::function<void(const std::string&)>& each) {
  std::ifstream opened;
  if (file != "-") {
    opened.open(file);
    if (!opened) return errno_error("open " + file, errno);
  }
  std::istream& in = file == "-" ? std::cin : opened;
  for (std::string line; std::getline(in, line);) {
    const std::string_view id = trim(line);
    if (!id.empty() && id.front() != '#') each(std::string(id));
  }
  if (in.bad()) return errno_error("read " + file, errno);
  return {};
}

constexpr std::uint32_t kPage = 1000;

// The data of exports are stored files like all others: their age says nothing about whether they
// are needed. Errors: exists (an export may keep data in that group).
Status expect_no_exports(Context& context, const std::string& group) {
  Trees trees(context);
  CAIRN_TRY(tree, trees.admin());
  CAIRN_TRY(exports, tree->exports(""));
  for (const ExportInfo& info : exports) {
    if (info.groups.empty() ||
        std::find(info.groups.begin(), info.groups.end(), group) != info.groups.end())
      return Error{Errc::exists, "export " + info.name + " may keep its data in " + group +
                                     "; give the files by --from-list"};
  }
  return {};
}

// One page of what a member of the group lists after `after`: of the first that answers.
Result<wire::ListFilesReply> page_of(Client& client, const std::vector<ClusterNode>& nodes,
                                     const std::string& group, const std::string& after) {
  Error last{Errc::not_found, "no node of group " + group + " is known"};
  for (const ClusterNode& node : nodes) {
    if (node.group != group) continue;
    auto page = list_files(client, node, after, kPage);
    if (page) return page;
    last = std::move(page).error();
    if (last.code == Errc::denied)
      last.detail = "listing files needs the cluster's secret (" + node_name(node) + ")";
  }
  return last;
}

// The slave files of a master: those whose names go on where its name has its extension.
Result<std::vector<std::string>> slaves_of(Client& client, const std::vector<ClusterNode>& nodes,
                                           const std::string& id) {
  CAIRN_TRY(parsed, parse_id(id));
  std::vector<std::string> slaves;
  if (parsed.type == FileType::slave) return slaves;
  CAIRN_TRY(master, parse_remote_name(parsed.name));
  const std::string canonical = master.canonical();
  const std::string stem = canonical.substr(0, canonical.find('.'));
  for (std::string after = stem;;) {
    CAIRN_TRY(page, page_of(client, nodes, parsed.group, after));
    for (const wire::FileSummary& file : page.files) {
      if (!file.name.starts_with(stem)) return slaves;
      const auto name = parse_remote_name(file.name);
      if (name && name->kind() == FileKind::slave) slaves.push_back(parsed.group + "/" + file.name);
    }
    if (page.done || page.files.empty()) return slaves;
    after = page.files.back().name;
  }
}

// Every file of every group that is older than asked for. Slaves are as old as they are, whatever
// their master is.
Status take_older(Client& client, const std::vector<ClusterNode>& nodes, const DeleteArgs& args,
                  const std::function<Status(const std::string&)>& take) {
  CAIRN_TRY(age, parse_duration(args.older_than));
  const auto before = static_cast<std::int64_t>(std::time(nullptr)) - age.count();
  std::set<std::string> groups;
  for (const ClusterNode& node : nodes) groups.insert(node.group);
  for (const std::string& group : groups) {
    for (std::string after;;) {
      CAIRN_TRY(page, page_of(client, nodes, group, after));
      for (const wire::FileSummary& file : page.files) {
        if (static_cast<std::int64_t>(file.mtime) >= before) continue;
        const auto name = parse_remote_name(file.name);
        // With its master, or without it by its own age.
        if (args.with_slaves && name && name->kind() == FileKind::slave) continue;
        CAIRN_RETURN_IF_ERROR(take(group + "/" + file.name));
      }
      if (page.done || page.files.empty()) break;
      after = page.files.back().name;
    }
  }
  return {};
}

} // namespace

int run_delete(Context& context, const DeleteArgs& args) {
  if (!args.older_than.empty() && args.group.empty())
    return context.usage("delete --older-than: in which --group?");
  if (static_cast<int>(!args.ids.empty()) + static_cast<int>(!args.from_list.empty()) +
          static_cast<int>(!args.older_than.empty()) !=
      1)
    return context.usage("delete: IDs, --from-list FILE, or --older-than AGE");
  auto client = context.client();
  if (!client) return context.fail("delete", client.error());
  std::vector<ClusterNode> nodes;
  if (!args.older_than.empty()) {
    if (const Status unused = expect_no_exports(context, args.group); !unused)
      return context.fail("delete --older-than", unused.error());
  }
  if (args.with_slaves || !args.older_than.empty()) {
    auto cluster = (*client)->cluster();
    if (!cluster) return context.fail("delete", cluster.error());
    nodes = members(*cluster, args.group);
  }
  Deleter deleter(context, **client, args);
  const auto take = [&](const std::string& id) -> Status {
    if (args.with_slaves) {
      // First the slaves: if this is cut short, the master still says that there are some.
      CAIRN_TRY(slaves, slaves_of(**client, nodes, id));
      for (const std::string& slave : slaves) deleter.take(slave);
    }
    deleter.take(id);
    return {};
  };
  Status done;
  if (!args.older_than.empty()) {
    done = take_older(**client, nodes, args, take);
  } else if (!args.from_list.empty()) {
    const Status read = read_list(args.from_list, [&](const std::string& id) {
      if (done) done = take(id);
    });
    if (done) done = read;
  } else {
    for (const std::string& id : args.ids)
      if (done) done = take(id);
  }
  if (!done) {
    const int code = context.fail("delete", done.error());
    deleter.finish();
    return code;
  }
  return deleter.finish();
}

} // namespace cairn::tools
