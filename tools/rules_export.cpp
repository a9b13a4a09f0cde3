// cairn rules export nginx|haproxy, and what it says to HAProxy.
#include "tools/rules_export.h"

#include "common/base/text.h"
#include "tools/context.h"
#include "tools/rules_source.h"
#include "tools/rules_verbs.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <optional>
#include <utility>

namespace cairn::tools {

namespace {

using namespace rules;

// An argument of HAProxy's configuration in its strong quotes; '%' is doubled where text is a log
// format.
std::string in_quotes(std::string_view text) {
  std::string out = "'";
  for (const char c : text) {
    if (c == '\'')
      out += "'\\''";
    else
      out.push_back(c);
  }
  return out + "'";
}

class HaproxyExport {
public:
  HaproxyExport(const RuleBook& book, const ExportPlace& place) : book_(book), place_(place) {}

  Exported run() {
    const bool only_port = place_.listen.find(':') == std::string::npos;
    out_.text =
        "# Made by `cairn rules export haproxy`.\n"
        "frontend cairn_rules\n    bind " +
        std::string(only_port ? ":" : "") + place_.listen +
        "\n    mode http\n"
        "    http-request set-var(txn.path) path,url_dec\n"
        "    http-request set-var(txn.host) req.hdr(host),field(1,:),lower\n";
    std::string actions;
    for (const auto& set : book_.sets()) add_set(*set, actions);
    out_.text += actions;
    out_.text +=
        "    http-request return status 404 unless { var(txn.rule) -m found }\n"
        "    default_backend cairn\n\nbackend cairn\n    mode http\n    balance uri\n"
        "    hash-type consistent\n    retry-on conn-failure empty-response 502 503\n"
        "    option redispatch 1\n";
    for (std::size_t i = 0; i < place_.nodes.size(); ++i)
      out_.text += "    server node" + std::to_string(i + 1) + " " + place_.nodes[i] + " check\n";
    if (place_.nodes.empty())
      out_.notes.push_back("no storage node is known: put yours into backend cairn");
    return std::move(out_);
  }

private:
  void note(const Position& where, std::string_view what, std::string_view why) {
    out_.notes.push_back(where.text() + ": '" + std::string(what) +
                         "' is not converted: " + std::string(why));
  }

  // ACLs of a host, as nginx and the rules compare it.
  static std::string host_acl(const std::string& host) {
    if (host.starts_with("*.")) return "-m end " + in_quotes(host.substr(1));
    if (host.ends_with(".*")) return "-m beg " + in_quotes(host.substr(0, host.size() - 1));
    return "-m str " + in_quotes(host);
  }

  void add_set(const RuleSet& set, std::string& actions) {
    set_ = &set;
    const std::string here = "host_" + std::to_string(++sets_);
    for (const std::string& host : set.hosts)
      out_.text += "    acl " + here + " var(txn.host) " + host_acl(host) + "\n";
    const std::string condition = set.hosts.empty() ? "" : " " + here;
    // The order of a search: exact names; a "^~" that no longer prefix hides; regular expressions
    // as they stand; prefixes, the longest first. The first that holds sets the rule.
    std::vector<const Location*> prefixes;
    for (const Location& location : set.locations) {
      if (location.kind == LocationKind::exact)
        choose(location, "-m str " + in_quotes(location.text), condition, "");
      else if (location.kind != LocationKind::regex)
        prefixes.push_back(&location);
    }
    std::ranges::stable_sort(prefixes, [](const Location* a, const Location* b) {
      return a->text.size() > b->text.size();
    });
    for (const Location* strong : prefixes) {
      if (strong->kind != LocationKind::prefix_strong) continue;
      std::string hidden;
      for (const Location* other : prefixes)
        if (other->text.size() > strong->text.size() && other->text.starts_with(strong->text))
          hidden += " !{ var(txn.path) -m beg " + in_quotes(other->text) + " }";
      choose(*strong, "-m beg " + in_quotes(strong->text), condition, hidden);
    }
    for (const Location& location : set.locations)
      if (location.kind == LocationKind::regex) choose(location, match_of(location), condition, "");
    for (const Location* prefix : prefixes)
      choose(*prefix, "-m beg " + in_quotes(prefix->text), condition, "");
    for (const Location& location : set.locations) act(location, actions);
    if (set.pass)
      out_.text += "    http-request set-var(txn.rule) str(pass)" +
                   (set.hosts.empty() ? std::string(" if") : " if" + condition) +
                   " !{ var(txn.rule) -m found }\n";
    if (set.share) note(set.where, "share", "docs/nginx.md has a recipe");
    if (set.shadow) note(set.where, "shadow", "only Cairn compares answers");
    if (!set.maps.empty()) note(set.where, "map", "HAProxy's maps are files");
  }

  static std::string match_of(const Location& location) {
    return std::string(location.pattern.ignores_case() ? "-m reg -i " : "-m reg ") +
           in_quotes(without_names(location.pattern.text()));
  }

  // "(?<name>" as "(", which is the same for who counts groups.
  static std::string without_names(std::string text) {
    for (const std::string_view start : {"(?<", "(?P<"}) {
      for (std::size_t at = text.find(start); at != std::string::npos;
           at = text.find(start, at + 1)) {
        const std::size_t end = text.find('>', at);
        const char first = at + start.size() < text.size() ? text[at + start.size()] : '=';
        const bool escaped = at > 0 && text[at - 1] == '\\';
        if (end == std::string::npos || escaped || first == '=' || first == '!') continue;
        text.replace(at, end - at + 1, "(");
      }
    }
    return text;
  }

  std::string rule_name(const Location& location) const {
    return std::to_string(sets_) + "." + std::to_string(location.number);
  }

  void choose(const Location& location, const std::string& match, const std::string& condition,
              const std::string& hidden) {
    out_.text += "    http-request set-var(txn.rule) str(" + rule_name(location) + ") if" +
                 condition + " !{ var(txn.rule) -m found } { var(txn.path) " + match + " }" +
                 hidden + "\n";
  }

  // A template in HAProxy's replace-path, which knows groups by number only. nullopt: it says more.
  std::optional<std::string> replacement(const Template& text, const Location& location) const {
    bool good = true;
    std::string out = text.evaluate([&](const Variable& variable) -> std::string {
      if (variable.kind == VariableKind::group) return "\\" + std::to_string(variable.number);
      if (variable.kind == VariableKind::named && location.kind == LocationKind::regex)
        for (const auto& [name, number] : location.pattern.names())
          if (name == variable.name) return "\\" + std::to_string(number);
      good = false;
      return {};
    });
    if (!good) return std::nullopt;
    return out;
  }

  void act(const Location& location, std::string& actions) {
    const std::string here = " if { var(txn.rule) -m str " + rule_name(location) + " }\n";
    if (!location.required.empty())
      note(location.where, "require", "say it with an ACL, or leave the decision to Cairn");
    if (location.own.referer || set_->defaults.referer)
      note(location.where, "referer", "Cairn checks it");
    if (location.own.token || set_->defaults.token)
      note(location.where, "token", "Cairn checks it");
    if (!location.on_miss.empty()) note(location.where, "on_miss", "Cairn does it");
    if (location.style || !location.dialects.empty())
      note(location.where, "style", "ask Cairn with the name of the style in the URL");
    if (location.pass) return;
    if (location.reply) {
      const std::string& text = location.reply->text.text();
      const bool redirect = location.reply->status >= 301 && location.reply->status <= 308;
      if (!location.reply->text.is_constant())
        note(location.where, "$", "the answer is sent without its variables");
      if (redirect && location.reply->text.is_constant())
        actions += "    http-request redirect location " + in_quotes(text) + " code " +
                   std::to_string(location.reply->status) + here;
      else if (!redirect)
        actions += "    http-request return status " + std::to_string(location.reply->status) +
                   (location.reply->text.is_constant() && !text.empty()
                        ? " content-type text/plain string " + in_quotes(text)
                        : "") +
                   here;
      return;
    }
    const auto& cache = location.own.cache ? location.own.cache : set_->defaults.cache;
    if (cache && cache->is_constant())
      actions += "    http-response set-header Cache-Control " + in_quotes(cache->text()) + here;
    if (!location.object || location.object->name.text() == "$uri" ||
        location.object->name.text() == "/$uri")
      return;
    auto target = replacement(location.object->name, location);
    if (!target) {
      note(location.where, "object", "HAProxy rewrites with the groups of one expression only");
      return;
    }
    if (!target->starts_with('/')) target->insert(0, "/");
    // Compares with case, and puts the replacement in the place of the whole path.
    const bool is_regex = location.kind == LocationKind::regex;
    const std::string pattern =
        std::string(is_regex && location.pattern.ignores_case() ? "(?i)" : "") +
        (is_regex ? without_names(location.pattern.text()) : ".*");
    actions +=
        "    http-request replace-path " + in_quotes(pattern) + " " + in_quotes(*target) + here;
  }

  const RuleBook& book_;
  const ExportPlace& place_;
  const RuleSet* set_ = nullptr;
  int sets_ = 0;
  Exported out_;
};

Result<std::shared_ptr<const RuleBook>> book_of(Context& context,
                                                const std::vector<std::string>& files) {
  rules::Source source;
  if (files.empty()) {
    CAIRN_TRY(reply, fetch_rules(context, 0));
    source = source_of(reply);
  } else {
    CAIRN_TRY(read, read_rules(files));
    source = std::move(read);
  }
  Problems problems;
  auto book = RuleBook::load(source, problems);
  for (const Problem& problem : problems)
    if (book == nullptr && problem.severity == Severity::error)
      return Error{Errc::invalid_argument, problem.text()};
  return book;
}

// "host:port" of the storage nodes that serve HTTP; none without a cluster.
std::vector<std::string> nodes_of(Context& context) {
  std::vector<std::string> nodes;
  const auto client = context.client();
  if (!client) return nodes;
  const auto cluster = (*client)->cluster();
  if (!cluster) return nodes;
  for (const ClusterNode& node : cluster->nodes)
    if (node.http_port != 0)
      nodes.push_back(node.address.host + ":" + std::to_string(node.http_port));
  return nodes;
}

} // namespace

Exported export_haproxy(const RuleBook& book, const ExportPlace& place) {
  return HaproxyExport(book, place).run();
}

int run_rules_export(Context& context, const RulesExportArgs& args) {
  const auto book = book_of(context, args.files);
  if (!book) return context.fail("rules export", book.error());
  ExportPlace place;
  place.listen = args.listen;
  place.nodes = args.nodes.empty() ? nodes_of(context) : args.nodes;
  const Exported made =
      args.to == "nginx" ? export_nginx(**book, place) : export_haproxy(**book, place);
  if (context.json()) {
    context.answer_json({{"configuration", made.text}, {"notes", made.notes}});
  } else {
    context.answer(made.text);
    for (const std::string& one : made.notes) context.note(one);
  }
  return made.notes.empty() ? kGood : kPartial;
}

} // namespace cairn::tools
