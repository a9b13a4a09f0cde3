// Beast parses; what it lets pass and we do not is counted.
#include "common/net/http_head.h"

#include "common/base/text.h"

#include <boost/asio/buffer.hpp>
#include <boost/beast/http/basic_parser.hpp>

#include <algorithm>

namespace cairn {

namespace http = boost::beast::http;

namespace {

// Empty lines before a request that are forgiven (RFC 9112, 2.2).
constexpr int kEmptyLinesMax = 2;

std::string_view view_of(boost::beast::string_view text) {
  return {text.data(), text.size()};
}

// Collects views of what Beast finds. Counts what Beast lets pass: repeated Content-Length with
// equal values, a Transfer-Encoding that does not end in chunked, repeated Host.
class HeadParser final : public http::basic_parser<true> {
public:
  Head head;
  int hosts = 0;
  int lengths = 0;
  int encodings = 0;
  std::string_view length;
  std::string_view encoding;
  std::string_view expect;

private:
  using error_code = boost::beast::error_code;
  using string_view = boost::beast::string_view;

  void on_request_impl(http::verb, string_view method, string_view target, int version,
                       error_code&) override {
    head.method = view_of(method);
    head.target = view_of(target);
    head.http11 = version == 11;
  }
  void on_field_impl(http::field field, string_view, string_view value, error_code&) override {
    switch (field) {
      case http::field::host:
        ++hosts;
        head.host = view_of(value);
        break;
      case http::field::content_length:
        ++lengths;
        length = view_of(value);
        break;
      case http::field::transfer_encoding:
        ++encodings;
        encoding = view_of(value);
        break;
      case http::field::expect:
        expect = view_of(value);
        break;
      default:
        break;
    }
  }
  void on_response_impl(int, string_view, int, error_code&) override {}
  void on_header_impl(error_code&) override {}
  void on_body_init_impl(const boost::optional<std::uint64_t>&, error_code&) override {}
  std::size_t on_body_impl(string_view body, error_code&) override { return body.size(); }
  void on_chunk_header_impl(std::uint64_t, string_view, error_code&) override {}
  std::size_t on_chunk_body_impl(std::uint64_t, string_view body, error_code&) override {
    return body.size();
  }
  void on_finish_impl(error_code&) override {}
};

bool is_digits(std::string_view text) {
  return !text.empty() &&
         std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

// Letters, digits and what host names, addresses, ports and their escapes consist of.
bool is_host(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           std::string_view("-._~:[]%!$&'()*+;=").find(c) != std::string_view::npos;
  });
}

// Brings the target to "/…" or "*": "http://host/path" is what clients send to a proxy, and its
// host counts instead of the header (RFC 9112, 3.2.2). False when it is none of these.
bool normalize_target(Head& head) {
  std::string_view& target = head.target;
  if (target.find('#') != std::string_view::npos) return false;
  if (target.front() == '/') return true;
  if (target == "*") return head.method == "OPTIONS";
  for (const std::string_view scheme : {"http://", "https://"}) {
    if (!equals_ignoring_case(target.substr(0, scheme.size()), scheme)) continue;
    const std::string_view rest = target.substr(scheme.size());
    const std::size_t slash = rest.find_first_of("/?");
    head.host = rest.substr(0, slash);
    if (head.host.empty() || (slash != std::string_view::npos && rest[slash] == '?')) return false;
    target = slash == std::string_view::npos ? std::string_view("/") : rest.substr(slash);
    return true;
  }
  return false;
}

} // namespace

Head refusal(Head head, int status, std::string_view why) {
  head.refuse = status;
  head.why = why;
  return head;
}

HeadScanner::State HeadScanner::scan(std::string_view input) {
  for (;;) {
    const std::size_t feed = input.find('\n', scanned_);
    scanned_ = feed == std::string_view::npos ? input.size() : feed + 1;
    if (feed == std::string_view::npos) return State::incomplete;
    if (feed == line_begin_ || input[feed - 1] != '\r') return State::malformed;
    const bool empty = feed - 1 == line_begin_;
    if (empty && lines_ > 0) return State::complete;
    if (empty) {
      if (++empty_lines_ > kEmptyLinesMax) return State::malformed;
      begin_ = scanned_;
    } else {
      const char first = input[line_begin_];
      if (first == ' ' || first == '\t') return State::malformed;
      ++lines_;
    }
    line_begin_ = scanned_;
  }
}

Head parse_head(std::string_view text, std::size_t target_bytes_max) {
  HeadParser parser;
  parser.eager(false);
  parser.header_limit(static_cast<std::uint32_t>(text.size() + 1));
  parser.body_limit(boost::none); // bodies are bounded where they are read
  boost::beast::error_code error;
  const std::size_t taken = parser.put(boost::asio::buffer(text.data(), text.size()), error);
  Head& head = parser.head;
  if (error == http::error::bad_version) {
    // "HTTP/2.0" is a version we do not speak; anything else here is nonsense.
    const std::string_view line = text.substr(0, text.find('\r'));
    const std::string_view version = line.substr(line.rfind(' ') + 1);
    if (version.size() == 8 && version.starts_with("HTTP/") && is_digits(version.substr(5, 1)) &&
        version[6] == '.' && is_digits(version.substr(7)) && version[5] != '1')
      return refusal(head, 505, "HTTP/1.0 and HTTP/1.1 are served");
  }
  if (error || taken != text.size() || !parser.is_header_done())
    return refusal(head, 400, "malformed request");
  if (head.target.size() > target_bytes_max) return refusal(head, 414, "request target too long");

  if (parser.hosts > 1 || (head.http11 && parser.hosts == 0) || !is_host(head.host))
    return refusal(head, 400, "exactly one valid Host is needed");
  if (!normalize_target(head) || !is_host(head.host))
    return refusal(head, 400, "malformed request target");

  if (parser.lengths > 1 || (parser.lengths == 1 && !is_digits(parser.length)))
    return refusal(head, 400, "ambiguous Content-Length");
  if (parser.encodings > 0) {
    if (parser.lengths > 0 || parser.encodings > 1 || !head.http11 ||
        !equals_ignoring_case(parser.encoding, "chunked"))
      return refusal(head, 400, "ambiguous Transfer-Encoding");
    head.chunked = true;
  }
  if (parser.lengths == 1) head.content_length = parser.content_length().value_or(0);
  if (!parser.expect.empty() && head.http11) {
    if (!equals_ignoring_case(parser.expect, "100-continue"))
      return refusal(head, 417, "unknown expectation");
    head.expects_continue = true;
  }
  head.keep_alive = parser.keep_alive();
  return head;
}

// Handlers ask for a few headers out of a few: walking the text beats keeping a table of it.
std::string_view find_header(std::string_view head, std::string_view name) {
  std::size_t begin = head.find('\n') + 1;
  while (begin < head.size()) {
    const std::size_t end = head.find('\r', begin);
    const std::string_view line = head.substr(begin, end - begin);
    if (line.size() > name.size() && line[name.size()] == ':' &&
        equals_ignoring_case(line.substr(0, name.size()), name))
      return trim(line.substr(name.size() + 1));
    begin = end + 2;
  }
  return {};
}

} // namespace cairn
