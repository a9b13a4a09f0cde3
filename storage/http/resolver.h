// One meaning that a URL can have. The service asks its resolvers in order; the first that claims a
// request answers it.
#pragma once

#include "common/net/http_server.h"

#include <string>
#include <string_view>
#include <utility>

namespace cairn::storage {

// A request with its path decoded once. Owns the path, so that a coroutine can keep it.
class ResolvedUrl {
public:
  ResolvedUrl(const HttpRequest& request, std::string path)
      : request_(&request), path_(std::move(path)) {}

  // Lives until the request is answered.
  const HttpRequest& request() const { return *request_; }
  // Decoded: "/group1/M00/…".
  const std::string& path() const { return path_; }
  // As sent, without the '?'.
  std::string_view query() const { return request_->query(); }
  bool is_read() const { return request_->head || request_->method == "GET"; }

private:
  const HttpRequest* request_;
  std::string path_;
};

class Resolver {
public:
  virtual ~Resolver() = default;

  // Whether the request is this resolver's. Called for every request on any I/O thread: no I/O.
  virtual bool claims(const ResolvedUrl& url) const = 0;
  // Answers a claimed request.
  virtual Task<HttpReply> answer(ResolvedUrl url) = 0;
};

// The answer to a method that a URL does not take.
HttpReply method_not_allowed(std::string_view allow);
// A short text answer for people, not to be cached.
HttpReply plain_reply(int status, std::string_view text);

} // namespace cairn::storage
