// One peer of the group: the connection on which this node's changes go to it. SenderState decides,
// ChangeSource reads; here bytes are carried between them and the socket.
#pragma once

#include "common/net/disk_pool.h"
#include "common/net/frame_client.h"
#include "common/net/task.h"
#include "storage/sync/change_source.h"
#include "storage/sync/copy_waits.h"
#include "storage/sync/sender_state.h"
#include "storage/sync/token_bucket.h"

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <filesystem>
#include <functional>
#include <memory>
#include <mutex>
#include <string>

namespace cairn::storage {

struct SenderOptions {
  std::string own_uuid;
  Credentials credentials; // proved to the peer
  std::string group;
  std::string log_id;
  SenderLimits limits;
  std::chrono::milliseconds connect_timeout{5'000};
  std::chrono::milliseconds io_timeout{60'000};
  std::uint64_t bring_up_rate = 0; // bytes per second, 0: no limit
  std::filesystem::path cursor_file;
  std::function<GroupSnapshot()> group_now;
  std::function<void()> changed; // the peer's phase is another one; called on the I/O thread
  CopyWaits* copies = nullptr;   // told what the peer has; outlives the sender
  // Position up to which uploads wait for copies (SendPlan::ahead). Empty: none do. Any thread.
  std::function<std::uint64_t()> ahead;
};

class Sender {
public:
  // `context` is run by one thread. Reads the cursor file (blocks). What is borrowed outlives it.
  Sender(asio::io_context& context, Store& store, Binlog& binlog, Catalogue& catalogue,
         wire::NodeView peer, SenderOptions options);
  // After wait().
  ~Sender() = default;

  Sender(const Sender&) = delete;
  Sender& operator=(const Sender&) = delete;

  // --- on the context's thread
  const wire::NodeView& peer() const { return peer_; }
  void start();
  // There may be something new to send.
  void wake();
  // The peer has another address now.
  void move_to(const wire::NodeView& peer);
  // Ends it; wait() or has_ended() tells when that is so.
  void request_stop();

  // --- any thread
  bool has_ended() const;
  void wait() const;
  wire::PeerSync report() const;
  // The log must keep what follows this position; nullopt: nothing is kept for this peer.
  std::optional<std::uint64_t> keep_after() const;
  std::size_t dead_letters() const;
  // Whether it follows the log and has read it up to `seq`, so that there is nothing to wake it
  // for.
  bool has_read(std::uint64_t seq) const { return read_through_ >= seq; }

private:
  enum class Awaited : std::uint8_t { batch, have, done };
  // What others may see, copied after each step.
  struct Shown {
    wire::SyncPhase phase = wire::SyncPhase::disconnected;
    bool brought_up = false;
    LogPosition position;
    UnixMs oldest_missing = 0;
    std::size_t retries = 0;
    std::size_t dead_letters = 0;
    BringUpProgress progress;
    std::uint32_t bring_up_left_s = 0;
    std::optional<std::uint64_t> keep_after;
    bool ended = false;
  };

  Task<void> run();
  Task<Status> session();
  Task<Status> introduce(FrameClient& client);
  Task<Status> pump(FrameClient& client);
  Task<Status> send(FrameClient& client, Outgoing out);
  Task<void> read_answers(FrameClient& client);
  Task<Status> read_answer(FrameClient& client);
  Task<void> pause(std::chrono::milliseconds time);
  Task<void> pause_until_retry(UnixMs now);
  Task<void> save_cursor(bool now);
  Task<void> look_at_backlog();
  void note_failures(const Outgoing& out);
  void show();

  asio::io_context& context_;
  Binlog& binlog_;
  const std::uint32_t peer_id_;
  wire::NodeView peer_; // of the context's thread
  const SenderOptions options_;
  SenderState state_;
  ChangeSource source_;
  TokenBucket bucket_;
  asio::steady_timer wake_timer_;
  bool woken_ = false;
  bool stopping_ = false;
  bool force_bring_up_ = false; // the log lost records that the peer may lack
  std::uint64_t stream_ = 0;
  FrameClient* client_ = nullptr; // of the running session
  std::deque<Awaited> awaited_;   // answers, in order
  LogPosition done_position_;     // of the sync_done that is awaited
  bool reader_ended_ = false;
  Status reader_status_;
  std::chrono::steady_clock::time_point last_sent_{};
  std::chrono::steady_clock::time_point last_saved_{};
  std::uint64_t saved_changes_ = 0;
  Errc last_failure_ = Errc::ok;               // so that a peer that stays away is logged once
  UnixMs backlog_since_ = 0;                   // of the first change a disconnected peer lacks
  std::atomic<std::uint64_t> read_through_{0}; // of the log; 0 while it is not followed
  BringUpProgress source_progress_;
  std::chrono::steady_clock::time_point bring_up_began_{};

  mutable std::mutex shown_mutex_; // guards shown_
  mutable std::condition_variable ended_;
  Shown shown_;
  DiskPool pool_; // one thread: reading blocks, and is in order; last, so that it goes first
};

} // namespace cairn::storage
