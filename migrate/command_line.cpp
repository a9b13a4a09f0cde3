// Options of all verbs, by CLI11: a heavy header that is included nowhere else.
#include "migrate/command_line.h"

#include "common/base/text.h"
#include "migrate/adopt.h"
#include "migrate/exit_codes.h"
#include "migrate/fastdfs_source.h"
#include "migrate/http_source.h"
#include "migrate/tar_source.h"

#include <CLI/CLI.hpp>

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <functional>
#include <iostream>
#include <iterator>
#include <map>
#include <memory>

namespace cairn::migrate {

namespace {

constexpr unsigned kAdoptJobs = 256;
// Of a local tree: what is on its way waits for commits that serve many at once, and is read by a
// few (worker.cpp). An old web server would be asked for so many files at a time.
constexpr unsigned kTreeJobs = 256;
// What a file on its way may hold beside its content, for which the copier has a limit of its own.
constexpr std::uint64_t kMemoryOfJob = std::uint64_t{1} << 20;

// An option whose text is parsed by one of ours.
template <class T, class Parse>
CLI::Option* add_parsed(CLI::App* app, const std::string& name, T& value, Parse parse,
                        const std::string& type, const std::string& help) {
  return app
      ->add_option_function<std::string>(
          name,
          [&value, parse](const std::string& text) {
            auto parsed = parse(text);
            if (!parsed) throw CLI::ValidationError(parsed.error().detail);
            value = *std::move(parsed);
          },
          help)
      ->type_name(type);
}

// Lines of a file (or of standard input) as a list of paths; with `nul` they end in NUL.
std::vector<std::string> read_list(const std::string& file, bool nul) {
  std::ifstream opened;
  if (file != "-") {
    opened.open(file, std::ios::binary);
    if (!opened) throw CLI::ValidationError("cannot read " + file);
  }
  std::istream& in = file == "-" ? std::cin : opened;
  std::vector<std::string> out;
  for (std::string line; std::getline(in, line, nul ? '\0' : '\n');)
    if (!line.empty()) out.push_back(line);
  return out;
}

struct CopyFlags {
  std::string files_from;
  std::string access_log;
  bool from0 = false;
  std::string info; // for rsync's sake
  bool jobs_given = false;
};

void add_copy_options(CLI::App* sub, RunArgs& args, CopyFlags& flags, OutputOptions& output) {
  CopyOptions& copy = args.copy;
  sub->add_option("--mode", copy.mode,
                  "copy: content is sent; adopt: a storage node on this machine takes the files "
                  "over where they lie (adopt_from in its storage.conf)")
      ->transform(CLI::CheckedTransformer(
          std::map<std::string, CopyMode>{{"copy", CopyMode::copy}, {"adopt", CopyMode::adopt}}));
  sub->add_flag("--source-frozen", copy.source_frozen,
                "with --mode adopt: nobody writes into the files any more, so that they may become "
                "the stored ones");
  const auto rule = [&copy](const std::string& prefix) {
    return [&copy, prefix](const std::vector<std::string>& texts) {
      for (const std::string& text : texts) copy.rules.push_back(prefix + text);
    };
  };
  sub->add_flag_function(
      "-a,--archive,-r,--recursive,-t,--times,-p,--perms,-o,--owner,-g,--group,-l,--links,"
      "-H,--hard-links,-S,--sparse,-D,--devices,--partial",
      [](std::int64_t) {}, "as rsync: all of this is always done (owners only by root)");
  sub->add_flag("-n,--dry-run", args.dry_run, "show what would be done, change nothing");
  sub->add_flag("-i,--itemize-changes", output.itemize, "a line for each change");
  sub->add_flag("-v,--verbose", output.verbose, "names of what is copied");
  sub->add_flag("-P,--progress", output.progress, "progress also where there is no terminal");
  sub->add_option("--info", flags.info, "accepted for rsync's sake (progress2)");
  sub->add_flag("--stats,-h,--human-readable", output.stats, "a longer summary");
  sub->add_option("--log-file", output.log_file, "also into this file");
  sub->add_flag("-c,--checksum", copy.checksum, "compare contents, whatever the times say");
  sub->add_flag("--size-only", copy.size_only, "compare sizes only");
  sub->add_flag("-I,--ignore-times", copy.ignore_times, "copy everything again");
  add_parsed(
      sub, "-@,--modify-window", copy.modify_window,
      [](const std::string& text) -> Result<std::chrono::nanoseconds> {
        CAIRN_TRY(parsed, parse_duration(text));
        return std::chrono::nanoseconds(parsed);
      },
      "SECONDS", "times that differ by no more are the same");
  sub->add_flag("-u,--update", copy.update, "what is newer at the destination stays");
  sub->add_flag("--existing", copy.existing, "only what is at the destination already");
  sub->add_flag("--ignore-existing", copy.ignore_existing, "only what is not");
  sub->add_flag("-L,--copy-links", copy.copy_links, "what a symlink points to, in its place");
  sub->add_flag("--safe-links", copy.safe_links, "leave out symlinks that lead out of the tree");
  sub->add_flag_function(
      "--no-hard-links", [&copy](std::int64_t) { copy.hard_links = false; },
      "several names of a file become several files");
  sub->add_option_function<std::vector<std::string>>("--include", rule("+ "),
                                                     "take what matches; the first rule wins")
      ->allow_extra_args(false)
      ->trigger_on_parse();
  sub->add_option_function<std::vector<std::string>>("--exclude", rule("- "),
                                                     "leave out what matches")
      ->allow_extra_args(false)
      ->trigger_on_parse();
  sub->add_option_function<std::vector<std::string>>("-f,--filter", rule(""),
                                                     "'+ PATTERN' or '- PATTERN'")
      ->allow_extra_args(false)
      ->trigger_on_parse();
  sub->add_option("--files-from", flags.files_from, "only the paths in this file, a line each");
  sub->add_option("--access-log", flags.access_log,
                  "from http://HOST/PREFIX/: only what this log says was fetched");
  sub->add_flag("-0,--from0", flags.from0, "they end in NUL");
  add_parsed(sub, "--min-size", copy.size_min, &parse_size, "SIZE", "no smaller files");
  add_parsed(sub, "--max-size", copy.size_max, &parse_size, "SIZE", "no larger files");
  add_parsed(sub, "--min-age", copy.age_min, &parse_duration, "TIME",
             "only files changed longer ago");
  add_parsed(sub, "--max-age", copy.age_max, &parse_duration, "TIME",
             "only files changed since then");
  sub->add_flag("--quick", copy.quick,
                "believe directories whose times are as they were: files written in place are "
                "not seen");
  sub->add_flag("--dedupe", copy.dedupe,
                "equal files share what is stored: content that this job has stored already is not "
                "stored again");
  sub->add_flag("--delete,--delete-after,--delete-delay", copy.remove,
                "remove what the source has no more");
  add_parsed(sub, "--max-delete", copy.removals_max, &parse_u64, "N", "remove at most so many");
  sub->add_option("--bwlimit", copy.bwlimit,
                  "bytes a second (20M), or a timetable: \"08:00,20M 23:00,off\"");
  sub->add_option_function<unsigned>(
         "-j,--jobs",
         [&copy, &flags](unsigned jobs) {
           copy.jobs = jobs;
           flags.jobs_given = true;
         },
         "files on their way at a time")
      ->check(CLI::Range(1, 1024));
  sub->add_option("--scan-jobs", copy.scan_jobs, "directories listed at a time")
      ->check(CLI::Range(1, 256));
  add_parsed(sub, "--memory", copy.memory, &parse_size, "SIZE", "about as much, and no more");
  add_parsed(
      sub, "--source-latency", copy.source_latency,
      [](const std::string& text) -> Result<std::chrono::milliseconds> {
        CAIRN_TRY(number, parse_u64(text));
        return std::chrono::milliseconds(number);
      },
      "MS", "read with fewer readers while the source is slower than this");
  add_parsed(sub, "--timeout", copy.timeout, &parse_duration, "TIME",
             "end when nothing has worked for so long");
}

void settle(RunArgs& args, const CopyFlags& flags, const std::string& watch) {
  if (!watch.empty()) {
    auto parsed = parse_watch(watch);
    if (!parsed) throw CLI::ValidationError(parsed.error().detail);
    args.watch = *parsed;
  }
  // Files on their way hold no memory when nothing is sent, and many fit into one request.
  const bool is_tree = !args.source.empty() && args.source != "-" && !is_http_url(args.source) &&
                       !is_tar(args.source) && !is_fastdfs(args.source) &&
                       !args.source.starts_with(':');
  if (!flags.jobs_given && args.copy.mode == CopyMode::adopt) {
    args.copy.jobs = kAdoptJobs;
  } else if (!flags.jobs_given && is_tree) {
    const auto fitting =
        static_cast<unsigned>(std::min<std::uint64_t>(args.copy.memory / kMemoryOfJob, kTreeJobs));
    args.copy.jobs = std::max(args.copy.jobs, fitting);
  }
  if (is_http_url(args.source)) {
    // Read by each pass, and never as a whole.
    args.copy.url_list_is_log = !flags.access_log.empty();
    const std::string& list = args.copy.url_list_is_log ? flags.access_log : flags.files_from;
    if (!list.empty()) args.copy.url_list = std::filesystem::absolute(list).string();
    return;
  }
  if (!flags.access_log.empty()) throw CLI::ValidationError("--access-log goes with http:// only");
  if (!flags.files_from.empty()) args.copy.files_from = read_list(flags.files_from, flags.from0);
}

} // namespace

int run_command_line(int argc, char** argv) {
  CLI::App app("Brings legacy trees into Cairn, and proves that they are there", "cairn-migrate");
  app.set_version_flag("--version", std::string("cairn-migrate ") + CAIRN_VERSION);
  app.set_help_flag("--help", "print this");
  app.require_subcommand(1);
  Globals globals;
  app.add_option("-t,--tracker", globals.trackers, "HOST:PORT[,...]")->envname("CAIRN_TRACKER");
  app.add_option("--conf", globals.conf, "a client.conf: trackers and credentials")
      ->envname("CAIRN_CONF");
  app.add_option("--state", globals.state, "where jobs are kept")->envname("CAIRN_STATE");
  app.add_flag("--json", globals.output.json, "one JSON object a line");
  app.add_flag("-q,--quiet", globals.output.quiet, "errors only");

  std::function<int()> run;
  CopyFlags flags;
  RunArgs copy_args;
  const auto verb = [&app](const std::string& name, const std::string& help) {
    CLI::App* sub = app.add_subcommand(name, help);
    sub->fallthrough();
    return sub;
  };
  std::string watch; // empty: not wanted
  const auto copying = [&](const std::string& name, const std::string& help,
                           int (*function)(const Globals&, const RunArgs&)) {
    CLI::App* sub = verb(name, help);
    add_copy_options(sub, copy_args, flags, globals.output);
    sub->add_option(
           "SRC", copy_args.source,
           "a local tree, with '/' at its end what is in it; or http://HOST[:PORT][/PREFIX]; or "
           "fastdfs:STORAGE.CONF, of a node that may be running; or tar:FILE, or - for a tar "
           "stream")
        ->required();
    sub->add_option("DEST", copy_args.destination,
                    "EXPORT[/PATH]; from FastDFS group://GROUP, where the files keep their IDs")
        ->required();
    sub->callback([&, function] {
      settle(copy_args, flags, watch);
      run = [&, function] { return function(globals, copy_args); };
    });
    return sub;
  };
  CLI::App* sub = copying("run", "Begin a job, or go on with it: one pass over the tree", &run_run);
  sub->add_option("--job", copy_args.job, "its name; default: made of SRC and DEST");
  sub->add_flag("--allow-empty", copy_args.allow_empty, "the source may be empty now");
  // A flag that takes a value by '=' only: what follows it is SRC.
  const auto watching = [&watch](CLI::App* of) {
    of->add_flag("--watch{best}", watch,
                 "then follow the source; --watch=fanotify, inotify or rescan:TIME, default: what "
                 "works best here");
  };
  watching(sub);
  copying("plan", "What a job would copy: counts, sizes, odd names", &run_plan);
  sub = copying("sync", "One pass without keeping a job; one side may be :/EXPORT/PATH", &run_sync);

  RunArgs resume_args;
  sub = verb("resume", "Go on with a job: one pass over the tree");
  sub->add_option("JOB", resume_args.job)->required();
  sub->add_flag("-n,--dry-run", resume_args.dry_run, "show what would be done, change nothing");
  sub->add_flag("-i,--itemize-changes", globals.output.itemize, "a line for each change");
  sub->add_flag("-v,--verbose", globals.output.verbose, "names of what is copied");
  sub->add_flag("-P,--progress", globals.output.progress,
                "progress also where there is no terminal");
  sub->add_flag("--stats", globals.output.stats, "a longer summary");
  sub->add_option("--log-file", globals.output.log_file, "also into this file");
  sub->add_flag("--rebuild-ledger", resume_args.rebuild_ledger,
                "put the ledger aside and make a new one by comparing with the destination");
  sub->add_flag("--allow-empty", resume_args.allow_empty, "the source may be empty now");
  watching(sub);
  sub->callback([&] {
    settle(resume_args, CopyFlags(), watch);
    run = [&] { return run_resume(globals, resume_args); };
  });

  sub = verb("freeze", "The source does not change any more: passes until one finds nothing new");
  sub->add_option("JOB", resume_args.job)->required();
  sub->callback([&] { run = [&] { return run_freeze(globals, resume_args); }; });

  GateArgs gate_args;
  sub = verb("gate", "May the old server be left? Exit 0 only if nothing speaks against it");
  sub->add_option("JOB", gate_args.job)->required();
  auto* urls = sub->add_option("--urls", gate_args.urls, "ask for these paths, one a line");
  sub->add_option("--access-log", gate_args.access_log,
                  "ask for what was fetched well by this log of the old server")
      ->excludes(urls);
  sub->add_option("--at", gate_args.url_server, "the server to ask: http://HOST[:PORT][/PREFIX]");
  sub->add_option("--against", gate_args.old_server,
                  "its answers must be those of this old server");
  sub->add_flag("--rules", gate_args.rules, "the cluster's URL rules must pass their tests");
  sub->add_flag("--shadow", gate_args.shadow,
                "shadow comparisons must have been made, and found nothing");
  sub->callback([&] {
    const bool asks = !gate_args.urls.empty() || !gate_args.access_log.empty();
    if (asks == gate_args.url_server.empty() || (!asks && !gate_args.old_server.empty()))
      throw CLI::ValidationError("--urls or --access-log, and --at, go together");
    run = [&] { return run_gate(globals, gate_args); };
  });

  JobArgs job_args;
  sub = verb("status", "How far a job is; without a name: all jobs");
  sub->add_option("JOB", job_args.job);
  sub->callback([&] { run = [&] { return run_status(globals, job_args); }; });
  sub = verb("pause", "Ask the process that works on a job to stop; `resume` goes on");
  sub->add_option("JOB", job_args.job)->required();
  sub->callback([&] { run = [&] { return run_pause(globals, job_args); }; });

  AbortArgs abort_args;
  sub = verb("abort", "Give a job up");
  sub->add_option("JOB", abort_args.job)->required();
  sub->add_flag("--remove", abort_args.remove, "remove from the destination what the job copied");
  sub->add_flag("--yes", abort_args.yes, "do not ask");
  sub->callback([&] { run = [&] { return run_abort(globals, abort_args); }; });

  VerifyArgs verify_args;
  sub = verb("verify", "Compare what the job has copied with what is at the destination");
  sub->add_option("JOB", verify_args.job)->required();
  sub->add_flag("--reread", verify_args.reread, "fetch every file and hash it");
  sub->callback([&] { run = [&] { return run_verify(globals, verify_args); }; });

  ReportArgs report_args;
  sub = verb("report", "Counts, problems and time line of a job");
  sub->add_option("JOB", report_args.job)->required();
  sub->add_option("--html", report_args.html, "a page for people; - is standard output");
  sub->add_option("--manifest", report_args.manifest, "checksums as `sha256sum -c` reads them");
  sub->add_option("--list", report_args.list, "everything, a JSON object a line");
  sub->callback([&] { run = [&] { return run_report(globals, report_args); }; });

  AdoptArgs adopt_args;
  sub = verb("adopt", "Take the directories of a stopped FastDFS storage daemon over, in place");
  sub->add_option("--fastdfs", adopt_args.fastdfs, "its storage.conf")->required();
  sub->add_flag("-n,--dry-run", adopt_args.dry_run, "only tell; FastDFS may be running");
  sub->add_flag("-c,--checksum", adopt_args.checksum,
                "read every file and compare it with the checksum in its name");
  auto* undo = sub->add_flag("--undo", adopt_args.undo, "give them back as they were");
  sub->add_flag("--keep-added", adopt_args.keep_added,
                "with --undo: what was stored since stays where it is")
      ->needs(undo);
  sub->add_option("--storage-ids", adopt_args.storage_ids,
                  "storage_ids.conf of its trackers; default: the one beside its storage.conf")
      ->excludes(undo);
  sub->add_option("--write-conf", adopt_args.write_conf,
                  "write a storage.conf for Cairn on these directories")
      ->excludes(undo);
  sub->add_option("--base-path", adopt_args.base_path,
                  "its base_path; default: `cairn` in that of FastDFS");
  sub->add_option("--log-file", globals.output.log_file, "also into this file");
  sub->callback([&] { run = [&] { return run_adopt(globals, adopt_args); }; });

  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    const int code = app.exit(error);
    return code == 0 ? 0 : kSyntax;
  }
  return run();
}

} // namespace cairn::migrate
