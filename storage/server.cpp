// Wires the parts of a storage node together.
#include "storage/server.h"

#include "common/base/durable_file.h"
#include "common/daemon/daemon.h"
#include "common/daemon/daemon_tls.h"
#include "common/daemon/host_names.h"
#include "common/net/http_overload.h"
#include "common/net/listener.h"
#include "common/net/rate_limit.h"
#include "storage/handlers/context.h"
#include "storage/handlers/http_exports.h"
#include "storage/handlers/http_files.h"
#include "storage/handlers/http_path_changes.h"
#include "storage/handlers/http_upload.h"
#include "storage/handlers/keep_pulled.h"
#include "storage/http/file_service.h"
#include "storage/rules/rules_resolver.h"
#include "storage/scrub/integrity.h"
#include "storage/status.h"
#include "storage/store/path_marks.h"
#include "storage/sync/sync_service.h"
#include "storage/tracker_link/tracker_link.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <thread>

namespace cairn::storage {

namespace {

constexpr std::chrono::seconds kDrainMax{10};
constexpr std::chrono::seconds kSyncDrainMax{10};
constexpr std::chrono::milliseconds kDrainPoll{10};
constexpr std::chrono::seconds kReconnectMax{3};
constexpr std::chrono::milliseconds kUsageInterval{1000};
constexpr std::size_t kKeysFileMax = 64 << 20;
// For the TLS handshake of an address that is not listed: it may be a node far away.
constexpr std::chrono::milliseconds kStrangerTlsMax{2000};
constexpr std::chrono::seconds kPresenceInterval{10};
constexpr std::chrono::minutes kTrashInterval{10};

std::uint64_t unix_seconds() {
  return static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::seconds>(
                                        std::chrono::system_clock::now().time_since_epoch())
                                        .count());
}

// Whether the state of this node can be kept there. Leaves nothing behind.
Status check_base_path(const std::filesystem::path& base) {
  namespace fs = std::filesystem;
  std::error_code error;
  fs::path missing; // the uppermost directory that would have to be made
  for (fs::path at = base; !at.empty() && !fs::exists(at, error); at = at.parent_path()) {
    missing = at;
    if (at == at.parent_path()) break;
  }
  fs::create_directories(base, error);
  const bool good = !error && fs::is_directory(base, error);
  const std::string cause = error ? error.message() : "it is not a directory";
  std::error_code ignored;
  if (!missing.empty()) fs::remove_all(missing, ignored);
  if (good) return Status();
  return Error{Errc::denied, "base_path " + base.string() + " cannot be used: " + cause};
}

// Says that the last run ended by stop(): nothing is to be looked for.
std::filesystem::path clean_stop_mark(const config::StorageConfig& config) {
  return config.base_path / "data" / "clean_stop";
}

thread_local Remote* remote_of_this_thread = nullptr;

} // namespace

// Members are in the order of their making: what is below uses what is above.
struct StorageServer::Parts {
  Parts(config::StorageConfig c, DataLock l, DaemonTls t)
      : config(std::move(c)),
        lock(std::move(l)),
        tls(std::move(t)),
        io(config.work_thread_count()),
        background(1),
        front(1),
        frame_listener(io, frame_gauge, frame_options(config.fastdfs_clients, config.tls)),
        http_listener(io, http_gauge, http_options_of_listener()) {
    for (const config::ListenerConfig& one : config.listeners)
      more_listeners.push_back(std::make_unique<Listener>(
          io, frame_gauge, frame_options(one.fastdfs_clients, one.tls.value_or(config.tls))));
  }

  Status listen();
  ListenerOptions frame_options(config::FastdfsClients mode, config::TlsMode tls_mode);
  ListenerOptions http_options_of_listener();
  void accept_frames(tcp::socket socket, ConnectionSlot slot, config::FastdfsClients mode,
                     config::TlsMode tls_mode);
  // What this node proves to others, and how it connects to them.
  Credentials credentials() const { return Credentials(secret, tls.connect); }
  void accept_http(tcp::socket socket, ConnectionSlot slot);
  void take_access_keys(const wire::Bytes& sealed);
  std::filesystem::path access_keys_file() const {
    return config.base_path / "data" / "access_keys";
  }
  Task<void> watch_disks();
  Task<void> note_presence();
  Task<void> empty_trash();
  bool was_away_too_long() const;
  Status begin_serving();
  // The URL rules in front of the file IDs.
  void make_rules();

  config::StorageConfig config;
  DataLock lock;
  DaemonTls tls;
  std::string uuid;
  std::shared_ptr<auth::ClusterSecret> secret;
  auth::KeyRing keys;
  ConnectionGauge frame_gauge;
  ConnectionGauge http_gauge;
  // After the pools in destruction order: handlers on the I/O threads use the store's pools.
  std::unique_ptr<auth::AuditLog> audit;
  std::unique_ptr<Store> store;
  std::unique_ptr<Binlog> binlog;
  std::unique_ptr<Peers> peers;
  std::unique_ptr<SyncService> sync;
  std::unique_ptr<Integrity> integrity;
  std::vector<std::unique_ptr<Remote>> remotes; // one per I/O thread
  std::unique_ptr<Context> context;
  std::unique_ptr<StoreFiles> files;
  std::unique_ptr<NodeStatus> status;
  RateLimiter limiter; // of access keys and client addresses
  std::unique_ptr<HttpGuard> guard;
  std::unique_ptr<LiveRules> rules;
  std::unique_ptr<StoreKeeper> keeper;
  std::unique_ptr<Origins> origins;
  std::unique_ptr<Shadow> shadow;
  std::unique_ptr<FileService> http;
  HttpHandler http_handler;
  HttpOptions http_options;
  SessionOptions session_options;
  std::atomic<std::size_t> busy{0};
  std::atomic<bool> closing{false}; // sessions end with the request they are in
  IoPool io;
  IoPool background;
  IoPool front; // accepts, refuses, and answers /healthz when all else is busy
  std::unique_ptr<TrackerLink> link;
  Listener frame_listener;
  Listener http_listener;
  std::vector<std::unique_ptr<Listener>> more_listeners; // as config.listeners
  HostNames names{{{"allow_hosts", config.allow_hosts},
                   {"admin_hosts", config.admin_hosts},
                   {"http_allow_hosts", config.http.allow_hosts},
                   {"http_trusted_proxies", config.http.trusted_proxies}},
                  config.names_interval};
  bool started = false;
  std::atomic<bool> is_serving{false};
};

Status StorageServer::Parts::listen() {
  CAIRN_RETURN_IF_ERROR(frame_listener.listen(config.bind_addr, config.port));
  for (std::size_t i = 0; i < more_listeners.size(); ++i)
    CAIRN_RETURN_IF_ERROR(
        more_listeners[i]->listen({config.listeners[i].host}, config.listeners[i].port));
  if (config.http_port == 0) return Status();
  return http_listener.listen(config.http_bind_addr, config.http_port);
}

ListenerOptions StorageServer::Parts::frame_options(config::FastdfsClients mode,
                                                    config::TlsMode tls_mode) {
  ListenerOptions options;
  options.on_connection = [this, mode, tls_mode](tcp::socket socket, ConnectionSlot slot) {
    accept_frames(std::move(socket), std::move(slot), mode, tls_mode);
  };
  options.limits = connection_limits(config);
  // Nothing goes out unencrypted where that is not allowed.
  if (tls_mode != config::TlsMode::required) options.refusal = wire::make_reply(Errc::busy, {});
  options.front = &front.at(0);
  return options;
}

ListenerOptions StorageServer::Parts::http_options_of_listener() {
  ListenerOptions options;
  options.on_connection = [this](tcp::socket socket, ConnectionSlot slot) {
    accept_http(std::move(socket), std::move(slot));
  };
  options.limits = connection_limits(config);
  if (config.http_tls != config::TlsMode::required) {
    options.refusal = http_refusal();
    options.on_refused = http_overload_sessions();
  }
  options.front = &front.at(0);
  return options;
}

void StorageServer::Parts::accept_frames(tcp::socket socket, ConnectionSlot slot,
                                         config::FastdfsClients mode, config::TlsMode tls_mode) {
  auto executor = socket.get_executor();
  auto session = [](Parts& parts, tcp::socket s, ConnectionSlot, config::FastdfsClients clients,
                    config::TlsMode secured) -> Task<void> {
    Connection connection(std::move(s));
    const auto bytes = connection.peer_address().to_string();
    Session state(connection);
    state.allowed =
        clients != config::FastdfsClients::off && parts.config.allow_hosts.contains(bytes);
    if (clients == config::FastdfsClients::read_only) state.rights = auth::kFastdfsRead;
    const auto patience =
        state.allowed ? std::chrono::milliseconds(parts.config.connect_timeout) : kStrangerTlsMax;
    Status ended = co_await begin_tls(connection, secured, parts.tls.frames, patience);
    if (ended)
      ended = co_await serve(*parts.context, handler_table(), parts.session_options, state);
    if (ended.code() != Errc::closed)
      spdlog::debug("session ended peer={} cause={}", connection.peer(), ended.error().text());
    connection.close();
  };
  spawn(executor, session(*this, std::move(socket), std::move(slot), mode, tls_mode),
        "storage.session");
}

void StorageServer::Parts::accept_http(tcp::socket socket, ConnectionSlot slot) {
  auto executor = socket.get_executor();
  auto session = [](Parts& parts, tcp::socket s, ConnectionSlot) -> Task<void> {
    Connection connection(std::move(s));
    const Status begun = co_await begin_tls(connection, parts.config.http_tls, parts.tls.http,
                                            parts.http_options.header_timeout);
    if (begun)
      co_await serve_http(connection, parts.http_handler, parts.http_options);
    else if (begun.code() != Errc::closed)
      spdlog::debug("http session refused cause={}", begun.error().text());
    connection.close();
  };
  spawn(executor, session(*this, std::move(socket), std::move(slot)), "storage.http");
}

// The keys as a tracker told them; kept for a start without trackers if nobody can read them there.
void StorageServer::Parts::take_access_keys(const wire::Bytes& sealed) {
  const auto secrets = secret->get();
  auto table = auth::unseal_keys(sealed, *secrets);
  if (!table) {
    spdlog::warn("access keys of a tracker are not taken: {}", table.error().text());
    return;
  }
  const std::uint64_t version = table->version;
  if (!keys.take(*std::move(table))) return;
  spdlog::info("access keys taken version={} keys={}", version, keys.size());
  if (secrets->empty()) return;
  if (Status kept = durable_write_file(access_keys_file(), wire::as_text(sealed)); !kept)
    spdlog::warn("access keys are not kept on disk: {}", kept.error().text());
}

Task<void> StorageServer::Parts::watch_disks() {
  asio::steady_timer timer(co_await asio::this_coro::executor);
  for (;;) {
    timer.expires_after(kUsageInterval);
    auto [error] = co_await timer.async_wait(as_result);
    if (error) co_return;
    store->refresh_usage();
  }
}

// Whether the node was a member once and has not been one for longer than deletes are remembered.
bool StorageServer::Parts::was_away_too_long() const {
  const std::uint64_t seen = LastSeen(config.base_path).read();
  const auto retention = static_cast<std::uint64_t>(config.tombstone_retention.count());
  const bool is_so = seen != 0 && unix_seconds() > seen + retention;
  if (is_so)
    spdlog::warn(
        "away for {} s, longer than deletes are remembered: files that no member has any "
        "more are moved to data/.returned/ first",
        unix_seconds() - seen);
  return is_so;
}

// Keeps the time when this node was last a running member.
Task<void> StorageServer::Parts::note_presence() {
  asio::steady_timer timer(co_await asio::this_coro::executor);
  const LastSeen last_seen(config.base_path);
  for (;;) {
    // Not before the check after an absence is done: serving says so.
    if (is_serving && link->joined()) {
      if (auto written = last_seen.write(unix_seconds()); !written)
        spdlog::warn("time of presence is not kept: {}", written.error().text());
    }
    timer.expires_after(kPresenceInterval);
    auto [error] = co_await timer.async_wait(as_result);
    if (error) co_return;
  }
}

// Removes what has been in the trash for trash_days.
Task<void> StorageServer::Parts::empty_trash() {
  asio::steady_timer timer(co_await asio::this_coro::executor);
  for (;;) {
    const std::uint64_t kept = std::uint64_t{config.trash_days} * 86'400;
    auto work = [this, before = unix_seconds() - kept] { return store->empty_trash(before); };
    if (const std::uint64_t gone = co_await store->pool(0).run(std::move(work)); gone > 0)
      spdlog::info("files in the trash have expired files={}", gone);
    timer.expires_after(kTrashInterval);
    auto [error] = co_await timer.async_wait(as_result);
    if (error) co_return;
  }
}

void StorageServer::Parts::make_rules() {
  wire::Hello hello;
  hello.role = wire::Role::storage;
  hello.uuid = uuid;
  hello.group = config.group_name;
  asio::io_context& loop = background.at(0);
  rules = std::make_unique<LiveRules>(loop, config, std::move(hello), credentials());
  keeper = std::make_unique<StoreKeeper>(*context);
  origins = std::make_unique<Origins>(loop, *rules, *keeper);
  shadow = std::make_unique<Shadow>(loop);
  http->add_before_ids(std::make_unique<RulesResolver>(RulesParts{
      .config = config,
      .types = http->types(),
      .files = *files,
      .peers = *peers,
      .live = *rules,
      .origins = *origins,
      .shadow = *shadow,
      .without_rules =
          [this](ResolvedUrl url) { return http->answer_without_rules(std::move(url)); },
      .exports = [this](ResolvedUrl url) { return http->answer_exports(std::move(url)); },
  }));
  rules->load_copy();
}

StorageServer::StorageServer(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}

StorageServer::~StorageServer() {
  stop();
}

Result<std::unique_ptr<StorageServer>> StorageServer::open(config::StorageConfig config) {
  // Everything that may refuse before anything is touched.
  CAIRN_RETURN_IF_ERROR(check_base_path(config.base_path));
  CAIRN_RETURN_IF_ERROR(Listener::probe(config.bind_addr, config.port));
  if (config.http_port != 0)
    CAIRN_RETURN_IF_ERROR(Listener::probe(config.http_bind_addr, config.http_port));
  for (const config::ListenerConfig& one : config.listeners)
    CAIRN_RETURN_IF_ERROR(Listener::probe({one.host}, one.port));
  CAIRN_TRY(secret, auth::ClusterSecret::open(config.cluster_secret_file));
  CAIRN_RETURN_IF_ERROR(Store::check_paths(config));
  CAIRN_TRY(tls, DaemonTls::open(config));
  for (const std::string& line : tls.warnings()) spdlog::warn("{}", line);
  CAIRN_TRY(lock, DataLock::take(config.base_path));
  auto parts = std::make_unique<Parts>(std::move(config), std::move(lock), std::move(tls));
  Parts& p = *parts;
  p.secret = std::move(secret);
  p.names.look_up();
  CAIRN_RETURN_IF_ERROR(p.listen());

  CAIRN_TRY(changed, changed_paths(p.config));
  CAIRN_TRY(uuid, node_uuid(p.config.base_path));
  p.uuid = std::move(uuid);
  if (const auto kept = read_small_file(p.access_keys_file(), kKeysFileMax); kept)
    p.take_access_keys(wire::to_bytes(*kept));
  CAIRN_TRY(audit, auth::AuditLog::open(auth::AuditLog::directory_of(p.config.base_path)));
  p.audit = std::move(audit);
  CAIRN_TRY(store, Store::open(p.config));
  p.store = std::move(store);
  p.store->sweep();
  BinlogOptions log_options;
  log_options.segment_size = p.config.binlog_segment_size;
  log_options.durable = p.config.durability == config::Durability::durable;
  log_options.journal_size = p.config.journal_size;
  log_options.sync_files = [raw = p.store.get()] { return raw->sync_files(); };
  log_options.restore = [raw = p.store.get()](const LogRecord& record, wire::View content) {
    return raw->restore(record, content);
  };
  CAIRN_TRY(binlog, Binlog::open(p.config.base_path / "data" / "binlog", std::move(log_options)));
  p.binlog = std::move(binlog);
  p.store->attach(*p.binlog);
  p.peers = std::make_unique<Peers>(p.uuid, p.config.group_name);
  CAIRN_TRY(sync,
            SyncService::open(p.config, p.uuid, *p.store, *p.binlog, *p.peers, p.credentials()));
  p.sync = std::move(sync);
  if (!changed.empty()) {
    for (const std::uint8_t index : changed)
      spdlog::warn("store path was replaced, its files come from the peers path={}",
                   p.config.store_paths[index].path.string());
    CAIRN_RETURN_IF_ERROR(p.sync->begin_anew(changed));
  }
  CAIRN_RETURN_IF_ERROR(mark_paths(p.config));

  wire::Hello introduction;
  introduction.role = wire::Role::storage;
  introduction.uuid = p.uuid;
  introduction.group = p.config.group_name;
  p.integrity = std::make_unique<Integrity>(p.config, std::move(introduction), p.credentials(),
                                            *p.store, *p.binlog, p.sync->catalogue(), *p.peers);

  p.context.reset(new Context{
      .config = p.config,
      .uuid = p.uuid,
      .store = *p.store,
      .binlog = *p.binlog,
      .peers = *p.peers,
      .sync = *p.sync,
      .remote = []() -> Remote& { return *remote_of_this_thread; },
      .gate = {*p.secret, p.keys},
      .audit = *p.audit,
      .status_json = [&p] { return p.status->json(); },
      .seen_elsewhere =
          [&p](const RemoteName& name) {
            p.integrity->repairer().submit(name, Repairer::Cause::seen_elsewhere, "");
          },
      .repair = [&p](RemoteName name) { return p.integrity->repair(std::move(name)); },
      .rules_json = [&p] { return rules_status(*p.rules, *p.origins, *p.shadow); },
  });
  p.files = std::make_unique<StoreFiles>(*p.context);
  p.status = std::make_unique<NodeStatus>(*p.context, *p.integrity, p.frame_gauge, p.http_gauge);
  AdminCallbacks admin;
  admin.failing_checks = [&p] { return p.status->failing_checks(); };
  admin.metrics = [&p](MetricsText& out) -> Task<void> {
    p.status->metrics(out);
    p.http->metrics().write(out);
    write_rules_metrics(*p.rules, *p.origins, *p.shadow, out);
    if (const std::int64_t expires = p.tls.expires(); expires != 0) {
      out.family("cairn_tls_certificate_expires_seconds", "gauge",
                 "When the certificate of this node expires, unix time.");
      out.sample(static_cast<std::uint64_t>(expires));
    }
    co_return;
  };
  admin.status = [&p]() -> Task<std::string> { co_return p.status->json(); };
  CAIRN_TRY(http, FileService::make(p.config, *p.files, std::move(admin)));
  p.http = std::move(http);
  p.context->fronts = &p.http->fronts();
  p.guard = std::make_unique<HttpGuard>(p.config, p.keys, p.limiter);
  p.http->set_guard(*p.guard);
  p.http->add_before_ids(std::make_unique<HttpChanges>(*p.context, *p.guard));
  auto exports = std::make_unique<ExportResolver>(*p.context, *p.guard, *p.files, p.http->types());
  p.http->add_after_ids(std::make_unique<PathChanges>(*p.context, *p.guard, *exports));
  p.http->add_after_ids(std::move(exports));
  p.make_rules();
  p.http_handler = p.http->handler();
  p.http_options = p.http->options(&p.store->read_pool(0));
  p.http_options.stopping = &p.closing;
  p.http_options.busy = &p.busy;
  p.session_options.io_timeout = p.config.network_timeout;
  p.session_options.close_on_invalid = true;
  p.session_options.stopping = &p.closing;
  p.session_options.busy = &p.busy;
  // Most clients read an answer only after all of their upload: throwing the rest of an image away
  // costs less than a connection and a riddle.
  p.session_options.drain_max = 16 << 20;
  p.session_options.memory = &p.context->memory;
  p.session_options.keys = &p.keys;
  p.session_options.key_limits = &p.limiter;
  return std::unique_ptr<StorageServer>(new StorageServer(std::move(parts)));
}

Status StorageServer::start() {
  Parts& p = *parts_;
  LinkCallbacks callbacks;
  callbacks.fill = [&p](wire::Heartbeat& heartbeat) { p.status->fill(heartbeat); };
  callbacks.on_id = [&p](std::uint32_t id) { p.store->set_node_id(id); };
  callbacks.on_access_keys = [&p](const wire::Bytes& sealed) { p.take_access_keys(sealed); };
  callbacks.credentials = p.credentials();
  p.link = std::make_unique<TrackerLink>(p.background.at(0), p.config, p.uuid, *p.peers,
                                         std::move(callbacks));
  p.status->set_link(p.link.get());
  p.sync->on_change([&p] { p.link->nudge(); });
  p.started = true;
  CAIRN_RETURN_IF_ERROR(p.link->start());
  const std::filesystem::path clean = clean_stop_mark(p.config);
  if (std::filesystem::exists(clean)) {
    std::filesystem::remove(clean);
    p.binlog->recovered();
  } else if (p.store->node_id() != 0) {
    CAIRN_TRY(logged, p.store->recover_after_crash());
    if (logged > 0) CAIRN_RETURN_IF_ERROR(p.binlog->commit_blocking(p.binlog->end_seq()));
  }

  wire::Hello hello;
  hello.role = wire::Role::storage;
  hello.uuid = p.uuid;
  hello.group = p.config.group_name;
  for (std::size_t i = 0; i < p.io.size(); ++i) {
    p.remotes.push_back(std::make_unique<Remote>(
        *p.peers, hello, p.credentials(), p.config.connect_timeout, p.config.network_timeout));
    asio::post(p.io.at(i), [remote = p.remotes.back().get()] { remote_of_this_thread = remote; });
  }
  spawn(p.background.at(0).get_executor(), p.watch_disks(), "storage.disks");
  spawn(p.background.at(0).get_executor(), p.note_presence(), "storage.presence");
  spawn(p.background.at(0).get_executor(), p.empty_trash(), "storage.trash");
  p.rules->start();
  p.io.start();
  p.background.start();
  if (p.was_away_too_long()) {
    // Deletes may have been forgotten by now: nothing is served or sent before that is known.
    p.sync->start_catalogue();
    p.integrity->start_with_return_check(p.sync->acked_by_any(), [&p] {
      if (auto served = p.begin_serving(); !served)
        spdlog::error("cannot serve: {}", served.error().text());
    });
    return Status();
  }
  CAIRN_RETURN_IF_ERROR(p.begin_serving());
  p.integrity->start();
  return Status();
}

// Sends to peers and takes requests, from now on.
Status StorageServer::Parts::begin_serving() {
  Parts& p = *this;
  CAIRN_RETURN_IF_ERROR(p.sync->start());
  p.front.start();
  p.frame_listener.start();
  for (auto& listener : p.more_listeners) listener->start();
  if (p.config.http_port != 0) p.http_listener.start();
  p.names.start();
  p.is_serving = true;
  spdlog::info("serving group={} port={} http_port={} paths={} durability={}", p.config.group_name,
               p.config.port, p.config.http_port, p.store->path_count(),
               p.config.durability == config::Durability::durable ? "durable" : "relaxed");
  return Status();
}

Status StorageServer::reload_secrets() {
  CAIRN_RETURN_IF_ERROR(parts_->secret->reload());
  return parts_->tls.reload();
}

void StorageServer::refresh_names() {
  parts_->names.refresh();
}

void StorageServer::stop() {
  Parts& p = *parts_;
  if (!p.started) return;
  p.started = false;
  // No changes from here on, and no new uploads are sent to us; reads go on.
  p.context->stopping = true;
  p.link->nudge();
  // What the peers that can be reached still lack they get first: nobody else has it while we are
  // away.
  auto until = std::chrono::steady_clock::now() + kSyncDrainMax;
  // A peer that has just come back is not connected yet; a dead one is not waited for long.
  const auto patience = std::chrono::steady_clock::now() + kReconnectMax;
  const auto behind = [&p, patience] {
    const bool wait_for_all = std::chrono::steady_clock::now() < patience;
    const auto peers = p.sync->peers_report();
    return std::any_of(peers.begin(), peers.end(), [wait_for_all](const wire::PeerSync& peer) {
      return peer.backlog_files > 0 && (wait_for_all || peer.phase == wire::SyncPhase::tail);
    });
  };
  while ((p.busy > 0 || behind()) && std::chrono::steady_clock::now() < until)
    std::this_thread::sleep_for(kDrainPoll);
  p.closing = true;
  p.frame_listener.stop();
  for (auto& listener : p.more_listeners) listener->stop();
  p.http_listener.stop();
  until = std::chrono::steady_clock::now() + kDrainMax;
  while (p.busy > 0 && std::chrono::steady_clock::now() < until)
    std::this_thread::sleep_for(kDrainPoll);
  p.integrity->stop();
  p.sync->stop();
  p.link->stop();
  p.front.stop();
  p.rules->stop();
  p.io.stop();
  // Their idle connections belong to the contexts, which go before them.
  for (auto& remote : p.remotes) remote->pool().close();
  p.background.stop();
  p.names.stop();
  p.rules->close();
  if (auto committed = p.binlog->commit_blocking(p.binlog->end_seq()); !committed)
    spdlog::error("stopping: {}", committed.error().text());
  else if (auto marked = durable_write_file(clean_stop_mark(p.config), "clean\n"); !marked)
    spdlog::warn("stopping: {}", marked.error().text());
  // Their jobs refer to coroutines that go with their contexts.
  p.store->drain();
  spdlog::info("stopped");
}

} // namespace cairn::storage
