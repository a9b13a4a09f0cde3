// Takes a multipart/form-data body apart as it arrives. Pure: bytes in, events out.
#pragma once

#include "common/base/result.h"

#include <optional>
#include <string>
#include <string_view>

namespace cairn::storage {

// The boundary of a "multipart/form-data; boundary=…" Content-Type; nullopt when it is none.
std::optional<std::string> multipart_boundary(std::string_view content_type);
// A parameter of a header value, unquoted: `name` of "form-data; name=\"file\"". Nullopt: absent.
std::optional<std::string> header_parameter(std::string_view value, std::string_view name);

class MultipartReader {
public:
  enum class Kind : std::uint8_t { need_more, part, data, part_end, end };
  // `text` of a part: its header lines; of data: bytes of its content. Valid until the next call.
  struct Event {
    Kind kind = Kind::need_more;
    std::string_view text;
  };

  explicit MultipartReader(const std::string& boundary) : delimiter_("\r\n--" + boundary) {}

  // Adds bytes of the body; after need_more only.
  void feed(std::string_view bytes);
  // Errors: invalid_argument (malformed, or the header lines of a part are over 8 KiB).
  Result<Event> next();

private:
  enum class State : std::uint8_t { preamble, delimiter, headers, content, end };

  std::string_view rest() const { return std::string_view(buffer_).substr(begin_); }

  std::string delimiter_;
  // A delimiter follows a line end; the first one may be the first line.
  std::string buffer_ = "\r\n";
  std::size_t begin_ = 0;
  State state_ = State::preamble;
};

} // namespace cairn::storage
