// multipart/form-data (RFC 7578).
#include "storage/http/multipart.h"

#include "common/base/text.h"

#include <algorithm>

namespace cairn::storage {

namespace {

constexpr std::size_t kPartHeadersMax = 8 * 1024;
constexpr std::size_t kBoundaryMax = 70;

} // namespace

std::optional<std::string> header_parameter(std::string_view value, std::string_view name) {
  std::size_t at = value.find(';');
  while (at != std::string_view::npos) {
    std::string_view rest = trim(value.substr(at + 1));
    const std::size_t equals = rest.find('=');
    if (equals == std::string_view::npos) return std::nullopt;
    const bool wanted = equals_ignoring_case(trim(rest.substr(0, equals)), name);
    rest = rest.substr(equals + 1);
    std::string text;
    std::size_t used = 0;
    if (rest.starts_with('"')) {
      for (used = 1; used < rest.size() && rest[used] != '"'; ++used) {
        if (rest[used] == '\\' && used + 1 < rest.size()) ++used;
        text += rest[used];
      }
    } else {
      used = std::min(rest.find(';'), rest.size());
      text = trim(rest.substr(0, used));
    }
    if (wanted) return text;
    const std::size_t next = rest.find(';', used);
    at = next == std::string_view::npos
             ? next
             : static_cast<std::size_t>(rest.data() - value.data()) + next;
  }
  return std::nullopt;
}

std::optional<std::string> multipart_boundary(std::string_view content_type) {
  const std::string_view type = trim(content_type.substr(0, content_type.find(';')));
  if (!equals_ignoring_case(type, "multipart/form-data")) return std::nullopt;
  auto boundary = header_parameter(content_type, "boundary");
  if (!boundary || boundary->empty() || boundary->size() > kBoundaryMax) return std::nullopt;
  return boundary;
}

void MultipartReader::feed(std::string_view bytes) {
  buffer_.erase(0, begin_);
  begin_ = 0;
  buffer_.append(bytes);
}

Result<MultipartReader::Event> MultipartReader::next() {
  const Error malformed(Errc::invalid_argument, "malformed multipart body");
  for (;;) {
    const std::string_view text = rest();
    switch (state_) {
      case State::preamble:
      case State::content: {
        const std::size_t found = text.find(delimiter_);
        // What may be the beginning of a delimiter waits.
        const std::size_t sure = found != std::string_view::npos ? found
                                 : text.size() >= delimiter_.size()
                                     ? text.size() - delimiter_.size() + 1
                                     : 0;
        if (state_ == State::content && sure > 0) {
          begin_ += sure;
          return Event{Kind::data, text.substr(0, sure)};
        }
        begin_ += sure;
        if (found == std::string_view::npos) return Event{};
        begin_ += delimiter_.size();
        const bool in_part = state_ == State::content;
        state_ = State::delimiter;
        if (in_part) return Event{Kind::part_end, {}};
        break;
      }
      case State::delimiter:
        if (text.size() < 2) return Event{};
        begin_ += 2;
        if (text.starts_with("--"))
          state_ = State::end;
        else if (text.starts_with("\r\n"))
          state_ = State::headers;
        else
          return malformed;
        break;
      case State::headers: {
        const std::size_t end = text.find("\r\n\r\n");
        if (end == std::string_view::npos) {
          if (text.size() > kPartHeadersMax) return malformed;
          return Event{};
        }
        begin_ += end + 4;
        state_ = State::content;
        return Event{Kind::part, text.substr(0, end + 2)};
      }
      case State::end:
        return Event{Kind::end, {}};
    }
  }
}

} // namespace cairn::storage
