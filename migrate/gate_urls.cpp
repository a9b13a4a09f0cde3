// Requests to two servers side by side, and questions to trackers and storage nodes.
#include "migrate/gate_urls.h"

#include "cairn/client.h"
#include "common/base/text.h"
#include "common/net/http_client.h"
#include "common/rules/book.h"
#include "common/wire/rules.h"
#include "migrate/http_source.h"
#include "migrate/sorted_names.h"
#include "migrate/source_file.h"

#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <nlohmann/json.hpp>

#include <cerrno>
#include <cstdio>
#include <fstream>
#include <optional>
#include <vector>

namespace cairn::migrate {

namespace {

using nlohmann::json;

constexpr std::chrono::seconds kHttpTime{20};
constexpr std::chrono::seconds kAnswerTime{10};
constexpr std::uint64_t kShownMax = 20;
constexpr std::size_t kAtOnce = 16; // requests to each server
constexpr std::size_t kNamesMemory = 32 << 20;

// What a server answers, as far as users notice.
struct Answer {
  int status = 0;
  std::uint64_t length = 0;
  wire::Bytes sha256;
  std::string type;
  std::string modified;

  friend bool operator==(const Answer&, const Answer&) = default;
};

Task<Result<Answer>> ask(HttpServer server, std::string path) {
  HttpAsk request;
  request.target = server.prefix + path;
  request.host = server.host;
  CAIRN_CO_TRY(call, co_await HttpCall::send(server.at, std::move(request), kHttpTime));
  Answer out;
  out.status = call.status();
  out.type = call.header("content-type");
  out.modified = call.header("last-modified");
  Sha256 hash;
  wire::Buffer buffer(64 * 1024);
  for (;;) {
    CAIRN_CO_TRY(count, co_await call.read_some(buffer.span()));
    if (count == 0) break;
    hash.update(buffer.view().first(count));
    out.length += count;
  }
  out.sha256 = hash.finish();
  co_return out;
}

std::string difference(const Answer& now, const Answer& before) {
  if (now.status != before.status)
    return "status " + std::to_string(now.status) + ", was " + std::to_string(before.status);
  if (now.length != before.length || now.sha256 != before.sha256) return "other bytes";
  if (now.type != before.type) return "type " + now.type + ", was " + before.type;
  return "Last-Modified " + now.modified + ", was " + before.modified;
}

// Asks for many paths, some at a time, and remembers what is wrong.
class UrlChecker {
public:
  UrlChecker(HttpServer now, std::optional<HttpServer> before)
      : now_(std::move(now)), before_(std::move(before)) {}

  Task<bool> check(std::vector<std::string> paths) {
    asio::steady_timer changed(co_await asio::this_coro::executor);
    changed_ = &changed;
    for (const std::string& path : paths) {
      while (running_ >= kAtOnce) co_await wait();
      ++running_;
      spawn(
          co_await asio::this_coro::executor,
          [](UrlChecker* self, std::string one) -> Task<void> {
            co_await self->check_one(std::move(one));
          }(this, path),
          "gate");
    }
    while (running_ > 0) co_await wait();
    co_return true;
  }

  std::uint64_t asked = 0;
  std::uint64_t wrong = 0;
  std::vector<std::string> shown; // of what is wrong, the first

private:
  Task<void> wait() {
    changed_->expires_after(std::chrono::seconds(1));
    co_await changed_->async_wait(as_result);
  }

  Task<void> check_one(std::string path) {
    std::string problem;
    const auto answer = co_await ask(now_, path);
    if (!answer) {
      problem = answer.error().text();
    } else if (!before_) {
      if (answer->status != 200) problem = "status " + std::to_string(answer->status);
    } else {
      const auto old = co_await ask(*before_, path);
      if (!old)
        problem = "the old server: " + old.error().text();
      else if (*answer != *old)
        problem = difference(*answer, *old);
    }
    ++asked;
    if (!problem.empty() && ++wrong <= kShownMax) shown.push_back(path + ": " + problem);
    --running_;
    changed_->cancel();
  }

  HttpServer now_;
  std::optional<HttpServer> before_;
  asio::steady_timer* changed_ = nullptr;
  std::size_t running_ = 0;
};

// The status of every storage node that serves. Errors: unavailable (one is silent), those of the
// trackers.
Result<std::vector<json>> rules_status_of_all(Client& client) {
  CAIRN_TRY(cluster, client.cluster({}, kAnswerTime));
  std::vector<json> out;
  for (const ClusterNode& node : cluster.nodes) {
    if (node.state != NodeState::active && node.state != NodeState::online) continue;
    CAIRN_TRY(text, client.admin_at(node.address, R"({"verb":"rules.status"})", kAnswerTime));
    json status = json::parse(text, nullptr, false);
    if (!status.is_object())
      return Error{Errc::unavailable, node.address.text() + " answers with nonsense"};
    out.push_back(std::move(status));
  }
  return out;
}

Result<wire::RulesReply> rules_in_force(Client& client, const ClientOptions& options) {
  Error last(Errc::unavailable, "no tracker is configured");
  for (const Address& tracker : options.trackers) {
    const auto reply = client.native_call(tracker, static_cast<std::uint8_t>(wire::kRulesGet),
                                          wire::encode(wire::RulesGet()), kAnswerTime);
    if (reply) return wire::decode_lenient<wire::RulesReply>(*reply);
    last = reply.error();
  }
  return last;
}

} // namespace

Result<Check> check_urls(Session& session, const GateArgs& args, const Globals& globals,
                         const std::filesystem::path& spill) {
  CAIRN_TRY(now, parse_http_server(args.url_server));
  std::optional<HttpServer> before;
  if (!args.old_server.empty()) {
    CAIRN_TRY(parsed, parse_http_server(args.old_server));
    before = std::move(parsed);
  }
  const bool is_log = !args.access_log.empty();
  const std::filesystem::path& file = is_log ? args.access_log : args.urls;
  std::ifstream in(file, std::ios::binary);
  if (!in) return errno_error(file.string(), errno);
  SortedNames names(kNamesMemory, spill);
  for (std::string line; std::getline(in, line) && !stop_requested();) {
    std::string_view path = trim(line);
    if (is_log) {
      const auto request = logged_request(line);
      if (!request) continue;
      path = *request;
    }
    if (path.starts_with('/')) CAIRN_RETURN_IF_ERROR(names.add(path, 0));
  }
  UrlChecker checker(std::move(now), std::move(before));
  std::vector<std::string> some;
  std::string last;
  const auto visit = [&](const std::string& path, std::uint8_t) -> Status {
    if (stop_requested()) return Error{Errc::closed, "stopped"};
    if (path == last) return {};
    last = path;
    some.push_back(path);
    if (some.size() >= kAtOnce * 16) session.wait(checker.check(std::exchange(some, {})));
    return {};
  };
  CAIRN_RETURN_IF_ERROR(names.each(visit));
  session.wait(checker.check(std::move(some)));
  if (!globals.output.json)
    for (const std::string& line : checker.shown)
      std::fprintf(stderr, "cairn-migrate: %s\n", line.c_str());
  Check out;
  out.name = is_log ? "replay" : "urls";
  out.green = checker.wrong == 0 && checker.asked > 0;
  out.detail =
      std::to_string(checker.asked) + " asked, " + std::to_string(checker.wrong) + " wrong";
  return out;
}

Check check_rules(const ClientOptions& options) {
  Check out;
  out.name = "rules";
  Client client(options);
  const auto reply = rules_in_force(client, options);
  if (!reply) {
    out.detail = reply.error().text();
    return out;
  }
  if (reply->files.empty()) {
    out.detail = "the cluster has none: `cairn rules load`";
    return out;
  }
  rules::Source source;
  for (const wire::RulesFile& file : reply->files) source.files.push_back({file.name, file.text});
  source.mains = reply->mains;
  rules::Problems problems;
  const auto book = rules::RuleBook::load(source, problems); // runs the tests
  if (!book) {
    out.detail = problems.empty() ? "they do not load" : problems.front().text();
    return out;
  }
  std::size_t tests = 0;
  for (const auto& set : book->sets()) tests += set->tests.size();
  const auto nodes = rules_status_of_all(client);
  if (!nodes) {
    out.detail = nodes.error().text();
    return out;
  }
  std::size_t behind = 0;
  for (const json& status : *nodes)
    if (status.value("version", std::uint64_t{0}) < reply->version) ++behind;
  out.green = tests > 0 && behind == 0;
  out.detail = "version " + std::to_string(reply->version) + ", " +
               (tests == 0 ? "without a test in it" : std::to_string(tests) + " tests pass");
  if (behind > 0) out.detail += ", and " + std::to_string(behind) + " nodes do not have it";
  return out;
}

Check check_shadow(const ClientOptions& options) {
  Check out;
  out.name = "shadow";
  Client client(options);
  const auto nodes = rules_status_of_all(client);
  if (!nodes) {
    out.detail = nodes.error().text();
    return out;
  }
  std::uint64_t compared = 0;
  std::uint64_t differing = 0;
  std::string example;
  for (const json& status : *nodes)
    for (const json& set : status.value("shadow", json::array())) {
      compared += set.value("compared", std::uint64_t{0});
      differing += set.value("differing", std::uint64_t{0});
      for (const json& one : set.value("last", json::array()))
        example = one.value("url", "") + ": " + one.value("difference", "");
    }
  out.green = compared > 0 && differing == 0;
  out.detail = compared == 0 ? "nothing was compared: `shadow ORIGIN N%;` in the rules"
                             : std::to_string(compared) + " answers compared, " +
                                   std::to_string(differing) + " differ";
  if (differing > 0 && !example.empty()) out.detail += ", the last: " + example;
  return out;
}

} // namespace cairn::migrate
