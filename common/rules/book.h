// A whole rules file, ready to be asked: which set and which location a request means, and what is
// to be done about it. Pure; any number of threads may ask one book.
#pragma once

#include "common/rules/model.h"
#include "common/rules/problem.h"
#include "common/rules/syntax.h"

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace cairn::rules {

// A GET or HEAD. Views outlive the Walk.
struct Request {
  std::string_view method = "GET";
  std::string_view host;        // as sent, with port
  std::string_view path;        // percents decoded
  std::string_view request_uri; // as sent
  std::string_view query;       // as sent, without '?'
  std::string_view remote_addr;
  // A header by name, without regard to case; empty when absent. May be null.
  std::function<std::string_view(std::string_view)> header;
};

// What is named by an object that rules chose.
struct ObjectName {
  ObjectKind kind = ObjectKind::alias;
  std::string text; // "/upload/a.jpg" of alias and path, "group1/M00/…" of id

  // "alias:/upload/a.jpg".
  std::string written() const;
  friend bool operator==(const ObjectName&, const ObjectName&) = default;
};

// Reads "alias:/…", "path:/…", "id:…" or "fastdfs:…". Errors: invalid_argument.
Result<ObjectName> parse_object_name(std::string_view text);

enum class Action : std::uint8_t {
  pass,     // no rule takes the request: go on with what comes after the rules
  reply,    // answer with `status`, `target` or `body`
  object,   // serve the object, or carry out `on_miss`
  elsewhere // the set's `share` leaves this URL to the old server
};

// A step of on_miss with its texts.
struct MissAction {
  MissKind kind = MissKind::status;
  int status = 404;
  std::optional<std::chrono::seconds> cache_for;
  std::string target;             // a URL, or the path at the origin
  const Origin* origin = nullptr; // of pull

  // "404", "next", "pull old_http", "redirect https://…".
  std::string written() const;
};

struct Decision {
  Action action = Action::pass;
  // What decided; null when no set or no location did. They live as long as the book.
  const RuleSet* set = nullptr;
  const Location* location = nullptr;
  std::vector<std::pair<std::string, std::string>> captures; // by name, then by number

  int status = 200;   // of reply
  std::string target; // Location of a redirect, escaped
  std::string body;   // of a reply that is no redirect
  std::string reason; // why a request was refused; for people

  ObjectName object;
  std::vector<MissAction> on_miss;
  std::string style; // evaluated name; empty: none
  std::vector<std::pair<std::string, std::string>> style_arguments;
  std::string cache_control; // empty: as files have it anyway
  std::string content_type;  // empty: by the name
  std::string save_as;
  std::vector<std::pair<std::string, std::string>> headers;
  const TokenRule* token = nullptr; // to be checked before anything is served
  std::string path;                 // normalised

  // "legacy-2012/3", for logs and counters; empty without a set.
  std::string rule() const;
};

// The largest text a template makes; longer ones are refused with 414.
inline constexpr std::size_t kEvaluatedBytesMax = 16 * 1024;

class RuleBook {
public:
  // Compiles, lints and runs the tests of a source. With an error among `problems` the answer is
  // null and the source is to be refused as a whole.
  static std::shared_ptr<const RuleBook> load(const Source& source, Problems& problems);

  const std::vector<std::unique_ptr<const RuleSet>>& sets() const { return sets_; }
  // Sets for a host (normalised), the most specific first; those after one without `pass` are never
  // reached.
  std::vector<const RuleSet*> sets_for(std::string_view host) const;
  // Whether any set can match that host: a cheap first question.
  bool matches(std::string_view host) const;
  const RuleSet* find(std::string_view name) const;

private:
  friend class Walk;
  explicit RuleBook(std::vector<std::unique_ptr<const RuleSet>> sets);

  std::vector<std::unique_ptr<const RuleSet>> sets_;
  std::unordered_map<std::string_view, std::vector<const RuleSet*>> exact_hosts_;
  std::unordered_map<std::string_view, std::vector<const RuleSet*>> suffix_hosts_; // ".example.com"
  std::unordered_map<std::string_view, std::vector<const RuleSet*>> prefix_hosts_; // "example."
  std::vector<const RuleSet*> any_host_;
};

// The decisions about one request, one after the other: next() goes on where the object of the
// decision before was not there and its on_miss says `next`.
class Walk {
public:
  // Both outlive the walk.
  Walk(const RuleBook& book, const Request& request);

  Decision next();

private:
  class Evaluation;

  Decision decide(const RuleSet& set, const Location& location, const Captures& captures);
  Decision refused(const RuleSet* set, const Location* location, int status, std::string reason);

  const Request& request_;
  std::string host_;
  std::string path_;
  bool malformed_ = false;
  std::vector<const RuleSet*> sets_;
  std::size_t set_ = 0;
  bool entered_ = false; // the share of the current set has been looked at
  LocationIndex::Cursor cursor_;
};

// Whether `header` (the Referer; empty: absent) is what a rule asks for.
bool referer_holds(const RefererRule& rule, std::string_view header);
// Whether the last part of `path` is excepted from the token.
bool is_token_excepted(const TokenRule& rule, std::string_view path);

// Runs the tests of every set and reports what fails.
void run_tests(const RuleBook& book, Problems& problems);
// Warnings about rules that hardly do what their author meant: locations that are never reached,
// sets without tests, objects that may lead out of their place.
void lint(const RuleSet& set, Problems& problems);

} // namespace cairn::rules
