// The verbs of cairn-migrate: arguments as plain values, and the functions that carry them out and
// answer the exit status.
#pragma once

#include "cairn/types.h"
#include "migrate/job.h"
#include "migrate/journal.h"
#include "migrate/options.h"
#include "migrate/output.h"

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace cairn::migrate {

// Options of all verbs.
struct Globals {
  std::string trackers; // HOST:PORT[,…]; empty: those of `conf`
  std::filesystem::path conf;
  std::filesystem::path state; // empty: see Job::state_folder()
  OutputOptions output;
};

// Errors: invalid_argument (no tracker is named).
Result<ClientOptions> client_options(const Globals& globals);

struct RunArgs {
  std::string job; // empty: made of source and destination
  std::string source;
  std::string destination;
  CopyOptions copy;
  bool dry_run = false;
  bool rebuild_ledger = false;
  bool allow_empty = false;          // a source without anything in it is meant
  std::optional<WatchOptions> watch; // afterwards the source is followed until somebody stops it
};
int run_run(const Globals& globals, const RunArgs& args);
int run_resume(const Globals& globals, const RunArgs& args);
int run_sync(const Globals& globals, const RunArgs& args);
int run_plan(const Globals& globals, const RunArgs& args);

// The source does not change any more: passes until one finds nothing new.
int run_freeze(const Globals& globals, const RunArgs& args);

struct GateArgs {
  std::string job;
  std::filesystem::path urls;       // a path a line; empty: none are asked for
  std::filesystem::path access_log; // the same: what was fetched well by this log
  std::string url_server;           // who answers them now: http://HOST[:PORT][/PREFIX]
  std::string old_server;           // and who did before; empty: 200 is enough
  bool rules = false;               // the cluster's URL rules must hold their tests
  bool shadow = false;              // and comparisons with an old server have found nothing
};
int run_gate(const Globals& globals, const GateArgs& args);

struct JobArgs {
  std::string job;
};
int run_status(const Globals& globals, const JobArgs& args);
int run_pause(const Globals& globals, const JobArgs& args);

struct AbortArgs {
  std::string job;
  bool remove = false; // also what the job has made at the destination
  bool yes = false;
};
int run_abort(const Globals& globals, const AbortArgs& args);

struct VerifyArgs {
  std::string job;
  bool reread = false; // the content of every file is fetched and hashed
};
int run_verify(const Globals& globals, const VerifyArgs& args);

struct ReportArgs {
  std::string job;
  std::filesystem::path html;     // "-": standard output
  std::filesystem::path manifest; // sha256sum -c
  std::filesystem::path list;     // JSON lines
};
int run_report(const Globals& globals, const ReportArgs& args);

// Prints an error as a line, or as JSON, and answers `code`.
int fail(const Globals& globals, int code, const Error& error);
// The exit code of the other verbs for an error.
int verb_code(Errc code);

// Set by SIGINT and SIGTERM: what runs is to end soon.
bool stop_requested();
void request_stop();

} // namespace cairn::migrate
