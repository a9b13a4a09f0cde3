// The coroutines of one peer's stream.
#include "storage/sync/sender.h"

#include "common/base/text.h"
#include "common/daemon/log.h"
#include "storage/sync/small_file.h"

#include <boost/asio/this_coro.hpp>

#include <algorithm>

namespace cairn::storage {

namespace {

using Clock = std::chrono::steady_clock;

constexpr std::chrono::milliseconds kRetryMin{100};
constexpr std::chrono::milliseconds kRetryMax{2'000};
constexpr std::chrono::milliseconds kKeepAlive{1'000};
constexpr std::chrono::milliseconds kSaveInterval{1'000};
constexpr std::chrono::milliseconds kCataloguePause{200};

spdlog::logger& log() {
  static spdlog::logger& logger = cairn::logger("storage.sync");
  return logger;
}

UnixMs unix_ms() {
  return static_cast<UnixMs>(std::chrono::duration_cast<std::chrono::milliseconds>(
                                 std::chrono::system_clock::now().time_since_epoch())
                                 .count());
}

std::uint8_t number_of(wire::NativeCommand command) {
  return static_cast<std::uint8_t>(command);
}

} // namespace

Sender::Sender(asio::io_context& context, Store& store, Binlog& binlog, Catalogue& catalogue,
               wire::NodeView peer, SenderOptions options)
    : context_(context),
      binlog_(binlog),
      peer_id_(peer.id),
      peer_(std::move(peer)),
      options_(std::move(options)),
      state_(options_.limits, peer_.uuid, options_.log_id),
      source_(store, binlog, catalogue),
      bucket_(options_.bring_up_rate),
      wake_timer_(context),
      pool_("sync-" + std::to_string(peer_.id), 1) {
  if (auto bytes = read_small_file(options_.cursor_file)) {
    if (auto cursor = wire::decode_lenient<Cursor>(*bytes)) state_.restore(std::move(*cursor));
  } else if (bytes.code() != Errc::not_found) {
    log().warn("cursor is lost, the peer will tell its position peer={} error={}", peer_.id,
               bytes.error().text());
  }
  saved_changes_ = state_.changes();
  show();
}

void Sender::start() {
  spawn(context_.get_executor(), run(), "storage.sync.sender");
}

void Sender::wake() {
  woken_ = true;
  wake_timer_.cancel();
}

void Sender::move_to(const wire::NodeView& peer) {
  const bool moved = peer_.host != peer.host || peer_.port != peer.port;
  peer_ = peer;
  if (moved && client_ != nullptr) client_->connection().close();
  wake();
}

void Sender::request_stop() {
  stopping_ = true;
  if (options_.copies != nullptr) options_.copies->peer_gone(peer_id_);
  if (client_ != nullptr) client_->connection().close();
  wake();
}

bool Sender::has_ended() const {
  const std::lock_guard lock(shown_mutex_);
  return shown_.ended;
}

void Sender::wait() const {
  std::unique_lock lock(shown_mutex_);
  ended_.wait(lock, [this] { return shown_.ended; });
}

// Copies what others may see.
void Sender::show() {
  bool changed = false;
  {
    const std::lock_guard lock(shown_mutex_);
    changed = shown_.phase != state_.phase() || shown_.brought_up != state_.is_brought_up();
    shown_.phase = state_.phase();
    shown_.brought_up = state_.is_brought_up();
    shown_.position = state_.acked_position();
    shown_.oldest_missing = state_.oldest_missing();
    if (shown_.oldest_missing == 0) shown_.oldest_missing = backlog_since_;
    shown_.retries = state_.retries();
    shown_.dead_letters = state_.dead_letters();
    shown_.progress = source_progress_;
    shown_.bring_up_left_s = 0;
    if (state_.phase() == wire::SyncPhase::bring_up && source_progress_.done > 0 &&
        source_progress_.total > source_progress_.done) {
      const double spent = std::chrono::duration<double>(Clock::now() - bring_up_began_).count();
      const auto rest = static_cast<double>(source_progress_.total - source_progress_.done);
      shown_.bring_up_left_s = static_cast<std::uint32_t>(
          std::min(1e9, 1 + spent * rest / static_cast<double>(source_progress_.done)));
    }
    shown_.keep_after.reset();
    if (state_.phase() == wire::SyncPhase::bring_up)
      shown_.keep_after = done_position_.seq;
    else if (state_.is_brought_up())
      shown_.keep_after = state_.acked_position().seq;
  }
  if (options_.copies != nullptr && !stopping_)
    options_.copies->peer_has(peer_id_, {state_.phase() == wire::SyncPhase::tail,
                                         state_.acked_position().seq, state_.lacking()});
  if (changed && options_.changed) options_.changed();
}

wire::PeerSync Sender::report() const {
  Shown shown;
  {
    const std::lock_guard lock(shown_mutex_);
    shown = shown_;
  }
  wire::PeerSync report;
  report.peer_id = peer_id_;
  report.phase = shown.phase;
  report.brought_up = shown.brought_up;
  report.acked_seq = shown.position.seq;
  const auto behind = [](std::uint64_t now, std::uint64_t then) {
    return now > then ? now - then : 0;
  };
  report.backlog_files = behind(binlog_.own_files(), shown.position.own_files) + shown.retries;
  report.backlog_bytes = behind(binlog_.own_bytes(), shown.position.own_bytes);
  if (report.backlog_files != 0 && shown.oldest_missing != 0)
    report.lag_ms = behind(unix_ms(), shown.oldest_missing);
  report.bring_up_done = shown.progress.done;
  report.bring_up_total = shown.progress.total;
  report.bring_up_left_s = shown.bring_up_left_s;
  return report;
}

std::optional<std::uint64_t> Sender::keep_after() const {
  const std::lock_guard lock(shown_mutex_);
  return shown_.keep_after;
}

std::size_t Sender::dead_letters() const {
  const std::lock_guard lock(shown_mutex_);
  return shown_.dead_letters;
}

// Connects again and again until stopped.
Task<void> Sender::run() {
  std::chrono::milliseconds wait = kRetryMin;
  while (!stopping_) {
    const Clock::time_point began = Clock::now();
    const Status ended = co_await session();
    state_.disconnected();
    read_through_ = 0;
    co_await save_cursor(true);
    if (stopping_) break;
    if (ended.code() != last_failure_) {
      last_failure_ = ended.code();
      log().info("peer is not reached peer={} address={}:{} cause={}", peer_.id, peer_.host,
                 peer_.port, ended.error().text());
    }
    co_await look_at_backlog();
    show();
    wait = Clock::now() - began > kRetryMax ? kRetryMin : std::min(wait * 2, kRetryMax);
    // New changes do not make an absent peer come back sooner.
    const Clock::time_point until = Clock::now() + wait;
    while (!stopping_ && Clock::now() < until)
      co_await pause(std::chrono::duration_cast<std::chrono::milliseconds>(until - Clock::now()) +
                     std::chrono::milliseconds(1));
  }
  {
    const std::lock_guard lock(shown_mutex_);
    shown_.ended = true;
    // Inside the lock: whoever waits may destroy this as soon as it is released.
    ended_.notify_all();
  }
}

// One connection, from connect to its end. Never answers success but when stopped.
Task<Status> Sender::session() {
  const Endpoint endpoint{peer_.host, peer_.port};
  auto connected =
      co_await FrameClient::connect(endpoint, options_.connect_timeout, options_.credentials.tls);
  if (!connected) co_return std::move(connected).error();
  const std::unique_ptr<FrameClient> client = std::move(*connected);
  if (stopping_) co_return Status();
  client_ = client.get();
  Status status = co_await introduce(*client);
  if (status) {
    last_failure_ = Errc::ok;
    awaited_.clear();
    reader_ended_ = false;
    reader_status_ = Status();
    spawn(context_.get_executor(), read_answers(*client), "storage.sync.answers");
    status = co_await pump(*client);
    client->connection().close();
    while (!reader_ended_) co_await pause(kKeepAlive);
    if (!reader_status_ && reader_status_.code() != Errc::closed) status = reader_status_;
  }
  client_ = nullptr;
  client->connection().close();
  co_return status;
}

// Says hello on both levels and finds out where to begin.
Task<Status> Sender::introduce(FrameClient& client) {
  const GroupSnapshot group = options_.group_now();
  wire::Hello hello;
  hello.role = wire::Role::storage;
  hello.uuid = options_.own_uuid;
  hello.node_id = group.own_id;
  hello.group = options_.group;
  CAIRN_CO_TRY(
      who, co_await client.hello(std::move(hello), options_.credentials, options_.connect_timeout));
  if (who.uuid != peer_.uuid)
    co_return Error{Errc::invalid_argument, "another node answers at that address: " + who.uuid};

  wire::SyncHello request;
  request.source_id = group.own_id;
  request.source_uuid = options_.own_uuid;
  request.group = options_.group;
  request.log_id = options_.log_id;
  stream_ = request.stream = random_u64() | 1;
  const wire::Bytes body = wire::encode(request);
  CAIRN_CO_TRY(bytes, co_await client.call(number_of(wire::NativeCommand::sync_hello), body,
                                           options_.io_timeout));
  CAIRN_CO_TRY(reply, wire::decode_lenient<wire::SyncHelloReply>(bytes));

  auto from = state_.begin(reply, binlog_.begin_seq(), binlog_.end_seq());
  if (from && !force_bring_up_) {
    auto start = [this, seq = *from] { return source_.start_tail(seq); };
    auto position = co_await pool_.run(std::move(start));
    if (position) {
      state_.tail_from(*position);
      backlog_since_ = 0;
      log().info("peer follows peer={} position={} end={}", peer_.id, position->seq,
                 binlog_.end_seq());
      source_progress_ = {};
      show();
      co_return Status();
    }
    if (position.code() != Errc::not_found && position.code() != Errc::corrupt)
      co_return std::move(position).error();
  }
  force_bring_up_ = false;
  auto start = [this, group] { return source_.start_bring_up(group, peer_.id); };
  CAIRN_CO_TRY(end, co_await pool_.run(std::move(start)));
  done_position_ = end;
  bring_up_began_ = Clock::now();
  log().info("peer is brought up peer={} position={} known={}", peer_.id, reply.applied_seq,
             reply.known);
  show();
  co_return Status();
}

// Waits until woken, at most `time`.
Task<void> Sender::pause(std::chrono::milliseconds time) {
  if (!std::exchange(woken_, false)) {
    wake_timer_.expires_after(time);
    const auto ended = co_await wake_timer_.async_wait(as_result);
    (void)ended; // woken or over: the caller looks for itself
    woken_ = false;
  }
}

// Waits until woken or a retry is due; `now` is from before anything was looked at.
Task<void> Sender::pause_until_retry(UnixMs now) {
  std::chrono::milliseconds time = kKeepAlive;
  if (const auto next = state_.next_retry())
    time = std::min(time, std::chrono::milliseconds(*next > now ? *next - now + 1 : 1));
  co_await pause(time);
}

// Sends whatever may be sent, until the connection ends.
Task<Status> Sender::pump(FrameClient& client) {
  while (!stopping_ && !reader_ended_) {
    co_await save_cursor(false);
    // The clock of the wait begins before the question, so that nothing is slept through.
    const UnixMs now = unix_ms();
    auto plan = state_.plan(now);
    if (!plan) {
      co_await pause(kKeepAlive);
      continue;
    }
    if (options_.ahead) plan->ahead = options_.ahead();
    // Woken for an answer: no thread of the pool is woken just to find the log as it was.
    if (plan->retries.empty() && source_.has_nothing(binlog_.committed_seq(), plan->ahead) &&
        Clock::now() - last_sent_ < kKeepAlive) {
      show();
      co_await pause_until_retry(now);
      continue;
    }
    auto at_once = source_.next_cached(*plan);
    if (!at_once) {
      auto read = [this, wanted = std::move(*plan)] { return source_.next(wanted); };
      at_once = co_await pool_.run(std::move(read));
    }
    Result<Outgoing> out = *std::move(at_once);
    if (stopping_ || reader_ended_) break;
    if (out.code() == Errc::unavailable) {
      co_await pause(kCataloguePause);
      continue;
    }
    if (!out) {
      if (out.code() == Errc::not_found || out.code() == Errc::corrupt) {
        log().warn("the log lost changes that the peer may lack peer={} error={}", peer_.id,
                   out.error().text());
        force_bring_up_ = true;
      }
      co_return std::move(out).error();
    }
    read_through_ = source_.read_through();
    source_progress_ = source_.progress();
    note_failures(*out);
    const bool moved = out->moved;
    const bool idle = out->kind == Outgoing::Kind::nothing;
    if (idle && Clock::now() - last_sent_ >= kKeepAlive) out->kind = Outgoing::Kind::batch;
    if (out->kind != Outgoing::Kind::nothing)
      CAIRN_CO_RETURN_IF_ERROR(co_await send(client, std::move(*out)));
    show();
    if (!idle || moved) continue;

    co_await pause_until_retry(now);
  }
  co_return reader_status_ ? Error{Errc::closed, "stopped"} : reader_status_.error();
}

void Sender::note_failures(const Outgoing& out) {
  const UnixMs now = unix_ms();
  for (const FailedOp& failed : out.failed) {
    state_.failed_here(failed.op, failed.code, now);
    if (failed.op.retry_id == 0)
      log().error("change is not sent: the local copy cannot be read name={} peer={} error={}",
                  failed.op.change.name, peer_.id, Error(failed.code, failed.detail).text());
  }
  for (const std::uint64_t id : out.resolved) state_.resolved(id);
  for (const RetryItem& item : state_.take_new_dead_letters())
    log().error("change does not reach the peer, tried again every minute name={} peer={} error={}",
                item.change.name, peer_.id, describe(item.code));
}

Task<Status> Sender::send(FrameClient& client, Outgoing out) {
  wire::Bytes body;
  auto command = wire::NativeCommand::sync_batch;
  std::uint64_t content = 0;
  switch (out.kind) {
    case Outgoing::Kind::batch:
      content = out.sent.bytes;
      out.batch.stream = stream_;
      out.batch.number = state_.sent(std::move(out.sent));
      // What waits for a retry was made before that time and is not there.
      if (state_.retries() > 0) out.batch.complete_until = 0;
      body = wire::encode(out.batch);
      awaited_.push_back(Awaited::batch);
      break;
    case Outgoing::Kind::have:
      command = wire::NativeCommand::sync_have;
      out.have.stream = stream_;
      body = wire::encode(out.have);
      state_.question_sent();
      awaited_.push_back(Awaited::have);
      break;
    case Outgoing::Kind::done:
      // The peer keeps this position: everything before it must be there.
      while (state_.batches_in_flight() > 0 && !reader_ended_) co_await pause(kKeepAlive);
      if (reader_ended_) co_return Error{Errc::closed, "the connection ended"};
      command = wire::NativeCommand::sync_done;
      out.done.stream = stream_;
      done_position_ = out.position;
      body = wire::encode(out.done);
      state_.question_sent();
      awaited_.push_back(Awaited::done);
      break;
    case Outgoing::Kind::nothing:
      co_return Status();
  }
  last_sent_ = Clock::now();
  client.connection().set_deadline(options_.io_timeout);
  const wire::FrameHeader header{body.size(), number_of(command), 0};
  const wire::Bytes head = wire::encode(header);
  CAIRN_CO_RETURN_IF_ERROR(co_await client.connection().write(head, body));
  if (state_.phase() == wire::SyncPhase::bring_up) {
    const auto until = Clock::now() + bucket_.take(content, Clock::now());
    while (!stopping_ && !reader_ended_ && Clock::now() < until)
      co_await pause(std::chrono::duration_cast<std::chrono::milliseconds>(until - Clock::now()) +
                     std::chrono::milliseconds(1));
  }
  co_return Status();
}

// Reads answers until the connection ends.
Task<void> Sender::read_answers(FrameClient& client) {
  Status status;
  while (status) status = co_await read_answer(client);
  reader_status_ = std::move(status);
  reader_ended_ = true;
  client.connection().close();
  wake();
}

Task<Status> Sender::read_answer(FrameClient& client) {
  auto size = co_await client.receive();
  if (!size) co_return std::move(size).error();
  if (*size > kReplyMax) co_return Error{Errc::invalid_argument, "the answer is too long"};
  wire::Bytes body(*size);
  if (!body.empty()) CAIRN_CO_RETURN_IF_ERROR(co_await client.connection().read_exact(body));
  client.connection().set_deadline(options_.io_timeout);
  if (awaited_.empty()) co_return Error{Errc::invalid_argument, "an answer to nothing"};
  const Awaited awaited = awaited_.front();
  awaited_.pop_front();
  switch (awaited) {
    case Awaited::batch: {
      CAIRN_CO_TRY(ack, wire::decode_lenient<wire::SyncAck>(body));
      CAIRN_CO_RETURN_IF_ERROR(state_.acked(ack, unix_ms()));
      for (const wire::SyncFailure& failure : ack.failures)
        log().debug("peer refused a change peer={} error={} detail={}", peer_.id,
                    describe(failure.code), failure.detail);
      break;
    }
    case Awaited::have: {
      // The reading thread rests while a question is open.
      CAIRN_CO_TRY(reply, wire::decode_lenient<wire::SyncHaveReply>(body));
      CAIRN_CO_RETURN_IF_ERROR(source_.wanted(reply));
      state_.question_answered();
      break;
    }
    case Awaited::done:
      source_.accepted();
      state_.tail_from(done_position_);
      state_.question_answered();
      backlog_since_ = 0;
      log().info("peer has everything peer={} files={} position={}", peer_.id,
                 source_progress_.done, done_position_.seq);
      break;
  }
  show();
  wake();
  co_return Status();
}

// Writes the cursor file if it is due.
Task<void> Sender::save_cursor(bool now) {
  const std::uint64_t changes = state_.changes();
  if (changes == saved_changes_) co_return;
  if (!state_.may_save(binlog_.committed_seq())) co_return;
  if (!now && Clock::now() - last_saved_ < kSaveInterval) co_return;
  last_saved_ = Clock::now();
  auto write = [this, bytes = wire::encode(state_.cursor())] {
    return write_small_file(options_.cursor_file, bytes);
  };
  const Status written = co_await pool_.run(std::move(write));
  if (written)
    saved_changes_ = changes;
  else
    log().warn("cursor is not written peer={} error={}", peer_.id, written.error().text());
}

// How long a peer that is away has lacked something.
Task<void> Sender::look_at_backlog() {
  auto look = [this, seq = state_.acked_position().seq] { return source_.oldest_after(seq); };
  backlog_since_ = co_await pool_.run(std::move(look));
}

} // namespace cairn::storage
