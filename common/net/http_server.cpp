// HTTP/1.1 sessions: limits, refusals, replies and files.
#include "common/net/http_server.h"

#include "common/base/text.h"
#include "common/net/busy_mark.h"
#include "common/net/http_body.h"
#include "common/net/http_head.h"
#include "common/net/send_file.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <ctime>
#include <optional>

namespace cairn {

namespace {

// What one recv() takes: more than a head and its pipelined followers usually have.
constexpr std::size_t kReadSize = 16 * 1024;
// File ranges up to this size are copied behind the head and leave with it in one system call.
// Above, sendfile costs less than the two copies: at 32 KiB a tenth less CPU for the whole request.
constexpr std::uint64_t kInlineFileMax = 16 * 1024;
// Inside TLS all bytes are copied anyway, and a head of its own would be a record of its own.
constexpr std::uint64_t kInlineTlsMax = 64 * 1024;
constexpr std::size_t kWriteSize = kInlineTlsMax + 8 * 1024;
// After a refusal the client may still be sending: its bytes are thrown away for a while, because
// closing with unread bytes makes the kernel send a reset that can overtake the reply.
constexpr std::chrono::milliseconds kLingerTime{2'000};
constexpr std::size_t kLingerBytesMax = 1024 * 1024;

// Buffers of the thread: used between two suspensions only, so that all sessions can share them.
std::span<std::byte> read_scratch() {
  thread_local wire::Buffer buffer(kReadSize);
  return buffer.span();
}
std::span<std::byte> write_scratch() {
  thread_local wire::Buffer buffer(kWriteSize);
  return buffer.span();
}

// --- writing a reply ----------------------------------------------------------------------------

// "Sun, 06 Nov 1994 08:49:37 GMT", made once a second on each thread.
std::string_view date_now() {
  thread_local std::time_t made_at = 0;
  thread_local std::array<char, 32> text{};
  thread_local std::size_t size = 0;
  const std::time_t now = std::time(nullptr);
  if (now != made_at) {
    std::tm parts{};
    ::gmtime_r(&now, &parts);
    // Daemons stay in the C locale, so the names are English.
    size = std::strftime(text.data(), text.size(), "%a, %d %b %Y %H:%M:%S GMT", &parts);
    made_at = now;
  }
  return {text.data(), size};
}

void append_field(std::string& out, std::string_view name, std::string_view value) {
  out.append(name).append(": ");
  const auto is_control = [](char c) {
    return (static_cast<unsigned char>(c) < 0x20 && c != '\t') || c == 0x7f;
  };
  if (std::none_of(value.begin(), value.end(), is_control)) {
    out.append(value);
  } else {
    std::copy_if(value.begin(), value.end(), std::back_inserter(out),
                 [&](char c) { return !is_control(c); });
  }
  out.append("\r\n");
}

// Statuses whose replies end with the head.
bool has_no_body(int status) {
  return status < 200 || status == 204 || status == 304;
}

// Sends a reply as far as the socket takes it at once: most need no more than push().
class ReplyWriter {
public:
  ReplyWriter(HttpReply reply, const Head& request, bool keep_alive, const HttpOptions& options)
      : reply_(std::move(reply)), options_(options) {
    std::uint64_t length = reply_.stream ? reply_.stream_length : 0;
    for (const auto& part : reply_.body) length += part.text.size() + (part.fd ? part.length : 0);

    head_.reserve(512);
    head_.append("HTTP/1.1 ").append(std::to_string(reply_.status)).append(" ");
    head_.append(http_reason(reply_.status)).append("\r\n");
    append_field(head_, "Server", options.server);
    append_field(head_, "Date", date_now());
    for (const auto& [name, value] : reply_.headers) append_field(head_, name, value);
    if (!has_no_body(reply_.status)) append_field(head_, "Content-Length", std::to_string(length));
    if (!keep_alive)
      append_field(head_, "Connection", "close");
    else if (!request.http11)
      append_field(head_, "Connection", "keep-alive"); // an HTTP/1.0 client must be told
    head_.append("\r\n");

    with_body_ = request.method != "HEAD" && !has_no_body(reply_.status);
  }

  int status() const { return reply_.status; }

  // Sends without waiting. True: all is out. False: finish() does the rest. Errors: closed.
  Result<bool> push(Connection& connection) {
    while (!at_end()) {
      const std::span<std::byte> buffer = write_scratch();
      const std::size_t filled = fill(buffer, connection.is_tls() ? kInlineTlsMax : kInlineFileMax);
      if (filled == 0) return false; // a file range or a stream is next
      const wire::View bytes = buffer.first(filled);
      CAIRN_TRY(taken, connection.try_write(bytes, more_follows()));
      if (taken < filled) {
        rest_.assign(bytes.begin() + static_cast<std::ptrdiff_t>(taken), bytes.end());
        return false;
      }
    }
    return true;
  }

  // Sends what push() left, waiting as needed. Errors: closed, timeout, io_error (a file is shorter
  // than its range), or that of the stream; the reply is then broken off.
  Task<Status> finish(Connection& connection) {
    for (;;) {
      if (!rest_.empty()) {
        CAIRN_CO_RETURN_IF_ERROR(co_await connection.write(rest_, more_follows()));
        rest_ = wire::Bytes();
      }
      CAIRN_CO_TRY(done, push(connection));
      if (done) co_return Status();
      if (!rest_.empty()) continue;
      if (part_ < reply_.body.size()) {
        const HttpBodyPart& part = reply_.body[part_];
        const std::uint64_t offset = part.offset + position_ - part.text.size();
        const std::uint64_t count = part.offset + part.length - offset;
        DiskPool* disk = part.disk != nullptr ? part.disk : options_.disk;
        if (disk != nullptr) {
          CAIRN_CO_RETURN_IF_ERROR(
              co_await send_file_cached(connection, *disk, *part.fd, offset, count));
        } else {
          CAIRN_CO_RETURN_IF_ERROR(co_await connection.send_file(*part.fd, offset, count));
        }
        next_part();
      } else {
        const std::uint64_t before = connection.bytes_sent();
        CAIRN_CO_RETURN_IF_ERROR(co_await reply_.stream(connection));
        if (connection.bytes_sent() - before != reply_.stream_length)
          co_return Error{Errc::io_error, "a stream did not write the bytes it had promised"};
        streamed_ = true;
      }
    }
  }

private:
  bool at_end() {
    if (head_done_ < head_.size()) return false;
    if (!with_body_) return true;
    while (part_ < reply_.body.size() && position_ == part_size(reply_.body[part_])) next_part();
    return part_ == reply_.body.size() && (!reply_.stream || streamed_);
  }

  // True when the kernel may hold back what is written now: bytes of this node follow at once. A
  // stream may take its time.
  bool more_follows() { return !at_end() && part_ < reply_.body.size(); }

  static std::uint64_t part_size(const HttpBodyPart& part) {
    return part.text.size() + (part.fd ? part.length : 0);
  }

  void next_part() {
    ++part_;
    position_ = 0;
  }

  // Copies what comes next into `out`: text, and file ranges up to `inline_max` that are cached.
  // Answers the bytes copied; stops where a file range has to go by sendfile, and at the stream.
  std::size_t fill(std::span<std::byte> out, std::uint64_t inline_max) {
    std::size_t filled = 0;
    const auto copy = [&](std::string_view text) {
      const std::size_t count = std::min(text.size(), out.size() - filled);
      std::memcpy(out.data() + filled, text.data(), count);
      filled += count;
      return count;
    };
    head_done_ += copy(std::string_view(head_).substr(head_done_));
    while (filled < out.size() && !at_end() && part_ < reply_.body.size()) {
      const HttpBodyPart& part = reply_.body[part_];
      if (position_ < part.text.size()) {
        position_ += copy(std::string_view(part.text).substr(position_));
        continue;
      }
      // Whole ranges only: what is begun here is never left half to sendfile.
      if (part.length > inline_max || part.length > out.size() - filled) break;
      const auto range = out.subspan(filled, static_cast<std::size_t>(part.length));
      if (read_if_cached(*part.fd, part.offset, range) < range.size()) break;
      filled += range.size();
      next_part();
    }
    return filled;
  }

  HttpReply reply_;
  const HttpOptions& options_;
  std::string head_;
  std::size_t head_done_ = 0;
  bool with_body_ = true;
  std::size_t part_ = 0;       // the first one that is not out yet
  std::uint64_t position_ = 0; // bytes of it that are: text first, then file
  bool streamed_ = false;
  wire::Bytes rest_; // copied out of the shared buffer when the socket was full
};

// --- the session --------------------------------------------------------------------------------

// One run of requests: from the moment bytes arrive until the connection is idle again.
class Exchange {
public:
  Exchange(Connection& connection, const HttpHandler& handler, const HttpOptions& options)
      : connection_(connection), handler_(handler), options_(options) {}

  // True: idle, wait for the next request. False: close the connection.
  Task<bool> run() {
    for (bool first = true;; first = false) {
      // Clients that do not pipeline have nothing here yet: asking the socket would be in vain.
      if (!first && input_.empty() && !connection_.has_buffered()) co_return true;
      HeadScanner scanner;
      auto state = HeadScanner::State::incomplete;
      bool begun = false;
      for (;;) {
        state = scanner.scan(input_);
        if (state != HeadScanner::State::incomplete) break;
        if (too_long(scanner)) break;
        // The time runs from the first byte of a request, however they trickle in.
        if (!input_.empty() && !std::exchange(begun, true))
          connection_.set_deadline(options_.header_timeout);
        auto count = receive();
        if (!count) co_return false;
        if (*count > 0) continue;
        if (auto ready = co_await connection_.wait_readable(); !ready) co_return false;
      }
      connection_.clear_deadline();
      started_ = std::chrono::steady_clock::now();

      Head head;
      if (const int status = too_long(scanner); status != 0) {
        head = refusal(Head(), status, "request header too large");
      } else if (state == HeadScanner::State::malformed) {
        head = refusal(Head(), 400, "malformed request");
      } else {
        const std::string_view text(input_.data() + scanner.begin(),
                                    scanner.end() - scanner.begin());
        head = parse_head(text, options_.target_bytes_max);
      }
      if (head.refuse != 0) {
        std::string why(head.why);
        HttpReply reply = HttpReply::text(head.refuse, why.append("\n"));
        ReplyWriter writer(std::move(reply), head, /*keep_alive=*/false, options_);
        if (co_await send(writer, head)) co_await linger();
        co_return false;
      }

      std::optional<RequestBody> body;
      if (head.chunked || head.content_length > 0) {
        std::optional<std::uint64_t> length;
        if (!head.chunked) length = head.content_length;
        // The views of `head` point into the input: it must not move, but its tail can go.
        std::string ahead = input_.substr(scanner.end());
        input_.erase(scanner.end());
        body.emplace(connection_, length, std::move(ahead), head.expects_continue,
                     options_.body_timeout);
      }
      const BusyMark busy(options_.busy);

      const std::string_view text(input_.data() + scanner.begin(), scanner.end() - scanner.begin());
      HttpRequest request;
      request.method = head.method;
      request.target = head.target;
      request.host = head.host;
      request.head = head.method == "HEAD";
      request.header = [&text](std::string_view name) { return find_header(text, name); };
      request.fields = text.substr(text.find('\n') + 1);
      request.body = body ? &*body : nullptr;
      request.connection = &connection_;
      HttpReply reply = co_await handler_(request);
      // Unread body bytes would be taken for the next request.
      bool drain = true;
      if (body) {
        auto finished = co_await body->finish(options_.drain_bytes_max);
        // Malformed chunks are told; a client that has gone is not.
        if (!finished && finished.code() != Errc::invalid_argument) co_return false;
        drain = finished && *finished;
      }
      const bool stopping = options_.stopping != nullptr && *options_.stopping;
      const bool stay = head.keep_alive && drain && options_.keep_alive && !stopping;
      ReplyWriter writer(std::move(reply), head, stay, options_);
      if (!co_await send(writer, head)) co_return false;
      if (!drain) co_await linger();
      if (!stay) co_return false;

      input_.erase(0, scanner.end());
      if (body) input_.append(body->take_ahead());
      if (input_.empty()) {
        connection_.clear_deadline();
        co_return true;
      }
    }
  }

private:
  // Status of the refusal when the head is larger than allowed, else 0.
  int too_long(const HeadScanner& scanner) const {
    const std::size_t end = scanner.end();
    if (scanner.lines() == 0 && end > options_.target_bytes_max + 64) return 414;
    if (end - scanner.begin() > options_.header_bytes_max) return 431;
    if (scanner.lines() > options_.header_count_max + 1) return 431;
    return 0;
  }

  // Appends what has arrived to the input; 0: nothing has.
  Result<std::size_t> receive() {
    const auto buffer = read_scratch();
    CAIRN_TRY(count, connection_.try_read(buffer));
    input_.append(wire::as_text(buffer.first(count)));
    return count;
  }

  // Sends the reply and reports it. False: the connection is of no use any more.
  Task<bool> send(ReplyWriter& writer, const Head& head) {
    connection_.set_write_timeout(options_.write_timeout);
    const std::uint64_t before = connection_.bytes_sent();
    bool complete = false;
    auto pushed = writer.push(connection_);
    if (pushed && *pushed) {
      complete = true;
    } else if (pushed) {
      const Status finished = co_await writer.finish(connection_);
      complete = finished.has_value();
    }
    if (options_.observe) {
      HttpExchange exchange;
      exchange.method = head.method;
      exchange.target = head.target;
      exchange.status = writer.status();
      exchange.bytes = connection_.bytes_sent() - before;
      exchange.duration = std::chrono::steady_clock::now() - started_;
      exchange.complete = complete;
      options_.observe(exchange);
    }
    co_return complete;
  }

  // Lets the client read the reply although it has not finished sending.
  Task<void> linger() {
    connection_.shutdown_write();
    connection_.set_deadline(kLingerTime);
    std::size_t thrown_away = 0;
    while (thrown_away < kLingerBytesMax) {
      auto got = connection_.try_read(read_scratch());
      if (!got) co_return;
      thrown_away += *got;
      if (*got > 0) continue;
      if (auto ready = co_await connection_.wait_readable(); !ready) co_return;
    }
  }

  Connection& connection_;
  const HttpHandler& handler_;
  const HttpOptions& options_;
  std::string input_; // bytes from the current request on
  std::chrono::steady_clock::time_point started_;
};

// Separate from serve_http(), so that an idle connection keeps no frame with buffers.
Task<bool> serve_burst(Connection& connection, const HttpHandler& handler,
                       const HttpOptions& options) {
  Exchange exchange(connection, handler, options);
  co_return co_await exchange.run();
}

} // namespace

Task<void> serve_http(Connection& connection, const HttpHandler& handler,
                      const HttpOptions& options) {
  // The first request is expected at once, later ones when the client likes.
  connection.set_deadline(options.header_timeout);
  for (;;) {
    if (auto ready = co_await connection.wait_readable(); !ready) break;
    if (!co_await serve_burst(connection, handler, options)) break;
    connection.set_deadline(options.idle_timeout);
  }
  connection.close();
}

void for_each_header(std::string_view fields,
                     const std::function<void(std::string_view, std::string_view)>& each) {
  while (!fields.empty()) {
    const std::size_t end = fields.find("\r\n");
    const std::string_view line = fields.substr(0, end);
    const std::size_t colon = line.find(':');
    if (colon != std::string_view::npos) each(line.substr(0, colon), trim(line.substr(colon + 1)));
    if (end == std::string_view::npos) break;
    fields.remove_prefix(end + 2);
  }
}

HttpReply HttpReply::text(int status, std::string body, std::string type) {
  HttpReply reply;
  reply.status = status;
  reply.headers.emplace_back("Content-Type", std::move(type));
  reply.body.emplace_back();
  reply.body.back().text = std::move(body);
  return reply;
}

std::string_view http_reason(int status) {
  switch (status) {
    case 200:
      return "OK";
    case 201:
      return "Created";
    case 202:
      return "Accepted";
    case 204:
      return "No Content";
    case 206:
      return "Partial Content";
    case 301:
      return "Moved Permanently";
    case 302:
      return "Found";
    case 303:
      return "See Other";
    case 304:
      return "Not Modified";
    case 307:
      return "Temporary Redirect";
    case 308:
      return "Permanent Redirect";
    case 400:
      return "Bad Request";
    case 401:
      return "Unauthorized";
    case 403:
      return "Forbidden";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 408:
      return "Request Timeout";
    case 409:
      return "Conflict";
    case 410:
      return "Gone";
    case 411:
      return "Length Required";
    case 412:
      return "Precondition Failed";
    case 413:
      return "Content Too Large";
    case 414:
      return "URI Too Long";
    case 415:
      return "Unsupported Media Type";
    case 416:
      return "Range Not Satisfiable";
    case 417:
      return "Expectation Failed";
    case 422:
      return "Unprocessable Content";
    case 429:
      return "Too Many Requests";
    case 431:
      return "Request Header Fields Too Large";
    case 500:
      return "Internal Server Error";
    case 501:
      return "Not Implemented";
    case 502:
      return "Bad Gateway";
    case 503:
      return "Service Unavailable";
    case 504:
      return "Gateway Timeout";
    case 505:
      return "HTTP Version Not Supported";
    case 507:
      return "Insufficient Storage";
    default:
      return "Unknown";
  }
}

Result<std::string> decode_path(std::string_view raw) {
  std::string path;
  path.reserve(raw.size());
  for (std::size_t i = 0; i < raw.size(); ++i) {
    if (raw[i] != '%') {
      path.push_back(raw[i]);
      continue;
    }
    const int high = i + 2 < raw.size() ? hex_digit(raw[i + 1]) : -1;
    const int low = high < 0 ? -1 : hex_digit(raw[i + 2]);
    if (low < 0) return Error{Errc::invalid_argument, "bad percent escape"};
    const char decoded = static_cast<char>(high * 16 + low);
    if (decoded == '/' || decoded == '\0')
      return Error{Errc::invalid_argument, "escaped '/' or NUL"};
    path.push_back(decoded);
    i += 2;
  }
  return path;
}

} // namespace cairn
