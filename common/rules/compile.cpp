// Sets, and what can only be checked when a whole set is known: variables, names, hosts.
#include "common/rules/compile.h"

#include "common/base/text.h"
#include "common/rules/compile_parts.h"
#include "common/rules/uri.h"

#include <algorithm>
#include <set>

namespace cairn::rules {

// --- what the compilers share -------------------------------------------------------------------

bool Reporter::takes(const Directive& directive, std::size_t least, std::size_t most) {
  if (directive.has_block) {
    error(directive.where(),
          "'" + directive.name() + "' has no block" +
              (directive.brace_touches ? "; a regular expression with '{' must be quoted" : ""));
    return false;
  }
  const std::size_t count = directive.words.size() - 1;
  if (count >= least && count <= most) return true;
  error(directive.where(), "'" + directive.name() + "' takes " +
                               (least == most ? std::to_string(least)
                                              : (count < least ? "at least " : "at most ") +
                                                    std::to_string(count < least ? least : most)) +
                               (least == 1 && most == 1 ? " word" : " words"));
  return false;
}

std::optional<bool> Reporter::flag(const Word& word) {
  if (word.text == "on") return true;
  if (word.text == "off") return false;
  error(word.where, "'" + word.text + "' is neither on nor off");
  return std::nullopt;
}

std::optional<std::uint64_t> Reporter::number(const Word& word, std::uint64_t least,
                                              std::uint64_t most) {
  const auto value = parse_u64(word.text);
  if (value && *value >= least && *value <= most) return *value;
  error(word.where, "'" + word.text + "' is no number from " + std::to_string(least) + " to " +
                        std::to_string(most));
  return std::nullopt;
}

std::optional<std::chrono::milliseconds> Reporter::duration(const Word& word) {
  const std::string_view text = word.text;
  if (text.size() > 2 && text.substr(text.size() - 2) == "ms") {
    const auto value = parse_u64(text.substr(0, text.size() - 2));
    if (value && *value <= 86'400'000) return std::chrono::milliseconds(*value);
  } else if (const auto value = parse_duration(text)) {
    return *value;
  }
  error(word.where, "'" + word.text + "' is no time such as 500ms, 2s or 30d");
  return std::nullopt;
}

std::optional<Template> Reporter::text(const Word& word) {
  return text(word, word.text);
}

std::optional<Template> Reporter::text(const Word& word, std::string_view part) {
  auto made = Template::parse(part);
  if (made) return *std::move(made);
  error(word.where, made.error().detail);
  return std::nullopt;
}

std::optional<Pattern> Reporter::pattern(const Word& word, std::string_view text,
                                         bool ignore_case) {
  auto made = Pattern::compile(text, ignore_case);
  if (made) return *std::move(made);
  error(word.where, made.error().detail);
  return std::nullopt;
}

std::span<const Word> arguments_of(const Directive& directive) {
  return std::span(directive.words).subspan(1);
}

std::optional<std::uint32_t> percentage(const Word& word, Reporter& report) {
  const auto value = parse_percent(word.text);
  if (value) return static_cast<std::uint32_t>(*value * 100 + 0.5);
  report.error(word.where, "'" + word.text + "' is no percentage such as 5%");
  return std::nullopt;
}

std::optional<std::size_t> origin_of(const Word& word, const RuleSet& set, Reporter& report) {
  for (std::size_t i = 0; i < set.origins.size(); ++i)
    if (set.origins[i].name == word.text) return i;
  report.error(word.where, "there is no origin '" + word.text + "' in this rule set");
  return std::nullopt;
}

namespace {

// --- variables ----------------------------------------------------------------------------------

// Where a template stands decides what its variables may mean.
class VariableCheck {
public:
  VariableCheck(const RuleSet& set, Reporter& report) : set_(set), report_(report) {
    for (const Location& location : set.locations)
      for (const auto& [name, number] : location.pattern.names()) captured_anywhere_.insert(name);
  }

  // A template of a location, or (without one) of the set.
  void check(const Template& text, const Location* location, const Position& where) {
    for (const Variable& variable : text.variables()) {
      if (variable.kind == VariableKind::group) {
        const std::size_t groups = location == nullptr ? 0 : location->pattern.group_count();
        if (variable.number > groups)
          report_.error(where,
                        "$" + variable.name + ": " +
                            (location == nullptr
                                 ? std::string("there is no match here")
                                 : "the location has " + std::to_string(groups) + " captures"));
      } else if (variable.kind == VariableKind::named) {
        check_name(variable.name, location, where);
      }
    }
  }

  // The source of a map: may use the captures of any location.
  void check_map(const Map& map) {
    for (const Variable& variable : map.source.variables()) {
      if (variable.kind == VariableKind::group)
        report_.error(map.where, "a map cannot use $" + variable.name + ": name the capture");
      if (variable.kind == VariableKind::named && !captured_anywhere_.contains(variable.name) &&
          !set_.map_names.contains(variable.name))
        report_.error(map.where, "unknown variable $" + variable.name);
    }
    const auto check_value = [&](const Template& value, const Pattern* pattern) {
      for (const Variable& variable : value.variables()) {
        if (variable.kind == VariableKind::group) {
          if (pattern == nullptr || variable.number > pattern->group_count())
            report_.error(map.where, "map $" + map.name + ": '" + value.text() +
                                         "' uses a capture that its key does not have");
        } else if (variable.kind == VariableKind::named) {
          const bool here =
              pattern != nullptr &&
              std::any_of(pattern->names().begin(), pattern->names().end(),
                          [&](const auto& one) { return one.first == variable.name; });
          if (!here && !captured_anywhere_.contains(variable.name) &&
              !set_.map_names.contains(variable.name))
            report_.error(map.where, "unknown variable $" + variable.name);
        }
      }
    };
    for (const auto& [key, value] : map.exact) check_value(value, nullptr);
    for (const auto& [pattern, value] : map.patterns) check_value(value, &pattern);
    for (const auto& [part, value] : map.parts) check_value(value, nullptr);
    if (map.standard) check_value(*map.standard, nullptr);
  }

  // Maps that need each other would never end.
  void check_cycles() {
    std::vector<int> state(set_.maps.size(), 0);
    for (std::size_t i = 0; i < set_.maps.size(); ++i) visit(i, state);
  }

private:
  void check_name(const std::string& name, const Location* location, const Position& where) {
    if (set_.map_names.contains(name)) return;
    if (location != nullptr)
      for (const auto& [own, number] : location->pattern.names())
        if (own == name) return;
    report_.error(
        where,
        "unknown variable $" + name +
            (captured_anywhere_.contains(name) ? ": it is captured by another location only" : ""));
  }

  void visit(std::size_t index, std::vector<int>& state) {
    if (state[index] == 2) return;
    const Map& map = set_.maps[index];
    if (state[index] == 1) {
      report_.error(map.where, "map $" + map.name + " depends on itself");
      return;
    }
    state[index] = 1;
    std::set<std::size_t> next;
    const auto follow = [&](const Template& text) {
      for (const Variable& variable : text.variables())
        if (const auto found = set_.map_names.find(variable.name);
            variable.kind == VariableKind::named && found != set_.map_names.end())
          next.insert(found->second);
    };
    follow(map.source);
    for (const auto& [key, value] : map.exact) follow(value);
    for (const auto& [pattern, value] : map.patterns) follow(value);
    for (const auto& [part, value] : map.parts) follow(value);
    if (map.standard) follow(*map.standard);
    for (const std::size_t one : next) visit(one, state);
    state[index] = 2;
  }

  const RuleSet& set_;
  Reporter& report_;
  std::set<std::string> captured_anywhere_;
};

void check_defaults(const Defaults& defaults, const Location* location, const Position& where,
                    VariableCheck& check) {
  if (defaults.cache) check.check(*defaults.cache, location, where);
  for (const auto& [name, value] : defaults.headers) check.check(value, location, where);
}

void check_variables(const RuleSet& set, Reporter& report) {
  VariableCheck check(set, report);
  for (const Map& map : set.maps) check.check_map(map);
  check.check_cycles();
  check_defaults(set.defaults, nullptr, set.where, check);
  for (const Location& location : set.locations) {
    const Location* here = &location;
    for (const auto& [name, number] : location.pattern.names())
      if (set.map_names.contains(name) || variable_of(name).kind != VariableKind::named)
        report.error(location.where, "the capture '" + name + "' has the name of another variable");
    for (const Require& require : location.required) {
      check.check(require.value, here, require.where);
      for (const Template& one : require.list) check.check(one, here, require.where);
    }
    if (location.reply) check.check(location.reply->text, here, location.where);
    if (location.object) check.check(location.object->name, here, location.where);
    for (const MissStep& step : location.on_miss) check.check(step.target, here, location.where);
    if (location.style) {
      check.check(location.style->name, here, location.where);
      for (const auto& [key, value] : location.style->arguments)
        check.check(value, here, location.where);
    }
    if (location.save_as) check.check(*location.save_as, here, location.where);
    check_defaults(location.own, here, location.where, check);
  }
}

// --- sets ---------------------------------------------------------------------------------------

void compile_hosts(const Directive& directive, RuleSet& set, Reporter& report) {
  if (!report.takes(directive, 1, 10'000)) return;
  for (const Word& word : arguments_of(directive)) {
    std::string host = to_lower(word.text);
    if (host == "*" || host == "_") {
      set.hosts.emplace_back("*");
      continue;
    }
    // ".example.com" is example.com and everything below, as in nginx.
    if (host.size() > 1 && host[0] == '.') {
      set.hosts.push_back(host.substr(1));
      host.insert(0, "*");
    }
    const std::size_t star = host.find('*');
    const bool leading = star == 0 && host.size() > 2 && host[1] == '.';
    const bool trailing =
        star != std::string::npos && star + 1 == host.size() && star > 1 && host[star - 1] == '.';
    if (host.empty() || host.find(':') != std::string::npos ||
        (star != std::string::npos &&
         ((!leading && !trailing) || host.find('*', star + 1) != std::string::npos))) {
      report.error(word.where, "a host is a name without port, *.example.com, example.* or *");
      continue;
    }
    set.hosts.push_back(std::move(host));
  }
}

// `share 30% ORIGIN;` and `shadow ORIGIN 5%;`, in either order of words; `off` for neither.
void compile_share(const Directive& directive, const RuleSet& set, std::optional<Share>& out,
                   Reporter& report) {
  if (!report.takes(directive, 1, 2)) return;
  const auto words = arguments_of(directive);
  if (words.size() == 1 && words[0].text == "off") return;
  const bool is_share = directive.name() == "share";
  if (is_share && words.size() == 1 && words[0].text == "100%") return;
  if (words.size() != 2)
    return report.error(directive.where(), is_share
                                               ? "share is written: share 30% ORIGIN; (the origin "
                                                 "answers the rest)"
                                               : "shadow is written: shadow ORIGIN 5%; or off");
  const Word& percent = words[is_share ? 0 : 1];
  const auto part = percentage(percent, report);
  const auto origin = origin_of(words[is_share ? 1 : 0], set, report);
  if (!part || !origin) return;
  if (set.origins[*origin].kind == OriginKind::file)
    return report.error(directive.where(),
                        "the origin of '" + directive.name() + "' is a server, not a directory");
  out = Share{*part, *origin};
}

// What a set says of itself; locations need origins and maps to be known first.
void compile_head(const Directive& directive, const Source& source, RuleSet& set,
                  Reporter& report) {
  const std::string& name = directive.name();
  if (compile_default(directive, set.defaults, report)) return;
  if (name == "host") {
    compile_hosts(directive, set, report);
  } else if (name == "tenant") {
    if (report.takes(directive, 1, 1)) set.tenant = directive.words[1].text;
  } else if (name == "method") {
    if (!report.takes(directive, 1, 2)) return;
    for (const Word& word : arguments_of(directive))
      if (word.text != "GET" && word.text != "HEAD")
        report.error(word.where, "rules answer GET and HEAD; other methods pass them by");
  } else if (name == "pass") {
    if (report.takes(directive, 0, 0)) set.pass = true;
  } else if (name == "map") {
    compile_map(directive, source, set, report);
  } else if (name == "origin") {
    compile_origin(directive, set, report);
  } else if (name == "test") {
    compile_test(directive, set, report);
  } else if (name != "share" && name != "shadow" && name != "location") {
    report.error(directive.where(), "unknown directive '" + name + "' in a rule set");
  }
}

void check_duplicates(const RuleSet& set, Reporter& report) {
  std::map<std::pair<bool, std::string_view>, const Location*> seen;
  for (const Location& location : set.locations) {
    if (location.kind == LocationKind::regex) continue;
    const auto [known, fresh] = seen.try_emplace(
        {location.kind == LocationKind::exact, std::string_view(location.text)}, &location);
    if (!fresh)
      report.error(location.where, "a second location for '" + location.text +
                                       "', the first is at line " +
                                       std::to_string(known->second->where.line));
  }
}

std::unique_ptr<RuleSet> compile_rules(const Directive& directive, const Source& source,
                                       Reporter& report) {
  auto set = std::make_unique<RuleSet>();
  set->where = directive.where();
  if (!directive.has_block || directive.words.size() != 2) {
    report.error(directive.where(), "a rule set is written: rules NAME { … }");
    return set;
  }
  set->name = directive.words[1].text;
  constexpr std::string_view kChars =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
      "0123456789_-.";
  if (set->name.empty() || set->name.size() > 64 ||
      set->name.find_first_not_of(kChars) != std::string::npos)
    report.error(directive.words[1].where,
                 "the name of a rule set is up to 64 letters, digits, '-', '_' and '.'");
  for (const Directive& one : directive.block) compile_head(one, source, *set, report);
  for (const Directive& one : directive.block) {
    if (one.name() == "share") compile_share(one, *set, set->share, report);
    if (one.name() == "shadow") compile_share(one, *set, set->shadow, report);
    if (one.name() != "location") continue;
    Location location;
    location.number = set->locations.size() + 1;
    compile_location(one, *set, location, report);
    set->locations.push_back(std::move(location));
  }
  check_duplicates(*set, report);
  check_variables(*set, report);
  set->index = LocationIndex(set->locations);
  return set;
}

} // namespace

std::vector<std::unique_ptr<const RuleSet>> compile(const Source& source, Problems& problems) {
  Reporter report(problems);
  std::vector<std::unique_ptr<const RuleSet>> sets;
  std::set<std::string> names;
  std::map<std::string, const RuleSet*> hosts; // the last set of each
  for (const Directive& directive : parse(source, problems)) {
    if (directive.name() != "rules") {
      report.error(directive.where(),
                   "unknown directive '" + directive.name() + "': a file holds rules NAME { … }");
      continue;
    }
    std::unique_ptr<RuleSet> set = compile_rules(directive, source, report);
    if (!names.insert(set->name).second)
      report.error(set->where, "a second rule set '" + set->name + "'");
    std::vector<std::string> own = set->hosts;
    if (own.empty()) own.emplace_back("*");
    for (const std::string& host : own) {
      const RuleSet*& earlier = hosts[host];
      if (earlier != nullptr && !earlier->pass)
        report.error(set->where, "host " + host + " is also in rule set '" + earlier->name +
                                     "', which lets nothing through: give that one 'pass;'");
      earlier = set.get();
    }
    sets.push_back(std::move(set));
  }
  return sets;
}

} // namespace cairn::rules
