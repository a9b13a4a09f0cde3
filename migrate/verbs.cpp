// What verbs share, and those that only look at a job: status, pause, abort.
#include "migrate/verbs.h"

#include "client/command_options.h"
#include "common/base/text.h"
#include "migrate/exit_codes.h"
#include "migrate/fastdfs_source.h"
#include "migrate/session.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <ctime>
#include <iostream>
#include <thread>
#include <unistd.h>

namespace cairn::migrate {

namespace {

namespace fs = std::filesystem;

volatile std::sig_atomic_t g_stop = 0;

void answer(const Globals& globals, const nlohmann::json& document) {
  const auto replace = nlohmann::json::error_handler_t::replace;
  std::printf("%s\n", document.dump(globals.output.json ? -1 : 2, ' ', false, replace).c_str());
}

// What is known of a job, whether somebody works on it or not.
Result<nlohmann::json> describe(const Job& job) {
  const JobDescription& what = job.description();
  nlohmann::json out{{"job", job.name()},
                     {"source", printable(what.source)},
                     {"destination", printable(what.destination)},
                     {"cluster", what.cluster_uuid},
                     {"created", what.created},
                     {"runs", what.runs},
                     {"passes", what.passes},
                     {"last_pass_end", what.last_pass_end},
                     {"last_pass_changes", what.last_pass_changes},
                     {"verified", what.verified},
                     {"frozen", what.frozen}};
  auto holder = job.holder();
  Result<std::unique_ptr<Ledger>> ledger = Errc::busy;
  if (!holder) ledger = job.open_ledger();
  // A run may have begun meanwhile.
  if (!holder && ledger.code() == Errc::busy) holder = job.holder();
  if (holder) {
    out["state"] = "running";
    out["pid"] = *holder;
    if (const auto status = job.running_status()) out["now"] = *status;
    return out;
  }
  if (!ledger) return std::move(ledger).error();
  const Counters counters = (*ledger)->counters();
  out["state"] = what.aborted ? "aborted" : counters.debt() > 0 ? "interrupted" : "idle";
  out["files"] = counters.files;
  out["bytes"] = counters.bytes;
  out["shared"] = counters.shared;
  out["shared_bytes"] = counters.shared_bytes;
  out["directories"] = counters.directories;
  out["symlinks"] = counters.symlinks;
  out["hard_links"] = counters.hard_links;
  out["specials"] = counters.specials;
  out["gone"] = counters.gone;
  out["todo"] = counters.queued - counters.failed;
  out["failed"] = counters.failed;
  out["short_copies"] = counters.short_copies;
  out["debt"] = counters.debt();
  return out;
}

void print_status(const nlohmann::json& status) {
  const auto number = [](const nlohmann::json& from, const char* name) {
    return from.contains(name) ? from[name].get<std::uint64_t>() : 0;
  };
  std::string line = status["job"].get<std::string>() + ": " + status["state"].get<std::string>() +
                     ", " + status["source"].get<std::string>() + " -> " +
                     status["destination"].get<std::string>();
  std::printf("%s\n", line.c_str());
  const nlohmann::json& from = status.contains("now") ? status["now"] : status;
  if (status.contains("now")) {
    std::printf("  %s: %llu files copied, %s; %llu to do, %llu failed; %.0f files/s, %s/s%s\n",
                from.value("phase", std::string("?")).c_str(),
                static_cast<unsigned long long>(number(from, "files")),
                human_bytes(static_cast<double>(number(from, "bytes"))).c_str(),
                static_cast<unsigned long long>(number(from, "todo")),
                static_cast<unsigned long long>(number(from, "failed")),
                from.value("files_per_s", 0.0), human_bytes(from.value("bytes_per_s", 0.0)).c_str(),
                from.value("scanning", false) ? "; scanning" : "");
    if (number(from, "todo") > 0)
      std::printf("  about %s left\n", human_duration(from.value("eta_s", 0.0)).c_str());
    if (from.contains("lag_s"))
      std::printf("  following the source, %.1f s behind\n", from["lag_s"].get<double>());
    return;
  }
  std::printf("  %llu files, %s, %llu directories, %llu symlinks, %llu hard links\n",
              static_cast<unsigned long long>(number(from, "files")),
              human_bytes(static_cast<double>(number(from, "bytes"))).c_str(),
              static_cast<unsigned long long>(number(from, "directories")),
              static_cast<unsigned long long>(number(from, "symlinks")),
              static_cast<unsigned long long>(number(from, "hard_links")));
  if (number(from, "shared") > 0)
    std::printf("  %llu of the files share %s with others\n",
                static_cast<unsigned long long>(number(from, "shared")),
                human_bytes(static_cast<double>(number(from, "shared_bytes"))).c_str());
  std::printf("  to do %llu, failed %llu, with too few copies %llu, gone from the source %llu\n",
              static_cast<unsigned long long>(number(from, "todo")),
              static_cast<unsigned long long>(number(from, "failed")),
              static_cast<unsigned long long>(number(from, "short_copies")),
              static_cast<unsigned long long>(number(from, "gone")));
  if (const auto end = status.value("last_pass_end", std::int64_t{0}); end > 0)
    std::printf("  %llu complete passes, the last ended %s\n",
                static_cast<unsigned long long>(number(status, "passes")), human_time(end).c_str());
}

// Removes what a job has made, deepest first; names that others use stay.
Task<Status> remove_all(Destination& destination, Ledger& ledger, Output& output,
                        std::uint64_t& removed) {
  for (;;) {
    CAIRN_CO_TRY(paths, ledger.last_paths(Table::files, 500));
    if (paths.empty()) co_return Status();
    Ledger::Batch batch;
    for (const std::string& path : paths) {
      CAIRN_CO_TRY(row, ledger.file(path));
      const std::string above(parent_of(path));
      CAIRN_CO_TRY(parent, ledger.file(above));
      batch.erase_file(path);
      batch.erase(Table::listed, path);
      if (path.empty() || !row) continue;
      const std::uint64_t inode = above.empty() ? destination.root()
                                  : parent      ? parent->dest_inode
                                                : 0;
      if (inode == 0) continue;
      const std::string name(name_of(path));
      const auto there = co_await destination.lookup(inode, name);
      // Somebody has put another thing there.
      if (!there || there->attributes.inode != row->dest_inode) continue;
      const Status done = co_await destination.remove(inode, name, row->seen.is_directory());
      if (done)
        ++removed;
      else
        output.problem(path, done.error());
      if (stop_requested()) co_return Error{Errc::closed, "stopped"};
    }
    CAIRN_CO_RETURN_IF_ERROR(ledger.commit(batch));
  }
}

// The same of files that have kept their IDs.
Task<Status> remove_ids(GroupDestination& destination, Ledger& ledger, Output& output,
                        std::uint64_t& removed) {
  for (;;) {
    CAIRN_CO_TRY(paths, ledger.last_paths(Table::files, 500));
    if (paths.empty()) co_return Status();
    Ledger::Batch batch;
    for (const std::string& path : paths) {
      CAIRN_CO_TRY(row, ledger.file(path));
      batch.erase_file(path);
      if (!row || row->has(kRowThere)) continue;
      if (FastdfsSource::file_of(path).size() < path.size()) continue; // goes with its file
      const Status done = co_await destination.remove(path);
      if (done)
        ++removed;
      else if (done.code() != Errc::not_found)
        output.problem(path, done.error());
      if (stop_requested()) co_return Error{Errc::closed, "stopped"};
    }
    CAIRN_CO_RETURN_IF_ERROR(ledger.commit(batch));
  }
}

} // namespace

bool stop_requested() {
  return g_stop != 0;
}

void request_stop() {
  g_stop = 1;
}

Result<ClientOptions> client_options(const Globals& globals) {
  return command_options(globals.conf, globals.trackers);
}

int fail(const Globals& globals, int code, const Error& error) {
  if (globals.output.json) {
    const nlohmann::json event{{"event", "error"}, {"exit", code}, {"error", error.text()}};
    answer(globals, event);
  } else {
    std::fprintf(stderr, "cairn-migrate: %s\n", error.text().c_str());
  }
  return code;
}

int verb_code(Errc code) {
  switch (code) {
    case Errc::not_found:
      return kNotFound;
    case Errc::denied:
    case Errc::not_permitted:
      return kDenied;
    case Errc::exists:
    case Errc::busy:
      return kConflict;
    case Errc::corrupt:
      return kVerifyFailed;
    case Errc::invalid_argument:
      return kUsage;
    default:
      return kUnavailable;
  }
}

int run_status(const Globals& globals, const JobArgs& args) {
  const fs::path state = Job::state_folder(globals.state);
  std::vector<std::string> names;
  if (!args.job.empty()) {
    names.push_back(args.job);
  } else {
    std::error_code ignored;
    for (fs::directory_iterator at(state, ignored), end; !ignored && at != end;
         at.increment(ignored))
      if (fs::exists(at->path() / "job.json")) names.push_back(at->path().filename().string());
    std::ranges::sort(names);
  }
  int code = kGood;
  for (const std::string& name : names) {
    auto job = Job::load(state, name);
    auto status = job ? describe(*job) : Result<nlohmann::json>(job.error());
    if (!status) {
      code = fail(globals, verb_code(status.code()), status.error());
    } else if (globals.output.json) {
      answer(globals, *status);
    } else {
      print_status(*status);
    }
  }
  return code;
}

int run_pause(const Globals& globals, const JobArgs& args) {
  auto job = Job::load(Job::state_folder(globals.state), args.job);
  if (!job) return fail(globals, verb_code(job.code()), job.error());
  if (!job->holder()) return kGood;
  job->ask_to_stop();
  // What is on its way comes to an end first.
  const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(60);
  while (job->holder() && std::chrono::steady_clock::now() < until && !stop_requested())
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  if (!job->holder()) return kGood;
  return fail(globals, kUnavailable, Error{Errc::timeout, "it was asked to stop, and has not yet"});
}

int run_abort(const Globals& globals, const AbortArgs& args) {
  auto job = Job::load(Job::state_folder(globals.state), args.job);
  if (!job) return fail(globals, verb_code(job.code()), job.error());
  JobDescription& what = job->description();
  if (args.remove && !args.yes) {
    std::fprintf(stderr, "Remove everything that job %s has copied to %s? [y/N] ",
                 job->name().c_str(), what.destination.c_str());
    std::string reply;
    std::getline(std::cin, reply);
    if (reply != "y" && reply != "yes") return kGood;
  }
  if (const int code = run_pause(globals, JobArgs{args.job}); code != kGood) return code;
  if (const Status locked = job->lock(); !locked) return fail(globals, kConflict, locked.error());
  if (args.remove) {
    auto output = Output::open(globals.output);
    if (!output) return fail(globals, kUsage, output.error());
    auto ledger = job->open_ledger();
    if (!ledger) return fail(globals, verb_code(ledger.code()), ledger.error());
    auto session = open_destination(globals, what, Timeout(std::chrono::seconds(30)));
    if (!session) return fail(globals, verb_code(session.code()), session.error());
    std::uint64_t removed = 0;
    Session& to = **session;
    const Status done =
        to.wait(to.group() != nullptr ? remove_ids(*to.group(), **ledger, **output, removed)
                                      : remove_all(to.destination(), **ledger, **output, removed));
    (*output)->say("removed " + std::to_string(removed) + " names");
    if (!done) return fail(globals, verb_code(done.code()), done.error());
  }
  what.aborted = true;
  if (const Status saved = job->save(); !saved)
    return fail(globals, verb_code(saved.code()), saved.error());
  return kGood;
}

} // namespace cairn::migrate
