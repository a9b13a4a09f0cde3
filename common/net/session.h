// The server side of a connection: reads frames, finds the handler, writes its reply. Both daemons
// describe their commands as a HandlerTable; a handler is a plain function from request to Result.
#pragma once

#include "common/auth/rights.h"
#include "common/net/busy_mark.h"
#include "common/net/connection.h"
#include "common/net/crowd.h"
#include "common/net/memory_budget.h"
#include "common/net/task.h"
#include "common/wire/frame.h"

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>

namespace cairn {

namespace auth {
struct AccessKey;
class KeyRing;
} // namespace auth

class RateLimiter;

// Who may send a command. A connection starts as client or stranger, by allow_hosts, and by `hello`
// becomes a peer (cluster secret) or somebody with an access key.
enum class Access : std::uint8_t {
  anyone, // also strangers: hello only
  client, // addresses in allow_hosts, access keys, and peers
  admin,  // access keys with the right to administer, and peers
  peer,   // nodes of this cluster and administrators that know its secret
};

// What is known about one connection while it is served.
struct Session {
  explicit Session(Connection& c) : connection(c) {}

  Connection& connection;
  bool allowed = false; // its address is in allow_hosts, and this listener serves such
  bool peer = false;    // it has proved the cluster's secret
  auth::Rights rights = auth::kFastdfsAll;    // by listener or access key; peers have all
  auth::Rights everywhere = auth::kNothing;   // those of them that no prefix of the key bounds
  std::shared_ptr<const auth::AccessKey> key; // it has proved this one
  std::uint32_t peer_id = 0;  // numeric storage ID of the node behind it; 0: not a node
  std::string peer_uuid;      // its UUID, if it is a node
  std::uint64_t requests = 0; // completed on this connection

  // False for strangers: they may say hello and nothing else.
  bool known() const { return allowed || peer || key != nullptr; }

  // Whether `right` holds for `object` ("group1", "group1/M00/…"): who comes by an access key has
  // it below the key's prefixes only, and what its address may do besides everywhere.
  bool may(auth::Rights right, std::string_view object) const;
};

// The body of the request being handled. Small bodies are in memory when the handler starts
// (whole()); larger ones are read by the handler piece by piece. What it leaves unread is drained
// (up to a bound) so that the next request is read from the right place.
class Body {
public:
  // `progress_max`: each piece that arrives gives the sender this long for the next one, as long as
  // it keeps to kTransferRateMin.
  Body(Connection& connection, wire::FrameHeader header, std::chrono::milliseconds progress_max)
      : connection_(connection),
        header_(header),
        progress_max_(progress_max),
        left_(header.body_size) {}

  std::uint64_t size() const { return header_.body_size; }
  // Bytes not yet taken.
  std::uint64_t left() const { return left_; }
  // The request's status byte, where a few commands carry flags.
  std::uint8_t flags() const { return header_.status; }
  std::uint8_t command() const { return header_.command; }

  // True when all of the body is in memory.
  bool is_whole() const { return whole_; }
  // The bytes not yet taken, when is_whole().
  wire::View whole() const { return buffer_.view().last(left_); }

  // Takes exactly out.size() bytes. Errors: invalid_argument (the body is shorter), closed,
  // timeout.
  Task<Status> read_exact(std::span<std::byte> out);
  // Takes between 1 and out.size() bytes; 0 only at the end of the body.
  Task<Result<std::size_t>> read_some(std::span<std::byte> out);

  // For serve(): takes memory for the body, which `charge` has paid for until the body goes, and
  // what was read ahead of it. True: that is all of it, is_whole(); else call load().
  bool begin_load(MemoryCharge charge);
  // For serve(): brings in what begin_load() did not find.
  Task<Status> load();
  // True when nothing is left on the connection that belongs to this body.
  bool is_taken() const { return whole_ || left_ == 0; }
  // For serve(): throws away what is left, if it is at most `bytes_max`; false if it is more.
  Task<Result<bool>> drain(std::uint64_t bytes_max);

private:
  // Gives the sender time for the next piece when `received` bytes of the body are here.
  void expect_more(std::uint64_t received);

  Connection& connection_;
  wire::FrameHeader header_;
  std::chrono::milliseconds progress_max_;
  std::chrono::steady_clock::time_point begun_; // when the first piece was waited for
  std::uint64_t left_;
  std::size_t loaded_ = 0; // bytes of buffer_, until it is whole
  bool whole_ = false;
  MemoryCharge charge_;
  wire::Buffer buffer_;
};

// What a handler answers: a body to send with status 0, or "I have written the reply myself".
struct Reply {
  wire::Bytes body;
  bool sent = false;

  Reply() = default;
  Reply(wire::Bytes b) : body(std::move(b)) {}
  static Reply already_sent() {
    Reply reply;
    reply.sent = true;
    return reply;
  }
};

// Bytes that a command's body may have, and who may send it.
struct CommandRule {
  Access access = Access::client;
  std::uint64_t body_max = 64 * 1024;  // longer: status 22 (and the connection is closed)
  auth::Rights needs = auth::kNothing; // rights of a client; others are refused with status 13
};

template <class Server>
class HandlerTable {
public:
  using Function = Task<Result<Reply>> (*)(Server&, Session&, Body&);

  struct Entry {
    Function function = nullptr;
    CommandRule rule;
  };

  // Errors: logic_error (the command has a handler: two families share a number).
  constexpr void on(wire::Command command, Function function, CommandRule rule = {}) {
    if (find(static_cast<std::uint8_t>(command)) != nullptr)
      throw std::logic_error("two handlers for command " +
                             std::to_string(static_cast<unsigned>(command)));
    entries_[static_cast<std::size_t>(command)] = Entry{function, rule};
  }
  constexpr const Entry* find(std::uint8_t command) const {
    const Entry& entry = entries_[command];
    return entry.function == nullptr ? nullptr : &entry;
  }

private:
  std::array<Entry, 256> entries_{};
};

struct SessionOptions {
  std::chrono::milliseconds io_timeout{60'000};      // without progress inside a request
  std::chrono::milliseconds stranger_timeout{1'000}; // for the first frame of an unlisted address
  std::uint64_t inline_max = 64 * 1024 + 256;        // bodies up to this are in memory at once
  std::uint64_t drain_max = 1024 * 1024;             // unread body thrown away after an early error
  bool close_on_invalid = false; // FastDFS storage nodes close after status 22, trackers do not
  // Set to end every session after the request it is in; may be null.
  const std::atomic<bool>* stopping = nullptr;
  // Requests being handled now; may be null.
  std::atomic<std::size_t>* busy = nullptr;
  // The access keys as they are now: a connection whose key was removed or has expired ends with
  // its next request. Null: keys hold as long as the connection.
  const auth::KeyRing* keys = nullptr;
  // Where the requests and bytes of an access key are counted against its limits; over them a
  // request is answered status 16 (busy). Null: no limits.
  RateLimiter* key_limits = nullptr;
  // Pays for bodies in memory; without enough of it a request is answered status 16 (busy). Null:
  // no limit.
  MemoryBudget* memory = nullptr;
};

namespace detail {
// Bodies up to this are not counted: with the memory of its connection nobody notices them.
inline constexpr std::uint64_t kUncounted = 512;

// Takes the memory for a body of `size` bytes; empty without a budget, or when it is used up.
MemoryCharge charge_for(std::uint64_t size, const SessionOptions& options);

// Whether this connection may send that command. Errors: denied.
Status check_access(const Session& session, const CommandRule& rule);

// Brings the session's key up to date. Errors: denied (it was removed, or has expired).
Status refresh_key(Session& session, const SessionOptions& options);
// Takes one request out of what the session's key may send. Errors: busy.
Status take_request(const Session& session, const SessionOptions& options);
// Counts bytes that were moved for the session's key.
void charge_bytes(const Session& session, const SessionOptions& options, std::uint64_t bytes);

// Reads what is left of a request and writes its reply. False: the connection must end.
Task<Result<bool>> finish_request(Session& session, Body& body, Result<Reply> reply,
                                  const SessionOptions& options);
} // namespace detail

// Serves one connection until it ends; the caller keeps `server`, `table` and `options` alive.
// Answers the error that ended it; Errc::closed is an ordinary goodbye.
template <class Server>
Task<Status> serve(Server& server, const HandlerTable<Server>& table, const SessionOptions& options,
                   Session& session) {
  Connection& connection = session.connection;
  Crowd& crowd = crowd_of(connection);
  for (;;) {
    // The first request must come in time; later an idle connection may stay for ever.
    if (!session.known())
      connection.set_deadline(options.stranger_timeout);
    else if (session.requests == 0)
      connection.set_deadline(options.io_timeout);
    else
      connection.clear_deadline();
    CAIRN_CO_RETURN_IF_ERROR(co_await connection.wait_readable(session.peer ? nullptr : &crowd));
    if (options.stopping != nullptr && *options.stopping) co_return Error{Errc::closed, "stopping"};
    const BusyMark busy(options.busy);
    if (session.known()) connection.set_deadline(options.io_timeout);
    std::optional<wire::FrameHeader> arrived = connection.take_header();
    if (!arrived) {
      CAIRN_CO_TRY(read, co_await connection.read_header());
      arrived = read;
    }
    const wire::FrameHeader header = *arrived;
    if (header.command == static_cast<std::uint8_t>(wire::Command::quit))
      co_return Error{Errc::closed, "quit"};

    CAIRN_CO_RETURN_IF_ERROR(detail::refresh_key(session, options));
    const auto* entry = table.find(header.command);
    const Access access = entry == nullptr ? Access::client : entry->rule.access;
    if (access != Access::anyone && !session.known())
      co_return Error{Errc::denied, connection.peer() + ": not in allow_hosts"};

    Body body(connection, header, options.io_timeout);
    // Whole requests only: half of one is dropped without an answer.
    bool memory_short = false;
    if (header.body_size <= options.inline_max) {
      MemoryCharge charge = detail::charge_for(header.body_size, options);
      memory_short = options.memory != nullptr && header.body_size > detail::kUncounted && !charge;
      if (!memory_short && !body.begin_load(std::move(charge)))
        CAIRN_CO_RETURN_IF_ERROR(co_await body.load());
    }
    const CrowdMark mark(body.is_whole() && !session.peer ? &crowd : nullptr);
    Result<Reply> reply = Error{Errc::invalid_argument, "unknown command"};
    Status may = entry == nullptr ? Status() : detail::check_access(session, entry->rule);
    if (may) may = detail::take_request(session, options);
    const std::uint64_t sent_before = connection.bytes_sent();
    if (memory_short) {
      reply = Error{Errc::busy, "too many requests at once"};
    } else if (!may) {
      reply = std::move(may).error();
    } else if (entry != nullptr && header.body_size > entry->rule.body_max) {
      reply = Error{Errc::invalid_argument, "body too long"};
    } else if (entry != nullptr) {
      reply = co_await entry->function(server, session, body);
    }
    CAIRN_CO_TRY(go_on, co_await detail::finish_request(session, body, std::move(reply), options));
    const std::uint64_t received = body.is_whole() ? body.size() : body.size() - body.left();
    detail::charge_bytes(session, options, received + connection.bytes_sent() - sent_before);
    if (!go_on) co_return Error{Errc::closed, "ended after an error reply"};
    if (!session.known()) co_return Error{Errc::denied, connection.peer() + ": no proof"};
    ++session.requests;
  }
}

} // namespace cairn
