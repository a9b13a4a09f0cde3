// cairn export
#include "common/base/text.h"
#include "tools/cluster_path.h"
#include "tools/tree_verbs.h"

#include <nlohmann/json.hpp>

#include <charconv>

namespace cairn::tools {

namespace {

nlohmann::json json_of(const ExportInfo& info) {
  return {{"name", info.name},
          {"public", info.is_public},
          {"readonly", info.read_only},
          {"listing", info.listing},
          {"quota_bytes", info.quota_bytes},
          {"quota_inodes", info.quota_inodes},
          {"used_bytes", info.used_bytes},
          {"used_inodes", info.used_inodes},
          {"clients", info.clients},
          {"copies", info.copies},
          {"groups", info.groups},
          {"squash", info.squash},
          {"trash_seconds", info.trash_seconds}};
}

std::vector<std::string> list_of(const std::string& text) {
  std::vector<std::string> out;
  for (const auto part : split(text, ',')) {
    if (!trim(part).empty()) out.emplace_back(trim(part));
  }
  return out;
}

Result<std::uint32_t> octal(const std::string& text) {
  std::uint32_t value = 0;
  const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), value, 8);
  if (failure != std::errc() || end != text.data() + text.size() || value > 07777)
    return Error{Errc::invalid_argument, "'" + text + "' is no octal mode"};
  return value;
}

Result<ExportChange> change_of(const ExportArgs& args) {
  ExportChange change;
  if (args.is_public || args.is_private) change.is_public = args.is_public;
  if (args.read_only || args.read_write) change.read_only = args.read_only;
  if (args.listing || args.no_listing) change.listing = args.listing;
  change.quota_bytes = args.quota_bytes;
  change.quota_inodes = args.quota_inodes;
  change.copies = args.copies;
  change.squash = args.squash;
  if (args.clients) change.clients = list_of(*args.clients);
  if (args.groups) change.groups = list_of(*args.groups);
  if (args.owner) {
    const auto parts = split(*args.owner, ':');
    if (parts.size() != 2) return Error{Errc::invalid_argument, "--owner is UID:GID"};
    CAIRN_TRY(uid, parse_u64(parts[0]));
    CAIRN_TRY(gid, parse_u64(parts[1]));
    change.owner_uid = static_cast<std::uint32_t>(uid);
    change.owner_gid = static_cast<std::uint32_t>(gid);
  }
  if (args.mode) {
    CAIRN_TRY(mode, octal(*args.mode));
    change.mode = mode;
  }
  if (args.trash) {
    CAIRN_TRY(time, parse_duration(*args.trash));
    change.trash_seconds = static_cast<std::uint64_t>(time.count());
  }
  return change;
}

std::string limit(std::uint64_t used, std::uint64_t quota, bool bytes) {
  const auto show = [&](std::uint64_t n) { return bytes ? human_bytes(n) : std::to_string(n); };
  return show(used) + (quota == 0 ? "" : " of " + show(quota));
}

std::string flags(const ExportInfo& info) {
  std::string out = info.is_public ? "public" : "private";
  if (info.read_only) out += ",readonly";
  if (info.listing) out += ",listing";
  if (info.squash != "none") out += ",squash=" + info.squash;
  if (info.trash_seconds != 0)
    out += ",trash=" + format_duration(std::chrono::seconds(info.trash_seconds));
  return out;
}

} // namespace

int run_export(Context& context, const ExportArgs& args) {
  auto change = change_of(args);
  if (!change) return context.usage(change.error().detail);
  Trees trees(context);
  auto tree = trees.admin();
  if (!tree) return context.fail("export", tree.error());
  if (args.action == ExportAction::remove) {
    if (auto done = (*tree)->remove_export(args.name); !done)
      return context.fail("export rm " + args.name, done.error());
    context.say("removed " + args.name);
    return kGood;
  }
  if (args.action == ExportAction::list) {
    auto exports = (*tree)->exports(args.name);
    if (!exports) return context.fail("export ls", exports.error());
    if (context.json()) {
      nlohmann::json out = nlohmann::json::array();
      for (const auto& info : *exports) out.push_back(json_of(info));
      context.answer_json(out);
      return kGood;
    }
    Table table({"EXPORT", "BYTES", "INODES", "COPIES", "FLAGS"});
    for (const auto& info : *exports)
      table.add({info.name, limit(info.used_bytes, info.quota_bytes, true),
                 limit(info.used_inodes, info.quota_inodes, false), std::to_string(info.copies),
                 flags(info)});
    context.answer(table.text());
    return kGood;
  }
  auto made = args.action == ExportAction::add ? (*tree)->add_export(args.name, *std::move(change))
                                               : (*tree)->set_export(args.name, *std::move(change));
  if (!made) return context.fail("export " + args.name, made.error());
  if (context.json())
    context.answer_json(json_of(*made));
  else
    context.say(made->name + ": " + flags(*made));
  return kGood;
}

} // namespace cairn::tools
