// gate: may the old server be left? Everything that could speak against it is looked at, and told.
#include "common/base/text.h"
#include "migrate/exit_codes.h"
#include "migrate/gate_urls.h"
#include "migrate/session.h"
#include "migrate/verbs.h"
#include "migrate/verify.h"

#include <nlohmann/json.hpp>

#include <cstdio>

namespace cairn::migrate {

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
    const bool verified = what.verified > 0;
    check("verified", verified,
          verified ? human_time(what.verified)
                   : "not since the last pass: `cairn-migrate verify --reread`");
    if (!args.urls.empty() || !args.access_log.empty()) {
      auto urls = check_urls(session, args, globals, job->spill_folder());
      if (!urls) return fail(globals, kSyntax, urls.error());
      checks.push_back(*std::move(urls));
    }
    if (args.rules) checks.push_back(check_rules(*client));
    if (args.shadow) checks.push_back(check_shadow(*client));
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
