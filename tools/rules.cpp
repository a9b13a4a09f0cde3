// cairn rules check, explain, load, show and top
#include "common/base/text.h"
#include "common/rules/uri.h"
#include "tools/admin.h"
#include "tools/context.h"
#include "tools/nodes.h"
#include "tools/rules_source.h"
#include "tools/rules_verbs.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <chrono>
#include <iostream>
#include <map>
#include <thread>

namespace cairn::tools {

namespace {

using nlohmann::json;
using std::chrono::steady_clock;

// Bytes of a URL may be no UTF-8.
std::string dumped(const json& document) {
  return document.dump(-1, ' ', false, json::error_handler_t::replace);
}

json problems_json(const rules::Problems& problems) {
  json list = json::array();
  for (const rules::Problem& problem : problems)
    list.push_back({{"severity", problem.severity == rules::Severity::error ? "error" : "warning"},
                    {"file", problem.where.file},
                    {"line", problem.where.line},
                    {"column", problem.where.column},
                    {"message", problem.message}});
  return list;
}

std::size_t count_tests(const rules::RuleBook& book) {
  std::size_t tests = 0;
  for (const auto& set : book.sets()) tests += set->tests.size();
  return tests;
}

std::size_t count_locations(const rules::RuleBook& book) {
  std::size_t locations = 0;
  for (const auto& set : book.sets()) locations += set->locations.size();
  return locations;
}

// Files, or what is in force. `version` is 0 for files.
struct Loaded {
  std::shared_ptr<const rules::RuleBook> book;
  std::uint64_t version = 0;
};

Result<Loaded> load_book(Context& context, const std::vector<std::string>& files) {
  Loaded loaded;
  rules::Source source;
  if (files.empty()) {
    CAIRN_TRY(reply, fetch_rules(context, 0));
    loaded.version = reply.version;
    source = source_of(reply);
  } else {
    CAIRN_TRY(read, read_rules(files));
    source = std::move(read);
  }
  rules::Problems problems;
  loaded.book = rules::RuleBook::load(source, problems);
  for (const rules::Problem& problem : problems)
    if (loaded.book == nullptr && problem.severity == rules::Severity::error)
      return Error{Errc::invalid_argument, problem.text()};
  return loaded;
}

// One decision as JSON; the walk's further ones follow in "next".
json decision_json(const rules::Decision& decision, std::chrono::nanoseconds time) {
  json out;
  switch (decision.action) {
    case rules::Action::pass:
      out["action"] = "pass";
      break;
    case rules::Action::reply:
      out["action"] = "reply";
      break;
    case rules::Action::object:
      out["action"] = "object";
      break;
    case rules::Action::elsewhere:
      out["action"] = "old server";
      break;
  }
  out["path"] = decision.path;
  out["microseconds"] = static_cast<double>(time.count()) / 1000.0;
  if (decision.set != nullptr) out["set"] = decision.set->name;
  if (decision.location != nullptr) {
    out["rule"] = decision.location->number;
    out["location"] = decision.location->title();
    out["at"] = decision.location->where.text();
  }
  if (!decision.captures.empty()) {
    json captures = json::object();
    for (const auto& [name, value] : decision.captures) captures[name] = value;
    out["captures"] = std::move(captures);
  }
  if (!decision.reason.empty()) out["reason"] = decision.reason;
  if (decision.action == rules::Action::reply) {
    out["status"] = decision.status;
    if (!decision.target.empty()) out["redirect"] = decision.target;
    if (!decision.body.empty()) out["body"] = decision.body;
  }
  if (decision.action != rules::Action::object) return out;
  out["object"] = decision.object.written();
  if (!decision.style.empty()) out["style"] = decision.style;
  json headers = json::object();
  if (!decision.cache_control.empty()) headers["Cache-Control"] = decision.cache_control;
  if (!decision.content_type.empty()) headers["Content-Type"] = decision.content_type;
  for (const auto& [name, value] : decision.headers) headers[name] = value;
  if (!headers.empty()) out["headers"] = std::move(headers);
  if (decision.token != nullptr) out["token"] = "needed";
  json misses = json::array();
  for (const rules::MissAction& step : decision.on_miss) misses.push_back(step.written());
  if (!misses.empty()) out["on_miss"] = std::move(misses);
  return out;
}

// What the object is in the cluster: the alias' target, and the nodes that have the file.
void add_place(Context& context, Client& client, const std::string& host, json& out,
               rules::ObjectName object) {
  if (object.kind == rules::ObjectKind::alias) {
    wire::AliasGet request;
    wire::AliasRow name;
    name.host = rules::normalize_host(host);
    name.path = object.text;
    request.names.push_back(std::move(name));
    auto bytes = ask_tracker(context, wire::kAliasGet, wire::encode(request));
    if (!bytes) {
      out["alias_error"] = bytes.error().text();
      return;
    }
    const auto rows = wire::decode_lenient<wire::AliasRows>(*bytes);
    if (!rows || rows->rows.size() != 1 || rows->rows[0].target.empty()) {
      out["alias"] = nullptr;
      return;
    }
    out["alias"] = rows->rows[0].target;
    if (rows->rows[0].mtime != 0) out["last_modified"] = rows->rows[0].mtime;
    const auto target = rules::parse_object_name(rows->rows[0].target);
    if (!target) return;
    object = *target;
  }
  if (object.kind != rules::ObjectKind::id) return;
  const auto info = client.info(object.text);
  if (!info) {
    out["file_error"] = info.error().text();
    return;
  }
  out["size"] = info->size;
  json nodes = json::array();
  if (const auto places = client.locate(object.text))
    for (const Address& place : *places) nodes.push_back(place.text());
  out["nodes"] = std::move(nodes);
}

void print_decision(const Context& context, const json& out) {
  for (const auto& [key, value] : out.items()) {
    std::string text = value.is_string() ? value.get<std::string>() : dumped(value);
    std::string line = key;
    line.resize(std::max<std::size_t>(line.size() + 1, 15), ' ');
    context.answer(line.append(text));
  }
}

} // namespace

int run_rules_check(Context& context, const RulesCheckArgs& args) {
  const auto source = read_rules(args.files);
  if (!source) return context.fail("rules check", source.error());
  rules::Problems problems;
  const auto book = rules::RuleBook::load(*source, problems);
  if (context.json()) {
    json out{{"ok", book != nullptr}, {"problems", problems_json(problems)}};
    if (book) {
      out["sets"] = book->sets().size();
      out["locations"] = count_locations(*book);
      out["tests"] = count_tests(*book);
    }
    context.answer(dumped(out));
  } else {
    for (const rules::Problem& problem : problems) context.answer(problem.text());
    if (book)
      context.say(std::to_string(book->sets().size()) + " rule sets, " +
                  std::to_string(count_locations(*book)) + " locations, " +
                  std::to_string(count_tests(*book)) + " tests passed");
  }
  return book ? kGood : kVerifyFailed;
}

int run_rules_explain(Context& context, const RulesExplainArgs& args) {
  const auto loaded = load_book(context, args.files);
  if (!loaded) return context.fail("rules explain", loaded.error());
  AskedUrl::Headers headers;
  for (const std::string& header : args.headers) {
    const std::size_t colon = header.find(':');
    if (colon == std::string::npos) return context.usage("a header is written 'Name: value'");
    headers.emplace_back(std::string(trim(header.substr(0, colon))),
                         std::string(trim(header.substr(colon + 1))));
  }
  const auto explain = [&](const std::string& url) {
    const auto asked = AskedUrl::make(url, "", headers);
    if (!asked) {
      // What the storage node answers before it asks the rules.
      const json out{
          {"url", url}, {"action", "reply"}, {"status", 400}, {"reason", asked.error().detail}};
      if (context.json())
        context.answer(dumped(out));
      else
        print_decision(context, out);
      return;
    }
    rules::Walk walk(*loaded->book, (*asked)->request());
    json out;
    json* at = &out;
    for (int step = 0; step < 32; ++step) {
      const auto start = steady_clock::now();
      const rules::Decision decision = walk.next();
      *at = decision_json(decision, steady_clock::now() - start);
      if (step == 0) (*at)["url"] = url;
      if (loaded->version != 0) (*at)["version"] = loaded->version;
      if (decision.action != rules::Action::object) break;
      if (args.files.empty()) {
        if (auto client = context.client())
          add_place(context, **client, (*asked)->host(), *at, decision.object);
      }
      if (decision.on_miss.empty() || decision.on_miss.back().kind != rules::MissKind::next) break;
      at = &(*at)["next"];
    }
    if (context.json())
      context.answer(dumped(out));
    else
      print_decision(context, out);
  };
  for (const std::string& url : args.urls) {
    if (url != "-") {
      explain(url);
      continue;
    }
    std::string line;
    while (std::getline(std::cin, line))
      if (!line.empty()) explain(line);
  }
  return kGood;
}

int run_rules_load(Context& context, const RulesLoadArgs& args) {
  if (args.files.empty() == !args.none)
    return context.usage("give files, or --none to remove all rules");
  wire::RulesPut request;
  if (args.expected) request.expected = *args.expected;
  if (!args.none) {
    const auto source = read_rules(args.files);
    if (!source) return context.fail("rules load", source.error());
    rules::Problems problems;
    const auto book = rules::RuleBook::load(*source, problems);
    for (const rules::Problem& problem : problems) context.note(problem.text());
    if (!book) return kVerifyFailed;
    std::size_t bytes = 0;
    for (const rules::SourceFile& file : source->files) {
      bytes += file.name.size() + file.text.size();
      request.files.push_back({file.name, file.text});
    }
    request.mains = static_cast<std::uint32_t>(source->mains);
    if (bytes > wire::kRulesBytesMax)
      return context.fail("rules load",
                          Error{Errc::invalid_argument,
                                "the files are longer than 1 MB together: put exact names into "
                                "aliases (cairn alias load)"});
  }
  auto client = context.client();
  if (!client) return context.fail("rules load", client.error());
  const auto bytes = ask_tracker(context, wire::kRulesPut, wire::encode(request));
  if (!bytes) return context.fail("rules load", bytes.error());
  const auto reply = wire::decode_lenient<wire::RulesPutReply>(*bytes);
  if (!reply) return context.fail("rules load", reply.error());
  if (reply->version == 0) {
    for (const wire::RulesProblem& problem : reply->problems) context.note(problem.text);
    return context.fail("rules load", Error{Errc::invalid_argument, "the tracker refused them"});
  }

  // In force everywhere, or told where not.
  const auto until = steady_clock::now() + context.timeout_or(std::chrono::seconds(10));
  std::size_t ready = 0;
  std::size_t all = 0;
  std::string missing;
  do {
    ready = all = 0;
    missing.clear();
    const auto cluster = (*client)->cluster();
    if (!cluster) break;
    for (const ClusterNode& node : members(*cluster, "")) {
      if (node.state != NodeState::active) continue;
      ++all;
      const auto text = (*client)->admin_at(node.address, R"({"verb":"rules.status"})");
      const json status = text ? json::parse(*text, nullptr, false) : json();
      if (status.is_object() && status.value("version", std::uint64_t{0}) >= reply->version)
        ++ready;
      else
        missing += (missing.empty() ? "" : " ") + node_name(node);
    }
    if (ready == all) break;
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
  } while (steady_clock::now() < until);
  if (context.json())
    context.answer(dumped({{"version", reply->version}, {"nodes", all}, {"ready", ready}}));
  else
    context.say("version " + std::to_string(reply->version) + " is in force on " +
                std::to_string(ready) + " of " + std::to_string(all) + " nodes");
  if (!missing.empty()) context.note("not yet: " + missing);
  return ready == all ? kGood : kPartial;
}

int run_rules_show(Context& context, const RulesShowArgs& args) {
  const auto reply = fetch_rules(context, args.version);
  if (!reply) return context.fail("rules show", reply.error());
  if (context.json()) {
    json files = json::array();
    for (const wire::RulesFile& file : reply->files)
      files.push_back({{"name", file.name}, {"text", file.text}});
    context.answer(dumped({{"version", reply->version},
                           {"time", reply->time},
                           {"mains", reply->mains},
                           {"files", std::move(files)}}));
    return kGood;
  }
  context.note("version " + std::to_string(reply->version) + " of " +
               human_time(static_cast<std::int64_t>(reply->time)));
  for (const wire::RulesFile& file : reply->files) {
    context.answer("# " + file.name);
    context.answer(file.text);
  }
  return kGood;
}

int run_rules_top(Context& context, const RulesTopArgs&) {
  auto client = context.client();
  if (!client) return context.fail("rules top", client.error());
  const auto cluster = (*client)->cluster();
  if (!cluster) return context.fail("rules top", cluster.error());
  std::map<std::string, std::map<std::string, std::uint64_t>> rules; // rule -> counter -> sum
  std::map<std::string, std::string> titles;
  std::map<std::string, std::map<std::string, std::uint64_t>> origins;
  std::size_t answered = 0;
  std::size_t asked = 0;
  for (const ClusterNode& node : members(*cluster, "")) {
    if (node.state != NodeState::active && node.state != NodeState::online) continue;
    ++asked;
    const auto text = (*client)->admin_at(node.address, R"({"verb":"rules.status"})");
    const json status = text ? json::parse(*text, nullptr, false) : json();
    if (!status.is_object()) continue;
    ++answered;
    for (const auto& rule : status.value("rules", json::array())) {
      const std::string name = rule.value("rule", "");
      titles[name] = rule.value("location", "");
      for (const char* counter : {"hits", "misses", "refused"})
        rules[name][counter] += rule.value(counter, std::uint64_t{0});
    }
    for (const auto& origin : status.value("origins", json::array())) {
      const std::string name = origin.value("origin", "");
      for (const auto& [counter, value] : origin.items())
        if (value.is_number_unsigned()) origins[name][counter] += value.get<std::uint64_t>();
    }
  }
  if (context.json()) {
    json out{{"rules", json::array()}, {"origins", json::array()}, {"nodes", answered}};
    for (const auto& [name, counters] : rules) {
      json one(counters);
      one["rule"] = name;
      one["location"] = titles[name];
      out["rules"].push_back(std::move(one));
    }
    for (const auto& [name, counters] : origins) {
      json one(counters);
      one["origin"] = name;
      out["origins"].push_back(std::move(one));
    }
    context.answer(dumped(out));
  } else {
    Table table({"RULE", "LOCATION", "HITS", "MISSES", "REFUSED"});
    for (auto& [name, counters] : rules)
      table.add({name, titles[name], std::to_string(counters["hits"]),
                 std::to_string(counters["misses"]), std::to_string(counters["refused"])});
    context.answer(table.text());
    if (!origins.empty()) {
      Table old({"ORIGIN", "PULLS", "ABSENT", "FAILED", "STORED", "BYTES"});
      for (auto& [name, counters] : origins)
        old.add({name, std::to_string(counters["pulls"]), std::to_string(counters["absent"]),
                 std::to_string(counters["failed"]), std::to_string(counters["stored"]),
                 std::to_string(counters["bytes"])});
      context.answer(old.text());
    }
  }
  return answered == asked ? kGood : kPartial;
}

int run_rules_shadow(Context& context, const RulesShadowArgs&) {
  auto client = context.client();
  if (!client) return context.fail("rules shadow", client.error());
  const auto cluster = (*client)->cluster();
  if (!cluster) return context.fail("rules shadow", cluster.error());
  std::map<std::string, std::map<std::string, std::uint64_t>> sets;
  json last = json::array();
  for (const ClusterNode& node : members(*cluster, "")) {
    if (node.state != NodeState::active && node.state != NodeState::online) continue;
    const auto text = (*client)->admin_at(node.address, R"({"verb":"rules.status"})");
    const json status = text ? json::parse(*text, nullptr, false) : json();
    if (!status.is_object())
      return context.fail("rules shadow", Error{Errc::unavailable, node_name(node) + " is silent"});
    for (const auto& set : status.value("shadow", json::array())) {
      const std::string name = set.value("set", "");
      for (const char* counter : {"compared", "equal", "differing", "failed", "dropped"})
        sets[name][counter] += set.value(counter, std::uint64_t{0});
      for (auto one : set.value("last", json::array())) {
        one["set"] = name;
        last.push_back(std::move(one));
      }
    }
  }
  std::uint64_t differing = 0;
  json totals = json::array();
  Table table({"SET", "COMPARED", "EQUAL", "DIFFERING", "FAILED", "DROPPED"});
  for (auto& [name, counters] : sets) {
    differing += counters["differing"];
    table.add({name, std::to_string(counters["compared"]), std::to_string(counters["equal"]),
               std::to_string(counters["differing"]), std::to_string(counters["failed"]),
               std::to_string(counters["dropped"])});
    json one(counters);
    one["set"] = name;
    totals.push_back(std::move(one));
  }
  if (context.json()) {
    context.answer(dumped({{"sets", std::move(totals)}, {"last", std::move(last)}}));
  } else {
    context.answer(table.text());
    for (const auto& one : last)
      context.answer(one.value("url", "") + "  " + one.value("difference", ""));
  }
  return differing == 0 ? kGood : kVerifyFailed;
}

} // namespace cairn::tools
