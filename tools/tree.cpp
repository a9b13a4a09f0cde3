// cairn ls, stat, cat, mv, rm, mkdir, ln, find, du
#include "tools/cluster_path.h"
#include "tools/tree_verbs.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <fnmatch.h>

namespace cairn::tools {

namespace {

char letter_of(NodeType type) {
  switch (type) {
    case NodeType::directory:
      return 'd';
    case NodeType::symlink:
      return 'l';
    case NodeType::fifo:
      return 'p';
    case NodeType::socket:
      return 's';
    case NodeType::character_device:
      return 'c';
    case NodeType::block_device:
      return 'b';
    case NodeType::regular:
      return '-';
  }
  return '?';
}

std::string mode_text(const FileStatus& status) {
  std::string text(1, letter_of(status.type));
  for (int shift = 6; shift >= 0; shift -= 3) {
    const std::uint32_t bits = status.mode >> shift;
    text += (bits & 4) != 0 ? 'r' : '-';
    text += (bits & 2) != 0 ? 'w' : '-';
    text += (bits & 1) != 0 ? 'x' : '-';
  }
  const auto special = [&](std::uint32_t bit, std::size_t at, char letter) {
    if ((status.mode & bit) == 0) return;
    text[at] = static_cast<char>(text[at] == 'x' ? letter : letter - 'a' + 'A');
  };
  special(04000, 3, 's');
  special(02000, 6, 's');
  special(01000, 9, 't');
  return text;
}

nlohmann::json json_of(const std::string& path, const FileStatus& status) {
  std::array<char, 8> mode{};
  std::snprintf(mode.data(), mode.size(), "%04o", status.mode);
  nlohmann::json out{{"path", path},
                     {"type", std::string(1, letter_of(status.type))},
                     {"mode", mode.data()},
                     {"inode", status.inode},
                     {"nlink", status.nlink},
                     {"uid", status.uid},
                     {"gid", status.gid},
                     {"size", status.size},
                     {"stored", status.bytes},
                     {"mtime", status.mtime.seconds},
                     {"mtime_ns", status.mtime.nanoseconds},
                     {"ctime", status.ctime.seconds}};
  if (!status.target.empty()) out["target"] = status.target;
  if (!status.ids.empty()) out["ids"] = status.ids;
  return out;
}

// Runs `one` for each path; 2 when only some failed.
template <class F>
int each(Context& context, const std::vector<std::string>& paths, F one) {
  int first = kGood;
  std::size_t good = 0;
  for (const std::string& text : paths) {
    auto path = parse_cluster_path(text);
    if (!path) return context.usage(path.error().detail);
    if (const Status done = one(*path); done) {
      ++good;
    } else {
      const int code = context.fail(text, done.error());
      if (first == kGood) first = code;
    }
  }
  if (first == kGood) return kGood;
  return good > 0 ? kPartial : first;
}

// Calls `visit` for everything below a path, directories before what is in them.
Status walk(Trees& trees, const ClusterPath& top,
            const std::function<Status(const ClusterPath&, const FileStatus&)>& visit) {
  CAIRN_TRY(tree, trees.of(top));
  std::vector<ClusterPath> todo{top};
  while (!todo.empty()) {
    const ClusterPath directory = std::move(todo.back());
    todo.pop_back();
    auto tree_of = trees.of(directory);
    if (!tree_of) return std::move(tree_of).error();
    const auto page = [&](const std::vector<DirectoryEntry>& entries) -> Status {
      for (const DirectoryEntry& entry : entries) {
        const ClusterPath child = directory.child(entry.name);
        CAIRN_RETURN_IF_ERROR(visit(child, entry.status));
        if (entry.status.is_directory()) todo.push_back(child);
      }
      return {};
    };
    CAIRN_RETURN_IF_ERROR((*tree_of)->list_pages(directory.path, page));
  }
  static_cast<void>(tree);
  return {};
}

} // namespace

int run_ls(Context& context, const ListArgs& args) {
  Trees trees(context);
  nlohmann::json out = nlohmann::json::array();
  Table table({"MODE", "LINKS", "UID", "GID", "SIZE", "MODIFIED", "NAME"});
  const auto show = [&](const std::string& name, const std::string& path,
                        const FileStatus& status) {
    if (context.json()) {
      out.push_back(json_of(path, status));
    } else if (args.details) {
      table.add({mode_text(status), std::to_string(status.nlink), std::to_string(status.uid),
                 std::to_string(status.gid), std::to_string(status.size),
                 human_time(status.mtime.seconds),
                 name + (status.target.empty() ? "" : " -> " + status.target)});
    } else {
      context.answer(name);
    }
  };
  const int code = each(context, args.paths, [&](const ClusterPath& path) -> Status {
    CAIRN_TRY(tree, trees.of(path));
    CAIRN_TRY(status, tree->stat(path.path, !args.details && !args.directory));
    if (!status.is_directory() || args.directory) {
      show(path.text(), path.text(), status);
      return {};
    }
    CAIRN_TRY(entries, tree->list(path.path));
    std::ranges::sort(entries, {}, &DirectoryEntry::name);
    for (const DirectoryEntry& entry : entries)
      show(entry.name, path.child(entry.name).text(), entry.status);
    return {};
  });
  if (context.json())
    context.answer_json(out);
  else if (args.details && code == kGood)
    context.answer(table.text());
  return code;
}

int run_stat(Context& context, const PathsArgs& args) {
  Trees trees(context);
  nlohmann::json out = nlohmann::json::array();
  const int code = each(context, args.paths, [&](const ClusterPath& path) -> Status {
    CAIRN_TRY(tree, trees.of(path));
    CAIRN_TRY(status, tree->stat(path.path, false));
    if (context.json()) {
      out.push_back(json_of(path.text(), status));
      return {};
    }
    context.answer(path.text());
    context.answer("  " + mode_text(status) + "  " + std::to_string(status.uid) + ":" +
                   std::to_string(status.gid) + "  links " + std::to_string(status.nlink) +
                   "  inode " + std::to_string(status.inode));
    context.answer("  size " + std::to_string(status.size) + "  stored " +
                   std::to_string(status.bytes) + "  modified " + human_time(status.mtime.seconds));
    if (!status.target.empty()) context.answer("  -> " + status.target);
    for (const std::string& id : status.ids) context.answer("  " + id);
    return {};
  });
  if (context.json()) context.answer_json(out);
  return code;
}

int run_cat(Context& context, const PathsArgs& args) {
  Trees trees(context);
  return each(context, args.paths, [&](const ClusterPath& path) -> Status {
    CAIRN_TRY(tree, trees.of(path));
    Sink::Writer out = [](std::span<const std::byte> bytes) -> Status {
      if (std::fwrite(bytes.data(), 1, bytes.size(), stdout) == bytes.size()) return {};
      return errno_error("standard output", errno);
    };
    CAIRN_RETURN_IF_ERROR(tree->read(path.path, std::move(out)));
    if (std::fflush(stdout) != 0) return errno_error("standard output", errno);
    return {};
  });
}

int run_mv(Context& context, const MoveArgs& args) {
  const auto from = parse_cluster_path(args.from);
  auto to = parse_cluster_path(args.to);
  if (!from) return context.usage(from.error().detail);
  if (!to) return context.usage(to.error().detail);
  if (from->export_name != to->export_name)
    return context.usage("a file moves only inside its export", "use `cairn cp` and `cairn rm`");
  Trees trees(context);
  auto tree = trees.of(*from);
  if (!tree) return context.fail("mv", tree.error());
  // Into a directory, as mv(1) does it.
  const auto target = (*tree)->stat(to->path);
  if (target && target->is_directory() && !args.exchange) {
    const std::size_t slash = from->path.rfind('/');
    *to = to->child(slash == std::string::npos ? from->path : from->path.substr(slash + 1));
  }
  if (auto done = (*tree)->rename(from->path, to->path, args.no_replace, args.exchange); !done)
    return context.fail("mv " + args.from, done.error());
  return kGood;
}

int run_rm(Context& context, const RemoveArgs& args) {
  Trees trees(context);
  return each(context, args.paths, [&](const ClusterPath& path) -> Status {
    CAIRN_TRY(tree, trees.of(path));
    const auto status = tree->stat(path.path, false);
    if (!status) {
      if (args.force && status.code() == Errc::not_found) return {};
      return Error(status.error());
    }
    if (!status->is_directory()) return tree->remove(path.path);
    if (!args.recursive) return Error{Errc::is_directory, "a directory: rm -r removes it"};
    std::vector<ClusterPath> directories{path};
    const auto visit = [&](const ClusterPath& child, const FileStatus& found) -> Status {
      if (!found.is_directory()) return tree->remove(child.path);
      directories.push_back(child);
      return {};
    };
    CAIRN_RETURN_IF_ERROR(walk(trees, path, visit));
    // The deepest first. The root of an export stays.
    for (auto at = directories.rbegin(); at != directories.rend(); ++at) {
      if (!at->path.empty()) CAIRN_RETURN_IF_ERROR(tree->remove_directory(at->path));
    }
    return {};
  });
}

int run_mkdir(Context& context, const MkdirArgs& args) {
  std::uint32_t mode = 0;
  const char* end = args.mode.data() + args.mode.size();
  if (std::from_chars(args.mode.data(), end, mode, 8).ptr != end || mode > 07777)
    return context.usage("--mode '" + args.mode + "' is no octal mode");
  Trees trees(context);
  return each(context, args.paths, [&](const ClusterPath& path) -> Status {
    CAIRN_TRY(tree, trees.of(path));
    CAIRN_TRY(made, tree->mkdir(path.path, mode, args.parents));
    static_cast<void>(made);
    return {};
  });
}

int run_ln(Context& context, const LinkArgs& args) {
  const auto path = parse_cluster_path(args.path);
  if (!path) return context.usage(path.error().detail);
  Trees trees(context);
  auto tree = trees.of(*path);
  if (!tree) return context.fail("ln", tree.error());
  if (args.symbolic) {
    const auto made = (*tree)->symlink(args.target, path->path);
    return made ? kGood : context.fail("ln -s " + args.path, made.error());
  }
  const auto target = parse_cluster_path(args.target);
  if (!target) return context.usage(target.error().detail);
  if (target->export_name != path->export_name)
    return context.usage("a link and its file are in one export");
  const auto made = (*tree)->link(target->path, path->path);
  return made ? kGood : context.fail("ln " + args.path, made.error());
}

int run_find(Context& context, const FindArgs& args) {
  const auto path = parse_cluster_path(args.path);
  if (!path) return context.usage(path.error().detail);
  if (!args.type.empty() && args.type != "f" && args.type != "d" && args.type != "l")
    return context.usage("--type is f, d or l");
  Trees trees(context);
  const char wanted = args.type == "f" ? '-' : args.type.empty() ? '\0' : args.type[0];
  const auto visit = [&](const ClusterPath& found, const FileStatus& status) -> Status {
    const std::string text = found.text();
    const std::string name = text.substr(text.rfind('/') + 1);
    if (wanted != '\0' && letter_of(status.type) != wanted) return {};
    if (!args.name.empty() && ::fnmatch(args.name.c_str(), name.c_str(), 0) != 0) return {};
    if (context.json())
      context.answer_json(json_of(text, status)); // a line each
    else
      context.answer(text);
    return {};
  };
  const Status done = walk(trees, *path, visit);
  return done ? kGood : context.fail("find " + args.path, done.error());
}

int run_du(Context& context, const DuArgs& args) {
  Trees trees(context);
  nlohmann::json out = nlohmann::json::array();
  const int code = each(context, args.paths, [&](const ClusterPath& path) -> Status {
    std::uint64_t files = 0;
    std::uint64_t directories = 0;
    std::uint64_t bytes = 0;
    std::uint64_t stored = 0;
    std::map<std::uint64_t, bool> linked; // counted once, as du(1) does
    const auto visit = [&](const ClusterPath&, const FileStatus& status) -> Status {
      if (status.is_directory()) {
        ++directories;
        return {};
      }
      if (status.nlink > 1 && !linked.emplace(status.inode, true).second) return {};
      ++files;
      bytes += status.size;
      stored += status.bytes;
      return {};
    };
    CAIRN_RETURN_IF_ERROR(walk(trees, path, visit));
    if (context.json())
      out.push_back({{"path", path.text()},
                     {"files", files},
                     {"directories", directories},
                     {"size", bytes},
                     {"stored", stored}});
    else
      context.answer(human_bytes(stored) + "  " + std::to_string(files) + " files  " +
                     std::to_string(directories) + " directories  " + path.text());
    return {};
  });
  if (context.json()) context.answer_json(out);
  return code;
}

} // namespace cairn::tools
