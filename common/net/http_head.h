// The head of an HTTP/1.1 request: where it ends, and what it says. Refuses what other servers
// might read differently, so that no request is one thing here and another in a proxy before us.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace cairn {

// Finds the end of a head in bytes that arrive piecemeal, each looked at once. Refuses what other
// servers might read differently: bare line feeds and folded lines.
class HeadScanner {
public:
  enum class State { incomplete, complete, malformed };

  // `input` is all bytes since the last request, a longer one at each call.
  State scan(std::string_view input);

  // After `complete`: the head with its last empty line lies in [begin, end).
  std::size_t begin() const { return begin_; }
  std::size_t end() const { return scanned_; }
  // Complete lines, the request line first.
  std::size_t lines() const { return lines_; }

private:
  std::size_t scanned_ = 0;
  std::size_t line_begin_ = 0;
  std::size_t begin_ = 0;
  std::size_t lines_ = 0;
  int empty_lines_ = 0;
};

// What a head says. The views point into the bytes it was parsed from.
struct Head {
  int refuse = 0;       // status of the refusal; 0: the request is well-formed
  std::string_view why; // for the refusal's body
  std::string_view method;
  std::string_view target;
  std::string_view host;
  bool http11 = false;
  bool keep_alive = false;
  bool expects_continue = false;
  bool chunked = false;
  std::uint64_t content_length = 0;
};

// `head`, to be refused with this status; `why` is a literal.
Head refusal(Head head, int status, std::string_view why);

// `text` is a whole head as HeadScanner delimits it, and outlives the answer. A longer target than
// `target_bytes_max` is refused.
Head parse_head(std::string_view text, std::size_t target_bytes_max);

// First value of the header `name` in a head that parse_head() accepted, trimmed; empty: none.
std::string_view find_header(std::string_view head, std::string_view name);

} // namespace cairn
