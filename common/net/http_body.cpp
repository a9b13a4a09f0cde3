// Request bodies off the connection.
#include "common/net/http_body.h"

#include "common/base/text.h"

#include <algorithm>
#include <cstring>

namespace cairn {

namespace {

constexpr std::size_t kReadAhead = 16 * 1024;
constexpr std::size_t kSizeDigitsMax = 8;
constexpr std::string_view kContinue = "HTTP/1.1 100 Continue\r\n\r\n";

Error malformed() {
  return Error{Errc::invalid_argument, "malformed chunks"};
}

} // namespace

Result<ChunkDecoder::Step> ChunkDecoder::step(std::string_view in, std::span<std::byte> out) {
  Step step;
  while (state_ != State::done) {
    const std::string_view rest = in.substr(step.taken);
    if (state_ == State::data) {
      const auto count = static_cast<std::size_t>(
          std::min<std::uint64_t>({left_, rest.size(), out.size() - step.given}));
      if (count == 0) return step;
      std::memcpy(out.data() + step.given, rest.data(), count);
      step.taken += count;
      step.given += count;
      left_ -= count;
      if (left_ == 0) state_ = State::data_end;
      continue;
    }
    const std::size_t end = rest.find('\n');
    if (end == std::string_view::npos) {
      if (rest.size() > kSizeDigitsMax + 1) return malformed();
      return step;
    }
    if (end == 0 || rest[end - 1] != '\r') return malformed();
    const std::string_view line = rest.substr(0, end - 1);
    step.taken += end + 1;
    if (state_ != State::size) {
      if (!line.empty()) return malformed();
      state_ = state_ == State::last_line ? State::done : State::size;
      continue;
    }
    if (line.empty() || line.size() > kSizeDigitsMax) return malformed();
    left_ = 0;
    for (const char c : line) {
      const int digit = hex_digit(c);
      if (digit < 0) return malformed();
      left_ = left_ * 16 + static_cast<std::uint64_t>(digit);
    }
    state_ = left_ == 0 ? State::last_line : State::data;
  }
  return step;
}

Task<Status> RequestBody::fill() {
  connection_.set_deadline(progress_max_);
  const std::size_t had = pending_.size();
  pending_.resize(had + kReadAhead);
  const std::span<std::byte> room(reinterpret_cast<std::byte*>(pending_.data()) + had, kReadAhead);
  auto count = co_await connection_.read_some(room);
  pending_.resize(had + (count ? *count : 0));
  if (!count) co_return std::move(count).error();
  co_return Status();
}

Task<Result<std::size_t>> RequestBody::read_some(std::span<std::byte> out) {
  if (finished() || out.empty()) co_return std::size_t{0};
  if (waits_for_continue_) {
    waits_for_continue_ = false;
    connection_.set_deadline(progress_max_);
    CAIRN_CO_RETURN_IF_ERROR(co_await connection_.write(wire::as_view(kContinue)));
  }
  if (length_) {
    const auto wanted = static_cast<std::size_t>(std::min<std::uint64_t>(left_, out.size()));
    std::size_t count = std::min(wanted, pending_.size());
    if (count > 0) {
      std::memcpy(out.data(), pending_.data(), count);
      pending_.erase(0, count);
    } else {
      connection_.set_deadline(progress_max_);
      CAIRN_CO_TRY(got, co_await connection_.read_some(out.first(wanted)));
      count = got;
    }
    left_ -= count;
    if (left_ == 0) connection_.clear_deadline();
    co_return count;
  }
  for (;;) {
    CAIRN_CO_TRY(step, chunks_.step(pending_, out));
    pending_.erase(0, step.taken);
    if (step.given > 0 || chunks_.done()) {
      connection_.clear_deadline();
      co_return step.given;
    }
    if (step.taken == 0) CAIRN_CO_RETURN_IF_ERROR(co_await fill());
  }
}

Task<Result<bool>> RequestBody::finish(std::uint64_t bytes_max) {
  if (finished()) co_return true;
  // With Expect the client may or may not send it: only a close is unambiguous.
  if (!length_ || waits_for_continue_ || left_ > bytes_max) co_return false;
  wire::Buffer buffer(static_cast<std::size_t>(std::min<std::uint64_t>(left_, kReadAhead)));
  while (!finished()) CAIRN_CO_RETURN_IF_ERROR(co_await read_some(buffer.span()));
  co_return true;
}

} // namespace cairn
