// cairn rules import, and HAProxy configurations as rules
#include "tools/rules_import.h"

#include "common/base/text.h"
#include "common/rules/book.h"
#include "tools/context.h"
#include "tools/rules_source.h"
#include "tools/rules_verbs.h"

#include <nlohmann/json.hpp>

#include <map>
#include <optional>
#include <set>

namespace cairn::tools {

namespace {

std::vector<std::string> words_of(std::string_view line) {
  std::vector<std::string> words;
  std::string word;
  bool inside = false;
  char quote = 0;
  for (std::size_t i = 0; i < line.size(); ++i) {
    const char c = line[i];
    if (quote == 0 && c == '#') break;
    if (quote == 0 && (c == ' ' || c == '\t')) {
      if (inside) words.push_back(std::move(word));
      word.clear();
      inside = false;
      continue;
    }
    inside = true;
    if (c == '\\' && i + 1 < line.size() && quote != '\'') {
      // Only a blank, a quote or a backslash is escaped; the rest belongs to a regular expression.
      const char next = line[i + 1];
      if (next == ' ' || next == '#' || next == '"' || next == '\'') {
        word.push_back(next);
        ++i;
        continue;
      }
    }
    if (c == quote) {
      quote = 0;
    } else if (quote == 0 && (c == '"' || c == '\'')) {
      quote = c;
    } else {
      word.push_back(c);
    }
  }
  if (inside) words.push_back(std::move(word));
  return words;
}

std::string regex_quoted(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (std::string_view("\\^$.|?*+()[]{}").find(c) != std::string_view::npos) out.push_back('\\');
    out.push_back(c);
  }
  return out;
}

std::string as_word(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"') out.push_back('\\');
    out.push_back(c);
  }
  return out + "\"";
}

// An ACL that can be said by locations, or by hosts.
struct Acl {
  std::vector<std::string> locations; // "= /a", "~ ^/a"
  std::vector<std::string> hosts;
};

class HaproxyImport {
public:
  HaproxyImport(std::string name, std::string_view text) : file_(std::move(name)) {
    std::size_t number = 0;
    for (const std::string_view line : split(text, '\n')) {
      ++number;
      auto words = words_of(line);
      if (!words.empty()) lines_.push_back({number, std::move(words)});
    }
  }

  Imported run() {
    read_backends();
    for (const Line& line : lines_) take(line);
    std::string out;
    std::size_t number = 0;
    for (const auto& [hosts, body] : sets_) {
      out += "rules imported" + std::to_string(++number) + " {\n";
      if (!hosts.empty()) out += "    host" + hosts + ";\n";
      for (const auto& [backend, servers] : backends_)
        if (body.find("pull " + backend + ";") != std::string::npos && !servers.empty())
          out += "    origin " + backend + " { type http; server" + servers + "; }\n";
      out += body + "}\n";
    }
    return {std::move(out), std::move(notes_)};
  }

private:
  struct Line {
    std::size_t number;
    std::vector<std::string> words;
  };

  void note(const Line& line, const std::string& why) {
    std::string text;
    for (const std::string& word : line.words) text += (text.empty() ? "" : " ") + word;
    notes_.push_back(file_ + ":" + std::to_string(line.number) + ": '" + text +
                     "' is not converted: " + why);
  }

  void read_backends() {
    std::string section;
    for (const Line& line : lines_) {
      const std::string& first = line.words[0];
      if (first == "backend" || first == "frontend" || first == "listen" || first == "defaults" ||
          first == "global")
        section = line.words.size() > 1 && (first == "backend" || first == "listen")
                      ? line.words[1]
                      : std::string();
      if (first == "server" && !section.empty() && line.words.size() > 2)
        backends_[section] += " " + line.words[2];
    }
  }

  std::optional<Acl> criterion(std::vector<std::string> words) {
    if (words.empty()) return std::nullopt;
    Acl acl;
    const std::string method = words[0];
    bool ignore_case = false;
    std::size_t at = 1;
    for (; at < words.size() && !words[at].empty() && words[at][0] == '-'; ++at) {
      if (words[at] == "-i") ignore_case = true;
      if (words[at] == "-f") return std::nullopt;
    }
    if (at == words.size()) return std::nullopt;
    for (; at < words.size(); ++at) {
      const std::string& value = words[at];
      const std::string sign = ignore_case ? "~* " : "~ ";
      if (method == "path") {
        acl.locations.push_back(ignore_case ? sign + as_word("^" + regex_quoted(value) + "$")
                                            : "= " + as_word(value));
      } else if (method == "path_beg") {
        acl.locations.push_back(sign + as_word("^" + regex_quoted(value)));
      } else if (method == "path_end") {
        acl.locations.push_back(sign + as_word(regex_quoted(value) + "$"));
      } else if (method == "path_sub") {
        acl.locations.push_back(sign + as_word(regex_quoted(value)));
      } else if (method == "path_dir") {
        acl.locations.push_back(sign + as_word("(^|/)" + regex_quoted(value) + "(/|$)"));
      } else if (method == "path_reg") {
        acl.locations.push_back(sign + as_word(value));
      } else if (method == "hdr(host)" || method == "hdr(Host)" || method == "hdr_dom(host)" ||
                 method == "hdr_end(host)") {
        acl.hosts.push_back((method == "hdr_end(host)" && value[0] != '.' ? "*." : "") + value);
      } else {
        return std::nullopt;
      }
    }
    return acl;
  }

  // The condition behind "if": at most one ACL of paths and one of hosts.
  std::optional<Acl> condition(const Line& line, std::size_t at) {
    Acl all;
    if (at >= line.words.size()) {
      all.locations.emplace_back("/");
      return all;
    }
    if (line.words[at] != "if") return std::nullopt;
    for (++at; at < line.words.size(); ++at) {
      const std::string& word = line.words[at];
      std::optional<Acl> one;
      if (word == "{") {
        std::vector<std::string> inner;
        for (++at; at < line.words.size() && line.words[at] != "}"; ++at)
          inner.push_back(line.words[at]);
        one = criterion(std::move(inner));
      } else if (const auto known = acls_.find(word); known != acls_.end()) {
        one = known->second;
      }
      if (!one) return std::nullopt;
      if (!one->locations.empty() && !all.locations.empty()) return std::nullopt;
      all.locations.insert(all.locations.end(), one->locations.begin(), one->locations.end());
      all.hosts.insert(all.hosts.end(), one->hosts.begin(), one->hosts.end());
    }
    if (all.locations.empty()) all.locations.emplace_back("/");
    return all;
  }

  void add(const Acl& where, const std::string& actions) {
    std::string hosts;
    for (const std::string& host : where.hosts) hosts += " " + host;
    std::string* body = nullptr;
    for (auto& [known, text] : sets_)
      if (known == hosts) body = &text;
    if (body == nullptr) body = &sets_.emplace_back(hosts, std::string()).second;
    for (const std::string& location : where.locations)
      *body += "    location " + location + " {\n" + actions + "    }\n";
  }

  void take(const Line& line) {
    static const std::set<std::string> kSilent{
        "global",  "defaults", "frontend", "backend", "listen",         "bind",      "mode",
        "timeout", "log",      "option",   "maxconn", "balance",        "server",    "user",
        "group",   "daemon",   "stats",    "chroot",  "default-server", "hash-type", "cookie"};
    const auto& words = line.words;
    const std::string& first = words[0];
    if (first == "acl" && words.size() > 3) {
      auto acl = criterion({words.begin() + 2, words.end()});
      if (!acl)
        return note(line,
                    "only path, path_beg, path_end, path_sub, path_dir, path_reg and "
                    "hdr(host) are known");
      Acl& known = acls_[words[1]];
      known.locations.insert(known.locations.end(), acl->locations.begin(), acl->locations.end());
      known.hosts.insert(known.hosts.end(), acl->hosts.begin(), acl->hosts.end());
    } else if ((first == "use_backend" || first == "default_backend") && words.size() > 1) {
      const auto where = condition(line, 2);
      if (!where) return note(line, "a condition of several paths, a negation or an unknown ACL");
      if (!backends_.contains(words[1])) return note(line, "its backend has no server");
      add(*where, "        on_miss pull " + words[1] + ";\n");
    } else if (first == "redirect" ||
               (first == "http-request" && words.size() > 1 && words[1] == "redirect")) {
      redirect(line, first == "redirect" ? 1 : 2);
    } else if (first == "http-request" && words.size() > 2 && words[1] == "set-path") {
      const auto where = condition(line, 3);
      if (!where || words[2].find("%[") != std::string::npos)
        return note(line, "only a fixed path under one ACL is");
      add(*where, "        object " + as_word("alias:" + words[2]) + ";\n");
    } else if (first == "http-request" && words.size() > 3 && words[1] == "replace-path") {
      if (words.size() > 4) return note(line, "a condition beside the regular expression");
      Acl where;
      where.locations.push_back("~ " + as_word(words[2]));
      std::string target = words[3];
      for (char& c : target)
        if (c == '\\') c = '$'; // \1 is $1
      add(where, "        object " + as_word("alias:" + target) + ";\n");
    } else if (!kSilent.contains(first)) {
      note(line, "unknown");
    }
  }

  void redirect(const Line& line, std::size_t at) {
    std::string target;
    std::string code = "302";
    bool prefix = false;
    for (; at + 1 < line.words.size() && line.words[at] != "if" && line.words[at] != "unless";
         at += 2) {
      if (line.words[at] == "location") target = line.words[at + 1];
      if (line.words[at] == "prefix") {
        target = line.words[at + 1];
        prefix = true;
      }
      if (line.words[at] == "code") code = line.words[at + 1];
    }
    const auto where = condition(line, at);
    if (!where || target.empty() || target.find("%[") != std::string::npos)
      return note(line, "only a fixed location or prefix under one ACL is");
    add(*where, "        redirect " + code + " " +
                    as_word(target + (prefix ? "$request_uri" : "")) + ";\n");
  }

  std::string file_;
  std::vector<Line> lines_;
  std::map<std::string, Acl> acls_;
  std::map<std::string, std::string> backends_;           // name -> " host:port …"
  std::vector<std::pair<std::string, std::string>> sets_; // hosts -> locations, in order
  std::vector<std::string> notes_;
};

} // namespace

Imported import_haproxy(const std::string& name, std::string_view text) {
  return HaproxyImport(name, text).run();
}

int run_rules_import(Context& context, const RulesImportArgs& args) {
  const auto source = read_rules({args.file});
  if (!source) return context.fail("rules import", source.error());
  Imported made = args.from == "nginx" ? import_nginx(*source)
                                       : import_haproxy(args.file, source->files.front().text);
  // What was made must itself be good.
  rules::Source check;
  check.files.push_back({"imported", made.rules});
  check.mains = 1;
  rules::Problems problems;
  rules::RuleBook::load(check, problems);
  for (const rules::Problem& problem : problems)
    if (problem.severity == rules::Severity::error) made.notes.push_back(problem.text());
  if (context.json()) {
    const nlohmann::json out{{"rules", made.rules}, {"notes", made.notes}};
    context.answer(out.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
  } else {
    context.answer(made.rules);
    for (const std::string& one : made.notes) context.note(one);
  }
  return made.notes.empty() ? kGood : kPartial;
}

} // namespace cairn::tools
