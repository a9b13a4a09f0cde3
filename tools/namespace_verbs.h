// The verbs below `cairn namespace`: what the command line gives each.
#pragma once

#include <filesystem>
#include <string>

namespace cairn::tools {

class Context;

struct BackupArgs {
  std::filesystem::path file;
};
int run_namespace_backup(Context& context, const BackupArgs& args);

struct RestoreArgs {
  std::filesystem::path file;
  std::filesystem::path conf; // of the tracker
  bool replace = false;
};
int run_namespace_restore(Context& context, const RestoreArgs& args);

struct DumpArgs {
  std::string export_name; // empty: all
};
int run_namespace_dump(Context& context, const DumpArgs& args);

struct RebuildArgs {
  bool dry_run = false;
};
int run_namespace_rebuild(Context& context, const RebuildArgs& args);

} // namespace cairn::tools
