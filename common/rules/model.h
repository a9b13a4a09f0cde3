// Rules as they are used: what compile.h makes of a file. Nothing here changes after that.
#pragma once

#include "common/rules/pattern.h"
#include "common/rules/problem.h"
#include "common/rules/template.h"

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

namespace cairn::rules {

// --- tables -------------------------------------------------------------------------------------

// How a map compares its source with its keys: nginx's form (exact keys, then "~" regular
// expressions in order), or one of HAProxy's for tables from files.
enum class MapMatch : std::uint8_t { nginx, exact, begin, end, substring, regex, domain };

struct Map {
  std::string name; // of the variable it makes, without '$'
  Template source;
  MapMatch match = MapMatch::nginx;
  std::unordered_map<std::string, Template> exact;
  std::vector<std::pair<Pattern, Template>> patterns;
  std::vector<std::pair<std::string, Template>> parts; // of begin (longest first), end, sub, dom
  std::optional<Template> standard;                    // `default`; without one: empty
  Position where;
};

// --- origins ------------------------------------------------------------------------------------

enum class OriginKind : std::uint8_t { file, http, cairn };

// An old server, to be asked for what is not here. Only what is written here is ever contacted.
struct Origin {
  std::string name;
  OriginKind kind = OriginKind::http;
  std::string root;                 // of file: a directory
  std::vector<std::string> servers; // of http and cairn: "host:port", tried in turn
  std::string host;                 // the Host header; empty: the first server
  std::chrono::milliseconds timeout{5000};
  std::size_t inflight = 64; // requests at once
  bool store = true;         // keep what was pulled
  bool verify = false;       // compare what the origin says of its content with what came
  std::chrono::seconds not_found_ttl{60};
  std::uint64_t size_max = std::uint64_t{16} << 30; // bytes of one object
  Position where;
};

// --- locations ----------------------------------------------------------------------------------

enum class LocationKind : std::uint8_t {
  exact,         // = /a
  prefix,        // /a
  prefix_strong, // ^~ /a
  regex,         // ~ or ~*
};

enum class Comparison : std::uint8_t {
  equals,
  differs,
  matches,
  matches_not,
  in_list,
};

// `require VALUE …`: what must hold, or the request is refused.
struct Require {
  Template value;
  Comparison comparison = Comparison::in_list;
  std::vector<Template> list; // of equals, differs (one) and in_list
  Pattern pattern;            // of matches and matches_not
  Position where;
  std::string text; // as written, for people
};

// `referer allow|deny …` with the words of nginx's valid_referers.
struct RefererRule {
  bool allow = true;              // false: those named are refused
  bool none = false;              // no header
  bool blocked = false;           // a header that is no URL
  std::vector<std::string> names; // "example.com", "*.example.com", "example.*", with "/path"
};

// `token fastdfs key=… ttl=…`: the token of the FastDFS nginx module.
struct TokenRule {
  bool off = false; // `token off`: not even where the set asks for one
  // The secret itself, or with `from_config` http.anti_steal.secret_key of the storage node.
  std::string key;
  bool from_config = false;
  std::chrono::seconds ttl{900};
  std::vector<std::string> except; // patterns with '*' and '?', of the last part of the path
};

enum class ObjectKind : std::uint8_t { alias, path, id };

struct ObjectRule {
  ObjectKind kind = ObjectKind::alias;
  Template name; // what stands behind the colon
};

// What happens when the object is not there, one step after the other.
enum class MissKind : std::uint8_t { next, status, redirect, pull };

struct MissStep {
  MissKind kind = MissKind::status;
  int status = 404;                              // of status and redirect
  std::optional<std::chrono::seconds> cache_for; // of status: how long the answer may be cached
  Template target;                               // of redirect; of pull: the path there
  std::size_t origin = 0;                        // of pull: index into RuleSet::origins
};

// Answers without an object: `return`, `redirect`.
struct Reply {
  int status = 200;
  Template text; // the Location of a redirect, else the body
};

// `style NAME k=v …`: kept for the image service.
struct StyleRule {
  Template name;
  std::vector<std::pair<std::string, Template>> arguments;
};

// What sets and locations may both say; a location's word replaces its set's.
struct Defaults {
  std::optional<Template> cache; // of the Cache-Control header
  std::optional<RefererRule> referer;
  std::optional<TokenRule> token;
  std::vector<std::pair<std::string, Template>> headers; // added to the set's
};

struct Location {
  LocationKind kind = LocationKind::prefix;
  std::string text;       // the path, or the pattern as written
  Pattern pattern;        // of regex
  std::size_t number = 0; // in its set, from 1, in the order of the file
  Position where;

  bool pass = false; // leave the request to what comes after the rules
  std::vector<Require> required;
  int deny_status = 404; // when a `require` fails
  std::optional<Reply> reply;
  std::optional<ObjectRule> object;
  std::vector<MissStep> on_miss;
  std::optional<StyleRule> style;
  std::vector<std::string> dialects; // kept for the image service
  std::optional<std::string> type;   // Content-Type
  std::optional<Template> save_as;   // Content-Disposition
  Defaults own;

  // "location ~* ^/upload/".
  std::string title() const;
};

// --- tests --------------------------------------------------------------------------------------

struct Expectation {
  std::string what; // "object", "status", "rule", "style", "redirect", "cache", "miss", "pass", …
  std::string value;
  Position where;
};

// `test GET URL [header=value …] -> expectation, …;`
struct TestCase {
  std::string method;
  std::string host;   // empty: a host of the set
  std::string target; // path and arguments, as sent
  std::vector<std::pair<std::string, std::string>> headers;
  std::vector<Expectation> expectations;
  Position where;
};

// --- sets ---------------------------------------------------------------------------------------

// Which locations a path can mean, in nginx's order. Built once by compile().
class LocationIndex {
public:
  LocationIndex() = default;
  // `locations` outlives the index and does not move.
  explicit LocationIndex(const std::vector<Location>& locations);

  // The place in the order of a search.
  struct Cursor {
    enum class Stage : std::uint8_t { exact, strong, regexes, prefixes, end };
    Stage stage = Stage::exact;
    std::size_t regex = 0;  // next position in the list of candidates
    std::size_t length = 0; // next prefixes are at most that long
    const Location* strong = nullptr;
    std::vector<std::uint32_t> candidates; // indices of regular expressions that may match
  };

  // The next location for `path`, best first: the exact one; the longest prefix if that is "^~";
  // regular expressions in the order of the file; the prefixes, longest first. The first answer is
  // nginx's choice. nullptr: no more. `captures` are those of a regular expression.
  const Location* next(std::string_view path, Cursor& cursor, Captures& captures) const;

private:
  const Location* longest_prefix(std::string_view path, std::size_t length_max) const;
  void list_candidates(std::string_view path, Cursor& cursor) const;

  const std::vector<Location>* locations_ = nullptr;
  std::unordered_map<std::string_view, std::uint32_t> exact_;
  std::unordered_map<std::string_view, std::uint32_t> prefixes_;
  std::vector<std::size_t> prefix_lengths_; // distinct, longest first
  // Regular expressions by the literal text they begin with, so that a thousand of them cost a
  // handful of look-ups; `others_` begin with none.
  std::unordered_map<std::string_view, std::vector<std::uint32_t>> by_literal_;
  std::vector<std::size_t> literal_lengths_; // distinct, shortest first
  std::vector<std::uint32_t> others_;
};

// `share 30% ORIGIN` and `shadow ORIGIN 5%`.
struct Share {
  std::uint32_t of_10000 = 10'000;
  std::size_t origin = 0; // index into RuleSet::origins
};

struct RuleSet {
  std::string name;
  std::vector<std::string> hosts; // lower case; "*.example.com", "example.*"; empty: every host
  std::string tenant;             // a label
  bool pass = false;              // what no location takes is left to what comes after the rules
  std::optional<Share> share;     // the rest is answered from the origin
  std::optional<Share> shadow;    // compared with the origin
  Defaults defaults;
  std::vector<Map> maps;
  std::map<std::string, std::size_t, std::less<>> map_names; // index into maps
  std::vector<Origin> origins;
  std::vector<Location> locations;
  LocationIndex index;
  std::vector<TestCase> tests;
  Position where;
};

} // namespace cairn::rules
