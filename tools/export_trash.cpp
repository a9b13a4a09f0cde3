// cairn trash /EXPORT[/PREFIX]: names that were removed from an export, chosen by where they were,
// what they were called and when they went. (Files that were deleted by ID are in
// stored_trash.cpp.)
#include "common/base/text.h"
#include "tools/cluster_path.h"
#include "tools/tree_verbs.h"

#include <nlohmann/json.hpp>

#include <ctime>
#include <fnmatch.h>
#include <map>
#include <time.h>

namespace cairn::tools {

namespace {

// "2h" before now, or a local time as "2026-11-22 10:30[:00]" (a `T` between them is as good).
// Errors: invalid_argument.
Result<std::int64_t> parse_moment(const std::string& text) {
  if (const auto ago = parse_duration(text))
    return static_cast<std::int64_t>(std::time(nullptr)) - ago->count();
  for (const char* format :
       {"%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M", "%Y-%m-%d"}) {
    std::tm parts{};
    parts.tm_isdst = -1;
    const char* end = ::strptime(text.c_str(), format, &parts);
    if (end != nullptr && *end == '\0') return static_cast<std::int64_t>(std::mktime(&parts));
  }
  return Error{Errc::invalid_argument,
               "'" + text + "' is neither a time such as 2h nor one such as 2026-11-22 10:30"};
}

struct Filter {
  std::int64_t since = 0;  // removed then or later
  std::int64_t before = 0; // and before; 0: until now
  std::string name;        // pattern of the last part of the path; empty: all

  bool takes(const TrashItem& item) const {
    if (before != 0 && item.removed >= before) return false;
    const std::string last = item.path.substr(item.path.rfind('/') + 1);
    return name.empty() || ::fnmatch(name.c_str(), last.c_str(), 0) == 0;
  }
};

Result<Filter> filter_of(const TrashArgs& args) {
  Filter filter;
  if (args.since) {
    CAIRN_TRY(since, parse_moment(*args.since));
    filter.since = since;
  }
  if (args.before) {
    CAIRN_TRY(before, parse_moment(*args.before));
    filter.before = before;
  }
  filter.name = args.name;
  return filter;
}

int list(Context& context, const std::string& export_name, const std::vector<TrashItem>& items) {
  nlohmann::json out = nlohmann::json::array();
  for (const TrashItem& item : items) {
    if (context.json())
      out.push_back({{"path", item.path},
                     {"size", item.size},
                     {"removed", item.removed},
                     {"expires", item.expires}});
    else
      context.answer(human_time(item.removed) + "  " + human_bytes(item.size) + "  /" +
                     export_name + "/" + item.path);
  }
  if (context.json()) context.answer_json(out);
  return kGood;
}

int restore(Context& context, Namespace& tree, const std::string& export_name,
            const std::vector<TrashItem>& items) {
  nlohmann::json out = nlohmann::json::array();
  std::size_t failures = 0;
  // Of several with one name the youngest is the one that comes back.
  std::map<std::string, TrashItem> newest;
  for (const TrashItem& item : items) {
    auto& best = newest[item.path];
    if (best.inode == 0 || best.removed <= item.removed) best = item;
  }
  for (const auto& [name, item] : newest) {
    if (auto done = tree.restore(item.inode, name, true); !done) {
      context.fail("restore " + name, done.error());
      ++failures;
      continue;
    }
    if (context.json())
      out.push_back({{"path", name}, {"restored", true}});
    else
      context.say("restored /" + export_name + "/" + name);
  }
  if (context.json()) context.answer_json(out);
  if (failures == 0) return kGood;
  return failures == newest.size() ? kConflict : kPartial;
}

} // namespace

int run_trash(Context& context, const TrashArgs& args) {
  if (args.path.empty()) return context.usage("trash: /EXPORT[/PREFIX], or ls, restore, purge");
  const auto path = parse_cluster_path(args.path);
  if (!path) return context.usage(path.error().detail);
  const auto filter = filter_of(args);
  if (!filter) return context.usage(filter.error().detail);
  Trees trees(context);
  auto tree = args.restore ? trees.of(*path) : trees.admin();
  if (!tree) return context.fail(args.path, tree.error());
  auto items = (*tree)->trash(path->export_name, path->path, filter->since);
  if (!items) return context.fail(args.path, items.error());
  std::erase_if(*items, [&](const TrashItem& item) { return !filter->takes(item); });
  return args.restore ? restore(context, **tree, path->export_name, *items)
                      : list(context, path->export_name, *items);
}

} // namespace cairn::tools
