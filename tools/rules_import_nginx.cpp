// nginx configurations as rules.
#include "common/base/text.h"
#include "common/rules/compile.h"
#include "tools/rules_import.h"

#include <algorithm>
#include <map>
#include <set>

namespace cairn::tools {

namespace {

using rules::Directive;
using rules::Word;

// A word as a rules file takes it: quoted where it must be.
std::string as_word(const std::string& text) {
  if (!text.empty() && text.find_first_of(" \t;{}\"'#\\") == std::string::npos) return text;
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"') out.push_back('\\');
    out.push_back(c);
  }
  return out + "\"";
}

bool is_url(const std::string& text) {
  return text.rfind("http://", 0) == 0 || text.rfind("https://", 0) == 0;
}

// What the converter collects of one server block.
struct Server {
  std::vector<std::string> names;
  std::string origins;
  std::string locations;
  std::set<std::string> origin_names;
};

class NginxImport {
public:
  explicit NginxImport(const rules::Source& source) {
    rules::Problems problems;
    directives_ = rules::parse(source, problems);
    for (const rules::Problem& problem : problems) notes_.push_back(problem.text());
  }

  Imported run() {
    collect(directives_);
    std::size_t number = 0;
    std::string all;
    for (const Directive* server : servers_) all += convert_server(*server, ++number);
    if (servers_.empty()) {
      // A file of locations only, as it is included into a server.
      Server one;
      for (const Directive& directive : directives_) convert_in_server(directive, one, "");
      all += text_of(one, 1);
    }
    return {std::move(all), std::move(notes_)};
  }

private:
  void note(const Directive& directive, const std::string& why) {
    notes_.push_back(directive.where().text() + ": '" + directive.name() + "' is not converted" +
                     (why.empty() ? "" : ": " + why));
  }

  void collect(const std::vector<Directive>& directives) {
    for (const Directive& directive : directives) {
      if (directive.name() == "http") {
        collect(directive.block);
      } else if (directive.name() == "server" && directive.has_block) {
        servers_.push_back(&directive);
      } else if (directive.name() == "map") {
        maps_.push_back(&directive);
      } else if (directive.name() == "upstream" && directive.words.size() == 2) {
        for (const Directive& one : directive.block)
          if (one.name() == "server" && one.words.size() > 1)
            upstreams_[directive.words[1].text].push_back(one.words[1].text);
      }
    }
  }

  std::string convert_server(const Directive& directive, std::size_t number) {
    Server server;
    std::string root;
    for (const Directive& one : directive.block)
      if (one.name() == "root" && one.words.size() == 2) root = one.words[1].text;
    for (const Directive& one : directive.block) convert_in_server(one, server, root);
    return text_of(server, number);
  }

  std::string text_of(const Server& server, std::size_t number) {
    std::string out = "rules server" + std::to_string(number) + " {\n";
    if (!server.names.empty()) {
      out += "    host";
      for (const std::string& name : server.names) out += " " + as_word(name);
      out += ";\n";
    }
    for (const Directive* map : maps_)
      if (map->words.size() == 3 && server.locations.find(map->words[2].text) != std::string::npos)
        out += convert_map(*map);
    return out + server.origins + server.locations + "}\n";
  }

  std::string convert_map(const Directive& map) {
    std::string out = "    map " + map.words[1].text + " " + map.words[2].text + " {\n";
    for (const Directive& row : map.block) {
      if (row.words.size() != 2) {
        note(row, "'hostnames' and 'volatile' do not exist here");
        continue;
      }
      out += "        " + as_word(row.words[0].text) + " " + as_word(row.words[1].text) + ";\n";
    }
    return out + "    }\n";
  }

  // The name of an origin for a directory or a server, made when it is new.
  std::string origin_for(Server& server, const std::string& kind, const std::string& what) {
    std::string name = kind == "file" ? "dir" : "srv";
    for (const char c : what)
      name.push_back(std::isalnum(static_cast<unsigned char>(c)) != 0 ? c : '_');
    if (server.origin_names.insert(name).second) {
      server.origins += "    origin " + name + " { type " + kind + "; ";
      if (kind == "file") {
        server.origins += "root " + as_word(what) + "; ";
      } else {
        server.origins += "server";
        const auto known = upstreams_.find(what);
        const std::vector<std::string> servers =
            known == upstreams_.end() ? std::vector<std::string>{what} : known->second;
        for (const std::string& one : servers) server.origins += " " + as_word(one);
        server.origins += "; ";
      }
      server.origins += "}\n";
    }
    return name;
  }

  void convert_in_server(const Directive& directive, Server& server, const std::string& root) {
    static const std::set<std::string> kSilent{"listen",         "root",       "access_log",
                                               "error_log",      "index",      "charset",
                                               "sendfile",       "tcp_nopush", "keepalive_timeout",
                                               "gzip",           "include",    "map",
                                               "upstream",       "events",     "worker_processes",
                                               "user",           "pid",        "log_not_found",
                                               "open_file_cache"};
    const std::string& name = directive.name();
    if (name == "server_name") {
      for (std::size_t i = 1; i < directive.words.size(); ++i) {
        const std::string& host = directive.words[i].text;
        if (!host.empty() && host[0] == '~')
          note(directive, "a host by regular expression; list the names");
        else if (host != "_" && !host.empty())
          server.names.push_back(host);
      }
    } else if (name == "location") {
      convert_location(directive, server, root);
    } else if (name == "rewrite") {
      server.locations += convert_rewrite(directive);
    } else if (name == "return") {
      const std::string action = convert_return(directive);
      if (!action.empty()) server.locations += "    location / {\n" + action + "    }\n";
    } else if (!kSilent.contains(name)) {
      note(directive, name == "if" ? "say it with 'require', or with locations" : "");
    }
  }

  std::string convert_return(const Directive& directive) {
    if (directive.words.size() == 2 && is_url(directive.words[1].text))
      return "        redirect 302 " + as_word(directive.words[1].text) + ";\n";
    if (directive.words.size() == 2) {
      if (directive.words[1].text == "444") return "        return 404;\n";
      return "        return " + directive.words[1].text + ";\n";
    }
    if (directive.words.size() != 3) return {};
    const std::string& code = directive.words[1].text;
    const bool redirect =
        code == "301" || code == "302" || code == "303" || code == "307" || code == "308";
    std::string out = "        ";
    out.append(redirect ? "redirect " : "return ").append(code).append(" ");
    return out.append(as_word(directive.words[2].text)).append(";\n");
  }

  // A rewrite is a location of its own: its regular expression decides, in the order of the file.
  std::string convert_rewrite(const Directive& directive) {
    if (directive.words.size() < 3) return {};
    std::string target = directive.words[2].text;
    const std::string flag = directive.words.size() > 3 ? directive.words[3].text : "";
    std::string out = "    location ~ ";
    out.append(as_word(directive.words[1].text)).append(" {\n");
    if (is_url(target) || flag == "permanent" || flag == "redirect") {
      out.append("        redirect ").append(flag == "permanent" ? "301 " : "302 ");
      out.append(as_word(target)).append(";\n");
    } else {
      const std::size_t mark = target.find('?');
      if (mark != std::string::npos) {
        notes_.push_back(directive.where().text() +
                         ": the arguments of the rewrite are dropped: an object has none");
        target.resize(mark);
      }
      out += "        object " + as_word("alias:" + target) + ";\n";
    }
    return out + "    }\n";
  }

  static std::string referers(const Directive& directive) {
    std::string out = "        referer allow";
    for (std::size_t i = 1; i < directive.words.size(); ++i)
      if (directive.words[i].text != "server_names") out += " " + as_word(directive.words[i].text);
    return out + ";\n";
  }

  void convert_location(const Directive& directive, Server& server, std::string root) {
    const Word& uri = directive.words.back();
    if (directive.words.size() < 2 || uri.text.empty()) return note(directive, "");
    if (directive.words.size() == 2 && uri.text[0] == '@')
      return note(directive, "a named location; put what it does into on_miss");
    static const std::set<std::string> kSilent{"access_log",
                                               "error_log",
                                               "log_not_found",
                                               "proxy_set_header",
                                               "proxy_http_version",
                                               "sendfile",
                                               "open_file_cache",
                                               "index",
                                               "etag",
                                               "autoindex",
                                               "proxy_buffering",
                                               "proxy_connect_timeout",
                                               "proxy_read_timeout",
                                               "tcp_nopush"};
    std::string object;
    std::string actions;
    std::string miss;
    std::string rewrites;
    bool answered = false;
    for (const Directive& one : directive.block) {
      const std::string& name = one.name();
      const std::size_t count = one.words.size();
      if (name == "return") {
        actions += convert_return(one);
        answered = true;
      } else if (name == "root" && count == 2) {
        root = one.words[1].text;
      } else if (name == "alias" && count == 2) {
        std::string base = one.words[1].text;
        std::string rest = "$uri";
        const std::size_t variable = base.find('$');
        if (variable != std::string::npos) {
          rest = "/" + base.substr(variable);
          base.resize(variable);
        } else {
          notes_.push_back(one.where().text() +
                           ": 'alias' keeps the whole path here: check on_miss");
        }
        while (base.size() > 1 && base.back() == '/') base.pop_back();
        miss = "        on_miss pull " + origin_for(server, "file", base) + " " + as_word(rest) +
               ";\n";
        root.clear();
      } else if (name == "proxy_pass" && count == 2) {
        std::string to = one.words[1].text;
        const std::size_t scheme = to.find("://");
        if (to.rfind("https", 0) == 0)
          notes_.push_back(one.where().text() + ": old servers are asked by http, not https");
        if (scheme != std::string::npos) to.erase(0, scheme + 3);
        const std::size_t slash = to.find('/');
        if (slash != std::string::npos && slash + 1 < to.size())
          notes_.push_back(one.where().text() + ": the path of proxy_pass is not converted");
        if (to.find('$') != std::string::npos) {
          note(one, "a server named by a variable is never contacted");
          continue;
        }
        miss = "        on_miss pull " + origin_for(server, "http", to.substr(0, slash)) + ";\n";
        root.clear();
      } else if (name == "rewrite") {
        rewrites += convert_rewrite(one);
      } else if (name == "expires" && count == 2) {
        const std::string& time = one.words[1].text;
        if (time == "max")
          actions += "        cache max-age=3650d;\n";
        else if (time == "off" || time == "epoch" || time[0] == '-')
          actions += time == "off" ? "" : "        cache no-cache;\n";
        else if (parse_duration(time))
          actions += "        cache max-age=" + time + ";\n";
        else
          note(one, "");
      } else if (name == "add_header" && count >= 3) {
        if (equals_ignoring_case(one.words[1].text, "Cache-Control")) {
          actions += "        cache";
          for (const std::string_view word : split(one.words[2].text, ','))
            actions += " " + std::string(trim(word));
          actions += ";\n";
        } else if (equals_ignoring_case(one.words[1].text, "X-Content-Type-Options")) {
          // Every answer says it.
        } else if (const auto why = rules::header_refusal(one.words[1].text); !why.empty()) {
          note(one, why);
        } else {
          actions +=
              "        header " + one.words[1].text + " " + as_word(one.words[2].text) + ";\n";
        }
      } else if (name == "valid_referers") {
        actions += referers(one);
      } else if (name == "deny" || name == "internal") {
        actions += "        return 404;\n";
        answered = true;
      } else if (name == "if" && count >= 2 &&
                 one.words[1].text.find("invalid_referer") != std::string::npos) {
        // Said by `referer`.
      } else if (name == "try_files" || name == "error_page") {
        notes_.push_back(one.where().text() + ": '" + name + "' is left out: say it with on_miss");
      } else if (name == "location") {
        note(one, "locations do not nest; write it beside its parent");
      } else if (!kSilent.contains(name)) {
        note(one, name == "if" ? "say it with 'require', or with locations" : "");
      }
    }
    if (!rewrites.empty()) {
      // The rewrites of a prefix apply below it only, which their expressions say in practice.
      server.locations += rewrites;
      if (actions.empty() && miss.empty()) return;
    }
    if (!root.empty() && !answered && miss.empty())
      miss = "        on_miss pull " + origin_for(server, "file", root) + ";\n";
    server.locations += "    location ";
    if (directive.words.size() == 3) server.locations += directive.words[1].text + " ";
    server.locations +=
        as_word(uri.text) + " {\n" + actions + object + (answered ? "" : miss) + "    }\n";
  }

  std::vector<Directive> directives_;
  std::vector<const Directive*> servers_;
  std::vector<const Directive*> maps_;
  std::map<std::string, std::vector<std::string>> upstreams_;
  std::vector<std::string> notes_;
};

} // namespace

Imported import_nginx(const rules::Source& source) {
  return NginxImport(source).run();
}

} // namespace cairn::tools
