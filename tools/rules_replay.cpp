// cairn rules replay and suggest
#include "common/base/text.h"
#include "common/net/http_client.h"
#include "common/rules/uri.h"
#include "tools/access_log.h"
#include "tools/context.h"
#include "tools/rules_source.h"
#include "tools/rules_verbs.h"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <map>
#include <memory>
#include <xxhash.h>

namespace cairn::tools {

namespace {

using nlohmann::json;

// Different texts that a report keeps; what comes later is counted as "(others)".
constexpr std::size_t kShapesMax = 10'000;
constexpr std::size_t kExamplesMax = 100;
// Requests to a server at once, and lines read ahead for them.
constexpr std::size_t kConnections = 16;
constexpr std::size_t kBatch = 4'096;

struct Shape {
  std::uint64_t count = 0;
  std::string example;
};

using Shapes = std::map<std::string, Shape>;

void count_shape(Shapes& shapes, std::string_view path, std::string_view example) {
  std::string shape = shape_of(path);
  if (shapes.size() >= kShapesMax && !shapes.contains(shape)) shape = "(others)";
  Shape& one = shapes[shape];
  if (one.count++ == 0) one.example = example;
}

// What a server answered.
struct Answer {
  bool failed = false;
  int status = 0;
  std::optional<std::uint64_t> length;
  std::string type;
  std::string last_modified;
  std::uint64_t sum = 0; // XXH3 of the content, of GET
};

struct Line {
  std::string url; // of the report
  std::string host;
  std::string target;
  int status = 0;
  std::optional<std::uint64_t> bytes;
};

// A server that is asked one question after the other, over one connection while it lets us.
class Asked {
public:
  explicit Asked(const std::optional<Endpoint>& server) : server_(server.value_or(Endpoint())) {}

  Task<Answer> ask(std::string method, const Line& line);

private:
  // The answer's head. A connection that the server has closed meanwhile is made anew.
  Task<Result<HttpCall>> send(HttpAsk request);

  Endpoint server_;
  std::unique_ptr<Connection> idle_;
};

Task<Result<HttpCall>> Asked::send(HttpAsk request) {
  constexpr std::chrono::seconds kTimeout{30};
  if (idle_ != nullptr) {
    HttpAsk copy = request;
    auto call = co_await HttpCall::send_over(std::move(idle_), server_, std::move(copy), kTimeout);
    if (call || call.code() != Errc::closed) co_return std::move(call);
  }
  co_return co_await HttpCall::send(server_, std::move(request), kTimeout);
}

Task<Answer> Asked::ask(std::string method, const Line& line) {
  Answer answer;
  HttpAsk request;
  request.method = std::move(method);
  request.target = line.target;
  request.host = line.host;
  request.keep = true;
  const bool head = request.method == "HEAD";
  auto call = co_await send(std::move(request));
  if (!call) {
    answer.failed = true;
    co_return answer;
  }
  answer.status = call->status();
  answer.length = call->length();
  answer.type = call->header("Content-Type");
  answer.last_modified = call->header("Last-Modified");
  if (head) {
    idle_ = call->release();
    co_return answer;
  }
  wire::Bytes piece(64 * 1024);
  std::uint64_t length = 0;
  const std::unique_ptr<XXH3_state_t, decltype(&XXH3_freeState)> sum(XXH3_createState(),
                                                                     &XXH3_freeState);
  XXH3_64bits_reset(sum.get());
  for (;;) {
    const auto count = co_await call->read_some(piece);
    if (!count) answer.failed = true;
    if (!count || *count == 0) break;
    length += *count;
    XXH3_64bits_update(sum.get(), piece.data(), *count);
  }
  answer.sum = XXH3_64bits_digest(sum.get());
  answer.length = length;
  idle_ = call->release();
  co_return answer;
}

// What the new answer lacks of the old one; empty: nothing.
std::string compared(const Answer& before, const Answer& now) {
  if (now.failed) return "no answer";
  if (before.failed) return "the old server does not answer";
  std::string text;
  const auto add = [&](const std::string& what) { text += (text.empty() ? "" : ", ") + what; };
  if (before.status != now.status)
    add("status " + std::to_string(before.status) + " -> " + std::to_string(now.status));
  if (before.status != 200 || now.status != 200) return text;
  if (before.length != now.length)
    add("length " + std::to_string(before.length.value_or(0)) + " -> " +
        std::to_string(now.length.value_or(0)));
  else if (before.sum != now.sum)
    add("other bytes");
  if (before.type != now.type) add("type " + before.type + " -> " + now.type);
  if (before.last_modified != now.last_modified)
    add("last-modified " + before.last_modified + " -> " + now.last_modified);
  return text;
}

std::string compared_with_log(const Line& line, const Answer& now) {
  if (now.failed) return "no answer";
  // A log knows 304 and 206 of clients that had parts; asked anew such a URL is a 200.
  const int before = line.status == 304 || line.status == 206 ? 200 : line.status;
  if (before != now.status)
    return "status " + std::to_string(line.status) + " -> " + std::to_string(now.status);
  if (line.status == 200 && line.bytes && now.length && *line.bytes != *now.length)
    return "length " + std::to_string(*line.bytes) + " -> " + std::to_string(*now.length);
  return {};
}

class Replay {
public:
  Replay(const Context& context, const RulesReplayArgs& args,
         std::shared_ptr<const rules::RuleBook> book)
      : context_(context), args_(args), book_(std::move(book)) {}

  Status run() {
    if (!args_.server.empty()) {
      CAIRN_TRY(server, endpoint_of(args_.server));
      server_ = std::move(server);
    }
    if (!args_.old.empty()) {
      CAIRN_TRY(server, endpoint_of(args_.old));
      old_ = std::move(server);
    }
    CAIRN_RETURN_IF_ERROR(for_each_line(args_.log, [this](std::string_view text) {
      take(text);
      return args_.limit == 0 || lines_ < args_.limit;
    }));
    flush();
    return Status();
  }

  int report() {
    for (const auto& set : book_->sets())
      for (const rules::Location& location : set->locations)
        if (!hits_.contains(&location))
          unused_.push_back(set->name + "/" + std::to_string(location.number) + " " +
                            location.title());
    if (context_.json()) {
      context_.answer(as_json().dump(-1, ' ', false, json::error_handler_t::replace));
    } else {
      print();
    }
    return lost_ > 0 || differing_ > 0 ? kVerifyFailed : kGood;
  }

private:
  static Result<Endpoint> endpoint_of(const std::string& text) {
    CAIRN_TRY(address, parse_host_port(text, 80));
    Endpoint endpoint;
    endpoint.host = address.host;
    endpoint.port = address.port;
    return endpoint;
  }

  void take(std::string_view text) {
    if (text.empty()) return;
    ++lines_;
    const auto line = parse_log_line(text);
    if (!line) {
      ++unreadable_;
      return;
    }
    if (line->method != "GET" && line->method != "HEAD") {
      ++other_methods_;
      return;
    }
    decide(*line);
    if (args_.server.empty()) return;
    Line one;
    one.url = line->target;
    one.target = line->target;
    one.host = args_.host;
    if (auto split = rules::split_url(line->target)) {
      if (!split->host.empty()) one.host = split->host;
      one.target = split->target;
    }
    one.status = line->status;
    one.bytes = line->method == "HEAD" ? std::nullopt : line->bytes;
    batch_.push_back(std::move(one));
    if (batch_.size() >= kBatch) flush();
  }

  void decide(const LogLine& line) {
    const auto asked =
        AskedUrl::make(line.target, args_.host, {{"Referer", std::string(line.referer)}});
    const bool was_good = line.status < 400;
    if (!asked) {
      ++refused_;
      if (was_good) lose(line.target, "400 before the rules");
      return;
    }
    rules::Walk walk(*book_, (*asked)->request());
    const rules::Decision decision = walk.next();
    if (decision.location != nullptr) ++hits_[decision.location];
    const std::string_view path = std::string_view((*asked)->request().path);
    switch (decision.action) {
      case rules::Action::pass:
        ++passed_;
        return;
      case rules::Action::elsewhere:
        ++elsewhere_;
        return;
      case rules::Action::object:
        ++objects_;
        return;
      case rules::Action::reply:
        break;
    }
    if (!decision.target.empty()) {
      ++redirects_;
      return;
    }
    if (decision.status < 400) {
      ++objects_;
      return;
    }
    ++refused_;
    count_shape(misses_, path, line.target);
    if (was_good)
      lose(line.target, std::to_string(decision.status) +
                            (decision.reason.empty() ? "" : ": " + decision.reason));
  }

  void lose(std::string_view url, const std::string& why) {
    ++lost_;
    if (examples_.size() < kExamplesMax) examples_.emplace_back(std::string(url), why);
  }

  void flush() {
    if (batch_.empty()) return;
    asio::io_context loop(1);
    std::size_t next = 0;
    struct Worker {
      static Task<void> run(Replay& self, std::size_t& turn) {
        Asked server(self.server_);
        Asked old(self.old_);
        while (turn < self.batch_.size()) {
          const Line& line = self.batch_[turn++];
          co_await self.check(line, server, old);
        }
      }
    };
    for (std::size_t i = 0; i < kConnections; ++i)
      spawn(loop.get_executor(), Worker::run(*this, next), "replay");
    loop.run();
    batch_.clear();
  }

  Task<void> check(const Line& line, Asked& server, Asked& old) {
    std::string text;
    if (old_) {
      const Answer was = co_await old.ask("GET", line);
      const Answer now = co_await server.ask("GET", line);
      text = compared(was, now);
    } else {
      const Answer now = co_await server.ask("HEAD", line);
      text = compared_with_log(line, now);
    }
    ++compared_;
    if (text.empty()) co_return;
    ++differing_;
    if (examples_.size() < kExamplesMax) examples_.emplace_back(line.url, text);
  }

  std::vector<std::pair<const rules::Location*, std::uint64_t>> sorted_hits() const {
    std::vector<std::pair<const rules::Location*, std::uint64_t>> all(hits_.begin(), hits_.end());
    std::sort(all.begin(), all.end(),
              [](const auto& a, const auto& b) { return a.second > b.second; });
    return all;
  }

  std::string name_of(const rules::Location* location) const {
    for (const auto& set : book_->sets())
      for (const rules::Location& one : set->locations)
        if (&one == location) return set->name + "/" + std::to_string(one.number);
    return {};
  }

  json as_json() const {
    json hits = json::array();
    for (const auto& [location, count] : sorted_hits())
      hits.push_back(
          {{"rule", name_of(location)}, {"location", location->title()}, {"hits", count}});
    json misses = json::array();
    for (const auto& [shape, one] : misses_)
      misses.push_back({{"shape", shape}, {"count", one.count}, {"example", one.example}});
    json examples = json::array();
    for (const auto& [url, why] : examples_) examples.push_back({{"url", url}, {"why", why}});
    return {{"lines", lines_},
            {"unreadable", unreadable_},
            {"other_methods", other_methods_},
            {"objects", objects_},
            {"redirects", redirects_},
            {"passed", passed_},
            {"elsewhere", elsewhere_},
            {"refused", refused_},
            {"lost", lost_},
            {"compared", compared_},
            {"differing", differing_},
            {"hits", std::move(hits)},
            {"unused", unused_},
            {"misses", std::move(misses)},
            {"examples", std::move(examples)}};
  }

  void print() const {
    context_.answer(std::to_string(lines_) + " lines: " + std::to_string(objects_) + " objects, " +
                    std::to_string(redirects_) + " redirects, " + std::to_string(passed_) +
                    " not for the rules, " + std::to_string(refused_) + " refused, " +
                    std::to_string(unreadable_) + " unreadable, " + std::to_string(other_methods_) +
                    " other methods");
    Table table({"HITS", "RULE", "LOCATION"});
    for (const auto& [location, count] : sorted_hits())
      table.add({std::to_string(count), name_of(location), location->title()});
    context_.answer(table.text());
    for (const std::string& rule : unused_) context_.answer("never hit: " + rule);
    for (const auto& [shape, one] : misses_)
      context_.answer("no object: " + std::to_string(one.count) + " x " + shape + "  (" +
                      one.example + ")");
    if (compared_ > 0)
      context_.answer(std::to_string(compared_) + " compared with the " +
                      (args_.old.empty() ? "log" : "old server") + ", " +
                      std::to_string(differing_) + " differ");
    if (lost_ > 0)
      context_.answer(std::to_string(lost_) + " that were answered well would be refused");
    for (const auto& [url, why] : examples_) context_.answer("  " + url + "  " + why);
  }

  const Context& context_;
  const RulesReplayArgs& args_;
  std::shared_ptr<const rules::RuleBook> book_;
  std::optional<Endpoint> server_;
  std::optional<Endpoint> old_;
  std::vector<Line> batch_;
  std::uint64_t lines_ = 0, unreadable_ = 0, other_methods_ = 0, objects_ = 0, redirects_ = 0,
                passed_ = 0, elsewhere_ = 0, refused_ = 0, lost_ = 0, compared_ = 0, differing_ = 0;
  std::map<const rules::Location*, std::uint64_t> hits_;
  Shapes misses_;
  std::vector<std::pair<std::string, std::string>> examples_;
  std::vector<std::string> unused_;
};

// A word of a rules file that stands for `text`.
std::string word(const std::string& text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"') out.push_back('\\');
    out.push_back(c);
  }
  return out + "\"";
}

} // namespace

int run_rules_replay(Context& context, const RulesReplayArgs& args) {
  rules::Source source;
  if (args.files.empty()) {
    const auto reply = fetch_rules(context, 0);
    if (!reply) return context.fail("rules replay", reply.error());
    source = source_of(*reply);
  } else {
    auto read = read_rules(args.files);
    if (!read) return context.fail("rules replay", read.error());
    source = *std::move(read);
  }
  if (!args.old.empty() && args.server.empty())
    return context.usage("--old compares with --server: give both");
  rules::Problems problems;
  auto book = rules::RuleBook::load(source, problems);
  if (!book) {
    for (const rules::Problem& problem : problems) context.note(problem.text());
    return kVerifyFailed;
  }
  Replay replay(context, args, std::move(book));
  if (const Status done = replay.run(); !done) return context.fail("rules replay", done.error());
  return replay.report();
}

int run_rules_suggest(Context& context, const RulesSuggestArgs& args) {
  Shapes shapes;
  std::uint64_t lines = 0;
  std::uint64_t unreadable = 0;
  const Status read = for_each_line(args.log, [&](std::string_view text) {
    const auto line = parse_log_line(text);
    if (!line && !text.empty()) ++unreadable;
    if (!line || line->status >= 400 || (line->method != "GET" && line->method != "HEAD"))
      return true;
    const auto asked = AskedUrl::make(line->target, "", {});
    if (!asked) return true;
    const auto path = rules::normalize_path((*asked)->request().path);
    if (!path) return true;
    ++lines;
    count_shape(shapes, *path, line->target);
    return true;
  });
  if (!read) return context.fail("rules suggest", read.error());
  if (unreadable > 0) context.note(std::to_string(unreadable) + " lines are none of an access log");
  shapes.erase("(others)");
  std::vector<std::pair<std::string, Shape>> sorted(shapes.begin(), shapes.end());
  std::sort(sorted.begin(), sorted.end(),
            [](const auto& a, const auto& b) { return a.second.count > b.second.count; });
  // Shapes below one in ten thousand are left to the last location.
  std::erase_if(sorted, [lines](const auto& one) { return one.second.count * 10'000 < lines; });
  std::string out = "# Proposed from " + std::to_string(lines) +
                    " requests; the most frequent first.\n"
                    "rules suggested {\n";
  std::string tests;
  for (const auto& [shape, one] : sorted) {
    const std::size_t mark = one.example.find('?');
    const auto asked = AskedUrl::make(one.example, "", {});
    const auto path = rules::normalize_path((*asked)->request().path);
    out += "    # " + std::to_string(one.count) + " requests\n    location ~* " +
           word("^" + shape + "$") +
           " {\n        object alias:$uri;\n        on_miss 404;\n    }\n";
    if (mark != std::string::npos) out += "    # with arguments, for example " + one.example + "\n";
    // A file name may hold what a rules file cannot say without quotes.
    tests += "    test GET " + word(one.example) + " -> object " + word("alias:" + *path) + ";\n";
  }
  out += "\n" + tests + "}";
  context.answer(out);
  return kGood;
}

} // namespace cairn::tools
