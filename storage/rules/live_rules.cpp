// Following the trackers.
#include "storage/rules/live_rules.h"

#include "common/base/durable_file.h"
#include "common/daemon/log.h"
#include "storage/rules/on_context.h"

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>

#include <fstream>
#include <sstream>
#include <utility>

namespace cairn::storage {

namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

// As often as a heartbeat: a load is in force everywhere about a second later.
constexpr milliseconds kInterval{1000};
constexpr milliseconds kAnswerMax{5000};
// Names kept in memory, some 15 MB at most of them; there is no other memory for aliases.
constexpr std::size_t kCachedNames = 65'536;
// How long a change of an alias may go unseen.
constexpr milliseconds kFoundFor{10'000};
constexpr milliseconds kAbsentFor{1'000};

spdlog::logger& log() {
  static spdlog::logger& one = logger("storage.rules");
  return one;
}

std::filesystem::path copy_of(const config::StorageConfig& config) {
  return config.base_path / "data" / "rules";
}

} // namespace

LiveRules::LiveRules(boost::asio::io_context& context, const config::StorageConfig& config,
                     wire::Hello hello, Credentials credentials)
    : context_(context),
      config_(config),
      trackers_(std::move(hello), std::move(credentials), config.connect_timeout),
      cache_(kCachedNames, kFoundFor, kAbsentFor) {}

LiveRules::~LiveRules() = default;

std::shared_ptr<const RulesVersion> LiveRules::get() const {
  const std::lock_guard lock(mutex_);
  return current_;
}

std::string LiveRules::failure() const {
  const std::lock_guard lock(mutex_);
  return failure_;
}

Status LiveRules::take(const wire::RulesReply& reply) {
  auto next = std::make_shared<RulesVersion>();
  next->version = reply.version;
  if (!reply.files.empty()) {
    rules::Source source;
    for (const wire::RulesFile& file : reply.files) source.files.push_back({file.name, file.text});
    source.mains = reply.mains;
    rules::Problems problems;
    next->book = rules::RuleBook::load(source, problems);
    if (next->book == nullptr) {
      std::string why = "the rules do not load";
      for (const rules::Problem& problem : problems)
        if (problem.severity == rules::Severity::error) {
          why = problem.text();
          break;
        }
      const std::lock_guard lock(mutex_);
      failure_ = "version " + std::to_string(reply.version) + ": " + why;
      return Error{Errc::invalid_argument, failure_};
    }
    for (const auto& set : next->book->sets())
      for (const rules::Location& location : set->locations)
        next->counters.emplace(&location, std::make_unique<RulesVersion::Counters>());
  }
  const std::lock_guard lock(mutex_);
  current_ = std::move(next);
  failure_.clear();
  return Status();
}

void LiveRules::load_copy() {
  std::ifstream file(copy_of(config_), std::ios::binary);
  if (!file) return;
  std::ostringstream text;
  text << file.rdbuf();
  const std::string bytes = text.str();
  const auto reply = wire::decode_lenient<wire::RulesReply>(wire::as_view(bytes));
  const Status taken = reply ? take(*reply) : Status(reply.error());
  if (!taken) log().warn("the copy of the rules is not used error={}", taken.error().text());
}

void LiveRules::start() {
  spawn(context_.get_executor(), follow(), "storage.rules");
}

void LiveRules::stop() {
  asio::post(context_, [this] { stopping_ = true; });
}

Task<Result<wire::Bytes>> LiveRules::ask(wire::NativeCommand command, wire::Bytes body) {
  Error last(Errc::unavailable, "no tracker is configured");
  for (std::size_t turn = 0; turn < config_.trackers.size(); ++turn) {
    const std::size_t index = (preferred_ + turn) % config_.trackers.size();
    const config::TrackerAddress& tracker = config_.trackers[index];
    for (const std::string& host : tracker.hosts) {
      Endpoint endpoint;
      endpoint.host = host;
      endpoint.port = tracker.port;
      wire::Bytes copy = body;
      auto reply = co_await trackers_.call(std::move(endpoint), static_cast<std::uint8_t>(command),
                                           std::move(copy), kAnswerMax);
      if (reply) {
        preferred_ = index;
        co_return reply;
      }
      last = std::move(reply).error();
    }
  }
  co_return Error{Errc::unavailable, last.text()};
}

Task<void> LiveRules::follow() {
  asio::steady_timer timer(co_await asio::this_coro::executor);
  std::uint64_t refused = 0; // a version that does not load here is not tried again
  while (!stopping_) {
    wire::RulesGet request;
    request.known = std::max(get()->version, refused);
    wire::Bytes body = wire::encode(request);
    const auto bytes = co_await ask(wire::kRulesGet, std::move(body));
    if (bytes) {
      const auto reply = wire::decode_lenient<wire::RulesReply>(*bytes);
      // A tracker whose store was made anew counts from 1 again.
      if (reply && reply->version != get()->version && reply->version != refused &&
          (reply->version != 0 || get()->version != 0)) {
        if (const Status taken = take(*reply); !taken) {
          refused = reply->version;
          log().error("rules not taken {}", taken.error().detail);
        } else {
          log().info("rules in force version={}", reply->version);
          const std::string text(wire::as_text(*bytes));
          if (const Status kept = durable_write_file(copy_of(config_), text); !kept)
            log().warn("no copy of the rules error={}", kept.error().text());
        }
      }
    }
    timer.expires_after(kInterval);
    co_await timer.async_wait(as_result);
  }
}

// --- aliases ------------------------------------------------------------------------------------

Task<Result<wire::AliasRow>> LiveRules::ask_alias(std::string host, std::string path) {
  wire::AliasGet request;
  wire::AliasRow name;
  name.host = std::move(host);
  name.path = std::move(path);
  request.names.push_back(std::move(name));
  wire::Bytes body = wire::encode(request);
  CAIRN_CO_TRY(bytes, co_await ask(wire::kAliasGet, std::move(body)));
  CAIRN_CO_TRY(reply, wire::decode_lenient<wire::AliasRows>(bytes));
  if (reply.rows.size() != 1) co_return Error{Errc::unavailable, "not one answer to one name"};
  co_return std::move(reply.rows.front());
}

Task<Result<wire::AliasRow>> LiveRules::alias(std::string host, std::string path) {
  if (host.size() + path.size() > wire::kAliasNameMax) {
    wire::AliasRow absent; // no alias has such a name
    co_return absent;
  }
  auto known = cache_.find(host, path, steady_clock::now());
  if (known && known->is_fresh) co_return std::move(known->row);
  Task<Result<wire::AliasRow>> asking = ask_alias(host, path);
  auto row = co_await run_on(context_, std::move(asking));
  if (row) {
    cache_.put(host, path, *row, steady_clock::now());
    co_return row;
  }
  if (known && !known->row.target.empty()) co_return std::move(known->row);
  co_return row;
}

Task<Result<wire::AliasRow>> LiveRules::ask_add(wire::AliasRow row) {
  wire::AliasPut request;
  request.change = wire::AliasChange::put_if_absent;
  std::string host = row.host;
  std::string path = row.path;
  request.rows.push_back(std::move(row));
  wire::Bytes body = wire::encode(request);
  CAIRN_CO_TRY(bytes, co_await ask(wire::kAliasPut, std::move(body)));
  CAIRN_CO_TRY(reply, wire::decode_lenient<wire::AliasPutReply>(bytes));
  if (reply.changed == 1) co_return std::move(request.rows.front());
  co_return co_await ask_alias(std::move(host), std::move(path));
}

Task<Result<wire::AliasRow>> LiveRules::add_alias(wire::AliasRow row) {
  std::string host = row.host;
  std::string path = row.path;
  Task<Result<wire::AliasRow>> asking = ask_add(std::move(row));
  auto now = co_await run_on(context_, std::move(asking));
  if (now) cache_.put(host, path, *now, steady_clock::now());
  co_return now;
}

void LiveRules::forget_alias(const std::string& host, const std::string& path) {
  cache_.erase(host, path);
}

} // namespace cairn::storage
