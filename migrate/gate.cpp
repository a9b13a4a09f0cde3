// gate: may the old server be left? Everything that could speak against it is looked at, and told.
#include "common/base/text.h"
#include "common/net/http_client.h"
#include "migrate/exit_codes.h"
#include "migrate/http_source.h"
#include "migrate/session.h"
#include "migrate/source_file.h"
#include "migrate/verbs.h"
#include "migrate/verify.h"

#include <nlohmann/json.hpp>

#include <cerrno>
#include <cstdio>
#include <fstream>

namespace cairn::migrate {

namespace {

constexpr std::chrono::seconds kHttpTime{20};
constexpr std::uint64_t kShownMax = 20;

struct Check {
  std::string name;
  bool green = false;
  std::string detail;
};

// What a server answers, as far as users notice.
struct Answer {
  int status = 0;
  std::uint64_t length = 0;
  wire::Bytes sha256;
  std::string type;
  std::string modified;

  friend bool operator==(const Answer&, const Answer&) = default;
};

Task<Result<Answer>> ask(HttpServer server, std::string path) {
  HttpAsk request;
  request.target = server.prefix + path;
  request.host = server.host;
  CAIRN_CO_TRY(call, co_await HttpCall::send(server.at, std::move(request), kHttpTime));
  Answer out;
  out.status = call.status();
  out.type = call.header("content-type");
  out.modified = call.header("last-modified");
  Sha256 hash;
  wire::Buffer buffer(64 * 1024);
  for (;;) {
    CAIRN_CO_TRY(count, co_await call.read_some(buffer.span()));
    if (count == 0) break;
    hash.update(buffer.view().first(count));
    out.length += count;
  }
  out.sha256 = hash.finish();
  co_return out;
}

std::string difference(const Answer& now, const Answer& before) {
  if (now.status != before.status)
    return "status " + std::to_string(now.status) + ", was " + std::to_string(before.status);
  if (now.length != before.length || now.sha256 != before.sha256) return "other bytes";
  if (now.type != before.type) return "type " + now.type + ", was " + before.type;
  return "Last-Modified " + now.modified + ", was " + before.modified;
}

// Every URL of a list: answered with 200, and as the old server answers it, if there is one.
Result<Check> check_urls(Session& session, const GateArgs& args, const Globals& globals) {
  CAIRN_TRY(now, parse_http_server(args.url_server));
  std::optional<HttpServer> before;
  if (!args.old_server.empty()) {
    CAIRN_TRY(parsed, parse_http_server(args.old_server));
    before = std::move(parsed);
  }
  std::ifstream in(args.urls);
  if (!in) return errno_error(args.urls.string(), errno);
  std::uint64_t asked = 0;
  std::uint64_t wrong = 0;
  for (std::string line; std::getline(in, line) && !stop_requested();) {
    const std::string path(trim(line));
    if (path.empty() || path.front() == '#') continue;
    ++asked;
    std::string problem;
    const auto answer = session.wait(ask(now, path));
    if (!answer) {
      problem = answer.error().text();
    } else if (!before) {
      if (answer->status != 200) problem = "status " + std::to_string(answer->status);
    } else {
      const auto old = session.wait(ask(*before, path));
      if (!old)
        problem = "the old server: " + old.error().text();
      else if (*answer != *old)
        problem = difference(*answer, *old);
    }
    if (problem.empty()) continue;
    if (++wrong <= kShownMax && !globals.output.json)
      std::fprintf(stderr, "cairn-migrate: %s: %s\n", path.c_str(), problem.c_str());
  }
  Check out;
  out.name = "urls";
  out.green = wrong == 0 && asked > 0;
  out.detail = std::to_string(asked) + " asked, " + std::to_string(wrong) + " wrong";
  return out;
}

} // namespace

int run_gate(const Globals& globals, const GateArgs& args) {
  auto job = Job::load(Job::state_folder(globals.state), args.job);
  if (!job) return fail(globals, kSelection, job.error());
  std::vector<Check> checks;
  const auto check = [&checks](std::string name, bool green, std::string detail) {
    checks.push_back({std::move(name), green, std::move(detail)});
  };
  const Status locked = job->lock();
  check("nothing runs", static_cast<bool>(locked), locked ? "" : locked.error().detail);
  if (locked) {
    const JobDescription& what = job->description();
    auto ledger = job->open_ledger();
    if (!ledger) return fail(globals, kFileIo, ledger.error());
    auto client = client_options(globals);
    if (!client) return fail(globals, kSyntax, client.error());
    const auto where = parse_destination(what.destination);
    if (!where) return fail(globals, kSyntax, where.error());
    Session session(*client, *where, Timeout(std::chrono::seconds(30)));
    const Status opened = session.open(false);
    if (!opened) return fail(globals, kSocket, opened.error());
    if (session.cluster_uuid() != what.cluster_uuid)
      return fail(globals, kConflict, Error{Errc::exists, "this is another cluster"});

    const Counters counters = (*ledger)->counters();
    check("lag", what.frozen,
          what.frozen ? "frozen, and the last pass found nothing new"
                      : "the source may have changed since the last pass: `cairn-migrate freeze`");
    check("debt", counters.debt() == 0 && what.passes > 0,
          std::to_string(counters.debt()) + " things to be done, " +
              std::to_string(counters.failed) + " of them failed");
    std::uint64_t missing = 0;
    const Status counted = session.wait(recount_copies(session, **ledger, missing));
    const bool seen = counted && !session.blind();
    check("copies", seen && missing == 0,
          !seen ? "they cannot be counted without the cluster's secret"
                : std::to_string(missing) + " files have too few");
    const bool verified = what.verified > 0 && what.verified >= what.last_pass_end;
    check("verified", verified,
          verified ? human_time(what.verified)
                   : "not since the last pass: `cairn-migrate verify --reread`");
    if (!args.urls.empty()) {
      auto urls = check_urls(session, args, globals);
      if (!urls) return fail(globals, kSyntax, urls.error());
      checks.push_back(*std::move(urls));
    }
  }
  bool green = true;
  nlohmann::json event{
      {"event", "gate"}, {"job", job->name()}, {"checks", nlohmann::json::array()}};
  for (const Check& one : checks) {
    green = green && one.green;
    event["checks"].push_back({{"name", one.name}, {"green", one.green}, {"detail", one.detail}});
    if (!globals.output.json && !globals.output.quiet)
      std::printf("%-5s %s%s%s\n", one.green ? "green" : "RED", one.name.c_str(),
                  one.detail.empty() ? "" : ": ", one.detail.c_str());
  }
  event["green"] = green;
  if (globals.output.json) std::printf("%s\n", event.dump().c_str());
  return green ? kDone : kNotGreen;
}

} // namespace cairn::migrate
