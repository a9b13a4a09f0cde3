// The tests of a rules file, and warnings about rules that cannot mean what they say.
#include "common/base/text.h"
#include "common/rules/book.h"
#include "common/rules/uri.h"

#include <algorithm>

namespace cairn::rules {

namespace {

bool begins_with(std::string_view text, std::string_view begin) {
  return text.substr(0, begin.size()) == begin;
}

void warn(Problems& problems, const Position& where, std::string message) {
  problems.push_back({Severity::warning, where, std::move(message)});
}

// --- tests --------------------------------------------------------------------------------------

// A host that the set answers for.
std::string host_of(const RuleSet& set) {
  if (set.hosts.empty()) return "test.invalid";
  std::string host = set.hosts.front();
  if (host == "*") return "test.invalid";
  if (host[0] == '*') host.replace(0, 1, "test");
  if (host.back() == '*') host.replace(host.size() - 1, 1, "test");
  return host;
}

// What a decision has for one kind of expectation; for objects the first step of a miss counts.
std::string found_of(const Decision& decision, const std::string& what) {
  if (what == "object")
    return decision.action == Action::object ? decision.object.written() : "no object";
  if (what == "style") return decision.style.empty() ? "no style" : decision.style;
  if (what == "rule")
    return decision.location == nullptr ? "no rule" : std::to_string(decision.location->number);
  if (what == "redirect" || what == "location")
    return decision.target.empty() ? "no redirect" : decision.target;
  if (what == "cache") return decision.cache_control;
  if (what == "type") return decision.content_type.empty() ? "by name" : decision.content_type;
  if (what == "miss") return decision.on_miss.empty() ? "404" : decision.on_miss.front().written();
  if (what == "header") {
    std::string all;
    for (const auto& [name, value] : decision.headers)
      all += (all.empty() ? "" : " ") + name + ": " + value;
    return all;
  }
  if (what == "pass") return decision.action == Action::pass ? "" : "no pass";
  // status
  if (decision.action == Action::elsewhere) return "old server";
  return std::to_string(decision.action == Action::reply ? decision.status : 200);
}

bool is_met(const Decision& decision, const Expectation& expected, const std::string& found) {
  if (expected.what == "object") {
    // "fastdfs:" is "id:", with or without a leading slash.
    const auto name = parse_object_name(expected.value);
    return name && decision.action == Action::object && *name == decision.object;
  }
  if (expected.what == "rule" && decision.location != nullptr)
    return expected.value == found || expected.value == decision.rule();
  if (expected.what == "header") return found.find(expected.value) != std::string::npos;
  return expected.value == found;
}

std::string describe(const Decision& decision) {
  switch (decision.action) {
    case Action::pass:
      return "passes to what comes after the rules";
    case Action::elsewhere:
      return "is left to the old server";
    case Action::reply:
      return "is answered with " + std::to_string(decision.status) +
             (decision.reason.empty() ? "" : " (" + decision.reason + ")");
    case Action::object:
      break;
  }
  return "is " + decision.object.written();
}

void run_test(const RuleBook& book, const RuleSet& set, const TestCase& test, Problems& problems) {
  const auto fail = [&](const Position& where, const std::string& message) {
    problems.push_back({Severity::error, where, "test failed: " + message});
  };
  const std::string host = test.host.empty() ? host_of(set) : test.host;
  const std::string_view target = test.target;
  const std::size_t mark = target.find('?');
  const std::string_view raw = target.substr(0, mark);
  auto path = percent_decode(raw);
  if (!path) return fail(test.where, "the URL has a bad escape");
  Request request;
  request.method = test.method;
  request.host = host;
  request.path = *path;
  request.request_uri = target;
  request.query = mark == std::string_view::npos ? std::string_view() : target.substr(mark + 1);
  request.remote_addr = "127.0.0.1";
  request.header = [&](std::string_view name) -> std::string_view {
    for (const auto& [key, value] : test.headers)
      if (equals_ignoring_case(key, name)) return value;
    return {};
  };
  Walk walk(book, request);
  Decision decision = walk.next();
  // Tests are about the rules of their own set, whatever share of it is switched on.
  if (decision.action == Action::elsewhere) decision = walk.next();
  if (decision.set != nullptr && decision.set != &set && decision.action != Action::pass)
    return fail(test.where, test.target + " at " + host + " is decided by rule set '" +
                                decision.set->name + "'");
  for (const Expectation& expected : test.expectations) {
    const std::string found = found_of(decision, expected.what);
    if (is_met(decision, expected, found)) continue;
    fail(expected.where,
         test.target + ": expected " + expected.what +
             (expected.value.empty() ? "" : " " + expected.value) + ", but it " +
             describe(decision) +
             (found.empty() || expected.what == "object" ||
                      (expected.what == "status" && decision.action == Action::reply)
                  ? ""
                  : "; " + expected.what + ": " + found));
  }
}

// --- lints --------------------------------------------------------------------------------------

bool matches_everything(const Location& location) {
  if (location.kind != LocationKind::regex) return false;
  const std::string& text = location.text;
  return text.empty() || text == "." || text == ".*" || text == "^" || text == "^.*" ||
         text == "^.*$" || text == ".*$" || text == "/" || text == "^/" || text == "^/.*" ||
         text == "^/.*$" || text == "^/(.*)" || text == "^/(.*)$" || text == "^(.*)$" ||
         text == "(.*)" || text == ".+" || text == "^/.";
}

// Whether every path that `later` takes is taken by `earlier`, as far as can be seen.
bool covers(const Location& earlier, const Location& later) {
  if (matches_everything(earlier)) return true;
  if (later.kind == LocationKind::regex && earlier.text == later.text &&
      (earlier.pattern.ignores_case() || !later.pattern.ignores_case()))
    return true;
  if (!earlier.pattern.is_prefix_only()) return false;
  const std::string& beginning =
      later.kind == LocationKind::regex ? later.pattern.literal_prefix() : later.text;
  return begins_with(beginning, earlier.pattern.literal_prefix());
}

// A decision of this location always ends the search.
bool always_answers(const Location& location) {
  return !std::any_of(location.on_miss.begin(), location.on_miss.end(),
                      [](const MissStep& step) { return step.kind == MissKind::next; });
}

void lint_reachable(const RuleSet& set, Problems& problems) {
  for (std::size_t i = 0; i < set.locations.size(); ++i) {
    const Location& location = set.locations[i];
    if (location.kind == LocationKind::exact || location.kind == LocationKind::prefix_strong)
      continue;
    // A regular expression is tried in the order of the file, a prefix after all of them.
    const std::size_t before = location.kind == LocationKind::regex ? i : set.locations.size();
    for (std::size_t j = 0; j < before; ++j) {
      const Location& earlier = set.locations[j];
      if (earlier.kind != LocationKind::regex || !always_answers(earlier)) continue;
      if (!covers(earlier, location)) continue;
      warn(problems, location.where,
           "never reached: " + earlier.title() + " (line " + std::to_string(earlier.where.line) +
               ") takes all its paths first");
      break;
    }
    if (location.kind != LocationKind::regex) continue;
    const std::string& literal = location.pattern.literal_prefix();
    for (const Location& strong : set.locations) {
      if (strong.kind != LocationKind::prefix_strong || !begins_with(literal, strong.text) ||
          !always_answers(strong))
        continue;
      // A longer plain prefix below it would let regular expressions in again.
      const bool reopened =
          std::any_of(set.locations.begin(), set.locations.end(), [&](const Location& other) {
            return other.kind == LocationKind::prefix && other.text.size() > strong.text.size() &&
                   begins_with(other.text, strong.text);
          });
      if (!reopened)
        warn(problems, location.where,
             "never reached: " + strong.title() + " (line " + std::to_string(strong.where.line) +
                 ") takes all its paths first");
      break;
    }
  }
}

} // namespace

void lint(const RuleSet& set, Problems& problems) {
  lint_reachable(set, problems);
  if (set.locations.empty()) warn(problems, set.where, "the rule set has no location");
  if (!set.locations.empty() && set.tests.empty())
    warn(problems, set.where, "rule set '" + set.name + "' has no tests");
}

void run_tests(const RuleBook& book, Problems& problems) {
  for (const auto& set : book.sets())
    for (const TestCase& test : set->tests) run_test(book, *set, test, problems);
}

} // namespace cairn::rules
