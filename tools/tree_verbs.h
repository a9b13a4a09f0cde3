// The verbs of the namespace: what the command line gives each. Paths are /EXPORT/PATH; cp and sync
// want cluster paths written :/EXPORT/PATH, everything else is local there.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace cairn::tools {

class Context;

enum class ExportAction : std::uint8_t { add, list, set, remove };
struct ExportArgs {
  ExportAction action = ExportAction::list;
  std::string name;
  bool is_public = false, is_private = false;
  bool read_only = false, read_write = false;
  bool listing = false, no_listing = false;
  std::optional<std::uint64_t> quota_bytes;
  std::optional<std::uint64_t> quota_inodes;
  std::optional<std::string> clients; // networks, separated by commas
  std::optional<std::string> groups;  // names, separated by commas
  std::optional<unsigned> copies;
  std::optional<std::string> owner; // UID:GID
  std::optional<std::string> mode;  // octal
  std::optional<std::string> squash;
  std::optional<std::string> trash; // how long removed files can be restored
};
int run_export(Context& context, const ExportArgs& args);

struct ListArgs {
  std::vector<std::string> paths;
  bool details = false;
  bool directory = false; // the directory itself, not what is in it
};
int run_ls(Context& context, const ListArgs& args);

struct PathsArgs {
  std::vector<std::string> paths;
};
int run_stat(Context& context, const PathsArgs& args);
int run_cat(Context& context, const PathsArgs& args);

struct MoveArgs {
  std::string from;
  std::string to;
  bool no_replace = false;
  bool exchange = false;
};
int run_mv(Context& context, const MoveArgs& args);

struct RemoveArgs {
  std::vector<std::string> paths;
  bool recursive = false;
  bool force = false;
};
int run_rm(Context& context, const RemoveArgs& args);

struct MkdirArgs {
  std::vector<std::string> paths;
  bool parents = false;
  std::string mode = "755";
};
int run_mkdir(Context& context, const MkdirArgs& args);

struct LinkArgs {
  std::string target;
  std::string path;
  bool symbolic = false;
};
int run_ln(Context& context, const LinkArgs& args);

struct FindArgs {
  std::string path;
  std::string name; // a pattern of the shell; empty: all
  std::string type; // f, d, l; empty: all
};
int run_find(Context& context, const FindArgs& args);

struct DuArgs {
  std::vector<std::string> paths;
};
int run_du(Context& context, const DuArgs& args);

struct CopyArgs {
  std::vector<std::string> paths; // the last is the destination
  bool recursive = false;
  bool preserve = false; // times, mode, owner
  bool remove = false;   // sync: what the source does not have
  unsigned jobs = 4;
};
int run_cp(Context& context, const CopyArgs& args);
int run_sync(Context& context, const CopyArgs& args);

struct FsckArgs {
  bool data = false;   // also ask storage nodes for every stored file, and for those without a name
  bool repair = false; // and put right what is safe
};
int run_fsck(Context& context, const FsckArgs& args);

struct TrashArgs {
  std::string path; // /EXPORT or /EXPORT/PREFIX
  // When it was removed: so long ago ("2h"), or a local time ("2026-11-22 10:30").
  std::optional<std::string> since;  // at the earliest
  std::optional<std::string> before; // and before this
  std::string name;                  // pattern of its last part; empty: all
  bool restore = false;
};
int run_trash(Context& context, const TrashArgs& args);

} // namespace cairn::tools
