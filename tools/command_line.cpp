// Options of all verbs, by CLI11: a heavy header that is included nowhere else.
#include "tools/command_line.h"

#include "common/base/text.h"
#include "tools/mount.h"
#include "tools/namespace_verbs.h"
#include "tools/purge.h"
#include "tools/rules_verbs.h"
#include "tools/tree_verbs.h"

#include <CLI/CLI.hpp>

#include <memory>
#include <sstream>

namespace cairn::tools {

namespace {

// A size such as 64K or 1G.
CLI::Option* add_size(CLI::App* app, const std::string& name, std::uint64_t& value,
                      const std::string& help) {
  return app
      ->add_option_function<std::string>(
          name,
          [&value](const std::string& text) {
            const auto size = parse_size(text);
            if (!size) throw CLI::ValidationError(size.error().detail);
            value = *size;
          },
          help)
      ->type_name("SIZE");
}

// Builds the verbs; each puts its runner into `run` when it was the one given.
class Builder {
public:
  Builder(CLI::App& app, std::function<int(Context&)>& run) : app_(app), run_(run) {}

  // A verb with arguments of type Args, run by `function`; a nested one has a parent.
  template <class Args>
  CLI::App* verb(const std::string& name, const std::string& help,
                 int (*function)(Context&, const Args&), std::shared_ptr<Args>& args,
                 CLI::App* parent = nullptr) {
    CLI::App* sub = (parent == nullptr ? &app_ : parent)->add_subcommand(name, help);
    sub->fallthrough();
    args = std::make_shared<Args>();
    sub->callback([this, sub, function, args] {
      if (!sub->get_subcommands().empty()) return; // a nested verb was given: that one runs
      run_ = [function, args](Context& context) { return function(context, *args); };
    });
    return sub;
  }

  // A verb that only has verbs.
  CLI::App* family(const std::string& name, const std::string& help) {
    CLI::App* sub = app_.add_subcommand(name, help);
    sub->fallthrough();
    sub->require_subcommand(1);
    return sub;
  }

private:
  CLI::App& app_;
  std::function<int(Context&)>& run_;
};

void add_files(Builder& builder) {
  std::shared_ptr<UploadArgs> upload;
  auto* sub =
      builder.verb("upload", "Store files and print their IDs, a line each", &run_upload, upload);
  sub->add_option("FILE", upload->files, "files; - is standard input")->required();
  sub->add_option("--group", upload->group, "store in this group");
  sub->add_option("--ext", upload->extension,
                  "extension in the ID, without dot; default: that of the file name");
  sub->add_flag("--appender", upload->appender, "the file may grow later (`cairn append`)");
  sub->add_option("--meta", upload->metadata, "K=V metadata, may be repeated")
      ->type_name("K=V")
      ->allow_extra_args(false);
  sub->add_option("--copies", upload->copies,
                  "nodes that must have the file first; 7 if there were fewer in time")
      ->check(CLI::Range(1, 31));

  std::shared_ptr<DownloadArgs> download;
  sub = builder.verb("download", "Fetch a file", &run_download, download);
  sub->add_option("ID", download->id)->required();
  sub->add_option("-o,--output", download->output,
                  "write here; - is standard output; default: the last part of the ID");
  add_size(sub, "--offset", download->offset, "first byte");
  add_size(sub, "--length", download->length, "bytes; 0 or absent: to the end");

  std::shared_ptr<DeleteArgs> remove;
  sub = builder.verb("delete", "Delete files", &run_delete, remove);
  sub->add_option("ID", remove->ids);
  sub->add_option("--from-list", remove->from_list,
                  "a file with an ID a line; - is standard input");
  sub->add_option("--older-than", remove->older_than,
                  "every file that was stored longer ago, such as 90d; needs the cluster's secret");
  sub->add_option("--group", remove->group,
                  "of --older-than: in this group; none that exports use");
  sub->add_flag("--with-slaves", remove->with_slaves,
                "also the slave files of each; needs the cluster's secret");
  sub->add_option("--rate", remove->rate, "at most so many a second");
  sub->add_flag("--dry-run", remove->dry_run, "delete nothing, only look which are there");

  std::shared_ptr<AppendArgs> append;
  sub = builder.verb("append", "Add a local file's bytes to the end of an appender file",
                     &run_append, append);
  sub->add_option("ID", append->id)->required();
  sub->add_option("FILE", append->file, "- is standard input")->required();

  std::shared_ptr<InfoArgs> info;
  sub = builder.verb("info", "Size, time, checksum, source, type and copies of a file", &run_info,
                     info);
  sub->add_option("ID", info->id)->required();

  auto* meta = builder.family("meta", "Metadata of a file");
  std::shared_ptr<MetaGetArgs> get;
  sub = builder.verb("get", "Print the metadata, K=V a line", &run_meta_get, get, meta);
  sub->add_option("ID", get->id)->required();
  std::shared_ptr<MetaSetArgs> set;
  sub = builder.verb("set", "Replace the metadata, or add to it", &run_meta_set, set, meta);
  sub->add_option("ID", set->id)->required();
  sub->add_option("PAIR", set->metadata, "K=V")->required();
  sub->add_flag("--merge", set->merge, "keep what is not named");

  std::shared_ptr<WhereArgs> where;
  sub = builder.verb("where", "Which nodes hold a file, and whether each copy is sound", &run_where,
                     where);
  sub->add_option("ID", where->id)->required();
}

void add_exports(Builder& builder) {
  auto* exports = builder.family("export", "Trees of the namespace, with their rights and quotas");
  std::shared_ptr<ExportArgs> list;
  auto* sub = builder.verb("ls", "List them, with their usage", &run_export, list, exports);
  sub->add_option("NAME", list->name);
  std::shared_ptr<ExportArgs> remove;
  sub = builder.verb("rm", "Remove an empty one", &run_export, remove, exports);
  remove->action = ExportAction::remove;
  sub->add_option("NAME", remove->name)->required();
  for (const auto& [name, help, action] :
       {std::tuple("add", "Make one", ExportAction::add),
        std::tuple("set", "Change what is named, keep the rest", ExportAction::set)}) {
    std::shared_ptr<ExportArgs> args;
    sub = builder.verb(name, help, &run_export, args, exports);
    args->action = action;
    sub->add_option("NAME", args->name)->required();
    auto* open = sub->add_flag("--public", args->is_public, "readable by HTTP without a key");
    sub->add_flag("--private", args->is_private)->excludes(open);
    auto* locked = sub->add_flag("--readonly", args->read_only, "refuse changes");
    sub->add_flag("--readwrite", args->read_write)->excludes(locked);
    auto* shown = sub->add_flag("--listing", args->listing, "HTTP lists directories as JSON");
    sub->add_flag("--no-listing", args->no_listing)->excludes(shown);
    sub->add_option_function<std::string>(
           "--quota-bytes",
           [args = args](const std::string& text) {
             const auto size = parse_size(text);
             if (!size) throw CLI::ValidationError("--quota-bytes: " + size.error().detail);
             args->quota_bytes = *size;
           },
           "most bytes, 0: no limit")
        ->type_name("SIZE");
    sub->add_option("--quota-inodes", args->quota_inodes,
                    "most files and directories, 0: no limit");
    sub->add_option("--clients", args->clients, "networks that may use it")->type_name("CIDR,…");
    sub->add_option("--copies", args->copies, "nodes that must have data first (2)")
        ->check(CLI::Range(1, 32));
    sub->add_option("--groups", args->groups, "groups for new data")->type_name("G,…");
    sub->add_option("--owner", args->owner, "of its root directory")->type_name("UID:GID");
    sub->add_option("--mode", args->mode, "of its root directory")->type_name("OCTAL");
    sub->add_option("--squash", args->squash, "none, root or all, with :UID:GID");
    sub->add_option("--trash", args->trash, "how long removed files can be restored, 0: not")
        ->type_name("TIME");
  }
}

// Stored files that were deleted by ID: nested in the verb for those of exports.
void add_stored_trash(Builder& builder, CLI::App* trash) {
  std::shared_ptr<StoredTrashArgs> trash_list;
  auto* sub = builder.verb("ls", "List them", &run_stored_trash, trash_list, trash);
  sub->add_option("--group", trash_list->group, "only of this group");
  std::shared_ptr<StoredTrashArgs> trash_restore;
  sub = builder.verb("restore", "Bring files back, under their IDs", &run_stored_trash,
                     trash_restore, trash);
  trash_restore->action = TrashAction::restore;
  sub->add_option("ID", trash_restore->ids)->required();
  std::shared_ptr<StoredTrashArgs> trash_purge;
  sub = builder.verb("purge", "Remove files from the trash for good", &run_stored_trash,
                     trash_purge, trash);
  trash_purge->action = TrashAction::purge;
  sub->add_option("ID", trash_purge->ids);
  sub->add_option("--group", trash_purge->group, "only of this group");
  sub->add_option("--older-than", trash_purge->older_than, "what was deleted longer ago");
  sub->add_flag("--all", trash_purge->all, "everything");
}

void add_mounts(Builder& builder) {
  auto* mounts = builder.family("mount", "Mounts of cairn-mount on this machine");
  std::shared_ptr<MountStatsArgs> stats;
  auto* sub = builder.verb("stats", "Print what a mount counts, as Prometheus text",
                           &run_mount_stats, stats, mounts);
  sub->add_option("DIR", stats->directory, "where it is mounted")->required();
}

void add_tree(Builder& builder) {
  std::shared_ptr<ListArgs> list;
  auto* sub = builder.verb("ls", "List a directory of the namespace", &run_ls, list);
  sub->add_option("PATH", list->paths, "/EXPORT/PATH")->required();
  sub->add_flag("-l", list->details, "with mode, owner, size and time");
  sub->add_flag("-d", list->directory, "the directory itself");
  for (const auto& [name, help, run] :
       {std::tuple("stat", "Everything about a path", &run_stat),
        std::tuple("cat", "Write files to standard output", &run_cat)}) {
    std::shared_ptr<PathsArgs> args;
    sub = builder.verb(name, help, run, args);
    sub->add_option("PATH", args->paths)->required();
  }
  std::shared_ptr<MoveArgs> move;
  sub = builder.verb("mv", "Rename", &run_mv, move);
  sub->add_option("FROM", move->from)->required();
  sub->add_option("TO", move->to)->required();
  sub->add_flag("-n,--no-replace", move->no_replace, "fail if TO is there");
  sub->add_flag("--exchange", move->exchange, "both change places");
  std::shared_ptr<RemoveArgs> remove;
  sub = builder.verb("rm", "Remove files, or with -r directories", &run_rm, remove);
  sub->add_option("PATH", remove->paths)->required();
  sub->add_flag("-r,-R,--recursive", remove->recursive, "with all that is in them");
  sub->add_flag("-f,--force", remove->force, "what is not there is no error");
  std::shared_ptr<MkdirArgs> mkdir;
  sub = builder.verb("mkdir", "Make directories", &run_mkdir, mkdir);
  sub->add_option("PATH", mkdir->paths)->required();
  sub->add_flag("-p,--parents", mkdir->parents, "and those above them");
  sub->add_option("-m,--mode", mkdir->mode, "octal")->capture_default_str();
  std::shared_ptr<LinkArgs> link;
  sub = builder.verb("ln", "Make a hard link, or with -s a symlink", &run_ln, link);
  sub->add_option("TARGET", link->target)->required();
  sub->add_option("PATH", link->path)->required();
  sub->add_flag("-s,--symbolic", link->symbolic, "TARGET is any text");
  std::shared_ptr<FindArgs> find;
  sub = builder.verb("find", "Everything below a path", &run_find, find);
  sub->add_option("PATH", find->path)->required();
  sub->add_option("--name", find->name, "only names like this shell pattern");
  sub->add_option("--type", find->type, "f, d or l");
  std::shared_ptr<DuArgs> du;
  sub = builder.verb("du", "Space and files below a path", &run_du, du);
  sub->add_option("PATH", du->paths)->required();
  for (const auto& [name, help, run] :
       {std::tuple("cp", "Copy files; cluster paths are :/EXPORT/PATH, - is a stream", &run_cp),
        std::tuple("sync", "Copy what differs, in either direction", &run_sync)}) {
    std::shared_ptr<CopyArgs> args;
    sub = builder.verb(name, help, run, args);
    sub->add_option("PATH", args->paths, "sources, then the destination")->required();
    sub->add_option("-j,--jobs", args->jobs, "files at once")
        ->capture_default_str()
        ->check(CLI::Range(1, 256));
    if (run == &run_sync) {
      sub->add_flag("--delete", args->remove, "remove what the source does not have");
      continue;
    }
    sub->add_flag("-r,-R,--recursive", args->recursive, "directories too");
    sub->add_flag("-p,--preserve", args->preserve, "keep times, mode and owner");
  }
  std::shared_ptr<FsckArgs> fsck;
  sub = builder.verb("fsck", "Compare the namespace's tables with each other; 8 if they differ",
                     &run_fsck, fsck);
  sub->add_flag("--data", fsck->data, "and ask the storage nodes for every file it names");
  sub->add_flag("--repair", fsck->repair,
                "put right what follows from the rest, and remove stored files that a crash left");
  auto* whole = builder.family("namespace", "All of the namespace: backup, restore, rebuild");
  std::shared_ptr<BackupArgs> backup;
  sub = builder.verb("backup", "Write all of the tracker's metadata to a file, while it runs",
                     &run_namespace_backup, backup, whole);
  sub->add_option("FILE", backup->file)->required();
  std::shared_ptr<RestoreArgs> restore;
  sub = builder.verb("restore", "Put a backup in the place of a stopped tracker's metadata",
                     &run_namespace_restore, restore, whole);
  sub->add_option("FILE", restore->file)->required();
  sub->add_option("CONF", restore->conf, "the tracker.conf")->required();
  sub->add_flag("--replace", restore->replace, "what is there is kept beside it");
  std::shared_ptr<DumpArgs> dump;
  sub = builder.verb("dump", "Every path with its stored files and their checksums, JSON lines",
                     &run_namespace_dump, dump, whole);
  sub->add_option("EXPORT", dump->export_name, "only of this one");
  std::shared_ptr<RebuildArgs> rebuild;
  sub = builder.verb("rebuild", "Name stored files again by their origin marks; 2 if not all could",
                     &run_namespace_rebuild, rebuild, whole);
  sub->add_flag("--dry-run", rebuild->dry_run, "only tell");
  std::shared_ptr<TrashArgs> trash;
  auto* family =
      builder.verb("trash", "Files that were removed and can be restored", &run_trash, trash);
  family->add_option("PATH", trash->path, "/EXPORT, or /EXPORT/PREFIX; else ls, restore, purge");
  family->add_option("--since", trash->since, "removed in the last TIME (2h), or since it")
      ->type_name("TIME");
  family->add_option("--before", trash->before, "removed longer ago, or before")->type_name("TIME");
  family->add_option("--name", trash->name, "only such names, as *.jpg")->type_name("PATTERN");
  family->add_flag("--restore", trash->restore, "put them back");
  add_stored_trash(builder, family);
}

void add_cluster(Builder& builder) {
  std::shared_ptr<StatusArgs> status;
  builder.verb("status", "Trackers, groups, nodes, space, sync lag, alarms; 7 when degraded",
               &run_status, status);

  std::shared_ptr<CheckArgs> check;
  auto* sub = builder.verb("check", "Compare the copies of every file in a group; 8 if they differ",
                           &run_check, check);
  sub->add_option("--group", check->group, "only this group");
  sub->add_flag("--repair", check->repair, "make right what differs; 0 if that could be done");
  sub->add_flag("--quick", check->quick, "trust the catalogues, do not look at the files");

  auto* node = builder.family("node", "Storage nodes");
  const auto add_node = [&](CLI::App* parent, const std::string& name, const std::string& help,
                            NodeAction action) {
    std::shared_ptr<NodeArgs> args;
    auto* verb = builder.verb(name, help, &run_node, args, parent);
    args->action = action;
    return std::pair(verb, args);
  };
  for (const auto& [name, help, action] :
       {std::tuple("drain", "Send no more uploads to a node", NodeAction::drain),
        std::tuple("undrain", "Send uploads to it again", NodeAction::undrain),
        std::tuple("may-stop", "Whether a node can be stopped now; 7 and the reasons if not",
                   NodeAction::may_stop),
        std::tuple("remove", "Remove a node that is down, for ever", NodeAction::remove)}) {
    auto [verb, args] = add_node(node, name, help, action);
    verb->add_option("NODE", args->node, "ID, name, address or UUID")->required();
    if (action != NodeAction::remove) continue;
    verb->add_flag("--yes,-y", args->yes, "do not ask");
    verb->add_flag("--force", args->force, "although it is up");
  }
  auto* alias = node->add_subcommand("alias", "Former addresses and storage IDs of a node");
  alias->fallthrough();
  alias->require_subcommand(1);
  {
    auto [verb, args] =
        add_node(alias, "add", "Let a former address or ID mean a node", NodeAction::alias_add);
    verb->add_option("NODE", args->node)->required();
    verb->add_option("FORMER", args->former, "IPv4 address or storage ID")->required();
  }
  {
    auto [verb, args] =
        add_node(alias, "rm", "Forget a former address or ID", NodeAction::alias_remove);
    verb->add_option("FORMER", args->former)->required();
  }
  add_node(alias, "ls", "List them", NodeAction::alias_list);

  auto* group = builder.family("group", "Groups");
  std::shared_ptr<GroupArgs> list;
  builder.verb("ls", "List the groups", &run_group, list, group);
  for (const auto& [name, help, action] :
       {std::tuple("add", "Make a group that nodes may join", GroupAction::add),
        std::tuple("rm", "Remove a group without nodes", GroupAction::remove)}) {
    std::shared_ptr<GroupArgs> args;
    auto* verb = builder.verb(name, help, &run_group, args, group);
    args->action = action;
    verb->add_option("GROUP", args->group)->required();
  }
}

void add_rules(Builder& builder) {
  auto* rules = builder.family("rules", "URL rules: old URLs as tested data");
  std::shared_ptr<RulesCheckArgs> check;
  auto* sub = builder.verb("check", "Check rules files and run the tests in them; 8 if they fail",
                           &run_rules_check, check, rules);
  sub->add_option("FILE", check->files)->required();

  std::shared_ptr<RulesExplainArgs> explain;
  sub = builder.verb("explain", "Say what a URL means: rule, object, place, headers",
                     &run_rules_explain, explain, rules);
  sub->add_option("URL", explain->urls, "- reads one a line from standard input")->required();
  sub->add_option("--file", explain->files, "ask these rules; default: those in force")
      ->allow_extra_args(false);
  sub->add_option("-H,--header", explain->headers, "'Name: value' of the request")
      ->allow_extra_args(false);

  std::shared_ptr<RulesReplayArgs> replay;
  sub = builder.verb("replay", "Decide every line of an access log; 8 if old answers are lost",
                     &run_rules_replay, replay, rules);
  sub->add_option("ACCESS_LOG", replay->log, "- is standard input")->required();
  sub->add_option("--file", replay->files, "ask these rules; default: those in force")
      ->allow_extra_args(false);
  sub->add_option("--host", replay->host, "host of lines that have none");
  sub->add_option("--server", replay->server,
                  "HOST:PORT asked for every line (HEAD), compared with the log");
  sub->add_option("--old", replay->old, "HOST:PORT of the old server, both asked by GET");
  sub->add_option("--limit", replay->limit, "lines");

  std::shared_ptr<RulesSuggestArgs> suggest;
  sub = builder.verb("suggest", "Propose rules from the URLs of an access log", &run_rules_suggest,
                     suggest, rules);
  sub->add_option("ACCESS_LOG", suggest->log, "- is standard input")->required();

  std::shared_ptr<RulesImportArgs> import;
  sub = builder.verb("import", "Convert a configuration; 2 when not all could be converted",
                     &run_rules_import, import, rules);
  sub->add_option("FROM", import->from, "nginx or haproxy")
      ->required()
      ->check(CLI::IsMember({"nginx", "haproxy"}));
  sub->add_option("FILE", import->file)->required();

  std::shared_ptr<RulesExportArgs> rules_export;
  sub = builder.verb("export", "Rules as a front's configuration; 2 when not all can be said there",
                     &run_rules_export, rules_export, rules);
  sub->add_option("TO", rules_export->to, "nginx or haproxy")
      ->required()
      ->check(CLI::IsMember({"nginx", "haproxy"}));
  sub->add_option("FILE", rules_export->files, "rules; else those in force");
  sub->add_option("--node", rules_export->nodes, "a storage node; else those of the cluster")
      ->type_name("HOST:PORT");
  sub->add_option("--listen", rules_export->listen, "where the front listens")
      ->type_name("[ADDRESS:]PORT");

  std::shared_ptr<RulesLoadArgs> load;
  sub = builder.verb("load", "Replace the rules of the cluster; refused as a whole if they fail",
                     &run_rules_load, load, rules);
  sub->add_option("FILE", load->files);
  sub->add_flag("--none", load->none, "remove all rules");
  sub->add_option("--expect", load->expected, "only if this version is in force");

  std::shared_ptr<RulesShowArgs> show;
  sub = builder.verb("show", "Print the rules in force", &run_rules_show, show, rules);
  sub->add_option("--version", show->version, "an earlier version (the last ten are kept)");

  std::shared_ptr<RulesTopArgs> top;
  builder.verb("top", "Live counters of every rule and origin", &run_rules_top, top, rules);
  std::shared_ptr<RulesShadowArgs> shadow;
  builder.verb("shadow", "Differences from the old server; 8 if there are some", &run_rules_shadow,
               shadow, rules);
}

void add_aliases(Builder& builder) {
  auto* alias = builder.family("alias", "Exact old names of files");
  const auto add = [&](const std::string& name, const std::string& help, AliasAction action) {
    std::shared_ptr<AliasArgs> args;
    auto* verb = builder.verb(name, help, &run_alias, args, alias);
    args->action = action;
    verb->add_option("--host", args->host, "of this host only; default: any");
    return std::pair(verb, args);
  };
  {
    auto [verb, args] = add("put", "Let a name mean a file", AliasAction::put);
    verb->add_option("PATH", args->path)->required();
    verb->add_option("TARGET", args->target, "file ID, id:…, or path:/EXPORT/…")->required();
  }
  {
    auto [verb, args] = add("get", "What names mean", AliasAction::get);
    verb->add_option("PATH", args->paths)->required();
  }
  {
    auto [verb, args] = add("ls", "List names", AliasAction::list);
    verb->add_option("PREFIX", args->path, "of the paths");
    verb->add_option("--limit", args->limit, "lines");
  }
  {
    auto [verb, args] = add("rm", "Forget names", AliasAction::remove);
    verb->add_option("PATH", args->paths)->required();
  }
  {
    auto [verb, args] = add("load", "Store many: lines of PATH, a tab, TARGET", AliasAction::load);
    verb->add_option("FILE", args->file, "- is standard input")->required();
  }
}

void add_security(Builder& builder) {
  std::shared_ptr<InitArgs> init;
  auto* sub = builder.verb("init", "Make the cluster's secret, or take a step of replacing it",
                           &run_init, init);
  sub->add_option("--secret", init->secret, "the secret file")->required();
  sub->add_flag("--rotate", init->rotate, "replace the secret, one of three steps");

  std::shared_ptr<AuditArgs> audit;
  sub = builder.verb("audit", "Show the audit log of a daemon on this machine, and check its chain",
                     &run_audit, audit);
  sub->add_option("DIR", audit->directory, "base_path of the daemon")->required();
  sub->add_flag("--check", audit->quiet_lines, "only check it");

  std::shared_ptr<PurgeArgs> purge;
  sub = builder.verb("purge", "Have caches in front forget an object, wherever it was served",
                     &run_purge, purge);
  sub->add_option("ID|PATH", purge->objects, "file IDs, or /EXPORT/PATH");
  sub->add_option("--pattern", purge->patterns, "URLs by regular expression; may be repeated")
      ->type_name("RE");

  std::shared_ptr<SignArgs> sign;
  sub = builder.verb("sign", "Print a URL that is good for one method, one object and a while",
                     &run_sign, sign);
  sub->add_option("ID|PATH|URL", sign->target)->required();
  sub->add_option("--method", sign->method, "GET, HEAD, PUT, POST or DELETE")
      ->capture_default_str();
  sub->add_option("--expires", sign->expires, "how long it is good")->capture_default_str();
  sub->add_option("--header", sign->headers, "NAME:VALUE that must be sent so; may be repeated");
  sub->add_option("--key", sign->key, "access key file; default: that of client.conf");

  auto* key = builder.family("key", "Access keys");
  std::shared_ptr<KeyArgs> list;
  builder.verb("ls", "List the access keys", &run_key, list, key);
  std::shared_ptr<KeyArgs> add;
  auto* verb =
      builder.verb("add", "Make an access key and show its secret, once", &run_key, add, key);
  add->action = KeyAction::add;
  verb->add_option("--rights", add->rights, "read, write, delete, list, admin or all")
      ->capture_default_str();
  verb->add_option("--prefix", add->prefixes, "only below GROUP[/PATH]; may be repeated");
  verb->add_option("--expires", add->expires, "after this time, such as 30d");
  verb->add_option("--requests-rate", add->requests_rate, "requests a second at one node");
  add_size(verb, "--bytes-rate", add->bytes_rate, "bytes a second at one node");
  verb->add_option("--note", add->note, "what it is for");
  verb->add_option("-o,--output", add->output, "write the key to this file (mode 0600)");
  std::shared_ptr<KeyArgs> rotate;
  verb = builder.verb("rotate", "Give a key a new secret; the old one holds for a while", &run_key,
                      rotate, key);
  rotate->action = KeyAction::rotate;
  verb->add_option("KEY", rotate->id)->required();
  verb->add_option("--overlap", rotate->overlap, "how long the old secret still holds")
      ->capture_default_str();
  verb->add_option("-o,--output", rotate->output, "write the key to this file (mode 0600)");
  std::shared_ptr<KeyArgs> remove;
  verb =
      builder.verb("rm", "Remove a key: it is refused everywhere at once", &run_key, remove, key);
  remove->action = KeyAction::remove;
  verb->add_option("KEY", remove->id)->required();
}

void add_bench(Builder& builder) {
  auto* bench = builder.family("bench", "Measure the cluster");
  for (const auto& [name, help, kind] :
       {std::tuple("upload", "Upload files", BenchKind::upload),
        std::tuple("download", "Download files uploaded for it", BenchKind::download),
        std::tuple("delete", "Delete files uploaded for it", BenchKind::remove),
        std::tuple("mixed", "7 of 10 downloads, 2 uploads, 1 delete", BenchKind::mixed)}) {
    std::shared_ptr<BenchArgs> args;
    auto* verb = builder.verb(name, help, &run_bench, args, bench);
    args->kind = kind;
    verb->add_option("--conns", args->connections, "requests at once")
        ->capture_default_str()
        ->check(CLI::Range(1, 10'000));
    add_size(verb, "--size", args->size, "bytes of a file (4K)");
    verb->add_option("--count", args->count, "operations")->capture_default_str();
    verb->add_option("--threads", args->threads, "1 or 2 threads")
        ->capture_default_str()
        ->check(CLI::Range(1, 2));
    verb->add_option("--group", args->group, "only in this group");
    verb->add_option("--seed", args->seed, "of contents and choices")->capture_default_str();
    verb->add_flag("--keep", args->keep, "do not delete the files at the end");
  }
}

void add_local(Builder& builder) {
  auto* local = builder.family("local", "A whole cluster on this machine");
  std::shared_ptr<LocalUpArgs> up;
  auto* sub = builder.verb("up", "Start it, wait until every node is active, print where it is",
                           &run_local_up, up, local);
  sub->add_option("--root", up->root, "its directory")->required();
  sub->add_option("--trackers", up->trackers, "trackers (1)")->check(CLI::Range(1, 9));
  sub->add_option("--groups", up->groups, "groups (1)")->check(CLI::Range(1, 200));
  sub->add_option("--storages", up->storages, "storage nodes of each group (1)")
      ->check(CLI::Range(1, 32));
  sub->add_option("--paths", up->paths, "store paths of each storage node (1)")
      ->check(CLI::Range(1, 64));
  sub->add_option("--copies", up->copies, "copies of each upload (1)")->check(CLI::Range(1, 32));
  sub->add_option("--net", up->net, "second number of its addresses 127.B.x.y, or auto (0)");
  sub->add_option("--storage-conf", up->storage_conf, "a line for every storage.conf")
      ->type_name("K=V")
      ->allow_extra_args(false);
  sub->add_option("--tracker-conf", up->tracker_conf, "a line for every tracker.conf")
      ->type_name("K=V")
      ->allow_extra_args(false);

  struct Simple {
    const char* name;
    const char* help;
    int (*run)(Context&, const LocalArgs&);
    bool node;
  };
  for (const Simple& simple :
       {Simple{"down", "Stop it", &run_local_down, false},
        Simple{"status", "Which of its daemons run", &run_local_status, false},
        Simple{"kill", "Kill a node as a power cut would (SIGKILL)", &run_local_kill, true},
        Simple{"start", "Start a node and wait until it is ready", &run_local_start, true}}) {
    std::shared_ptr<LocalArgs> args;
    auto* verb = builder.verb(simple.name, simple.help, simple.run, args, local);
    verb->add_option("--root", args->root, "its directory")->required();
    if (simple.node)
      verb->add_option("NODE", args->node, "tracker1, group1-storage2, …")->required();
  }
}

} // namespace

std::optional<std::pair<std::string, std::string>> split_pair(const std::string& text) {
  const std::size_t at = text.find('=');
  if (at == std::string::npos || at == 0) return std::nullopt;
  return std::pair(text.substr(0, at), text.substr(at + 1));
}

CommandLine parse_command_line(int argc, const char* const* argv,
                               const std::function<const char*(const char*)>& environment) {
  CommandLine line;
  CLI::App app("Cairn: store files in a cluster and look after it.", "cairn");
  app.set_version_flag("--version", std::string("cairn ") + CAIRN_VERSION);
  app.set_help_all_flag("--help-all", "help of all verbs");
  app.require_subcommand(1);
  app.footer(
      "Exit codes: 0 good, 1 usage, 2 partial, 3 not found, 4 denied, 5 conflict,\n"
      "6 unavailable or timeout, 7 degraded, 8 verification failed.\n"
      "Example: cairn -t 10.0.0.1 upload photo.jpg");

  Globals& globals = line.globals;
  app.add_option("-t,--tracker", globals.trackers, "trackers, HOST:PORT[,…] (or CAIRN_TRACKER)");
  app.add_option("--conf", globals.conf, "a client.conf (or CAIRN_CONF)");
  app.add_flag("--json", globals.json, "answers and errors as JSON");
  app.add_flag("-q,--quiet", globals.quiet, "only the answer itself");
  app.add_option_function<std::string>(
         "--timeout",
         [&globals](const std::string& text) {
           const auto time = parse_duration(text);
           if (!time) throw CLI::ValidationError("--timeout: " + time.error().detail);
           globals.timeout = *time;
         },
         "time for the command: 30s, 5m, or plain seconds")
      ->type_name("TIME");

  Builder builder(app, line.run);
  add_files(builder);
  add_exports(builder);
  add_tree(builder);
  add_mounts(builder);
  add_cluster(builder);
  add_rules(builder);
  add_aliases(builder);
  add_security(builder);
  add_bench(builder);
  add_local(builder);

  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    line.run = nullptr;
    std::ostringstream out;
    std::ostringstream complaint;
    const int code = app.exit(error, out, complaint);
    line.exit_code = code == 0 ? kGood : kUsage;
    line.text = code == 0 ? out.str() : complaint.str();
    return line;
  }
  if (globals.trackers.empty()) {
    if (const char* value = environment("CAIRN_TRACKER")) globals.trackers = value;
  }
  if (globals.conf.empty()) {
    if (const char* value = environment("CAIRN_CONF")) globals.conf = value;
  }
  return line;
}

} // namespace cairn::tools
