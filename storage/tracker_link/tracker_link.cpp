// The loops of the tracker link.
//
//   connect -> hello -> join -> heartbeat, heartbeat, … -> (any failure) -> pause -> connect
//                        ^-- not_found: the tracker has forgotten us --'
#include "storage/tracker_link/tracker_link.h"

#include "common/base/text.h"
#include "common/daemon/log.h"
#include "common/net/frame_client.h"
#include "storage/tracker_link/node_id.h"
#include "storage/tracker_link/view_merge.h"

#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>

#include <algorithm>
#include <atomic>
#include <mutex>
#include <utility>

namespace cairn::storage {

namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr milliseconds kPauseMin{200};
constexpr milliseconds kPauseMax{2000};
// Between two heartbeats on one connection, however often we are nudged.
constexpr milliseconds kHeartbeatGap{50};
// A tracker answers from memory or after one durable write: longer, and it is as good as gone.
constexpr milliseconds kAnswerMax{10'000};
// Conflicting IDs tried on one connection before a pause; a conflict is one in millions.
constexpr int kIdTries = 100;

spdlog::logger& log() {
  static spdlog::logger& instance = logger("storage.tracker_link");
  return instance;
}

std::uint8_t number(wire::NativeCommand command) {
  return static_cast<std::uint8_t>(command);
}

// Up to a quarter more or less, so that the nodes of a cluster do not come back in step.
milliseconds with_jitter(milliseconds time) {
  const auto quarter = static_cast<std::uint64_t>(time.count()) / 4;
  return time - milliseconds(quarter) + milliseconds(random_u64() % (2 * quarter + 1));
}

std::string local_address(const tcp::socket& socket) {
  boost::system::error_code error;
  auto address = socket.local_endpoint(error).address();
  if (error) return {};
  if (address.is_v6() && address.to_v6().is_v4_mapped())
    address = asio::ip::make_address_v4(asio::ip::v4_mapped, address.to_v6());
  return address.to_string();
}

} // namespace

std::string configured_address(const config::StorageConfig& config) {
  if (!config.advertise_addr.empty()) return config.advertise_addr;
  if (config.bind_addr.size() != 1) return {};
  boost::system::error_code not_numeric;
  const auto address = asio::ip::make_address(config.bind_addr.front(), not_numeric);
  if (not_numeric || address.is_unspecified()) return {};
  return config.bind_addr.front();
}

// Everything but the atomics and `status` is touched on the context's thread only.
class TrackerLink::Loops : public std::enable_shared_from_this<TrackerLink::Loops> {
public:
  Loops(asio::io_context& context, const config::StorageConfig& config, std::string uuid,
        Peers& peers, LinkCallbacks callbacks)
      : context_(context),
        config_(config),
        uuid_(std::move(uuid)),
        peers_(peers),
        callbacks_(std::move(callbacks)),
        answer_timeout_(std::min<milliseconds>(config.network_timeout, kAnswerMax)),
        start_time_(std::chrono::system_clock::now()),
        views_(config.trackers.size()) {
    for (std::size_t i = 0; i < config.trackers.size(); ++i) {
      trackers_.push_back(std::make_unique<Tracker>(context, config.trackers[i], i));
      reports_.push_back(
          {config.trackers[i].text(), false, wire::NodeState::init, {}, start_time_});
    }
  }

  Status start() {
    CAIRN_TRY(known, load_node_id(config_.base_path));
    if (known && config_.server_id != 0 && config_.server_id != *known)
      return Error{Errc::invalid_argument,
                   "server_id = " + std::to_string(config_.server_id) +
                       ", but this node has joined as " + std::to_string(*known) +
                       ", which stands in the names of its files: set server_id to that"};
    if (known)
      settle(*known);
    else
      candidate_ = config_.server_id != 0 ? config_.server_id : derived_node_id(uuid_);
    for (auto& tracker : trackers_)
      spawn(context_.get_executor(), run(shared_from_this(), *tracker), "storage.tracker_link");
    return Status();
  }

  void stop() {
    asio::post(context_, [self = shared_from_this()] {
      self->stopping_ = true;
      for (auto& tracker : self->trackers_) {
        tracker->timer.cancel();
        if (tracker->client) tracker->client->connection().close();
      }
    });
  }

  void nudge() {
    if (nudged_.exchange(true)) return;
    asio::post(context_, [self = shared_from_this()] {
      self->nudged_ = false;
      for (auto& tracker : self->trackers_) {
        tracker->nudged = true;
        tracker->timer.cancel();
      }
    });
  }

  wire::NodeState state() const { return state_; }
  bool joined() const { return joined_count_ > 0; }
  std::optional<std::uint32_t> id() const {
    const std::uint32_t id = id_;
    return id == 0 ? std::nullopt : std::optional(id);
  }
  std::vector<TrackerStatus> status() const {
    const std::lock_guard lock(mutex_);
    return reports_;
  }

private:
  struct Tracker {
    Tracker(asio::io_context& context, const config::TrackerAddress& where, std::size_t position)
        : address(where), index(position), timer(context) {}

    const config::TrackerAddress& address;
    const std::size_t index;
    asio::steady_timer timer; // the loop's sleep, cut short by nudge() and stop()
    std::unique_ptr<FrameClient> client;
    bool is_joined = false;
    bool is_told = false; // our address, on this connection
    bool nudged = false;
    std::uint64_t view_version = 0; // of this tracker
    Clock::time_point last_heartbeat;
    std::string logged; // the failure last logged: a lasting one is logged once
  };

  // `self` keeps everything alive while the loop runs.
  static Task<void> run(std::shared_ptr<Loops> self, Tracker& tracker) {
    milliseconds pause = kPauseMin;
    while (!self->stopping_) {
      const Status ended = co_await self->session(tracker);
      tracker.client.reset();
      tracker.is_told = false;
      if (tracker.is_joined) pause = kPauseMin;
      self->note_end(tracker, ended);
      const auto until = Clock::now() + with_jitter(pause);
      while (!self->stopping_ && Clock::now() < until) co_await sleep_until(tracker, until);
      pause = std::min(pause * 2, kPauseMax);
    }
  }

  // May end early: callers look at their reason to wake.
  static Task<void> sleep_until(Tracker& tracker, Clock::time_point time) {
    tracker.timer.expires_at(time);
    [[maybe_unused]] auto outcome = co_await tracker.timer.async_wait(as_result);
  }

  // One connection, until it fails.
  Task<Status> session(Tracker& tracker) {
    CAIRN_CO_RETURN_IF_ERROR(co_await connect(tracker));
    CAIRN_CO_RETURN_IF_ERROR(co_await join(tracker));
    for (;;) {
      co_await wait_for_heartbeat(tracker);
      if (stopping_) co_return Error{Errc::closed, "stopping"};
      auto reply = co_await send_heartbeat(tracker);
      if (reply.code() == Errc::not_found && tracker.client->is_usable()) {
        log().info("tracker does not know us, joining again tracker={}", tracker.address.text());
        CAIRN_CO_RETURN_IF_ERROR(co_await join(tracker));
        continue;
      }
      if (!reply) co_return std::move(reply).error();
      if (reply->has_view) CAIRN_CO_RETURN_IF_ERROR(take_view(tracker, std::move(reply->view)));
      note_state(tracker, reply->state);
    }
  }

  // Connects to the first of the tracker's addresses that answers, and says hello.
  Task<Status> connect(Tracker& tracker) {
    Error failure{Errc::not_found, "no address"};
    for (const std::string& host : tracker.address.hosts) {
      Endpoint endpoint{host, tracker.address.port};
      auto client = co_await FrameClient::connect(std::move(endpoint), config_.connect_timeout,
                                                  callbacks_.credentials.tls);
      if (stopping_) co_return Error{Errc::closed, "stopping"};
      if (!client) {
        failure = std::move(client).error();
        continue;
      }
      tracker.client = *std::move(client);
      wire::Hello hello;
      hello.role = wire::Role::storage;
      hello.uuid = uuid_;
      hello.node_id = id_;
      hello.group = config_.group_name;
      auto reply =
          co_await tracker.client->hello(std::move(hello), callbacks_.credentials, answer_timeout_);
      if (reply) co_return Status();
      failure = std::move(reply).error();
    }
    co_return failure;
  }

  Task<Status> join(Tracker& tracker) {
    set_joined(tracker, false);
    // While no tracker has accepted an ID, one join is under way at a time: two trackers must not
    // accept two different ones.
    while (id_ == 0 && choosing_) {
      co_await sleep_until(tracker, Clock::now() + kHeartbeatGap);
      if (stopping_) co_return Error{Errc::closed, "stopping"};
    }
    const bool chooses = id_ == 0;
    if (chooses) choosing_ = true;
    const Status outcome = co_await join_as_chosen(tracker, chooses);
    if (chooses) choosing_ = false;
    co_return outcome;
  }

  Task<Status> join_as_chosen(Tracker& tracker, bool chooses) {
    const bool is_derived = chooses && config_.server_id == 0;
    if (is_derived) CAIRN_CO_RETURN_IF_ERROR(co_await recall_id(tracker));
    for (int tries = 0;; ++tries) {
      const wire::Join request = make_join(tracker);
      const wire::Bytes body = wire::encode(request);
      auto bytes =
          co_await tracker.client->call(number(wire::NativeCommand::join), body, answer_timeout_);
      if (bytes) {
        CAIRN_CO_TRY(reply, wire::decode_lenient<wire::JoinReply>(*bytes));
        co_return accept(tracker, request.id, std::move(reply));
      }
      if (bytes.code() != Errc::exists) co_return std::move(bytes).error();
      if (!is_derived)
        co_return Error{Errc::exists, "storage ID " + std::to_string(request.id) +
                                          " belongs to another node" +
                                          (chooses ? ": choose another server_id" : "")};
      candidate_ = next_derived_id(request.id);
      log().info("storage ID is taken id={} next={}", request.id, candidate_);
      if (tries == kIdTries) co_return std::move(bytes).error();
    }
  }

  // A node that has lost data/node.id, or crashed before it was written, is known to the trackers
  // by its UUID: its files carry that ID.
  Task<Status> recall_id(Tracker& tracker) {
    const wire::Bytes body = wire::encode(wire::ViewRequest());
    auto bytes = co_await tracker.client->call(number(wire::NativeCommand::cluster_view), body,
                                               answer_timeout_);
    if (!bytes && !tracker.client->is_usable()) co_return std::move(bytes).error();
    if (!bytes) co_return Status(); // it knows no nodes yet
    CAIRN_CO_TRY(view, wire::decode_lenient<wire::ClusterView>(*bytes));
    for (const wire::NodeView& node : view.nodes) {
      if (node.uuid == uuid_ && node.id != 0) candidate_ = node.id;
    }
    co_return Status();
  }

  wire::Join make_join(Tracker& tracker) {
    wire::Heartbeat current;
    callbacks_.fill(current);
    wire::Join join;
    join.uuid = uuid_;
    join.id = id_ != 0 ? id_.load() : candidate_;
    join.group = config_.group_name;
    join.host = advertised_address(tracker);
    join.port = config_.port;
    join.http_port = config_.http_port;
    join.store_path_count = static_cast<std::uint16_t>(config_.store_paths.size());
    join.subdir_count = static_cast<std::uint16_t>(config_.subdir_count_per_path);
    join.upload_priority = config_.upload_priority;
    join.start_time = static_cast<std::uint64_t>(
        std::chrono::duration_cast<std::chrono::seconds>(start_time_.time_since_epoch()).count());
    join.program_version = CAIRN_VERSION;
    join.has_files = current.file_count > 0;
    return join;
  }

  // The same for all trackers, even where this machine reaches them over different networks: the
  // address is taken from a connection only while no connected tracker has been told one.
  std::string advertised_address(Tracker& tracker) {
    const std::string configured = configured_address(config_);
    if (!configured.empty()) return configured;
    const bool any_told = std::any_of(trackers_.begin(), trackers_.end(),
                                      [](const auto& other) { return other->is_told; });
    if (!any_told) advertised_ = local_address(tracker.client->connection().socket());
    tracker.is_told = true;
    return advertised_;
  }

  Status accept(Tracker& tracker, std::uint32_t id, wire::JoinReply reply) {
    for (const wire::NodeView& node : reply.view.nodes) {
      if (node.uuid == uuid_ && node.id != id)
        return Error{Errc::exists, "knows this node by storage ID " + std::to_string(node.id) +
                                       ", not " + std::to_string(id)};
    }
    if (id_ == 0) {
      // Once in a node's life, so the loop may wait for the disk. Before anybody uses the ID:
      // after a crash the node must come back under the same one.
      CAIRN_RETURN_IF_ERROR(store_node_id(config_.base_path, id));
      settle(id);
    }
    CAIRN_RETURN_IF_ERROR(take_view(tracker, std::move(reply.view)));
    set_joined(tracker, true);
    note_state(tracker, reply.state);
    tracker.logged.clear();
    tracker.last_heartbeat = Clock::now() - config_.heart_beat_interval; // the first one is due
    log().info("joined tracker={} id={} group={} host={} state={}", tracker.address.text(), id,
               config_.group_name, advertised_address(tracker), static_cast<unsigned>(reply.state));
    return Status();
  }

  void settle(std::uint32_t id) {
    id_ = id;
    callbacks_.on_id(id);
  }

  Task<void> wait_for_heartbeat(Tracker& tracker) {
    for (;;) {
      const auto due = tracker.last_heartbeat +
                       (tracker.nudged ? kHeartbeatGap : milliseconds(config_.heart_beat_interval));
      if (stopping_ || Clock::now() >= due) break;
      co_await sleep_until(tracker, due);
    }
    tracker.nudged = false;
  }

  Task<Result<wire::HeartbeatReply>> send_heartbeat(Tracker& tracker) {
    tracker.last_heartbeat = Clock::now();
    wire::Heartbeat heartbeat;
    callbacks_.fill(heartbeat);
    heartbeat.uuid = uuid_;
    heartbeat.id = id_;
    heartbeat.group = config_.group_name;
    heartbeat.known_view = tracker.view_version;
    const wire::Bytes body = wire::encode(heartbeat);
    CAIRN_CO_TRY(bytes, co_await tracker.client->call(number(wire::NativeCommand::heartbeat), body,
                                                      answer_timeout_));
    co_return wire::decode_lenient<wire::HeartbeatReply>(bytes);
  }

  Status take_view(Tracker& tracker, wire::ClusterView view) {
    const std::uint64_t version = view.version;
    if (callbacks_.on_access_keys && !view.access_keys.empty())
      callbacks_.on_access_keys(std::exchange(view.access_keys, {}));
    CAIRN_RETURN_IF_ERROR(views_.take(tracker.index, std::move(view)));
    tracker.view_version = version;
    peers_.update(views_.merged());
    return Status();
  }

  void set_joined(Tracker& tracker, bool joined) {
    if (tracker.is_joined == joined) return;
    tracker.is_joined = joined;
    joined_count_ += joined ? 1 : -1;
    const std::lock_guard lock(mutex_);
    reports_[tracker.index].connected = joined;
    reports_[tracker.index].since = std::chrono::system_clock::now();
  }

  void note_state(Tracker& tracker, wire::NodeState said) {
    const std::lock_guard lock(mutex_);
    reports_[tracker.index].state = said;
    update_state();
  }

  // With mutex_ held.
  void update_state() {
    std::optional<wire::NodeState> best;
    for (const TrackerStatus& one : reports_) {
      if (!one.connected && one.state != wire::NodeState::deleted) continue;
      best = best ? better_state(*best, one.state) : one.state;
    }
    if (best) state_ = *best;
  }

  // A session has ended: what it said of others counts no longer, as long as another tracker
  // speaks.
  void note_end(Tracker& tracker, const Status& ended) {
    const bool was_joined = tracker.is_joined;
    set_joined(tracker, false);
    views_.disconnect(tracker.index);
    if (stopping_) return;
    if (joined_count_ > 0) peers_.update(views_.merged());
    const std::string text = ended.error().text();
    {
      const std::lock_guard lock(mutex_);
      reports_[tracker.index].last_error = text;
      update_state();
    }
    if (tracker.logged == text) return;
    tracker.logged = text;
    // A tracker that refuses us needs an operator; one that is away comes back by itself.
    const Errc code = ended.code();
    const bool is_away = code == Errc::closed || code == Errc::timeout || code == Errc::unavailable;
    if (is_away)
      log().warn("{} tracker={} error=\"{}\"", was_joined ? "lost tracker" : "cannot reach tracker",
                 tracker.address.text(), text);
    else
      log().error("tracker refuses us tracker={} error=\"{}\"", tracker.address.text(), text);
  }

  asio::io_context& context_;
  const config::StorageConfig& config_;
  const std::string uuid_;
  Peers& peers_;
  const LinkCallbacks callbacks_;
  const milliseconds answer_timeout_;
  const std::chrono::system_clock::time_point start_time_;

  std::vector<std::unique_ptr<Tracker>> trackers_;
  ViewMerge views_;
  std::uint32_t candidate_ = 0; // the ID to ask for next, while id_ is 0
  bool choosing_ = false;       // a join with candidate_ is under way
  std::string advertised_;      // taken from a connection
  bool stopping_ = false;

  std::atomic<std::uint32_t> id_{0}; // 0: not certain yet
  std::atomic<int> joined_count_{0};
  std::atomic<wire::NodeState> state_{wire::NodeState::init};
  std::atomic<bool> nudged_{false}; // a nudge is posted
  mutable std::mutex mutex_;        // guards reports_
  std::vector<TrackerStatus> reports_;
};

TrackerLink::TrackerLink(asio::io_context& context, const config::StorageConfig& config,
                         std::string uuid, Peers& peers, LinkCallbacks callbacks)
    : loops_(
          std::make_shared<Loops>(context, config, std::move(uuid), peers, std::move(callbacks))) {}

TrackerLink::~TrackerLink() {
  loops_->stop();
}

Status TrackerLink::start() {
  return loops_->start();
}
void TrackerLink::stop() {
  loops_->stop();
}
void TrackerLink::nudge() {
  loops_->nudge();
}
wire::NodeState TrackerLink::state() const {
  return loops_->state();
}
bool TrackerLink::joined() const {
  return loops_->joined();
}
std::optional<std::uint32_t> TrackerLink::id() const {
  return loops_->id();
}
std::vector<TrackerStatus> TrackerLink::status() const {
  return loops_->status();
}

} // namespace cairn::storage
