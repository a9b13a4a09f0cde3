// cairn key
#include "common/base/text.h"
#include "tools/admin.h"
#include "tools/context.h"
#include "tools/local_process.h"
#include "tools/verbs.h"

#include <nlohmann/json.hpp>

namespace cairn::tools {

namespace {

using nlohmann::json;

Result<json> request_of(const KeyArgs& args) {
  json request;
  switch (args.action) {
    case KeyAction::list:
      request["verb"] = "key.ls";
      return request;
    case KeyAction::remove:
      request["verb"] = "key.rm";
      request["id"] = args.id;
      return request;
    case KeyAction::rotate: {
      CAIRN_TRY(overlap, parse_duration(args.overlap));
      request["verb"] = "key.rotate";
      request["id"] = args.id;
      request["overlap"] = static_cast<std::uint64_t>(overlap.count());
      return request;
    }
    case KeyAction::add:
      break;
  }
  request["verb"] = "key.add";
  request["rights"] = args.rights;
  request["prefixes"] = args.prefixes;
  if (!args.expires.empty()) {
    CAIRN_TRY(expires, parse_duration(args.expires));
    request["expires_in"] = static_cast<std::uint64_t>(expires.count());
  }
  request["requests_rate"] = args.requests_rate;
  request["bytes_rate"] = args.bytes_rate;
  request["note"] = args.note;
  return request;
}

void show_list(const Context& context, const json& reply) {
  Table table({"KEY", "RIGHTS", "WHERE", "EXPIRES", "LIMITS", "NOTE"});
  for (const json& key : reply.value("keys", json::array())) {
    std::string where;
    for (const json& prefix : key.value("prefixes", json::array()))
      where += (where.empty() ? "" : " ") + prefix.get<std::string>();
    const auto expires = key.value("expires", std::int64_t{0});
    std::string limits;
    if (const auto rate = key.value("requests_rate", 0U); rate != 0)
      limits = std::to_string(rate) + "/s";
    if (const auto rate = key.value("bytes_rate", std::uint64_t{0}); rate != 0)
      limits += (limits.empty() ? "" : " ") + human_bytes(rate) + "/s";
    std::string until = expires == 0 ? "never" : human_time(expires);
    if (key.value("expired", false)) until += " (expired)";
    table.add({key.value("id", ""), key.value("rights", ""), where.empty() ? "everywhere" : where,
               until, limits.empty() ? "-" : limits, key.value("note", "")});
  }
  context.answer(table.text());
}

} // namespace

int run_key(Context& context, const KeyArgs& args) {
  const std::string what = args.id.empty() ? "key" : "key " + args.id;
  const auto request = request_of(args);
  if (!request) return context.fail(what, request.error());
  auto client = context.client();
  if (!client) return context.fail(what, client.error());
  const auto reply = admin(**client, *request);
  if (!reply) return context.fail(what, reply.error());
  const std::string secret = reply->value("secret", "");
  if (!secret.empty() && !args.output.empty()) {
    const std::string line = reply->value("id", "") + " " + secret + "\n";
    if (const Status written = write_small_file(args.output, line, 0600); !written)
      return context.fail(what, written.error(),
                          "the key was made: remove it with `cairn key rm`, or rotate it");
    context.answer(reply->value("id", ""));
    return kGood;
  }
  if (context.json()) {
    context.answer_json(*reply);
    return kGood;
  }
  if (args.action == KeyAction::list) show_list(context, *reply);
  if (!secret.empty()) {
    context.answer(reply->value("id", "") + " " + secret);
    context.note(
        "This is the only time the secret is shown. In a file of mode 0600 the line is an "
        "access_key_file.");
  }
  return kGood;
}

} // namespace cairn::tools
