// Carrying out what rules decide.
#include "storage/rules/rules_resolver.h"

#include "common/base/cache_tag.h"
#include "common/base/text.h"
#include "common/rules/uri.h"
#include "storage/http/file_reply.h"
#include "storage/http/token.h"
#include "storage/http/url.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <ctime>
#include <utility>

namespace cairn::storage {

namespace {

using rules::Action;
using rules::Decision;
using rules::MissAction;
using rules::MissKind;
using rules::ObjectKind;
using rules::ObjectName;

// Locations that one request may walk through by `on_miss next`.
constexpr int kStepsMax = 64;

void set_header(HttpReply& reply, std::string_view name, std::string value) {
  for (auto& [key, old] : reply.headers) {
    if (key != name) continue;
    old = std::move(value);
    return;
  }
  reply.headers.emplace_back(name, std::move(value));
}

void drop_header(HttpReply& reply, std::string_view name) {
  std::erase_if(reply.headers, [name](const auto& header) { return header.first == name; });
}

void add_headers(HttpReply& reply, const Decision& decision) {
  for (const auto& [name, value] : decision.headers) reply.headers.emplace_back(name, value);
}

HttpReply reply_of(const Decision& decision) {
  if (!decision.target.empty()) {
    HttpReply reply = HttpReply::text(decision.status, "");
    reply.headers.emplace_back("Location", decision.target);
    if (!decision.cache_control.empty())
      reply.headers.emplace_back("Cache-Control", decision.cache_control);
    add_headers(reply, decision);
    return reply;
  }
  if (!decision.reason.empty())
    return plain_reply(decision.status,
                       decision.status == 404 ? "no such file" : "refused by a rule");
  HttpReply reply = HttpReply::text(decision.status, decision.body);
  if (!decision.cache_control.empty())
    reply.headers.emplace_back("Cache-Control", decision.cache_control);
  add_headers(reply, decision);
  return reply;
}

HttpReply try_again(std::string_view text) {
  HttpReply reply = plain_reply(503, text);
  reply.headers.emplace_back("Retry-After", "1");
  return reply;
}

// The host under which a set keeps the names of what it pulls: several hosts of one set share them,
// sets of other hosts do not.
std::string host_of_names(const rules::RuleSet& set, const std::string& host) {
  for (const std::string& one : set.hosts)
    if (one.find('*') == std::string::npos) return one;
  return host;
}

// What stands before and behind the first slash; empty strings without one.
std::pair<std::string, std::string> split_id(std::string_view id) {
  const std::size_t slash = id.find('/');
  if (slash == std::string_view::npos) return {};
  return {std::string(id.substr(0, slash)), std::string(id.substr(slash + 1))};
}

rules::Request request_of(const ResolvedUrl& url, const std::string& peer) {
  const HttpRequest& from = url.request();
  rules::Request request;
  request.method = from.method;
  request.host = from.host;
  request.path = url.path();
  request.request_uri = from.target;
  request.query = from.query();
  request.remote_addr = peer;
  request.header = from.header;
  return request;
}

std::string peer_of(const HttpRequest& request) {
  return request.connection == nullptr ? std::string()
                                       : request.connection->peer_address().to_string();
}

// Whether an answer needs what is known of a stored object only: its tag, and for a cache in front
// what the answer is made of.
bool needs_stored(const HttpRequest& request) {
  return !request.header(kCacheTagsHeader).empty() || !request.header("If-Match").empty() ||
         !request.header("If-None-Match").empty() ||
         trim(request.header("If-Range")).find('"') != std::string_view::npos;
}

} // namespace

bool RulesResolver::claims(const ResolvedUrl& url) const {
  if (!url.is_read()) return false;
  const auto version = parts_.live.get();
  return version->book != nullptr &&
         version->book->matches(rules::normalize_host(url.request().host));
}

Task<HttpReply> RulesResolver::answer(ResolvedUrl url) {
  const auto version = parts_.live.get();
  // A reload may have taken the rules away since claims().
  if (version->book == nullptr) co_return co_await parts_.without_rules(std::move(url));
  const std::string peer = peer_of(url.request());
  const rules::Request request = request_of(url, peer);
  const std::string host = rules::normalize_host(request.host);
  rules::Walk walk(*version->book, request);
  for (int step = 0; step < kStepsMax; ++step) {
    const Decision decision = walk.next();
    auto* counters = version->of(decision.location);
    if (counters != nullptr) ++counters->hits;
    if (decision.action == Action::pass) co_return co_await parts_.without_rules(std::move(url));
    if (decision.action == Action::reply) {
      if (counters != nullptr && !decision.reason.empty()) ++counters->refused;
      co_return reply_of(decision);
    }
    if (decision.action == Action::elsewhere) {
      const rules::Origin& origin = decision.set->origins[decision.set->share->origin];
      auto passed = co_await parts_.origins.pass_through(
          version, *decision.set, origin, std::string(request.request_uri), url.request(), true);
      if (passed) co_return *std::move(passed);
      co_return plain_reply(502, "the old server does not answer");
    }
    if (!decision.style.empty())
      co_return plain_reply(501, "image styles are not served by this version");
    Found found = co_await serve(url, decision, decision.object, host, std::nullopt);
    if (!found) {
      if (counters != nullptr) ++counters->misses;
      found = co_await missed(url, version, decision, host);
      if (!found) continue; // on_miss next
    }
    if (decision.set->shadow && !url.request().head &&
        rules::share_of(host, decision.path) < decision.set->shadow->of_10000)
      parts_.shadow.compare(version, *decision.set, host, std::string(request.request_uri),
                            answer_of(*found));
    // The name, whatever it led to: it may lead elsewhere, or be made, tomorrow.
    if (decision.object.kind == ObjectKind::alias && wants_cache_tags(url.request(), *found)) {
      for (const std::string& one : {host, host_of_names(*decision.set, host), std::string()})
        add_cache_tag(*found, cache_tag_of_alias(one, decision.object.text));
    }
    co_return *std::move(found);
  }
  co_return plain_reply(500, "the rules of this URL do not end");
}

Task<RulesResolver::Found> RulesResolver::serve(const ResolvedUrl& url, const Decision& decision,
                                                const ObjectName& object, std::string host,
                                                std::optional<std::int64_t> last_modified) {
  if (object.kind == ObjectKind::id)
    co_return co_await serve_id(url, decision, object.text, last_modified);
  if (object.kind == ObjectKind::path) {
    std::string cache_control;
    if (auto refused = refuse_token(url, decision, "", cache_control)) co_return refused;
    ResolvedUrl inner(url.request(), object.text);
    HttpReply reply = co_await parts_.exports(std::move(inner));
    if (reply.status == 404) co_return Found();
    if (!decision.cache_control.empty())
      set_header(reply, "Cache-Control",
                 cache_control.empty() ? decision.cache_control : cache_control);
    if (!decision.content_type.empty()) set_header(reply, "Content-Type", decision.content_type);
    add_headers(reply, decision);
    co_return reply;
  }
  auto row = co_await parts_.live.alias(host, object.text);
  if (row && row->target.empty()) {
    const std::string shared = host_of_names(*decision.set, host);
    if (shared != host) {
      host = shared;
      row = co_await parts_.live.alias(host, object.text);
    }
  }
  if (!row) co_return try_again("the tracker cannot be asked for this name");
  if (row->target.empty()) co_return Found();
  const auto target = rules::parse_object_name(row->target);
  if (!target || target->kind == ObjectKind::alias) co_return Found();
  if (row->mtime != 0) last_modified = static_cast<std::int64_t>(row->mtime);
  Found found = co_await serve(url, decision, *target, host, last_modified);
  // What the name led to is gone: it may mean something new by now.
  if (!found) parts_.live.forget_alias(host, object.text);
  co_return found;
}

RulesResolver::Found RulesResolver::refuse_token(const ResolvedUrl& url, const Decision& decision,
                                                 std::string_view id,
                                                 std::string& cache_control) const {
  if (decision.token == nullptr) return std::nullopt;
  const rules::TokenRule& rule = *decision.token;
  const std::string& secret = rule.from_config ? parts_.config.http_token.secret : rule.key;
  const auto token = query_value(url.query(), "token");
  const auto ts = query_value(url.query(), "ts");
  if (secret.empty()) return plain_reply(503, "no secret for tokens is configured");
  if (!token || !ts || !*token || !*ts) return plain_reply(400, "token and ts are needed");
  // Tokens of the FastDFS module are made of the ID without its group; of other names, of the path.
  const std::string_view name = id.empty() ? std::string_view(decision.path).substr(1) : id;
  const auto left = check_token(name, secret, **token, **ts, std::time(nullptr), rule.ttl);
  if (!left) return plain_reply(403, "invalid token");
  cache_control = "private, max-age=" + std::to_string(left->count());
  return std::nullopt;
}

std::pair<std::string, std::string> RulesResolver::group_and_name(const std::string& id) const {
  auto parts = split_id(id);
  // "id:M00/…" is of this group.
  if (parts.first.size() == 3 && parts.first[0] == 'M' && parts.first != parts_.files.group())
    return {std::string(parts_.files.group()), id};
  return parts;
}

Task<RulesResolver::Found> RulesResolver::serve_id(const ResolvedUrl& url, const Decision& decision,
                                                   std::string id,
                                                   std::optional<std::int64_t> last_modified) {
  const auto [group, text] = group_and_name(id);
  const auto name = parse_remote_name(text);
  if (!name || name->text().size() < 22) co_return Found();
  std::string cache_control =
      decision.cache_control.empty() ? parts_.config.http_cache_control : decision.cache_control;
  const bool by_old_name = decision.object.kind != ObjectKind::id;
  if (auto refused = refuse_token(url, decision, by_old_name ? "" : text, cache_control))
    co_return refused;
  if (group != parts_.files.group()) {
    Found found = co_await serve_other_group(url, group, id);
    if (found && found->status < 400) {
      // Named by the old path, not by the ID that the other group knows.
      FileReplyContext context;
      context.content_type = decision.content_type;
      if (context.content_type.empty())
        context.content_type = parts_.types.type_of(by_old_name ? decision.path : name->leaf());
      context.disposition_name = decision.save_as;
      context.active_content = parts_.config.http.active_content;
      drop_header(*found, "X-Content-Type-Options");
      drop_header(*found, "Content-Security-Policy");
      drop_header(*found, "Content-Disposition");
      add_file_headers(*found, context);
      const auto multipart =
          std::find_if(found->headers.begin(), found->headers.end(), [](const auto& header) {
            return header.first == "Content-Type" && header.second.starts_with("multipart/");
          });
      if (multipart == found->headers.end() && found->status != 304)
        set_header(*found, "Content-Type", std::string(context.content_type));
      set_header(*found, "Cache-Control", cache_control);
      if (last_modified) set_header(*found, "Last-Modified", format_http_date(*last_modified));
      add_headers(*found, decision);
      if (wants_cache_tags(url.request()))
        add_cache_tag(*found, cache_tag_of_id(group + "/" + std::string(name->canonical())));
    }
    co_return found;
  }
  const auto file = co_await parts_.files.open(*name);
  if (file.code() == Errc::not_found) co_return Found();
  if (!file) co_return try_again("the file cannot be read now");

  if (!file->immutable) cache_control = "no-cache";
  FileReplyContext context;
  context.content_type = decision.content_type;
  if (context.content_type.empty())
    context.content_type = parts_.types.type_of(by_old_name ? decision.path : name->leaf());
  context.cache_control = cache_control;
  context.disposition_name = decision.save_as;
  context.active_content = parts_.config.http.active_content;
  context.now = std::time(nullptr);
  context.last_modified = last_modified;
  HttpReply reply = file_reply(url.request(), *name, *file, context);
  // A front nginx that has the store path asks for the place instead of the bytes (docs/nginx.md).
  // Conditions are answered here: the file on its disk has another time than the old URL.
  const std::string_view accel = url.request().header("X-Cairn-Accel");
  const bool has_body = reply.status == 200 || reply.status == 206 || reply.status == 416;
  if (!accel.empty() && accel[0] == '/' && file->fd && has_body) {
    const Validators validators = validators_of(*name, *file, context.now);
    const std::int64_t time =
        last_modified ? *last_modified : validators.last_modified.value_or(context.now);
    reply = HttpReply();
    reply.headers.emplace_back(
        "X-Accel-Redirect",
        std::string(accel) + rules::escape_path("/" + std::string(name->text())));
    // An answer without a body is none for those who have not asked for it.
    reply.headers.emplace_back("Vary", "X-Cairn-Accel");
    reply.headers.emplace_back("Content-Type", context.content_type);
    reply.headers.emplace_back("Cache-Control", cache_control);
    reply.headers.emplace_back("ETag", validators.etag);
    reply.headers.emplace_back("Last-Modified", format_http_date(time));
    add_file_headers(reply, context);
  }
  add_headers(reply, decision);
  if (wants_cache_tags(url.request(), reply))
    add_cache_tag(reply, cache_tag_of_id(group + "/" + std::string(name->canonical())));
  co_return reply;
}

HttpReply RulesResolver::reply_while_storing(const ResolvedUrl& url, const Decision& decision,
                                             Origins::Pulled pulled,
                                             std::string_view cache_control) const {
  OpenFile file;
  file.size = pulled.length;
  file.immutable = true;
  file.remote = [flight = std::move(pulled.flight), &origins = parts_.origins,
                 timeout = std::chrono::milliseconds(parts_.config.network_timeout)](
                    Connection& to, std::uint64_t offset, std::uint64_t length) {
    return origins.send(flight, to, timeout, offset, length);
  };
  Validators validators; // the tag is the checksum of bytes that have not come yet
  if (pulled.mtime != 0) validators.last_modified = static_cast<std::int64_t>(pulled.mtime);
  FileReplyContext context;
  context.content_type = decision.content_type;
  if (context.content_type.empty()) context.content_type = parts_.types.type_of(decision.path);
  context.cache_control = cache_control.empty() ? parts_.config.http_cache_control : cache_control;
  context.disposition_name = decision.save_as;
  context.active_content = parts_.config.http.active_content;
  context.now = std::time(nullptr);
  HttpReply reply = file_reply(url.request(), validators, file, context);
  add_headers(reply, decision);
  return reply;
}

Task<RulesResolver::Found> RulesResolver::serve_other_group(const ResolvedUrl& url,
                                                            std::string group, std::string id) {
  const auto map = parts_.peers.get();
  bool any = false;
  for (const wire::NodeView& node : map->view().nodes) {
    if (node.group != group || node.http_port == 0) continue;
    if (node.state != wire::NodeState::active && node.state != wire::NodeState::online) continue;
    any = true;
    Endpoint endpoint;
    endpoint.host = node.host;
    endpoint.port = node.http_port;
    HttpAsk ask;
    ask.method = url.request().head ? "HEAD" : "GET";
    ask.target = "/" + rules::escape_path(id);
    for (const std::string_view header :
         {"Range", "If-Range", "If-None-Match", "If-Modified-Since", "If-Match"}) {
      const std::string_view value = url.request().header(header);
      if (!value.empty()) ask.headers.emplace_back(header, value);
    }
    auto call =
        co_await HttpCall::send(std::move(endpoint), std::move(ask), parts_.config.network_timeout);
    if (!call || call->status() >= 500) continue;
    if (call->status() == 404) co_return Found();
    auto passed = co_await pass_on(*std::move(call), url.request().head);
    if (passed) co_return *std::move(passed);
  }
  // An unknown group has no such file; a known one without a node that answers may have it.
  if (!any) {
    const auto& nodes = map->view().nodes;
    const bool known = std::any_of(nodes.begin(), nodes.end(),
                                   [&](const auto& node) { return node.group == group; });
    if (!known) co_return Found();
  }
  co_return try_again("the group of the file cannot be reached");
}

HttpReply RulesResolver::dressed(HttpReply passed, const Decision& decision,
                                 const std::string& cache_control) const {
  const auto type = std::find_if(passed.headers.begin(), passed.headers.end(),
                                 [](const auto& header) { return header.first == "Content-Type"; });
  // Several ranges are of a type of their own.
  const bool ranges =
      type != passed.headers.end() && to_lower(type->second).starts_with("multipart/");
  std::string content_type = ranges ? std::string() : decision.content_type;
  if (content_type.empty() && type != passed.headers.end()) content_type = type->second;
  if (content_type.empty()) content_type = parts_.types.type_of(decision.path);
  if (passed.status != 304) set_header(passed, "Content-Type", content_type);
  if (!cache_control.empty()) set_header(passed, "Cache-Control", cache_control);
  FileReplyContext context;
  context.content_type = content_type;
  context.disposition_name = decision.save_as;
  context.active_content = parts_.config.http.active_content;
  drop_header(passed, "X-Content-Type-Options");
  drop_header(passed, "Content-Security-Policy");
  if (!context.disposition_name.empty()) drop_header(passed, "Content-Disposition");
  add_file_headers(passed, context);
  add_headers(passed, decision);
  return passed;
}

Task<std::optional<HttpReply>> RulesResolver::missed(const ResolvedUrl& url,
                                                     std::shared_ptr<const RulesVersion> version,
                                                     const Decision& decision, std::string host) {
  bool origin_failed = false;
  for (const MissAction& step : decision.on_miss) {
    switch (step.kind) {
      case MissKind::next:
        co_return std::nullopt;
      case MissKind::redirect: {
        HttpReply reply = HttpReply::text(step.status, "");
        reply.headers.emplace_back("Location", step.target);
        co_return reply;
      }
      case MissKind::status: {
        // "Not there" must not be said when an old server that may have it does not answer.
        if (origin_failed && step.status == 404)
          co_return try_again("the old server does not answer");
        HttpReply reply = plain_reply(step.status, "no such file");
        if (step.cache_for)
          set_header(reply, "Cache-Control", "max-age=" + std::to_string(step.cache_for->count()));
        co_return reply;
      }
      case MissKind::pull:
        break;
    }
    // Who may not have the object gets it from nowhere, and does not make it be pulled either.
    std::string cache_control = decision.cache_control;
    std::string id;
    if (decision.object.kind == ObjectKind::id) id = group_and_name(decision.object.text).second;
    if (auto refused = refuse_token(url, decision, id, cache_control)) co_return refused;
    const rules::Origin& origin = *step.origin;
    Error failure(Errc::not_found);
    bool keep = decision.object.kind == ObjectKind::alias && origin.store;
    if (keep) {
      std::string shared = host_of_names(*decision.set, host);
      auto pulled = co_await parts_.origins.pull(version, *decision.set, origin, step.target,
                                                 std::move(shared), decision.object.text,
                                                 needs_stored(url.request()));
      if (pulled && pulled->flight)
        co_return reply_while_storing(url, decision, *std::move(pulled), cache_control);
      if (pulled && !pulled->row.target.empty()) {
        if (const auto target = rules::parse_object_name(pulled->row.target)) {
          std::optional<std::int64_t> time;
          if (pulled->row.mtime != 0) time = static_cast<std::int64_t>(pulled->row.mtime);
          Found found = co_await serve(url, decision, *target, host, time);
          if (found) co_return found;
        }
      }
      if (!pulled) failure = pulled.error();
      // A full disk is no reason to break old URLs.
      keep = failure.code != Errc::no_space;
    }
    if (!keep) {
      auto passed = co_await parts_.origins.pass_through(
          version, *decision.set, origin, rules::escape_path(step.target), url.request(), false);
      if (passed) co_return dressed(*std::move(passed), decision, cache_control);
      failure = passed.error();
    }
    if (failure.code != Errc::not_found) origin_failed = true;
  }
  if (origin_failed) co_return try_again("the old server does not answer");
  co_return plain_reply(404, "no such file");
}

// --- what is shown ------------------------------------------------------------------------------

std::string rules_status(const LiveRules& live, const Origins& origins, const Shadow& shadow) {
  using nlohmann::json;
  const auto version = live.get();
  json out{{"version", version->version},
           {"failure", live.failure()},
           {"cached_aliases", live.cached_aliases()},
           {"rules", json::array()},
           {"origins", json::array()},
           {"shadow", json::array()}};
  if (version->book) {
    for (const auto& set : version->book->sets())
      for (const rules::Location& location : set->locations) {
        const auto& counters = *version->of(&location);
        out["rules"].push_back({{"rule", set->name + "/" + std::to_string(location.number)},
                                {"location", location.title()},
                                {"hits", counters.hits.load()},
                                {"misses", counters.misses.load()},
                                {"refused", counters.refused.load()}});
      }
  }
  for (const auto& [name, counters] : origins.counters())
    out["origins"].push_back({{"origin", name},
                              {"pulls", counters->pulls.load()},
                              {"absent", counters->absent.load()},
                              {"failed", counters->failed.load()},
                              {"stored", counters->stored.load()},
                              {"passed", counters->passed.load()},
                              {"bytes", counters->bytes.load()}});
  for (const auto& [name, totals] : shadow.totals()) {
    json last = json::array();
    for (const Shadow::Difference& one : shadow.differences_of(name))
      last.push_back({{"url", one.url}, {"difference", one.text}, {"time", one.time}});
    out["shadow"].push_back({{"set", name},
                             {"compared", totals.compared},
                             {"equal", totals.equal},
                             {"differing", totals.differing},
                             {"failed", totals.failed},
                             {"dropped", totals.dropped},
                             {"last", std::move(last)}});
  }
  return out.dump(-1, ' ', false, json::error_handler_t::replace);
}

void write_rules_metrics(const LiveRules& live, const Origins& origins, const Shadow& shadow,
                         MetricsText& out) {
  const auto version = live.get();
  out.family("cairn_rules_version", "gauge", "Version of the URL rules in force; 0: none.");
  out.sample(version->version);
  out.family("cairn_rules_requests_total", "counter", "Requests that URL rules decided.");
  if (version->book) {
    for (const auto& set : version->book->sets())
      for (const rules::Location& location : set->locations) {
        const auto& counters = *version->of(&location);
        const std::string rule = std::to_string(location.number);
        out.sample(counters.hits.load(), {{"set", set->name}, {"rule", rule}, {"result", "hit"}});
        out.sample(counters.misses.load(),
                   {{"set", set->name}, {"rule", rule}, {"result", "miss"}});
        out.sample(counters.refused.load(),
                   {{"set", set->name}, {"rule", rule}, {"result", "refused"}});
      }
  }
  out.family("cairn_origin_requests_total", "counter", "Requests to old servers by outcome.");
  for (const auto& [name, counters] : origins.counters()) {
    out.sample(counters->stored.load(), {{"origin", name}, {"result", "stored"}});
    out.sample(counters->passed.load(), {{"origin", name}, {"result", "passed"}});
    out.sample(counters->absent.load(), {{"origin", name}, {"result", "absent"}});
    out.sample(counters->failed.load(), {{"origin", name}, {"result", "failed"}});
  }
  out.family("cairn_shadow_comparisons_total", "counter", "Answers compared with old servers.");
  for (const auto& [name, totals] : shadow.totals()) {
    out.sample(totals.equal, {{"set", name}, {"result", "equal"}});
    out.sample(totals.differing, {{"set", name}, {"result", "differing"}});
    out.sample(totals.failed, {{"set", name}, {"result", "failed"}});
  }
}

} // namespace cairn::storage
