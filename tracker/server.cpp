// Wiring: store, log, state, listeners, shutdown.
#include "tracker/server.h"

#include "common/base/text.h"
#include "common/daemon/daemon.h"
#include "common/daemon/daemon_tls.h"
#include "common/daemon/host_names.h"
#include "common/daemon/log.h"
#include "common/net/cache_purger.h"
#include "common/net/disk_pool.h"
#include "common/net/http_overload.h"
#include "common/net/http_server.h"
#include "common/net/io_pool.h"
#include "common/net/listener.h"
#include "common/net/rate_limit.h"
#include "common/net/session.h"
#include "tracker/handlers/meta_views.h"
#include "tracker/handlers/namespace_backup.h"
#include "tracker/handlers/namespace_rewrite.h"
#include "tracker/handlers/namespace_service.h"
#include "tracker/handlers/tracker.h"
#include "tracker/http/http.h"
#include "tracker/log/embedded_log.h"
#include "tracker/log/meta_store.h"
#include "tracker/rules/rules_table.h"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_future.hpp>

#include <future>
#include <set>
#include <utility>

namespace cairn::tracker {

namespace {

constexpr std::size_t kHttpConnectionsMax = 1024;
constexpr std::size_t kBodyInlineMax = 1024 * 1024;
// Threads that read the store: one for changes, the others for questions.
constexpr std::size_t kReaderThreads = 3;
// For the TLS handshake of an address that is not listed: it may be a node far away.
constexpr std::chrono::seconds kStrangerTlsMax{2};
// How long open connections may take to end after they were cut.
constexpr std::chrono::seconds kStopMax{5};

spdlog::logger& log() {
  static spdlog::logger& one = logger("tracker");
  return one;
}

// Everything that lives as long as the process serves. Members are destroyed from the last to the
// first: sockets before their io_context, sessions before what they use.
class Server {
public:
  Server(config::TrackerConfig config, std::string uuid,
         std::shared_ptr<auth::ClusterSecret> secret, DaemonTls tls)
      : config_(std::move(config)),
        uuid_(std::move(uuid)),
        secret_(std::move(secret)),
        tls_(std::move(tls)),
        disk_("tracker-meta", 1),
        readers_("tracker-read", kReaderThreads),
        memory_(config_.max_request_memory),
        io_(1),
        front_(1),
        frames_(io_, frame_gauge_, frame_options(config_.fastdfs_clients, config_.tls)),
        http_(io_, http_gauge_, page_options()) {
    options_.io_timeout = config_.network_timeout;
    options_.inline_max = kBodyInlineMax;
    options_.memory = &memory_;
    for (const config::ListenerConfig& one : config_.listeners)
      more_frames_.push_back(std::make_unique<Listener>(
          io_, frame_gauge_, frame_options(one.fastdfs_clients, one.tls.value_or(config_.tls))));
  }

  Status run() {
    names_.look_up();
    CAIRN_TRY(audit, auth::AuditLog::open(auth::AuditLog::directory_of(config_.base_path)));
    audit_ = std::move(audit);
    CAIRN_TRY(facts, open_metadata());
    CAIRN_RETURN_IF_ERROR(frames_.listen(config_.bind_addr, config_.port));
    for (std::size_t i = 0; i < more_frames_.size(); ++i)
      CAIRN_RETURN_IF_ERROR(
          more_frames_[i]->listen({config_.listeners[i].host}, config_.listeners[i].port));
    if (config_.http_port != 0)
      CAIRN_RETURN_IF_ERROR(http_.listen(config_.http_bind_addr, config_.http_port));
    tracker_.emplace(io_.at(0).get_executor(), config_, uuid_, log_ ? &*log_ : nullptr,
                     std::move(facts), frame_gauge_, secret_, tls_.connect);
    tracker_->set_audit(audit_.get());
    tracker_->set_certificate_expiry([this] { return tls_.expires(); });
    options_.keys = &tracker_->gate().keys;
    options_.key_limits = &key_limits_;
    if (log_) {
      NamespacePolicy policy;
      policy.grace_ms = static_cast<std::uint64_t>(config_.delete_grace.count()) * 1000;
      policy.orphan_age_s = static_cast<std::uint64_t>(config_.orphan_age.count());
      policy.rewrite_idle_ms = static_cast<std::uint64_t>(config_.rewrite_idle.count()) * 1000;
      policy.rewrite_rate = config_.rewrite_rate;
      views_.emplace(*store_);
      namespace_.emplace(io_.at(0).get_executor(), *log_, *views_, readers_, tracker_->cluster(),
                         Credentials(secret_, tls_.connect), policy);
      backup_.emplace(*store_, readers_, config_.base_path / "data" / "backup");
      namespace_->set_backup(&*backup_);
      rewriter_.emplace(*namespace_, *views_, readers_, policy);
      if (!config_.purge_caches.empty()) {
        std::vector<PurgeTarget> caches;
        for (const config::PurgeCache& cache : config_.purge_caches)
          caches.emplace_back(Endpoint{cache.address.host, cache.address.port}, cache.is_nginx);
        CachePurger::FindUrls find = [this](std::vector<std::string> tags, std::string pattern) {
          return find_front_urls(std::move(tags), std::move(pattern));
        };
        purger_.emplace(io_.at(0).get_executor(), std::move(caches), CachePurger::usual_delays(),
                        std::move(find));
        namespace_->set_purger(&*purger_);
      }
      tracker_->set_namespace(&*namespace_);
    }
    if (rules_) tracker_->set_rules(&*rules_);
    io_.start();
    front_.start();
    Status started = on_loop(begin());
    if (started) {
      names_.start();
      log().info("serving address={} http_port={} metadata={} version={}",
                 tracker_->address(nullptr), config_.http_port,
                 config_.metadata_holder ? config_.metadata_holder->text() : "local",
                 CAIRN_VERSION);
      wait_for_stop([this] { reload(); });
      log().info("stopping");
    }
    stop();
    return started;
  }

private:
  // The facts of the store; of a tracker without one: none yet.
  Result<ClusterFacts> open_metadata() {
    ClusterFacts facts;
    if (config_.metadata_holder) return facts;
    CAIRN_TRY(store, MetaStore::open(config_.base_path / "data" / "meta", config_.namespace_cache));
    store_ = std::move(store);
    const Status loaded = store_->scan(
        "C", [&](std::string_view key, std::string_view value) { return facts.load(key, value); });
    CAIRN_RETURN_IF_ERROR(loaded);
    log_.emplace(disk_);
    rules_.emplace(*log_, *store_, readers_);
    CAIRN_RETURN_IF_ERROR(rules_->open());
    return facts;
  }

  // Runs a coroutine on the loop and waits for it.
  Status on_loop(Task<Status> task) {
    return asio::co_spawn(io_.at(0), std::move(task), asio::use_future).get();
  }

  Task<Status> begin() {
    if (log_) {
      CAIRN_CO_RETURN_IF_ERROR(co_await log_->start(*store_));
      NameCluster name;
      name.uuid = uuid_v4();
      FactsCommand command(std::move(name));
      CAIRN_CO_RETURN_IF_ERROR(co_await tracker_->change(std::move(command)));
      CAIRN_CO_RETURN_IF_ERROR(co_await namespace_->start());
      spawn(io_.at(0).get_executor(), watch_namespace(), "namespace");
      spawn(io_.at(0).get_executor(), rewrite_fragmented(), "rewriter");
    }
    spawn(io_.at(0).get_executor(), watch(), "watch");
    frames_.start();
    for (auto& listener : more_frames_) listener->start();
    if (config_.http_port != 0) http_.start();
    co_return Status();
  }

  Task<void> watch() {
    ++running_;
    co_await tracker_->watch();
    --running_;
  }

  Task<void> watch_namespace() {
    ++running_;
    co_await namespace_->watch();
    --running_;
  }

  // What the purger asks, counted like all that works with the namespace.
  Task<Result<std::vector<wire::FrontUrl>>> find_front_urls(std::vector<std::string> tags,
                                                            std::string pattern) {
    ++running_;
    auto urls = co_await namespace_->front_urls(std::move(tags), std::move(pattern));
    --running_;
    co_return urls;
  }

  Task<void> rewrite_fragmented() {
    ++running_;
    co_await rewriter_->run();
    --running_;
  }

  ListenerOptions frame_options(config::FastdfsClients mode, config::TlsMode tls_mode) {
    ListenerOptions options;
    options.on_connection = [this, mode, tls_mode](tcp::socket socket, ConnectionSlot slot) {
      spawn(io_.at(0).get_executor(),
            serve_frames(std::move(socket), std::move(slot), mode, tls_mode), "session");
    };
    options.limits = connection_limits(config_);
    // Nothing goes out unencrypted where that is not allowed.
    if (tls_mode != config::TlsMode::required) options.refusal = wire::make_reply(Errc::busy, {});
    options.front = &front_.at(0);
    return options;
  }

  ListenerOptions page_options() {
    ListenerOptions options;
    options.on_connection = [this](tcp::socket socket, ConnectionSlot slot) {
      spawn(io_.at(0).get_executor(), serve_page(std::move(socket), std::move(slot)), "http");
    };
    options.limits.total = kHttpConnectionsMax;
    if (config_.http_tls != config::TlsMode::required) {
      options.refusal = http_refusal();
      options.on_refused = http_overload_sessions();
    }
    options.front = &front_.at(0);
    return options;
  }

  Task<void> serve_frames(tcp::socket socket, ConnectionSlot, config::FastdfsClients mode,
                          config::TlsMode tls_mode) {
    Connection connection(std::move(socket));
    Session session(connection);
    const auto& peer = connection.peer_address();
    session.allowed = mode != config::FastdfsClients::off && tracker_->is_allowed(peer);
    if (mode == config::FastdfsClients::read_only) session.rights = auth::kFastdfsRead;
    // Who cannot even prove anything is closed without a byte, as FastDFS does it.
    if (!stopping_ && (session.allowed || tracker_->gate().may_try(peer))) {
      open_.insert(&connection);
      ++running_;
      Status ended =
          co_await begin_tls(connection, tls_mode, tls_.frames,
                             session.allowed ? config_.connect_timeout : kStrangerTlsMax);
      if (ended) ended = co_await serve(*tracker_, handlers(), options_, session);
      if (ended.code() != Errc::closed)
        log().debug("session ended peer={} error={}", connection.peer(), ended.error().text());
      --running_;
      open_.erase(&connection);
      tracker_->closed(session);
    }
  }

  Task<void> serve_page(tcp::socket socket, ConnectionSlot) {
    Connection connection(std::move(socket));
    if (!stopping_) {
      open_.insert(&connection);
      ++running_;
      const Status begun =
          co_await begin_tls(connection, config_.http_tls, tls_.http, http_options_.header_timeout);
      if (begun) co_await serve_http(connection, page_handler_, http_options_);
      --running_;
      open_.erase(&connection);
    }
  }

  Task<HttpReply> answer(const HttpRequest& request) { co_return answer_http(*tracker_, request); }

  // What can change while serving: the log level and format.
  void reload() {
    auto loaded = config::load_tracker_config(file_);
    if (!loaded) {
      log().error("configuration not reloaded error={}", loaded.error().detail);
      return;
    }
    setup_logging(loaded->config.log_level, loaded->config.log_format);
    if (const Status secret = secret_->reload(); !secret)
      log().error("the cluster's secret is not reloaded error={}", secret.error().text());
    if (const Status tls = tls_.reload(); !tls)
      log().error("the certificate is not reloaded error={}", tls.error().text());
    names_.refresh();
    log().info(
        "configuration reloaded: log_level, log_format, the cluster's secret and certificates, "
        "host names are looked up; all else needs a restart");
  }

  void stop() {
    frames_.stop();
    for (auto& listener : more_frames_) listener->stop();
    http_.stop();
    static_cast<void>(on_loop(drain()));
    front_.stop();
    io_.stop();
  }

  // Ends every coroutine, so that none is left to be destroyed with the io_context.
  Task<Status> drain() {
    stopping_ = true;
    tracker_->stop();
    if (namespace_) namespace_->stop();
    if (purger_) purger_->stop();
    asio::steady_timer timer(co_await asio::this_coro::executor);
    const auto until = std::chrono::steady_clock::now() + kStopMax;
    while (running_ > 0 && std::chrono::steady_clock::now() < until) {
      for (Connection* connection : open_) connection->close();
      timer.expires_after(std::chrono::milliseconds(10));
      co_await timer.async_wait(as_result);
    }
    if (running_ > 0) log().warn("stopped before everything ended left={}", running_);
    co_return Status();
  }

public:
  std::filesystem::path file_;

private:
  config::TrackerConfig config_;
  std::string uuid_;
  std::shared_ptr<auth::ClusterSecret> secret_;
  DaemonTls tls_;
  HostNames names_{{{"allow_hosts", config_.allow_hosts}, {"admin_hosts", config_.admin_hosts}},
                   config_.names_interval};
  std::unique_ptr<auth::AuditLog> audit_;
  SessionOptions options_;
  RateLimiter key_limits_;
  HttpOptions http_options_;
  HttpHandler page_handler_ = [this](const HttpRequest& request) { return answer(request); };
  ConnectionGauge frame_gauge_;
  ConnectionGauge http_gauge_;
  bool stopping_ = false;      // on the loop
  std::size_t running_ = 0;    // sessions and watch(), on the loop
  std::set<Connection*> open_; // on the loop
  std::unique_ptr<MetaStore> store_;
  DiskPool disk_;       // its thread ends before the store goes
  DiskPool readers_;    // reads that must not wait for a synced write
  MemoryBudget memory_; // of request bodies
  IoPool io_;
  IoPool front_; // accepts, refuses, and answers /healthz when all else is busy
  std::optional<EmbeddedLog> log_;
  std::optional<MetaViews> views_;
  std::optional<RulesTable> rules_;
  std::optional<Tracker> tracker_;
  std::optional<NamespaceBackup> backup_;
  std::optional<NamespaceService> namespace_; // uses the tracker's cluster state
  std::optional<NamespaceRewriter> rewriter_; // uses the service
  std::optional<CachePurger> purger_;
  Listener frames_;
  std::vector<std::unique_ptr<Listener>> more_frames_; // as config_.listeners
  Listener http_;
};

} // namespace

Status serve_tracker(config::Loaded<config::TrackerConfig> loaded) {
  setup_logging(loaded.config.log_level, loaded.config.log_format);
  for (const auto& note : loaded.notes) log().info("{}", note);
  for (const auto& line : config::server_warnings(loaded.config, loaded.file))
    log().warn("{}", line);
  // Everything that may refuse before anything is touched.
  CAIRN_RETURN_IF_ERROR(Listener::probe(loaded.config.bind_addr, loaded.config.port));
  if (loaded.config.http_port != 0)
    CAIRN_RETURN_IF_ERROR(Listener::probe(loaded.config.http_bind_addr, loaded.config.http_port));
  for (const config::ListenerConfig& one : loaded.config.listeners)
    CAIRN_RETURN_IF_ERROR(Listener::probe({one.host}, one.port));
  CAIRN_TRY(secret, auth::ClusterSecret::open(loaded.config.cluster_secret_file));
  CAIRN_TRY(tls, DaemonTls::open(loaded.config));
  for (const auto& line : tls.warnings()) log().warn("{}", line);
  CAIRN_TRY(lock, DataLock::take(loaded.config.base_path));
  CAIRN_TRY(uuid, node_uuid(loaded.config.base_path));
  Server server(std::move(loaded.config), std::move(uuid), std::move(secret), std::move(tls));
  server.file_ = loaded.file;
  return server.run();
}

} // namespace cairn::tracker
