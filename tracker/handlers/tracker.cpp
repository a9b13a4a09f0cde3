// State shared by the handlers, and the tracker's own regular work.
#include "tracker/handlers/tracker.h"

#include "common/base/text.h"
#include "common/daemon/log.h"

#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>

#include <utility>

namespace cairn::tracker {

namespace {

constexpr std::chrono::milliseconds kTick{500};
// How stale a tracker without a store may be before it is not ready.
constexpr std::chrono::seconds kHolderSilentMax{10};
constexpr std::chrono::seconds kForwardTimeout{5};

spdlog::logger& logs() {
  static spdlog::logger& one = logger("tracker");
  return one;
}

Moment read_clocks() {
  Moment moment;
  moment.unix_s =
      static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::seconds>(
                                     std::chrono::system_clock::now().time_since_epoch())
                                     .count());
  moment.steady = std::chrono::duration_cast<std::chrono::milliseconds>(
      std::chrono::steady_clock::now().time_since_epoch());
  return moment;
}

bool contains(const config::HostList& list, const asio::ip::address& address) {
  return address.is_v4() ? list.contains(address.to_v4().to_bytes())
                         : list.contains(address.to_v6().to_bytes());
}

bool is_wildcard(const std::string& address) {
  return address == "0.0.0.0" || address == "::";
}

} // namespace

Tracker::Tracker(asio::any_io_executor executor, const config::TrackerConfig& config,
                 std::string uuid, ReplicatedLog* log_engine, ClusterFacts facts,
                 const ConnectionGauge& connections, std::shared_ptr<auth::ClusterSecret> secret,
                 std::shared_ptr<const TlsClient> tls)
    : executor_(std::move(executor)),
      config_(config),
      uuid_(std::move(uuid)),
      log_(log_engine),
      connections_(connections),
      secret_(std::move(secret)),
      started_(read_clocks()),
      cluster_(config.check_active_interval, config.storage_ids, started_),
      selection_(SelectionRules::of(config)) {
  show(facts);
  if (log_ != nullptr) {
    writer_.emplace(*log_, std::move(facts), [this](const ClusterFacts& next) { show(next); });
  } else {
    wire::Hello hello;
    hello.role = wire::Role::tracker;
    hello.uuid = uuid_;
    hello.address = address(nullptr);
    holder_.emplace(std::move(hello), Credentials(secret_, std::move(tls)), config.connect_timeout);
  }
}

void Tracker::show(const ClusterFacts& facts) {
  cluster_.set_facts(facts);
  keys_.take(facts.key_table());
}

wire::Bytes Tracker::sealed_keys() const {
  return auth::seal_keys(cluster_.facts().key_table(), *secret_->get());
}

Moment Tracker::now() const {
  return read_clocks();
}

Task<void> Tracker::watch() {
  asio::steady_timer timer(co_await asio::this_coro::executor);
  bool complained = false;
  for (unsigned turn = 0; !stopping_; ++turn) {
    cluster_.tick(now());
    note_brought_up();
    if (holder_ && turn % 2 == 0) {
      const Status pulled = co_await pull();
      if (!pulled && !complained && !stopping_)
        logs().warn("metadata holder does not answer holder={} error={}",
                    config_.metadata_holder->text(), pulled.error().text());
      if (pulled && complained)
        logs().info("metadata holder answers again holder={}", config_.metadata_holder->text());
      complained = !pulled;
    }
    timer.expires_after(kTick);
    co_await timer.async_wait(as_result);
  }
}

void Tracker::stop() {
  stopping_ = true;
  if (holder_) holder_->clear();
}

Task<Status> Tracker::pull() {
  const wire::ViewRequest everything;
  wire::Bytes body = wire::encode(everything);
  CAIRN_CO_TRY(reply, co_await forward(static_cast<std::uint8_t>(wire::NativeCommand::cluster_view),
                                       std::move(body)));
  CAIRN_CO_TRY(view, wire::decode_lenient<wire::ClusterView>(reply));
  learn(view);
  co_return Status();
}

Task<void> Tracker::catch_up() {
  const Status pulled = co_await pull();
  if (!pulled) logs().debug("holder not asked again error={}", pulled.error().text());
}

void Tracker::learn(const wire::ClusterView& view) {
  auto keys = auth::unseal_keys(view.access_keys, *secret_->get());
  // While the holder has another secret than we (a rotation half done), the keys stay as they are.
  show(ClusterFacts::from_view(view, keys ? *keys : cluster_.facts().key_table()));
  holder_answered_ = now().steady;
}

Task<Status> Tracker::change(FactsCommand command) {
  CAIRN_ASSERT(writer_.has_value());
  co_return co_await writer_->submit(std::move(command));
}

Task<Result<wire::Bytes>> Tracker::forward(std::uint8_t command, wire::Bytes body) {
  CAIRN_ASSERT(holder_.has_value());
  if (stopping_) co_return Error{Errc::unavailable, "stopping"};
  Endpoint endpoint;
  endpoint.host = config_.metadata_holder->host;
  endpoint.port = config_.metadata_holder->port;
  auto reply = co_await holder_->call(endpoint, command, std::move(body), kForwardTimeout);
  if (!reply && (reply.code() == Errc::closed || reply.code() == Errc::timeout))
    co_return Error{Errc::unavailable,
                    "the metadata holder " + endpoint.text() + ": " + reply.error().text()};
  co_return reply;
}

void Tracker::note_brought_up() {
  if (!is_holder() || stopping_) return;
  for (const MarkBroughtUp& command : cluster_.brought_up(now())) {
    if (!being_marked_.insert(command.id).second) continue;
    spawn(executor_, commit_brought_up(command), "brought up");
  }
}

Task<void> Tracker::commit_brought_up(MarkBroughtUp command) {
  const std::uint32_t id = command.id;
  FactsCommand change_of_facts(command);
  const Status done = co_await change(std::move(change_of_facts));
  being_marked_.erase(id);
  if (done)
    logs().info("node is active node={}", id);
  else
    logs().error("cannot make a node active node={} error={}", id, done.error().text());
}

bool Tracker::is_ready(std::string* reason) const {
  std::string why;
  if (log_ != nullptr) {
    const LogStatus status = log_->status();
    if (!status.healthy) why = "metadata log: " + status.detail;
  } else if (cluster_.facts().cluster_uuid().empty()) {
    why = "the metadata holder " + config_.metadata_holder->text() + " has not answered yet";
  } else if (!holder_reachable()) {
    why = "the metadata holder " + config_.metadata_holder->text() + " does not answer";
  }
  if (stopping_) why = "stopping";
  if (reason != nullptr) *reason = why;
  return why.empty();
}

bool Tracker::holder_reachable() const {
  return is_holder() ||
         (holder_answered_.count() != 0 && now().steady - holder_answered_ < kHolderSilentMax);
}

bool Tracker::is_allowed(const asio::ip::address& address) const {
  return contains(config_.allow_hosts, address);
}

bool Tracker::is_admin(const asio::ip::address& address) const {
  return contains(config_.admin_hosts, address);
}

Link& Tracker::link(const Session& session) {
  const auto [found, made] = links_.try_emplace(&session);
  if (made) found->second.number = next_link_++;
  return found->second;
}

void Tracker::closed(const Session& session) {
  const auto found = links_.find(&session);
  if (found == links_.end()) return;
  cluster_.disconnected(found->second.number);
  links_.erase(found);
}

std::string Tracker::address(const Session* session) const {
  HostPort own{config_.bind_addr.front(), config_.port};
  if (is_wildcard(own.host)) {
    own.host = "127.0.0.1";
    if (session != nullptr) {
      boost::system::error_code failure;
      const auto local = session->connection.socket().local_endpoint(failure);
      if (!failure) own.host = local.address().to_string();
    }
  }
  return own.text();
}

std::vector<TrackerSeen> Tracker::trackers(const Session* session) const {
  std::vector<TrackerSeen> seen;
  TrackerSeen self;
  self.address = address(session);
  self.holder = is_holder();
  self.connections_now = static_cast<std::uint32_t>(connections_.open.load());
  self.connections_max = static_cast<std::uint32_t>(connections_.open_max.load());
  self.start_time = started_.unix_s;
  seen.push_back(std::move(self));
  if (!is_holder()) {
    TrackerSeen holder;
    holder.address = config_.metadata_holder->text();
    holder.holder = true;
    holder.connected = holder_reachable();
    seen.push_back(std::move(holder));
  }
  std::set<std::string> addresses;
  for (const auto& [of, link] : links_) {
    if (link.role != wire::Role::tracker || !addresses.insert(link.address).second) continue;
    TrackerSeen other;
    other.address = link.address;
    seen.push_back(std::move(other));
  }
  return seen;
}

Query Tracker::query(const Session& session) {
  GroupFilter may_write; // most callers have no key and need none
  if (session.key)
    may_write = [&session](std::string_view group) { return session.may(auth::kWrite, group); };
  return Query{config_,
               cluster_,
               selection_,
               now().unix_s,
               session.connection.peer_address(),
               [this, &session] { return trackers(&session); },
               std::move(may_write)};
}

void Tracker::count(std::uint8_t command, bool ok) {
  ++counts_[command].requests;
  if (!ok) ++counts_[command].errors;
}

} // namespace cairn::tracker
