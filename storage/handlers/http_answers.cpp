// JSON as replies.
#include "storage/handlers/http_answers.h"

#include <nlohmann/json.hpp>

#include <string>

namespace cairn::storage {

HttpReply json_reply(int status, const nlohmann::json& document) {
  HttpReply reply = HttpReply::text(
      status, document.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n",
      "application/json");
  reply.headers.emplace_back("Cache-Control", "no-store");
  return reply;
}

HttpReply error_reply(int status, std::string_view why) {
  return json_reply(status, {{"error", std::string(why)}});
}

HttpReply later(std::string_view why) {
  HttpReply reply = error_reply(503, why);
  reply.headers.emplace_back("Retry-After", "1");
  return reply;
}

} // namespace cairn::storage
