// Request bodies, and the end of a request.
#include "common/net/session.h"

#include "common/auth/access_keys.h"
#include "common/base/coarse_clock.h"
#include "common/net/rate_limit.h"

#include <algorithm>
#include <cstring>
#include <ctime>

namespace cairn {

namespace {
// Small: thrown away most of all when memory is short.
constexpr std::size_t kDrainPiece = 8 * 1024;
} // namespace

bool Session::may(auth::Rights right, std::string_view object) const {
  if (peer || (everywhere & right) == right) return true;
  if (!key) return (rights & right) == right;
  return (rights & right) == right && key->covers(object);
}

void Body::expect_more(std::uint64_t received) {
  const auto now = coarse_now();
  if (begun_ == std::chrono::steady_clock::time_point()) begun_ = now;
  const auto allowed = begun_ + transfer_time_max(received, progress_max_) - now;
  connection_.set_deadline(
      std::min(progress_max_, std::chrono::duration_cast<std::chrono::milliseconds>(allowed)));
}

bool Body::begin_load(MemoryCharge charge) {
  charge_ = std::move(charge);
  buffer_ = wire::Buffer(header_.body_size);
  loaded_ = connection_.take_ahead(buffer_.span());
  whole_ = loaded_ == buffer_.size();
  return whole_;
}

Task<Status> Body::load() {
  while (loaded_ < buffer_.size()) {
    expect_more(loaded_);
    CAIRN_CO_TRY(count, co_await connection_.read_some(buffer_.span().subspan(loaded_)));
    loaded_ += count;
  }
  whole_ = true;
  co_return Status();
}

Task<Status> Body::read_exact(std::span<std::byte> out) {
  if (out.size() > left_) co_return Error{Errc::invalid_argument, "body is too short"};
  if (whole_) {
    std::memcpy(out.data(), whole().data(), out.size());
    left_ -= out.size();
    co_return Status();
  }
  while (!out.empty()) {
    CAIRN_CO_TRY(count, co_await read_some(out));
    out = out.subspan(count);
  }
  co_return Status();
}

Task<Result<std::size_t>> Body::read_some(std::span<std::byte> out) {
  const std::size_t wanted = static_cast<std::size_t>(std::min<std::uint64_t>(left_, out.size()));
  if (wanted == 0) co_return std::size_t{0};
  if (whole_) {
    CAIRN_CO_RETURN_IF_ERROR(co_await read_exact(out.first(wanted)));
    co_return wanted;
  }
  expect_more(header_.body_size - left_);
  CAIRN_CO_TRY(count, co_await connection_.read_some(out.first(wanted)));
  left_ -= count;
  co_return count;
}

Task<Result<bool>> Body::drain(std::uint64_t bytes_max) {
  if (whole_) left_ = 0;
  if (left_ > bytes_max) co_return false;
  if (left_ == 0) co_return true;
  wire::Buffer piece(kDrainPiece);
  while (left_ > 0) {
    CAIRN_CO_TRY(count, co_await read_some(piece.span()));
    CAIRN_ASSERT(count > 0);
  }
  co_return true;
}

namespace detail {

Status check_access(const Session& session, const CommandRule& rule) {
  if (rule.access == Access::anyone || session.peer) return {};
  if (rule.access == Access::peer) return Error{Errc::denied, "command is for nodes"};
  if (rule.access == Access::admin && (!session.key || (session.rights & auth::kAdmin) == 0))
    return Error{Errc::denied, "command is for administrators"};
  if ((rule.needs & ~session.rights) != 0)
    return Error{Errc::denied, "not among the rights of this connection"};
  return {};
}

Status refresh_key(Session& session, const SessionOptions& options) {
  if (!session.key || options.keys == nullptr) return {};
  auto key = options.keys->find(session.key->id);
  if (!key || key->has_expired(static_cast<std::uint64_t>(std::time(nullptr))))
    return Error{Errc::denied, "access key " + session.key->id + " does not hold any more"};
  session.rights = static_cast<auth::Rights>(session.everywhere | key->rights);
  session.key = std::move(key);
  return {};
}

Status take_request(const Session& session, const SessionOptions& options) {
  if (!session.key || options.key_limits == nullptr) return {};
  const auto wait = options.key_limits->take(
      key_bucket(session.key->id), key_limits_of(*session.key), std::chrono::steady_clock::now());
  if (wait.count() == 0) return {};
  return Error{Errc::busy, "access key " + session.key->id + " is over its limits"};
}

void charge_bytes(const Session& session, const SessionOptions& options, std::uint64_t bytes) {
  if (!session.key || options.key_limits == nullptr) return;
  options.key_limits->charge(key_bucket(session.key->id), key_limits_of(*session.key), bytes,
                             std::chrono::steady_clock::now());
}

MemoryCharge charge_for(std::uint64_t size, const SessionOptions& options) {
  if (options.memory == nullptr || size <= kUncounted) return {};
  return options.memory->take(size);
}

Task<Result<bool>> finish_request(Session& session, Body& body, Result<Reply> reply,
                                  const SessionOptions& options) {
  Connection& connection = session.connection;
  connection.set_deadline(options.io_timeout);
  const bool invalid = reply.code() == Errc::invalid_argument;
  if (invalid && options.close_on_invalid) {
    CAIRN_CO_RETURN_IF_ERROR(co_await connection.write(wire::make_reply(reply.code(), {})));
    co_return false;
  }
  // Drained before the answer: a client that still sends would otherwise take a reset for it.
  bool in_step = true;
  if (!body.is_taken()) {
    CAIRN_CO_TRY(drained, co_await body.drain(options.drain_max));
    in_step = drained;
  }
  if (!reply || !reply->sent) {
    const wire::View payload = reply ? wire::View(reply->body) : wire::View();
    const wire::Bytes frame = wire::make_reply(reply.code(), payload);
    CAIRN_CO_TRY(written, connection.try_write(frame));
    if (written < frame.size())
      CAIRN_CO_RETURN_IF_ERROR(co_await connection.write(wire::View(frame).subspan(written)));
  }
  co_return in_step;
}

} // namespace detail
} // namespace cairn
