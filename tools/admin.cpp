// Administrative requests.
#include "tools/admin.h"

#include <nlohmann/json.hpp>

namespace cairn::tools {

Result<nlohmann::json> read_admin_reply(std::string_view text) {
  nlohmann::json reply = nlohmann::json::parse(text, nullptr, false);
  if (!reply.is_object())
    return Error{Errc::invalid_argument, "the tracker's answer is no JSON object"};
  const auto error = reply.find("error");
  if (error == reply.end()) return reply;
  Errc code = Errc::io_error;
  std::string message = "the tracker refused";
  if (error->is_object()) {
    const auto status = error->find("status");
    if (status != error->end() && status->is_number_unsigned() && status->get<unsigned>() <= 255)
      code = static_cast<Errc>(status->get<std::uint8_t>());
    const auto text_of = error->find("message");
    if (text_of != error->end() && text_of->is_string()) message = text_of->get<std::string>();
  }
  return Error{code, std::move(message)};
}

Result<nlohmann::json> admin(Client& client, const nlohmann::json& request) {
  CAIRN_TRY(text, client.admin(request.dump()));
  return read_admin_reply(text);
}

} // namespace cairn::tools
