// Hosts, evaluation of templates and decisions.
#include "common/rules/book.h"

#include "common/base/text.h"
#include "common/rules/compile.h"
#include "common/rules/uri.h"

#include <algorithm>

namespace cairn::rules {

namespace {

void add_unique(std::vector<const RuleSet*>& out, const std::vector<const RuleSet*>& sets) {
  for (const RuleSet* set : sets)
    if (std::find(out.begin(), out.end(), set) == out.end()) out.push_back(set);
}

bool ends_with(std::string_view text, std::string_view end) {
  return text.size() >= end.size() && text.substr(text.size() - end.size()) == end;
}

bool begins_with(std::string_view text, std::string_view begin) {
  return text.substr(0, begin.size()) == begin;
}

// '*' is any text, '?' any character.
bool matches_glob(std::string_view pattern, std::string_view text) {
  std::size_t p = 0;
  std::size_t t = 0;
  std::size_t star = std::string_view::npos;
  std::size_t resume = 0;
  while (t < text.size()) {
    if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      resume = t;
    } else if (p < pattern.size() && (pattern[p] == '?' || pattern[p] == text[t])) {
      ++p;
      ++t;
    } else if (star != std::string_view::npos) {
      p = star + 1;
      t = ++resume;
    } else {
      return false;
    }
  }
  while (p < pattern.size() && pattern[p] == '*') ++p;
  return p == pattern.size();
}

// Whether `domain` is a domain that `host` is in: HAProxy's match by "dom".
bool is_domain_of(std::string_view domain, std::string_view host) {
  for (std::size_t at = host.find(domain); at != std::string_view::npos;
       at = host.find(domain, at + 1)) {
    const std::size_t end = at + domain.size();
    if ((at == 0 || host[at - 1] == '.') && (end == host.size() || host[end] == '.')) return true;
  }
  return false;
}

// Redirects may not carry what would end the header or the URL's part.
std::string header_safe(std::string text) {
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte <= 0x20 || byte == 0x7F || byte >= 0x80)
      out += escape_path(std::string_view(&c, 1));
    else
      out.push_back(c);
  }
  return out;
}

} // namespace

// --- names --------------------------------------------------------------------------------------

std::string ObjectName::written() const {
  switch (kind) {
    case ObjectKind::alias:
      return "alias:" + text;
    case ObjectKind::path:
      return "path:" + text;
    case ObjectKind::id:
      break;
  }
  return "id:" + text;
}

Result<ObjectName> parse_object_name(std::string_view text) {
  const std::size_t colon = text.find(':');
  const std::string_view kind = text.substr(0, colon);
  ObjectName name;
  if (colon != std::string_view::npos) name.text = text.substr(colon + 1);
  if (kind == "alias" || kind == "path") {
    name.kind = kind == "alias" ? ObjectKind::alias : ObjectKind::path;
    if (name.text.empty() || name.text[0] != '/')
      return Error{Errc::invalid_argument, "'" + std::string(text) + "': the name begins with '/'"};
    return name;
  }
  if ((kind != "id" && kind != "fastdfs") || name.text.empty())
    return Error{Errc::invalid_argument, "'" + std::string(text) +
                                             "' is none of alias:/…, path:/EXPORT/… and "
                                             "id:GROUP/Mxx/…"};
  name.kind = ObjectKind::id;
  if (name.text[0] == '/') name.text.erase(0, 1);
  return name;
}

std::string MissAction::written() const {
  switch (kind) {
    case MissKind::next:
      return "next";
    case MissKind::status:
      return std::to_string(status);
    case MissKind::redirect:
      return "redirect " + target;
    case MissKind::pull:
      return "pull " + origin->name;
  }
  return {};
}

std::string Decision::rule() const {
  if (set == nullptr) return {};
  return location == nullptr ? set->name : set->name + "/" + std::to_string(location->number);
}

// --- referers and tokens ------------------------------------------------------------------------

bool referer_holds(const RefererRule& rule, std::string_view header) {
  const auto named = [&] {
    if (header.empty()) return rule.none;
    std::string_view rest = header;
    const std::string lower = to_lower(header.substr(0, 8));
    if (begins_with(lower, "http://")) {
      rest.remove_prefix(7);
    } else if (begins_with(lower, "https://")) {
      rest.remove_prefix(8);
    } else {
      return rule.blocked;
    }
    const std::size_t slash = rest.find('/');
    const std::string_view raw_host = rest.substr(0, slash);
    // "http://good.example@evil.example/" is evil's.
    const std::size_t at = raw_host.rfind('@');
    const std::string host =
        normalize_host(at == std::string_view::npos ? raw_host : raw_host.substr(at + 1));
    const std::string path =
        slash == std::string_view::npos ? std::string("/") : to_lower(rest.substr(slash));
    for (const std::string& name : rule.names) {
      const std::size_t cut = name.find('/');
      const std::string_view wanted = std::string_view(name).substr(0, cut);
      if (cut != std::string::npos && !begins_with(path, std::string_view(name).substr(cut)))
        continue;
      bool same = host == wanted;
      if (begins_with(wanted, "*."))
        same = ends_with(host, wanted.substr(1)) && host.size() > wanted.size() - 1;
      else if (ends_with(wanted, ".*"))
        same = begins_with(host, wanted.substr(0, wanted.size() - 1));
      if (same) return true;
    }
    return false;
  }();
  return named == rule.allow;
}

bool is_token_excepted(const TokenRule& rule, std::string_view path) {
  const std::string_view last = path.substr(path.rfind('/') + 1);
  return std::any_of(rule.except.begin(), rule.except.end(), [&](const std::string& pattern) {
    return matches_glob(pattern, pattern.find('/') == std::string::npos ? last : path);
  });
}

// --- hosts --------------------------------------------------------------------------------------

RuleBook::RuleBook(std::vector<std::unique_ptr<const RuleSet>> sets) : sets_(std::move(sets)) {
  for (const auto& set : sets_) {
    if (set->hosts.empty()) any_host_.push_back(set.get());
    for (const std::string& host : set->hosts) {
      const std::string_view text = host;
      if (text == "*")
        any_host_.push_back(set.get());
      else if (text[0] == '*')
        suffix_hosts_[text.substr(1)].push_back(set.get());
      else if (text.back() == '*')
        prefix_hosts_[text.substr(0, text.size() - 1)].push_back(set.get());
      else
        exact_hosts_[text].push_back(set.get());
    }
  }
}

std::vector<const RuleSet*> RuleBook::sets_for(std::string_view host) const {
  std::vector<const RuleSet*> found;
  if (const auto exact = exact_hosts_.find(host); exact != exact_hosts_.end())
    add_unique(found, exact->second);
  // Longer endings first, then longer beginnings, as nginx.
  for (std::size_t dot = host.find('.'); dot != std::string_view::npos;
       dot = host.find('.', dot + 1)) {
    const auto suffix = suffix_hosts_.find(host.substr(dot));
    if (dot > 0 && suffix != suffix_hosts_.end()) add_unique(found, suffix->second);
  }
  for (std::size_t dot = host.rfind('.'); dot != std::string_view::npos && dot > 0;
       dot = host.rfind('.', dot - 1)) {
    const auto prefix = prefix_hosts_.find(host.substr(0, dot + 1));
    if (prefix != prefix_hosts_.end()) add_unique(found, prefix->second);
  }
  add_unique(found, any_host_);
  return found;
}

bool RuleBook::matches(std::string_view host) const {
  return !any_host_.empty() || !sets_for(host).empty();
}

const RuleSet* RuleBook::find(std::string_view name) const {
  for (const auto& set : sets_)
    if (set->name == name) return set.get();
  return nullptr;
}

std::shared_ptr<const RuleBook> RuleBook::load(const Source& source, Problems& problems) {
  auto sets = compile(source, problems);
  if (has_errors(problems)) return nullptr;
  for (const auto& set : sets) lint(*set, problems);
  std::shared_ptr<const RuleBook> book(new RuleBook(std::move(sets)));
  run_tests(*book, problems);
  if (has_errors(problems)) return nullptr;
  return book;
}

// --- evaluation ---------------------------------------------------------------------------------

// The values of variables for one location. Maps are evaluated when they are asked for.
class Walk::Evaluation {
public:
  Evaluation(const Walk& walk, const RuleSet& set, const Location* location,
             const Captures& captures)
      : walk_(walk), set_(set), location_(location), captures_(captures) {}

  std::string text(const Template& from) { return evaluate(from, nullptr, nullptr); }
  // For a URL: what variables bring is escaped, what the author wrote is not.
  std::string url(const Template& from) {
    std::string out = from.evaluate([&](const Variable& variable) {
      const std::string plain = value(variable, nullptr, nullptr);
      const bool raw =
          variable.kind == VariableKind::args || variable.kind == VariableKind::request_uri;
      return raw ? plain : escape_path(plain);
    });
    return header_safe(std::move(out));
  }
  bool overflowed() const { return overflowed_; }

private:
  std::string evaluate(const Template& from, const Pattern* pattern, const Captures* groups) {
    std::string out =
        from.evaluate([&](const Variable& variable) { return value(variable, pattern, groups); });
    if (out.size() > kEvaluatedBytesMax) {
      overflowed_ = true;
      out.clear();
    }
    return out;
  }

  // `pattern` and `groups`: of the key of a map, whose captures come first.
  std::string value(const Variable& variable, const Pattern* pattern, const Captures* groups) {
    const Request& request = walk_.request_;
    switch (variable.kind) {
      case VariableKind::uri:
        return walk_.path_;
      case VariableKind::request_uri:
        return std::string(request.request_uri);
      case VariableKind::args:
        return std::string(request.query);
      case VariableKind::argument:
        return argument(request.query, variable.name).value_or(std::string());
      case VariableKind::host:
        return walk_.host_;
      case VariableKind::remote_addr:
        return std::string(request.remote_addr);
      case VariableKind::request_method:
        return std::string(request.method);
      case VariableKind::header:
        return request.header ? std::string(request.header(variable.name)) : std::string();
      case VariableKind::group: {
        const Captures& from = groups != nullptr ? *groups : captures_;
        return variable.number < from.count ? std::string(from.groups[variable.number])
                                            : std::string();
      }
      case VariableKind::named:
        break;
    }
    if (pattern != nullptr)
      for (const auto& [name, number] : pattern->names())
        if (name == variable.name) return std::string(groups->groups[number]);
    if (const auto map = set_.map_names.find(variable.name); map != set_.map_names.end())
      return mapped(set_.maps[map->second]);
    if (location_ != nullptr && captures_.count > 0)
      for (const auto& [name, number] : location_->pattern.names())
        if (name == variable.name) return std::string(captures_.groups[number]);
    return {};
  }

  std::string mapped(const Map& map) {
    const std::string key = evaluate(map.source, nullptr, nullptr);
    if (overflowed_) return {};
    const auto row = map.exact.find(map.match == MapMatch::nginx ? to_lower(key) : key);
    if (row != map.exact.end()) return evaluate(row->second, nullptr, nullptr);
    for (const auto& [pattern, text] : map.patterns) {
      Captures groups;
      if (pattern.search(key, groups)) return evaluate(text, &pattern, &groups);
    }
    for (const auto& [part, text] : map.parts) {
      const bool holds = map.match == MapMatch::begin    ? begins_with(key, part)
                         : map.match == MapMatch::end    ? ends_with(key, part)
                         : map.match == MapMatch::domain ? is_domain_of(part, key)
                                                         : key.find(part) != std::string::npos;
      if (holds) return evaluate(text, nullptr, nullptr);
    }
    return map.standard ? evaluate(*map.standard, nullptr, nullptr) : std::string();
  }

  const Walk& walk_;
  const RuleSet& set_;
  const Location* location_;
  const Captures& captures_;
  bool overflowed_ = false;
};

// --- decisions ----------------------------------------------------------------------------------

Walk::Walk(const RuleBook& book, const Request& request)
    : request_(request), host_(normalize_host(request.host)) {
  sets_ = book.sets_for(host_);
  auto path = normalize_path(request.path);
  malformed_ = !path;
  if (path) path_ = *std::move(path);
}

Decision Walk::refused(const RuleSet* set, const Location* location, int status,
                       std::string reason) {
  Decision decision;
  decision.action = Action::reply;
  decision.set = set;
  decision.location = location;
  decision.status = status;
  decision.reason = std::move(reason);
  decision.path = path_;
  return decision;
}

Decision Walk::next() {
  if (!sets_.empty() && malformed_)
    return refused(sets_.front(), nullptr, 400, "the path leaves the root");
  for (; set_ < sets_.size(); ++set_, entered_ = false) {
    const RuleSet& set = *sets_[set_];
    if (!entered_) {
      entered_ = true;
      cursor_ = {};
      if (set.share && share_of(host_, path_) >= set.share->of_10000) {
        Decision decision = refused(&set, nullptr, 200, "not in the share of this rule set");
        decision.action = Action::elsewhere;
        return decision;
      }
    }
    Captures captures;
    if (const Location* location = set.index.next(path_, cursor_, captures))
      return decide(set, *location, captures);
    if (!set.pass) return refused(&set, nullptr, 404, "no location takes this path");
  }
  Decision decision;
  decision.path = path_;
  return decision;
}

Decision Walk::decide(const RuleSet& set, const Location& location, const Captures& captures) {
  Evaluation evaluation(*this, set, &location, captures);
  Decision decision;
  decision.set = &set;
  decision.location = &location;
  decision.path = path_;
  for (const auto& [name, number] : location.pattern.names())
    decision.captures.emplace_back(name, captures.groups[number]);
  for (std::size_t i = 1; i < captures.count; ++i)
    decision.captures.emplace_back(std::to_string(i), captures.groups[i]);
  if (location.pass) return decision;

  for (const Require& require : location.required) {
    const std::string value = evaluation.text(require.value);
    bool holds = false;
    switch (require.comparison) {
      case Comparison::matches:
        holds = require.pattern.search(value);
        break;
      case Comparison::matches_not:
        holds = !require.pattern.search(value);
        break;
      case Comparison::differs:
        holds = value != evaluation.text(require.list.front());
        break;
      case Comparison::equals:
      case Comparison::in_list:
        holds = std::any_of(require.list.begin(), require.list.end(),
                            [&](const Template& one) { return value == evaluation.text(one); });
        break;
    }
    if (!holds) return refused(&set, &location, location.deny_status, "require " + require.text);
  }

  const auto& referer = location.own.referer ? location.own.referer : set.defaults.referer;
  if (referer) {
    const std::string_view header = request_.header ? request_.header("Referer") : "";
    if (!referer_holds(*referer, header)) return refused(&set, &location, 403, "referer");
  }
  const auto& token = location.own.token ? location.own.token : set.defaults.token;
  if (token && !token->off && !is_token_excepted(*token, path_)) decision.token = &*token;

  const auto& cache = location.own.cache ? location.own.cache : set.defaults.cache;
  if (cache) decision.cache_control = evaluation.text(*cache);
  for (const auto* list : {&set.defaults.headers, &location.own.headers})
    for (const auto& [name, value] : *list)
      decision.headers.emplace_back(name, evaluation.text(value));
  if (location.type) decision.content_type = *location.type;
  if (location.save_as) decision.save_as = evaluation.text(*location.save_as);

  if (location.reply) {
    decision.action = Action::reply;
    decision.status = location.reply->status;
    if (decision.status >= 301 && decision.status <= 308 && decision.status != 304)
      decision.target = evaluation.url(location.reply->text);
    else
      decision.body = evaluation.text(location.reply->text);
  } else {
    decision.action = Action::object;
    decision.object.kind = location.object->kind;
    decision.object.text = evaluation.text(location.object->name);
    // What variables bring could lead elsewhere: "..", empty parts.
    const bool is_id = decision.object.kind == ObjectKind::id;
    if (is_id && !decision.object.text.empty() && decision.object.text[0] == '/')
      decision.object.text.erase(0, 1);
    if (!is_id) {
      if (decision.object.text.empty() || decision.object.text[0] != '/')
        decision.object.text.insert(0, "/");
      auto safe = normalize_path(decision.object.text);
      // "/a/../b" written by a client into a capture or an argument is an attempt, not a name.
      if (!safe || decision.object.text.find("/../") != std::string::npos ||
          ends_with(decision.object.text, "/.."))
        return refused(&set, &location, 400, "the object's name leaves its place");
      decision.object.text = *std::move(safe);
    }
    for (const MissStep& step : location.on_miss) {
      MissAction action;
      action.kind = step.kind;
      action.status = step.status;
      action.cache_for = step.cache_for;
      if (step.kind == MissKind::redirect) action.target = evaluation.url(step.target);
      if (step.kind == MissKind::pull) {
        action.target = evaluation.text(step.target);
        action.origin = &set.origins[step.origin];
      }
      decision.on_miss.push_back(std::move(action));
    }
    if (location.style) {
      decision.style = evaluation.text(location.style->name);
      for (const auto& [key, value] : location.style->arguments)
        decision.style_arguments.emplace_back(key, evaluation.text(value));
    }
  }
  if (evaluation.overflowed())
    return refused(&set, &location, 414, "a text of the rule is longer than 16 KiB");
  return decision;
}

} // namespace cairn::rules
