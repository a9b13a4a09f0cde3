// Request bodies, and the end of a request.
#include "common/net/session.h"

#include <algorithm>
#include <cstring>

namespace cairn {

namespace {
// Small: thrown away most of all when memory is short.
constexpr std::size_t kDrainPiece = 8 * 1024;
} // namespace

void Body::expect_more(std::uint64_t received) {
  const auto now = std::chrono::steady_clock::now();
  if (begun_ == std::chrono::steady_clock::time_point()) begun_ = now;
  const auto allowed = begun_ + transfer_time_max(received, progress_max_) - now;
  connection_.set_deadline(
      std::min(progress_max_, std::chrono::duration_cast<std::chrono::milliseconds>(allowed)));
}

Task<Status> Body::load(MemoryCharge charge) {
  charge_ = std::move(charge);
  buffer_ = wire::Buffer(header_.body_size);
  for (std::span<std::byte> rest = buffer_.span(); !rest.empty();) {
    expect_more(header_.body_size - rest.size());
    CAIRN_CO_TRY(count, co_await connection_.read_some(rest));
    rest = rest.subspan(count);
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

MemoryCharge charge_for(std::uint64_t size, const SessionOptions& options) {
  if (options.memory == nullptr || size == 0) return {};
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
  CAIRN_CO_TRY(in_step, co_await body.drain(options.drain_max));
  if (!reply || !reply->sent) {
    const wire::View payload = reply ? wire::View(reply->body) : wire::View();
    const wire::Bytes frame = wire::make_reply(reply.code(), payload);
    CAIRN_CO_RETURN_IF_ERROR(co_await connection.write(frame));
  }
  co_return in_step;
}

} // namespace detail
} // namespace cairn
