// One exchange over a Connection, new or left open by the last one.
#include "common/net/http_client.h"

#include "common/base/text.h"

#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/buffer_body.hpp>
#include <boost/beast/http/error.hpp>
#include <boost/beast/http/parser.hpp>

#include <algorithm>

namespace cairn {

namespace http = boost::beast::http;

namespace {

constexpr std::uint32_t kHeadMax = 16 * 1024;
constexpr std::size_t kPiece = 16 * 1024;

bool is_clean(std::string_view text) {
  return std::all_of(text.begin(), text.end(),
                     [](char c) { return static_cast<unsigned char>(c) > 0x20 && c != 0x7F; });
}

bool is_value(std::string_view text) {
  return std::none_of(text.begin(), text.end(), [](char c) { return c == '\r' || c == '\n'; });
}

Error broken(const boost::beast::error_code& error) {
  return Error{Errc::invalid_argument, "the server's answer is no HTTP: " + error.message()};
}

} // namespace

struct HttpCall::Parser {
  http::response_parser<http::buffer_body> parser;
  boost::beast::flat_buffer buffer{64 * 1024};

  // Reads more from the connection; at the end of the stream tells the parser. False: that was the
  // end.
  Task<Result<bool>> more(Connection& connection) {
    const auto space = buffer.prepare(kPiece);
    const std::span<std::byte> out(static_cast<std::byte*>(space.data()), space.size());
    auto count = co_await connection.read_some(out);
    if (count) {
      buffer.commit(*count);
      co_return true;
    }
    if (count.code() != Errc::closed) co_return std::move(count).error();
    boost::beast::error_code error;
    parser.put_eof(error);
    if (error) co_return Error{Errc::closed, "the answer ended too early"};
    co_return false;
  }
};

HttpCall::HttpCall() = default;
HttpCall::HttpCall(HttpCall&&) noexcept = default;
HttpCall& HttpCall::operator=(HttpCall&&) noexcept = default;
HttpCall::~HttpCall() = default;

Task<Result<HttpCall>> HttpCall::send(Endpoint to, HttpAsk ask, std::chrono::milliseconds timeout) {
  return send_over(nullptr, std::move(to), std::move(ask), timeout);
}

Task<Result<HttpCall>> HttpCall::send_over(std::unique_ptr<Connection> connection, Endpoint to,
                                           HttpAsk ask, std::chrono::milliseconds timeout) {
  if (!is_clean(ask.target) || ask.target.empty() || !is_clean(ask.host) || !is_clean(ask.method))
    co_return Error{Errc::invalid_argument, "the URL has a blank or a control character"};
  std::string host = ask.host.empty() ? to.text() : ask.host;
  std::string text = ask.method + " " + ask.target + " HTTP/1.1\r\nHost: " + host + "\r\n";
  if (!ask.keep) text += "Connection: close\r\n";
  for (const auto& [name, value] : ask.headers)
    if (is_clean(name) && is_value(value)) text.append(name).append(": ").append(value) += "\r\n";
  text += "\r\n";

  HttpCall call;
  call.timeout_ = timeout;
  if (connection == nullptr) {
    CAIRN_CO_TRY(made, co_await Connection::connect(to.host, to.port, timeout));
    connection = std::move(made);
  }
  call.connection_ = std::move(connection);
  call.connection_->set_deadline(timeout);
  CAIRN_CO_RETURN_IF_ERROR(
      co_await call.connection_->write(std::as_bytes(std::span(text.data(), text.size()))));
  call.parser_ = std::make_unique<Parser>();
  auto& parser = call.parser_->parser;
  parser.header_limit(kHeadMax);
  parser.body_limit(boost::none);
  if (ask.method == "HEAD") parser.skip(true);
  while (!parser.is_header_done()) {
    boost::beast::error_code error;
    const std::size_t used = parser.put(call.parser_->buffer.data(), error);
    call.parser_->buffer.consume(used);
    if (parser.is_header_done()) break;
    if (error && error != http::error::need_more) co_return broken(error);
    CAIRN_CO_TRY(more, co_await call.parser_->more(*call.connection_));
    if (!more && !parser.is_header_done())
      co_return Error{Errc::closed, "the server closed without an answer"};
  }
  // We never ask for "100 Continue", so an interim answer is a broken server.
  if (parser.get().result_int() < 200)
    co_return Error{Errc::invalid_argument, "the server answered with an interim status"};
  call.status_ = static_cast<int>(parser.get().result_int());
  for (const auto& field : parser.get())
    call.headers_.emplace_back(std::string(field.name_string()), std::string(field.value()));
  if (const auto length = parser.content_length()) call.length_ = *length;
  if (ask.method == "HEAD" && !call.length_)
    if (const auto length = parse_u64(call.header("Content-Length"))) call.length_ = *length;
  co_return call;
}

std::string_view HttpCall::header(std::string_view name) const {
  for (const auto& [key, value] : headers_)
    if (equals_ignoring_case(key, name)) return value;
  return {};
}

Task<Result<std::size_t>> HttpCall::read_some(std::span<std::byte> out) {
  auto& parser = parser_->parser;
  auto& body = parser.get().body();
  while (!parser.is_done()) {
    body.data = out.data();
    body.size = out.size();
    body.more = true;
    boost::beast::error_code error;
    if (parser_->buffer.size() > 0) {
      const std::size_t used = parser.put(parser_->buffer.data(), error);
      parser_->buffer.consume(used);
      if (error == http::error::need_buffer || error == http::error::need_more) error = {};
      if (error) co_return broken(error);
      if (body.size < out.size()) co_return out.size() - body.size;
      if (used > 0) continue;
    }
    if (parser.is_done()) break;
    connection_->set_deadline(timeout_);
    CAIRN_CO_TRY(more, co_await parser_->more(*connection_));
    if (!more) break;
  }
  co_return std::size_t{0};
}

std::unique_ptr<Connection> HttpCall::release() {
  if (connection_ == nullptr || !parser_->parser.is_done() || parser_->buffer.size() > 0 ||
      !parser_->parser.keep_alive())
    return nullptr;
  return std::move(connection_);
}

} // namespace cairn
