// Locations are nginx's already; what they do becomes a rewrite to the name that Cairn knows.
#include "common/base/text.h"
#include "tools/rules_export.h"

#include <algorithm>
#include <cctype>
#include <map>
#include <utility>

namespace cairn::tools {

namespace {

using namespace rules;

// A word in quotes, whatever is in it.
std::string in_quotes(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') out.push_back('\\');
    out.push_back(c);
  }
  return out + "\"";
}

std::string identifier(std::string_view text) {
  std::string out;
  for (const char c : text)
    out.push_back(std::isalnum(static_cast<unsigned char>(c)) != 0 ? c : '_');
  return out;
}

class NginxExport {
public:
  NginxExport(const RuleBook& book, const ExportPlace& place) : book_(book), place_(place) {}

  Exported run() {
    out_.text =
        "# Made by `cairn rules export nginx`. Include it in the http block.\n"
        "upstream cairn {\n";
    for (const std::string& node : place_.nodes) out_.text += "    server " + node + ";\n";
    if (place_.nodes.empty()) {
      out_.text += "    server 127.0.0.1:8888;\n";
      out_.notes.push_back("no storage node is known: put yours into upstream cairn");
    }
    out_.text += "    keepalive 32;\n}\n";
    for (const auto& set : book_.sets()) add_set(*set);
    return std::move(out_);
  }

private:
  void note(const Position& where, std::string_view what, std::string_view why) {
    out_.notes.push_back(where.text() + ": '" + std::string(what) +
                         "' is not converted: " + std::string(why));
  }

  // The variables of a template as nginx calls them. Maps of several sets share nginx's one space
  // of names.
  std::string text_of(const Template& text) const {
    return text.evaluate([this](const Variable& variable) -> std::string {
      switch (variable.kind) {
        case VariableKind::uri:
          return "$uri";
        case VariableKind::request_uri:
          return "$request_uri";
        case VariableKind::args:
          return "$args";
        case VariableKind::argument:
          return "${arg_" + variable.name + "}";
        case VariableKind::host:
          return "$host";
        case VariableKind::remote_addr:
          return "$remote_addr";
        case VariableKind::request_method:
          return "$request_method";
        case VariableKind::header: {
          std::string name = to_lower(variable.name);
          std::ranges::replace(name, '-', '_');
          return "${http_" + name + "}";
        }
        case VariableKind::group:
          return "$" + std::to_string(variable.number);
        case VariableKind::named:
          break;
      }
      const bool is_map = set_->map_names.contains(variable.name);
      return "${" + (is_map ? map_name(variable.name) : variable.name) + "}";
    });
  }
  std::string map_name(const std::string& name) const {
    return identifier(set_->name) + "_" + name;
  }

  static bool uses_groups(const Template& text) {
    return std::ranges::any_of(text.variables(), [](const Variable& variable) {
      return variable.kind == VariableKind::group;
    });
  }

  void add_set(const RuleSet& set) {
    set_ = &set;
    out_.text += "\n# rules " + set.name + "\n";
    for (const Map& map : set.maps) add_map(map);
    std::vector<bool> used(set.origins.size(), false);
    std::string locations;
    bool has_root = false;
    for (const Location& location : set.locations) {
      locations += location_of(location, used);
      has_root = has_root || (location.text == "/" && location.kind != LocationKind::exact &&
                              location.kind != LocationKind::regex);
    }
    if (set.share) note(set.where, "share", "docs/nginx.md has a recipe with split_clients");
    if (set.shadow) note(set.where, "shadow", "only Cairn compares answers");
    for (std::size_t i = 0; i < set.origins.size(); ++i)
      if (used[i] && set.origins[i].kind != OriginKind::file) add_upstream(set.origins[i]);
    out_.text += "server {\n    listen " + place_.listen + ";\n    server_name";
    for (const std::string& host : set.hosts) out_.text += " " + in_quotes(host);
    if (set.hosts.empty()) out_.text += " _";
    out_.text +=
        ";\n    proxy_http_version 1.1;\n    proxy_set_header Connection \"\";\n"
        "    proxy_set_header Host $host;\n";
    out_.text += locations;
    for (std::size_t i = 0; i < set.origins.size(); ++i)
      if (used[i]) add_origin(set.origins[i]);
    if (!has_root)
      out_.text += std::string("    location / { ") +
                   (set.pass ? "proxy_pass http://cairn;" : "return 404;") + " }\n";
    out_.text += "}\n";
  }

  void add_map(const Map& map) {
    if (map.match != MapMatch::nginx && map.match != MapMatch::exact &&
        map.match != MapMatch::regex) {
      note(map.where, "map $" + map.name, "nginx compares whole keys or regular expressions");
    }
    out_.text += "map " + in_quotes(text_of(map.source)) + " $" + map_name(map.name) + " {\n";
    out_.text += "    default " + in_quotes(map.standard ? text_of(*map.standard) : "") + ";\n";
    const std::map<std::string, const Template*> sorted = [&map] {
      std::map<std::string, const Template*> rows;
      for (const auto& [key, value] : map.exact) rows.emplace(key, &value);
      return rows;
    }();
    for (const auto& [key, value] : sorted) {
      const bool special = !key.empty() && (key[0] == '~' || key[0] == '\\' || key == "default" ||
                                            key == "hostnames" || key == "include");
      out_.text += "    " + in_quotes((special ? "\\" : "") + key) + " " +
                   in_quotes(text_of(*value)) + ";\n";
    }
    for (const auto& [pattern, value] : map.patterns)
      out_.text += "    " + in_quotes((pattern.ignores_case() ? "~*" : "~") + pattern.text()) +
                   " " + in_quotes(text_of(value)) + ";\n";
    out_.text += "}\n";
  }

  std::string origin_name(const Origin& origin) const {
    return identifier(set_->name) + "_" + identifier(origin.name);
  }

  void add_upstream(const Origin& origin) {
    out_.text += "upstream " + origin_name(origin) + " {\n";
    for (const std::string& server : origin.servers) out_.text += "    server " + server + ";\n";
    out_.text += "}\n";
  }

  void add_origin(const Origin& origin) {
    out_.text += "    location @" + origin_name(origin) + " {\n";
    if (origin.kind == OriginKind::file) {
      out_.text +=
          "        rewrite ^ $cairn_old break;\n        root " + in_quotes(origin.root) + ";\n";
    } else {
      const std::string host = origin.host.empty() ? origin.servers.front() : origin.host;
      out_.text += "        rewrite ^ $cairn_old break;\n        proxy_set_header Host " +
                   in_quotes(host) + ";\n        proxy_pass http://" + origin_name(origin) + ";\n";
    }
    out_.text += "    }\n";
    if (origin.store)
      note(origin.where, "store on", "nginx passes on what it finds, and keeps nothing");
  }

  // The pattern of a location, for a rewrite that needs its groups.
  static std::string pattern_of(const Location& location) {
    if (location.kind != LocationKind::regex) return "^";
    return (location.pattern.ignores_case() ? "(?i)" : "") + location.pattern.text();
  }

  // What Cairn calls the object: a path of its URLs.
  std::string target_of(const Location& location) {
    if (!location.object) return {};
    std::string name = text_of(location.object->name);
    if (!name.starts_with('/') && !name.starts_with("$uri")) name.insert(0, "/");
    if (location.object->kind == ObjectKind::alias) {
      if (location.object->name.text() == "$uri" || location.object->name.text() == "/$uri")
        return {};
      aliases_by_path_ = true;
    }
    return name;
  }

  static std::string_view sign_of(LocationKind kind, bool ignores_case) {
    switch (kind) {
      case LocationKind::exact:
        return "= ";
      case LocationKind::prefix:
        return "";
      case LocationKind::prefix_strong:
        return "^~ ";
      case LocationKind::regex:
        return ignores_case ? "~* " : "~ ";
    }
    return "";
  }

  std::string location_of(const Location& location, std::vector<bool>& used) {
    const bool is_regex = location.kind == LocationKind::regex;
    const bool ignores_case = is_regex && location.pattern.ignores_case();
    std::string out = "    location " + std::string(sign_of(location.kind, ignores_case)) +
                      in_quotes(is_regex ? location.pattern.text() : location.text) + " {\n";
    out += conditions_of(location);
    const auto add = [&out](const std::string& line) { out += "        " + line + ";\n"; };
    if (location.style || !location.dialects.empty())
      note(location.where, "style", "ask Cairn with the name of the style in the URL");
    if (location.reply) {
      const std::string text = text_of(location.reply->text);
      if (uses_groups(location.reply->text) && !location.required.empty())
        note(location.where, "$1", "the conditions before it have groups of their own; name them");
      add("return " + std::to_string(location.reply->status) +
          (text.empty() ? "" : " " + in_quotes(text)));
      return out + "    }\n";
    }
    const auto& cache = location.own.cache ? location.own.cache : set_->defaults.cache;
    if (!location.pass && cache) {
      add("proxy_hide_header Cache-Control");
      add("add_header Cache-Control " + in_quotes(text_of(*cache)));
    }
    for (const auto* headers : {&set_->defaults.headers, &location.own.headers})
      for (const auto& [name, value] : *headers)
        if (!location.pass) add("add_header " + name + " " + in_quotes(text_of(value)));
    if (location.type) {
      add("proxy_hide_header Content-Type");
      add("add_header Content-Type " + in_quotes(*location.type));
    }
    if (location.save_as) {
      add("proxy_hide_header Content-Disposition");
      add("add_header Content-Disposition " +
          in_quotes("attachment; filename=\"" + text_of(*location.save_as) + "\""));
    }
    add_misses(location, used, out);
    if (!location.pass) {
      const std::string target = target_of(location);
      // Captures are those of the rewrite's own expression, so it is the location's again.
      if (!target.empty())
        add("rewrite " + in_quotes(pattern_of(location)) + " " + in_quotes(target + "?") +
            " break");
    }
    add("proxy_pass http://cairn");
    return out + "    }\n";
  }

  std::string conditions_of(const Location& location) {
    std::string out;
    const auto& referer = location.own.referer ? location.own.referer : set_->defaults.referer;
    if (referer && !location.pass) {
      out += "        valid_referers";
      if (referer->none) out += " none";
      if (referer->blocked) out += " blocked";
      for (const std::string& name : referer->names) out += " " + in_quotes(name);
      out += std::string(";\n        if ($invalid_referer") + (referer->allow ? "" : " = \"\"") +
             ") { return 403; }\n";
    }
    const auto& token = location.own.token ? location.own.token : set_->defaults.token;
    if (token && !token->off && !location.pass)
      note(location.where, "token", "the secret stays in Cairn, which must check it");
    for (const Require& required : location.required) {
      out += "        set $cairn_value " + in_quotes(text_of(required.value)) + ";\n";
      out += "        if ($cairn_value " + comparison_of(required) + ") { return " +
             std::to_string(location.deny_status) + "; }\n";
    }
    return out;
  }

  // nginx's condition for "it does not hold".
  std::string comparison_of(const Require& required) {
    switch (required.comparison) {
      case Comparison::equals:
        return "!= " + in_quotes(text_of(required.list.at(0)));
      case Comparison::differs:
        return "= " + in_quotes(text_of(required.list.at(0)));
      case Comparison::matches:
        return (required.pattern.ignores_case() ? "!~* " : "!~ ") +
               in_quotes(required.pattern.text());
      case Comparison::matches_not:
        return (required.pattern.ignores_case() ? "~* " : "~ ") +
               in_quotes(required.pattern.text());
      case Comparison::in_list:
        break;
    }
    std::string list;
    for (const Template& one : required.list) {
      if (!one.is_constant())
        note(required.where, required.text, "nginx compares with constant words only");
      if (!list.empty()) list += "|";
      for (const char c : one.text()) {
        if (std::string_view("\\^$.|?*+()[]{}").find(c) != std::string_view::npos)
          list.push_back('\\');
        list.push_back(c);
      }
    }
    return "!~ " + in_quotes("^(?:" + list + ")$");
  }

  void add_misses(const Location& location, std::vector<bool>& used, std::string& out) {
    bool first = true;
    for (const MissStep& step : location.on_miss) {
      if (!std::exchange(first, false)) {
        note(location.where, "on_miss", "nginx does one thing after a 404");
        return;
      }
      switch (step.kind) {
        case MissKind::next:
          note(location.where, "on_miss next", "nginx does not look for another location");
          break;
        case MissKind::status:
          if (step.status != 404)
            note(location.where, "on_miss " + std::to_string(step.status), "it stays a 404");
          break;
        case MissKind::redirect:
          out += "        proxy_intercept_errors on;\n        error_page 404 =" +
                 std::to_string(step.status) + " " + in_quotes(text_of(step.target)) + ";\n";
          break;
        case MissKind::pull:
          used[step.origin] = true;
          out += "        set $cairn_old " + in_quotes(text_of(step.target)) +
                 ";\n        proxy_intercept_errors on;\n        error_page 404 = @" +
                 origin_name(set_->origins[step.origin]) + ";\n";
          break;
      }
    }
  }

public:
  // Objects that are aliases of another path than the URL's own.
  bool aliases_by_path() const { return aliases_by_path_; }

private:
  const RuleBook& book_;
  const ExportPlace& place_;
  const RuleSet* set_ = nullptr;
  bool aliases_by_path_ = false;
  Exported out_;
};

} // namespace

Exported export_nginx(const RuleBook& book, const ExportPlace& place) {
  NginxExport all(book, place);
  Exported out = all.run();
  if (all.aliases_by_path())
    out.notes.push_back(
        "aliases are still looked up by Cairn: load rules there that take the "
        "path for the name, as: rules names { location / { } }");
  return out;
}

} // namespace cairn::tools
