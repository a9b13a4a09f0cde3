// run, resume, plan and sync towards the cluster: what a source and a destination need before a
// pass, and what is said after it.
#include "common/base/text.h"
#include "migrate/exit_codes.h"
#include "migrate/fastdfs_journal.h"
#include "migrate/fastdfs_source.h"
#include "migrate/http_list.h"
#include "migrate/monitor.h"
#include "migrate/pull.h"
#include "migrate/session.h"
#include "migrate/tar_source.h"
#include "migrate/verbs.h"

#include <nlohmann/json.hpp>

#include <cerrno>
#include <cstdlib>
#include <ctime>
#include <sys/stat.h>
#include <unistd.h>

namespace cairn::migrate {

namespace {

namespace fs = std::filesystem;

constexpr std::chrono::seconds kCallTime{30};
// How often a journal is looked at, and how long changes are gathered.
constexpr std::chrono::milliseconds kFollowLook{500};
constexpr std::chrono::milliseconds kFollowGather{100};
// Passes of `freeze` until the source has to hold still.
constexpr int kFreezePasses = 5;

// What a command line means by its source: rsync's rule of the trailing slash.
struct SourceTree {
  std::string root;              // absolute
  std::string below;             // what is added to the destination's path
  std::vector<std::string> only; // a single file: its name
};

Result<SourceTree> source_tree(const std::string& given) {
  SourceTree out;
  if (is_http_url(given)) {
    CAIRN_TRY(server, parse_http_server(given));
    out.root = "http://" + server.host + server.prefix;
    return out;
  }
  if (given == "-" || given == std::string(kTarPrefix) + "-") {
    out.root = std::string(kTarPrefix) + "-";
    return out;
  }
  if (is_tar(given)) {
    std::error_code failure;
    const fs::path file = fs::canonical(given.substr(kTarPrefix.size()), failure);
    if (failure) return errno_error(given.substr(kTarPrefix.size()), failure.value());
    out.root = std::string(kTarPrefix) + file.string();
    return out;
  }
  if (is_fastdfs(given)) {
    std::error_code failure;
    const fs::path conf = fs::canonical(given.substr(kFastdfsPrefix.size()), failure);
    if (failure) return errno_error(given.substr(kFastdfsPrefix.size()), failure.value());
    out.root = std::string(kFastdfsPrefix) + conf.string();
    return out;
  }
  std::error_code failure;
  const fs::path path = fs::canonical(given, failure);
  if (failure) return errno_error(given, failure.value());
  struct stat status {};
  if (::stat(path.c_str(), &status) != 0) return errno_error(given, errno);
  if (S_ISDIR(status.st_mode)) {
    out.root = path.string();
    const bool contents = given.ends_with('/') || given.ends_with("/.") || given == ".";
    if (!contents) out.below = path.filename().string();
  } else {
    out.root = path.parent_path().string();
    out.only.push_back(path.filename().string());
  }
  return out;
}

// An NFS export that is not mounted looks like an empty folder, and nothing of it as gone.
Status check_not_empty(const std::string& root, const Counters& known) {
  if (known.files + known.symlinks == 0) return {};
  std::error_code failure;
  const fs::directory_iterator at(root, failure);
  if (failure) return errno_error(root, failure.value());
  if (at != fs::directory_iterator()) return {};
  return Error{Errc::not_found, root +
                                    " is empty, and was not: is it mounted? --allow-empty if "
                                    "that is meant"};
}

int code_of(const Status& done, const Tally& tally, const ScanCounters& scanned) {
  if (!done) {
    switch (done.code()) {
      case Errc::closed:
        return kStopped;
      case Errc::timeout:
        return kTimeout;
      case Errc::unavailable:
        return kSocket;
      default:
        return kFileIo;
    }
  }
  if (tally.failed + scanned.failures > 0) return kPartial;
  if (tally.vanished > 0) return kVanished;
  return kDone;
}

// What cannot be asked of a web server or a stream.
Status check_no_tree(const RunArgs& args, const CopyOptions& copy, bool stream) {
  const bool compares = copy.existing || copy.ignore_existing || copy.update || copy.size_only;
  const bool removes = stream && copy.remove; // it may be one of several
  if (!args.dry_run && !args.watch && !compares && !removes && copy.mode == CopyMode::copy)
    return {};
  return Error{Errc::invalid_argument,
               std::string(stream ? "from a tar stream there is no --delete, "
                                  : "from a web server there is no ") +
                   "--dry-run, --watch, --mode adopt, --existing, --ignore-existing, --update and "
                   "--size-only"};
}

// Only what is sent into an export can share what was sent before.
Status check_dedupe(const CopyOptions& copy, const DestinationPath& where) {
  if (!copy.dedupe || (copy.mode == CopyMode::copy && where.group.empty())) return {};
  return Error{Errc::invalid_argument,
               "--dedupe goes with --mode copy into an export: what is taken over where it lies, "
               "and what keeps its ID, is a stored file of its own"};
}

// IDs stay what they are only in a group of the same name, and nothing else goes into a group.
Status check_fastdfs(const CopyOptions& copy, const std::string& source,
                     const DestinationPath& where, const FastdfsSource* fastdfs) {
  if (fastdfs == nullptr && where.group.empty()) return {};
  const std::string group =
      "group://" + (fastdfs != nullptr ? fastdfs->node().group : std::string("GROUP"));
  if (fastdfs == nullptr || where.group != fastdfs->node().group)
    return Error{Errc::invalid_argument,
                 "from " + source + " to " + where.text() +
                     ": files keep their IDs from fastdfs:STORAGE.CONF to " + group +
                     "; to give FastDFS's files paths, copy its directories (DIR/data/) to EXPORT"};
  const bool compares = copy.existing || copy.ignore_existing || copy.update || copy.size_only;
  if (compares || copy.mode != CopyMode::copy)
    return Error{Errc::invalid_argument,
                 "from FastDFS there is no --mode adopt, --existing, --ignore-existing, --update "
                 "and --size-only (directories of a stopped one: cairn-migrate adopt)"};
  return {};
}

// Everything one pass needs, made from options.
struct Machine {
  Filter filter;
  Limiter limiter;
  Tally tally;

  Status prepare(const CopyOptions& copy) {
    for (const std::string& rule : copy.rules) CAIRN_RETURN_IF_ERROR(filter.add(rule));
    if (!copy.files_from.empty()) filter.only(copy.files_from);
    CAIRN_TRY(parsed, Limiter::parse(copy.bwlimit));
    limiter = std::move(parsed);
    return {};
  }
};

void summarise(Output& output, const Status& done, int code, const Tally& tally,
               const ScanCounters& scanned, const Counters& ledger, double seconds, bool dry,
               std::uint64_t removals_max_kept) {
  nlohmann::json event = Monitor::numbers(tally, scanned, ledger);
  event["event"] = "summary";
  event["exit"] = code;
  event["seconds"] = seconds;
  event["dry_run"] = dry;
  if (!done) event["error"] = done.error().text();
  output.event(event);
  std::string line = (dry ? "would copy " : "copied ") + std::to_string(tally.files) + " files, " +
                     human_bytes(static_cast<double>(tally.bytes)) + " in " +
                     human_duration(seconds);
  const auto add = [&line](std::uint64_t count, const char* what) {
    if (count > 0) line += ", " + std::to_string(count) + " " + what;
  };
  add(tally.cloned, "of them cloned");
  add(tally.linked, "of them linked");
  if (tally.shared > 0)
    line += ", " + std::to_string(tally.shared) + " of them sharing " +
            human_bytes(static_cast<double>(tally.shared_bytes)) + " with others";
  add(tally.attributes, "with new attributes");
  add(tally.directories, "directories");
  add(tally.symlinks, "symlinks");
  add(tally.hard_links, "hard links");
  add(tally.specials, "special files");
  add(tally.removed, "removed");
  add(removals_max_kept, "not removed");
  add(tally.vanished, "vanished");
  add(tally.left_out, "left out");
  add(tally.failed + scanned.failures, "failed");
  add(scanned.foreign, "that cannot be copied");
  add(tally.short_copies, "with too few copies");
  output.say(line);
  if (!output.options().stats) return;
  output.say("looked at " + std::to_string(scanned.entries) + " names in " +
             std::to_string(scanned.directories) + " directories, " +
             std::to_string(scanned.skipped) + " of them unchanged; " +
             std::to_string(scanned.odd_names) + " odd names; " + std::to_string(tally.retries) +
             " retries");
  if (seconds > 0)
    output.say(std::to_string(
                   static_cast<std::uint64_t>(static_cast<double>(tally.files.load()) / seconds)) +
               " files/s, " + human_bytes(static_cast<double>(tally.bytes.load()) / seconds) +
               "/s");
}

struct PassResult {
  int code = kDone;
  std::uint64_t changes = 0;
};

// One pass with progress and summary.
PassResult one_pass(Session& session, Ledger& ledger, Machine& machine, Pass::Options options,
                    const Job* job, Output& output) {
  const auto begin = std::chrono::steady_clock::now();
  const bool dry = options.dry_run;
  const auto limit = options.copy->removals_max;
  options.item = [&output](const std::string& letters, const std::string& path,
                           const std::string& more) { output.item(letters, path, more); };
  options.problem = [&output](const std::string& path, const Error& error) {
    output.problem(path, error);
  };
  Pass pass(session, ledger, machine.limiter, machine.tally, std::move(options));
  Status done;
  {
    const Monitor monitor(pass, machine.tally, job, output);
    done = pass.run();
  }
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
  PassResult out;
  out.code = code_of(done, machine.tally, pass.scanned());
  if (out.code == kDone && limit && machine.tally.kept > 0) out.code = kMaxDelete;
  out.changes = machine.tally.changes();
  if (!done && out.code != kStopped) output.problem("", done.error());
  summarise(output, done, out.code, machine.tally, pass.scanned(), ledger.counters(), took.count(),
            dry, machine.tally.kept);
  return out;
}

// Copies what changes, as it changes, until somebody stops it. `journal` was started before the
// last whole pass.
int follow(Session& session, Ledger& ledger, Machine& machine, const Job& job, Output& output,
           Journal& journal, const Pass::Options& whole) {
  CopyOptions exact = *whole.copy;
  exact.quick = false; // what was written in place is told, and must be found
  JournalChanges left; // of a pass that failed
  output.say("following " + job.description().source + " by " + std::string(journal.name()));
  const ScanCounters nothing;
  while (!stop_requested() && !job.asked_to_stop()) {
    JournalChanges changes = journal.take(kFollowLook);
    if (!changes.empty()) {
      // What comes together is copied together.
      JournalChanges more = journal.take(kFollowGather);
      changes.everything = changes.everything || more.everything;
      changes.directories.merge(more.directories);
    }
    changes.everything = changes.everything || left.everything;
    changes.directories.merge(left.directories);
    if (left.oldest) changes.oldest = left.oldest;
    left = {};
    double lag = 0;
    if (!changes.empty()) {
      Pass::Options options = whole;
      options.copy = &exact;
      options.pass = static_cast<std::uint32_t>(std::time(nullptr));
      if (!changes.everything)
        options.directories.assign(changes.directories.begin(), changes.directories.end());
      Pass pass(session, ledger, machine.limiter, machine.tally, std::move(options));
      Status done;
      {
        const Monitor monitor(pass, machine.tally, &job, output);
        done = pass.run();
      }
      lag = std::chrono::duration<double>(std::chrono::steady_clock::now() -
                                          changes.oldest.value_or(std::chrono::steady_clock::now()))
                .count();
      if (!done) {
        if (done.code() != Errc::closed) output.problem("", done.error());
        if (done.code() == Errc::corrupt || is_fatal(done.error())) return kFileIo;
        left = std::move(changes);
      }
    }
    nlohmann::json status = Monitor::numbers(machine.tally, nothing, ledger.counters());
    status["phase"] = "following";
    status["journal"] = journal.name();
    status["lag_s"] = left.empty() ? 0.0 : lag;
    status["last_lag_s"] = lag;
    status["time"] = std::time(nullptr);
    job.write_status(status);
  }
  return kStopped;
}

int connect_code(Errc code) {
  switch (code) {
    case Errc::denied:
    case Errc::not_found:
    case Errc::exists:
    case Errc::invalid_argument:
      return kSelection;
    default:
      return kSocket;
  }
}

// Carries out one pass of a job. The job is locked.
int work_on(const Globals& globals, Job& job, const RunArgs& args) {
  JobDescription& what = job.description();
  auto output = Output::open(globals.output);
  if (!output) return fail(globals, kSyntax, output.error());
  if (what.aborted)
    return fail(globals, kConflict, Error{Errc::exists, "job " + job.name() + " was aborted"});
  job.clear_stop();

  const bool is_web = is_http_url(what.source);
  std::unique_ptr<FastdfsSource> fastdfs;
  if (is_fastdfs(what.source)) {
    auto opened = FastdfsSource::open(what.source.substr(kFastdfsPrefix.size()));
    if (!opened) return fail(globals, kSelection, opened.error());
    fastdfs = *std::move(opened);
  }
  const bool is_stream = is_tar(what.source);
  const bool is_tree = !is_web && !is_stream && !fastdfs;
  struct stat status {};
  if (is_tree && (::stat(what.source.c_str(), &status) != 0 || !S_ISDIR(status.st_mode)))
    return fail(globals, kSelection, errno_error(what.source, errno == 0 ? ENOTDIR : errno));
  if (args.rebuild_ledger) {
    const Status aside = job.put_ledger_aside();
    if (!aside) return fail(globals, kFileIo, aside.error());
  }
  auto ledger = job.open_ledger();
  if (!ledger) return fail(globals, kFileIo, ledger.error());
  if (is_web || is_stream)
    if (const Status good = check_no_tree(args, what.options, is_stream); !good)
      return fail(globals, kSyntax, good.error());
  if (!args.allow_empty && is_tree) {
    const Status there = check_not_empty(what.source, (*ledger)->counters());
    if (!there) return fail(globals, kSelection, there.error());
  }
  Machine machine;
  if (const Status ready = machine.prepare(what.options); !ready)
    return fail(globals, kSyntax, ready.error());

  auto client = client_options(globals);
  if (!client) return fail(globals, kSyntax, client.error());
  const auto where = parse_destination(what.destination);
  if (!where) return fail(globals, kSyntax, where.error());
  if (const Status good = check_fastdfs(what.options, what.source, *where, fastdfs.get()); !good)
    return fail(globals, kSyntax, good.error());
  if (const Status good = check_dedupe(what.options, *where); !good)
    return fail(globals, kSyntax, good.error());
  Session session(*client, *where, Timeout(kCallTime));
  const Status opened = session.open(!args.dry_run);
  if (!opened) {
    Error error = opened.error();
    if (error.code == Errc::not_found && where->group.empty())
      error.detail = "there is no export " + where->export_name + ": `cairn export add " +
                     where->export_name + "`";
    return fail(globals, connect_code(error.code), error);
  }
  const std::string uuid = session.cluster_uuid();
  if (!what.cluster_uuid.empty() && what.cluster_uuid != uuid)
    return fail(globals, kConflict,
                Error{Errc::exists, "job " + job.name() + " belongs to cluster " +
                                        what.cluster_uuid + ", this is " + uuid});
  what.cluster_uuid = uuid;
  if (!args.dry_run) {
    ++what.runs;
    what.frozen = false; // until `freeze` says so
    what.verified = 0;
  }
  if (const Status saved = job.save(); !saved) return fail(globals, kFileIo, saved.error());

  // Before the scan begins: nothing may fall between the two.
  std::unique_ptr<Journal> journal;
  if (args.watch && !args.dry_run && fastdfs) {
    journal = follow_fastdfs(fastdfs->node());
  } else if (args.watch && !args.dry_run) {
    auto started = Journal::start(what.source, *args.watch);
    if (!started) return fail(globals, kSyntax, started.error());
    journal = *std::move(started);
  }
  const std::int64_t begin = std::time(nullptr);
  const bool continues = (*ledger)->counters().debt() > 0;
  Pass::Options options;
  options.root = what.source;
  options.copy = &what.options;
  options.filter = &machine.filter;
  // Of failures: each run tries them again, also one that only shows what it would do.
  options.run = options.pass = what.runs + (args.dry_run ? 1 : 0);
  options.spill = job.spill_folder();
  options.dry_run = args.dry_run;
  TarShelf shelf(what.options.memory / 4);
  if (is_stream) {
    options.tar = &shelf;
    options.entry_feed = tar_feed(what.source.substr(kTarPrefix.size()), job.spill_folder(),
                                  what.options.timeout, shelf);
  }
  options.fastdfs = fastdfs.get();
  options.log_only = what.options.quick;
  if (is_web) {
    const auto server = parse_http_server(what.source);
    if (!server) return fail(globals, kSyntax, server.error());
    options.server = *server;
    options.feed = http_feed(*server, what.options, job.spill_folder(), session);
  }
  if (!args.dry_run)
    static_cast<void>((*ledger)->note("run " + std::to_string(what.runs) + " begins" +
                                      (continues ? ", going on with what was left" : "")));
  options.item = [&output](const std::string& letters, const std::string& path,
                           const std::string& more) { (*output)->item(letters, path, more); };
  options.problem = [&output](const std::string& path, const Error& error) {
    (*output)->problem(path, error);
  };
  const PassResult done = one_pass(session, **ledger, machine, options, &job, **output);
  if (args.dry_run) return done.code;
  const bool complete = done.code == kDone || done.code == kPartial || done.code == kVanished ||
                        done.code == kMaxDelete;
  static_cast<void>((*ledger)->note("run " + std::to_string(what.runs) +
                                    (complete ? " ends" : " is broken off") + ": " +
                                    std::to_string(machine.tally.files) + " files, " +
                                    human_bytes(static_cast<double>(machine.tally.bytes)) + ", " +
                                    std::to_string(machine.tally.removed) + " removed, " +
                                    std::to_string(machine.tally.failed) + " failed"));
  if (complete) {
    ++what.passes;
    what.last_pass_begin = begin;
    what.last_pass_end = std::time(nullptr);
    what.last_pass_changes = done.changes;
  }
  const Status saved = job.save();
  if (!saved) return fail(globals, kFileIo, saved.error());
  if (session.blind())
    (*output)->say("copies could not be counted: the cluster's secret is needed for that (--conf)");
  if (journal && complete) {
    options.log_only = true;
    const int code = follow(session, **ledger, machine, job, **output, *journal, options);
    static_cast<void>((*ledger)->note("following ends"));
    return code;
  }
  return done.code;
}

// "images-photos" for /srv/images to EXPORT photos.
std::string default_name(const std::string& source, const std::string& destination) {
  std::string out;
  for (const char c : fs::path(source).filename().string() + "-" + destination) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    out += plain || c == '_' ? c : '-';
  }
  return out.substr(0, 80);
}

} // namespace

int run_run(const Globals& globals, const RunArgs& args) {
  auto source = source_tree(args.source);
  if (!source) return fail(globals, kSelection, source.error());
  auto where = parse_destination(args.destination);
  if (!where) return fail(globals, kSyntax, where.error());
  if (where->group.empty()) where->path = join(where->path, source->below);
  CopyOptions copy = args.copy;
  if (!source->only.empty()) copy.files_from = source->only;

  const fs::path state = Job::state_folder(globals.state);
  const std::string name = args.job.empty() ? default_name(source->root, where->text()) : args.job;
  auto job = Job::load(state, name);
  if (job.code() == Errc::not_found) {
    JobDescription description;
    description.source = source->root;
    description.destination = where->text();
    description.options = copy;
    job = Job::make(state, name, std::move(description));
  }
  if (!job) return fail(globals, kSyntax, job.error());
  JobDescription& what = job->description();
  if (what.source != source->root || what.destination != where->text())
    return fail(
        globals, kConflict,
        Error{Errc::exists, "job " + name + " copies " + what.source + " to " + what.destination +
                                ", not " + source->root + " to " + where->text()});
  const Status locked = job->lock();
  if (!locked) return fail(globals, kConflict, locked.error());
  what.options = copy;
  return work_on(globals, *job, args);
}

int run_resume(const Globals& globals, const RunArgs& args) {
  auto job = Job::load(Job::state_folder(globals.state), args.job);
  if (!job) return fail(globals, kSelection, job.error());
  const Status locked = job->lock();
  if (!locked) return fail(globals, kConflict, locked.error());
  return work_on(globals, *job, args);
}

int run_freeze(const Globals& globals, const RunArgs& args) {
  auto job = Job::load(Job::state_folder(globals.state), args.job);
  if (!job) return fail(globals, kSelection, job.error());
  const Status locked = job->lock();
  if (!locked) return fail(globals, kConflict, locked.error());
  JobDescription& what = job->description();
  // What was written in place must be found now, whatever the passes before did.
  what.options.quick = false;
  what.frozen = false;
  for (int pass = 0; pass < kFreezePasses; ++pass) {
    const int code = work_on(globals, *job, args);
    if (code != kDone && code != kVanished) return code;
    if (code != kDone || what.last_pass_changes > 0) continue;
    what.frozen = true;
    const Status saved = job->save();
    return saved ? kDone : fail(globals, kFileIo, saved.error());
  }
  return fail(
      globals, kPartial,
      Error{Errc::busy, "the source still changes: each of " + std::to_string(kFreezePasses) +
                            " passes has found something new"});
}

int run_sync(const Globals& globals, const RunArgs& args) {
  if (is_http_url(args.source) || is_fastdfs(args.source) || is_tar(args.source) ||
      args.source == "-")
    return fail(globals, kSyntax,
                Error{Errc::invalid_argument, "from there there are jobs only: `run`"});
  if (args.source.starts_with(":/")) {
    if (!args.copy.dedupe) return pull(globals, args);
    return fail(globals, kSyntax,
                Error{Errc::invalid_argument, "--dedupe is for what comes into the cluster"});
  }
  auto source = source_tree(args.source);
  if (!source) return fail(globals, kSelection, source.error());
  auto where = parse_destination(args.destination);
  if (!where) return fail(globals, kSyntax, where.error());
  if (!where->group.empty())
    return fail(globals, kSyntax,
                Error{Errc::invalid_argument, "into a group there are jobs only: `run`"});
  where->path = join(where->path, source->below);
  CopyOptions copy = args.copy;
  if (const Status good = check_dedupe(copy, *where); !good)
    return fail(globals, kSyntax, good.error());
  if (!source->only.empty()) copy.files_from = source->only;
  auto output = Output::open(globals.output);
  if (!output) return fail(globals, kSyntax, output.error());
  Machine machine;
  if (const Status ready = machine.prepare(copy); !ready)
    return fail(globals, kSyntax, ready.error());
  auto client = client_options(globals);
  if (!client) return fail(globals, kSyntax, client.error());

  // The same engine, with a ledger that lives as long as the command.
  std::string folder = (fs::temp_directory_path() / "cairn-sync-XXXXXX").string();
  if (::mkdtemp(folder.data()) == nullptr)
    return fail(globals, kFileIo, errno_error(folder, errno));
  struct Remove {
    fs::path path;
    ~Remove() {
      std::error_code ignored;
      fs::remove_all(path, ignored);
    }
  } const remove{folder};
  auto ledger =
      Ledger::open(fs::path(folder) / "ledger", static_cast<std::size_t>(copy.memory / 4));
  if (!ledger) return fail(globals, kFileIo, ledger.error());

  Session session(*client, *where, Timeout(kCallTime));
  const Status opened = session.open(!args.dry_run);
  if (!opened) return fail(globals, connect_code(opened.code()), opened.error());
  if (copy.remove) {
    const Status known = session.wait(know_destination(session.destination(), **ledger));
    if (!known) return fail(globals, kSocket, known.error());
  }
  Pass::Options options;
  options.root = source->root;
  options.copy = &copy;
  options.filter = &machine.filter;
  options.run = options.pass = 1;
  options.spill = folder;
  options.quick_check = true;
  options.dry_run = args.dry_run;
  return one_pass(session, **ledger, machine, std::move(options), nullptr, **output).code;
}

int run_plan(const Globals& globals, const RunArgs& args) {
  RunArgs dry = args;
  dry.dry_run = true;
  Globals quiet = globals;
  quiet.output.stats = true;
  return run_sync(quiet, dry);
}

} // namespace cairn::migrate
