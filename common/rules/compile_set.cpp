// Maps, origins, tests and the defaults that sets and locations share.
#include "common/base/text.h"
#include "common/rules/compile.h"
#include "common/rules/compile_parts.h"
#include "common/rules/uri.h"

#include <algorithm>
#include <array>

namespace cairn::rules {

namespace {

constexpr std::size_t kMapRowsMax = 1'000'000;

bool is_name(std::string_view text) {
  constexpr std::string_view kChars =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_";
  return !text.empty() && text.find_first_not_of(kChars) == std::string_view::npos;
}

// "max-age=30d" with the time in seconds; other words as they are.
std::string cache_word(const std::string& word, const Position& where, Reporter& report) {
  const std::size_t equals = word.find('=');
  if (equals == std::string::npos || word.find('$') != std::string::npos) return word;
  const std::string key = word.substr(0, equals);
  if (key != "max-age" && key != "s-maxage" && key != "stale-while-revalidate" &&
      key != "stale-if-error")
    return word;
  const auto time = parse_duration(word.substr(equals + 1));
  if (!time) {
    report.error(where, "cache: " + time.error().detail);
    return word;
  }
  return key + "=" + std::to_string(time->count());
}

void compile_cache(const Directive& directive, Defaults& defaults, Reporter& report) {
  if (!report.takes(directive, 1, 16)) return;
  std::string text;
  for (const Word& word : arguments_of(directive)) {
    std::string_view one = word.text;
    if (!one.empty() && one.back() == ',') one.remove_suffix(1);
    if (!text.empty()) text += ", ";
    text += one == "off" ? "no-store" : cache_word(std::string(one), word.where, report);
  }
  defaults.cache = report.text(directive.words[1], text);
}

void compile_referer(const Directive& directive, Defaults& defaults, Reporter& report) {
  if (!report.takes(directive, 2, 1000)) return;
  RefererRule rule;
  const auto words = arguments_of(directive);
  if (words[0].text != "allow" && words[0].text != "deny")
    return report.error(words[0].where, "referer allow|deny [none] [blocked] NAME …;");
  rule.allow = words[0].text == "allow";
  for (const Word& word : words.subspan(1)) {
    if (word.text == "none") {
      rule.none = true;
    } else if (word.text == "blocked") {
      rule.blocked = true;
    } else {
      const std::size_t star = word.text.find('*', 1);
      if (word.text.empty() || word.text == "*" ||
          (star != std::string::npos && star + 1 != word.text.size()))
        return report.error(word.where,
                            "a name of a referer is example.com, *.example.com or "
                            "example.*, not '" +
                                word.text + "'");
      rule.names.push_back(to_lower(word.text));
    }
  }
  defaults.referer = std::move(rule);
}

void compile_token(const Directive& directive, Defaults& defaults, Reporter& report) {
  if (!report.takes(directive, 1, 100)) return;
  const auto words = arguments_of(directive);
  TokenRule rule;
  if (words[0].text == "off") {
    rule.off = true;
    defaults.token = std::move(rule);
    return;
  }
  if (words[0].text != "fastdfs")
    return report.error(words[0].where, "token fastdfs key=SECRET [ttl=TIME] [except PATTERN …];");
  bool except = false;
  for (const Word& word : words.subspan(1)) {
    if (except) {
      rule.except.push_back(word.text);
    } else if (word.text == "except") {
      except = true;
    } else if (word.text.rfind("key=", 0) == 0) {
      rule.key = word.text.substr(4);
      rule.from_config = rule.key == "@fdfs-secret";
      if (rule.key.empty() || (rule.key[0] == '@' && !rule.from_config))
        return report.error(word.where,
                            "the key is a secret, or @fdfs-secret for "
                            "http.anti_steal.secret_key of the storage node");
    } else if (word.text.rfind("ttl=", 0) == 0) {
      Word time = word;
      time.text.erase(0, 4);
      const auto ttl = report.duration(time);
      if (!ttl) return;
      rule.ttl = std::chrono::duration_cast<std::chrono::seconds>(*ttl);
    } else {
      return report.error(word.where, "token: unknown word '" + word.text + "'");
    }
  }
  if (rule.key.empty()) return report.error(directive.where(), "token needs key=SECRET");
  defaults.token = std::move(rule);
}

void compile_header(const Directive& directive, Defaults& defaults, Reporter& report) {
  if (!report.takes(directive, 2, 2)) return;
  const Word& name = directive.words[1];
  if (std::string why = header_refusal(name.text); !why.empty())
    return report.error(name.where, std::move(why));
  if (auto value = report.text(directive.words[2]))
    defaults.headers.emplace_back(name.text, *std::move(value));
}

// Whether a key of a map's table is a regular expression, and which.
bool add_map_row(const Word& key, const Word& value, Map& map, Reporter& report) {
  auto text = report.text(value);
  if (!text) return false;
  const std::string& word = key.text;
  if (!key.quoted && word == "default" && map.match == MapMatch::nginx) {
    if (map.standard) report.error(key.where, "a second default");
    map.standard = *std::move(text);
    return true;
  }
  if (map.match == MapMatch::regex || (map.match == MapMatch::nginx && word.rfind('~', 0) == 0)) {
    std::string_view pattern = word;
    bool ignore_case = false;
    if (map.match == MapMatch::nginx) {
      ignore_case = word.rfind("~*", 0) == 0;
      pattern.remove_prefix(ignore_case ? 2 : 1);
    }
    auto compiled = report.pattern(key, pattern, ignore_case);
    if (!compiled) return false;
    map.patterns.emplace_back(*std::move(compiled), *std::move(text));
    return true;
  }
  if (map.match == MapMatch::nginx || map.match == MapMatch::exact) {
    // A backslash before "~" or "default" takes their meaning away.
    std::string plain = word;
    if (map.match == MapMatch::nginx && plain.size() > 1 && plain[0] == '\\') plain.erase(0, 1);
    // nginx compares keys without case.
    if (map.match == MapMatch::nginx) plain = to_lower(plain);
    if (!map.exact.emplace(plain, *std::move(text)).second)
      report.error(key.where, "a second row for '" + word + "'");
    return true;
  }
  map.parts.emplace_back(word, *std::move(text));
  return true;
}

// HAProxy's tables: "KEY VALUE" a line, '#' begins a comment line.
void read_table(const SourceFile& file, Map& map, Reporter& report) {
  Position at{file.name, 0, 1};
  std::size_t rows = 0;
  for (const std::string_view raw : split(file.text, '\n')) {
    ++at.line;
    const std::string_view line = trim(raw);
    if (line.empty() || line[0] == '#') continue;
    const std::size_t blank = line.find_first_of(" \t");
    if (blank == std::string_view::npos) {
      report.error(at, "a row is KEY VALUE");
      return;
    }
    if (++rows > kMapRowsMax) {
      report.error(at, "more than 1,000,000 rows: put them into aliases");
      return;
    }
    Word key{std::string(line.substr(0, blank)), true, at};
    Word value{std::string(trim(line.substr(blank))), true, at};
    if (!add_map_row(key, value, map, report)) return;
  }
}

std::optional<MapMatch> match_of(std::string_view name) {
  if (name == "str") return MapMatch::exact;
  if (name == "beg") return MapMatch::begin;
  if (name == "end") return MapMatch::end;
  if (name == "sub") return MapMatch::substring;
  if (name == "reg") return MapMatch::regex;
  if (name == "dom") return MapMatch::domain;
  return std::nullopt;
}

} // namespace

std::string header_refusal(std::string_view name) {
  const std::string lower = to_lower(name);
  constexpr std::string_view kChars = "abcdefghijklmnopqrstuvwxyz0123456789-_";
  const std::string quoted = "'" + std::string(name) + "' ";
  if (lower.empty() || lower.find_first_not_of(kChars) != std::string::npos)
    return quoted + "is no name of a header";
  // What the answer itself says; what a front takes for an order; and cookies, which a cache in
  // front would hand to everybody.
  constexpr std::array<std::string_view, 13> kOurs{
      "content-length", "content-type",  "content-range",     "content-disposition",
      "connection",     "etag",          "transfer-encoding", "x-content-type-options",
      "last-modified",  "cache-control", "location",          "date",
      "set-cookie"};
  const bool ours = std::find(kOurs.begin(), kOurs.end(), lower) != kOurs.end();
  if (!ours && !lower.starts_with("x-accel-") && !lower.starts_with("x-cairn-")) return {};
  std::string_view instead;
  if (lower == "cache-control") instead = ": use 'cache'";
  if (lower == "content-type") instead = ": use 'type'";
  if (lower == "content-disposition") instead = ": use 'save_as'";
  return quoted + "is not set by 'header'" + std::string(instead);
}

bool compile_default(const Directive& directive, Defaults& defaults, Reporter& report) {
  const std::string& name = directive.name();
  if (name == "cache") {
    compile_cache(directive, defaults, report);
  } else if (name == "referer") {
    compile_referer(directive, defaults, report);
  } else if (name == "token") {
    compile_token(directive, defaults, report);
  } else if (name == "header") {
    compile_header(directive, defaults, report);
  } else {
    return false;
  }
  return true;
}

void compile_map(const Directive& directive, const Source& source, RuleSet& set, Reporter& report) {
  const auto words = arguments_of(directive);
  Map map;
  map.where = directive.where();
  if (words.size() < 2 || words[1].text.size() < 2 || words[1].text[0] != '$')
    return report.error(directive.where(),
                        "a map is written: map $SOURCE $NAME { … } or map $SOURCE $NAME file=FILE "
                        "match=str|beg|end|sub|reg|dom;");
  auto source_text = report.text(words[0]);
  if (!source_text) return;
  map.source = *std::move(source_text);
  map.name = words[1].text.substr(1);
  if (!is_name(map.name) || variable_of(map.name).kind != VariableKind::named)
    return report.error(words[1].where, "'" + words[1].text + "' cannot be the name of a map");
  if (set.map_names.contains(map.name))
    return report.error(words[1].where, "a second map for '" + words[1].text + "'");
  if (directive.has_block) {
    if (words.size() > 2) return report.error(words[2].where, "unknown word in a map");
    for (const Directive& row : directive.block) {
      if (row.has_block || row.words.size() != 2)
        return report.error(row.where(), "a row of a map is: KEY VALUE;");
      if (!add_map_row(row.words[0], row.words[1], map, report)) return;
    }
  } else {
    std::string file;
    Position at = directive.where();
    map.match = MapMatch::exact;
    for (const Word& word : words.subspan(2)) {
      const std::size_t equals = word.text.find('=');
      const std::string key = word.text.substr(0, equals);
      const std::string value =
          equals == std::string::npos ? std::string() : word.text.substr(equals + 1);
      if (key == "file") {
        file = value;
        at = word.where;
      } else if (key == "match") {
        const auto match = match_of(value);
        if (!match) return report.error(word.where, "match is str, beg, end, sub, reg or dom");
        map.match = *match;
      } else if (key == "default") {
        map.standard = report.text(word, value);
      } else {
        return report.error(word.where, "unknown word '" + word.text + "' in a map");
      }
    }
    const SourceFile* table = source.find(file);
    if (table == nullptr) return report.error(at, "cannot read '" + file + "'");
    read_table(*table, map, report);
  }
  // As HAProxy: of several beginnings the longest counts.
  std::stable_sort(map.parts.begin(), map.parts.end(),
                   [](const auto& a, const auto& b) { return a.first.size() > b.first.size(); });
  set.map_names.emplace(map.name, set.maps.size());
  set.maps.push_back(std::move(map));
}

void compile_origin(const Directive& directive, RuleSet& set, Reporter& report) {
  if (!directive.has_block || directive.words.size() != 2)
    return report.error(directive.where(), "an origin is written: origin NAME { … }");
  Origin origin;
  origin.where = directive.where();
  origin.name = directive.words[1].text;
  for (const Origin& other : set.origins)
    if (other.name == origin.name)
      return report.error(directive.words[1].where, "a second origin '" + origin.name + "'");
  bool has_type = false;
  for (const Directive& one : directive.block) {
    const std::string& name = one.name();
    if (name == "server") {
      if (!report.takes(one, 1, 32)) continue;
      for (const Word& word : arguments_of(one)) {
        const auto address = parse_host_port(word.text, 80);
        if (!address)
          report.error(word.where, "server: " + address.error().detail);
        else
          origin.servers.push_back(address->text());
      }
      continue;
    }
    if (!report.takes(one, 1, 1)) continue;
    const Word& value = one.words[1];
    if (name == "type") {
      has_type = true;
      if (value.text == "file") {
        origin.kind = OriginKind::file;
      } else if (value.text == "http") {
        origin.kind = OriginKind::http;
      } else if (value.text == "cairn") {
        origin.kind = OriginKind::cairn;
      } else {
        report.error(value.where, "the type of an origin is file, http or cairn");
      }
    } else if (name == "root") {
      if (value.text.empty() || value.text[0] != '/')
        report.error(value.where, "root is an absolute path");
      origin.root = value.text;
    } else if (name == "host") {
      origin.host = value.text;
    } else if (name == "timeout") {
      if (const auto time = report.duration(value)) origin.timeout = *time;
    } else if (name == "inflight") {
      if (const auto count = report.number(value, 1, 10'000)) origin.inflight = *count;
    } else if (name == "store") {
      if (const auto on = report.flag(value)) origin.store = *on;
    } else if (name == "verify") {
      if (const auto on = report.flag(value)) origin.verify = *on;
    } else if (name == "not_found_ttl") {
      if (const auto time = report.duration(value))
        origin.not_found_ttl = std::chrono::duration_cast<std::chrono::seconds>(*time);
    } else if (name == "size_max") {
      const auto size = parse_size(value.text);
      if (!size)
        report.error(value.where, size.error().detail);
      else
        origin.size_max = *size;
    } else {
      report.error(one.where(), "unknown directive '" + name + "' in an origin");
    }
  }
  if (!has_type) report.error(origin.where, "origin '" + origin.name + "' has no type");
  if (origin.kind == OriginKind::file && origin.root.empty())
    report.error(origin.where, "origin '" + origin.name + "' has no root");
  if (origin.kind != OriginKind::file && origin.servers.empty())
    report.error(origin.where, "origin '" + origin.name + "' has no server");
  set.origins.push_back(std::move(origin));
}

void compile_test(const Directive& directive, RuleSet& set, Reporter& report) {
  constexpr const char* kForm = "a test is written: test GET URL [referer=URL] -> EXPECTATION, …;";
  const auto words = arguments_of(directive);
  const auto arrow =
      std::find_if(words.begin(), words.end(), [](const Word& word) { return word.text == "->"; });
  if (directive.has_block || arrow - words.begin() < 2 || arrow == words.end() ||
      arrow + 1 == words.end())
    return report.error(directive.where(), kForm);
  TestCase test;
  test.where = directive.where();
  test.method = words[0].text;
  auto url = split_url(words[1].text);
  if (!url) return report.error(words[1].where, "test: " + url.error().detail);
  test.host = normalize_host(url->host);
  test.target = url->target;
  for (auto word = words.begin() + 2; word != arrow; ++word) {
    const std::size_t equals = word->text.find('=');
    if (equals == 0 || equals == std::string::npos)
      return report.error(word->where, "a header of a test is written NAME=VALUE");
    const std::string name = to_lower(word->text.substr(0, equals));
    if (name == "host")
      test.host = normalize_host(word->text.substr(equals + 1));
    else
      test.headers.emplace_back(name, word->text.substr(equals + 1));
  }
  // Expectations end with a comma, the last with the directive.
  std::vector<Word> one;
  for (auto word = arrow + 1; word != words.end(); ++word) {
    Word part = *word;
    const bool last = word + 1 == words.end();
    const bool comma = !part.quoted && !part.text.empty() && part.text.back() == ',';
    if (comma) part.text.pop_back();
    if (!part.text.empty()) one.push_back(std::move(part));
    if (!comma && !last) continue;
    if (one.empty()) return report.error(word->where, kForm);
    Expectation expected;
    expected.what = one.front().text;
    expected.where = one.front().where;
    for (std::size_t i = 1; i < one.size(); ++i) expected.value += (i > 1 ? " " : "") + one[i].text;
    constexpr std::string_view kKnown =
        " object status rule style redirect cache miss pass location type header ";
    if (kKnown.find(" " + expected.what + " ") == std::string_view::npos)
      return report.error(expected.where, "a test cannot expect '" + expected.what + "'");
    if (expected.value.empty() != (expected.what == "pass"))
      return report.error(expected.where,
                          "'" + expected.what + "' " +
                              (expected.value.empty() ? "needs a value" : "takes no value"));
    test.expectations.push_back(std::move(expected));
    one.clear();
  }
  set.tests.push_back(std::move(test));
}

} // namespace cairn::rules
