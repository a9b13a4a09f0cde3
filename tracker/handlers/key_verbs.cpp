// key.add, key.ls, key.rotate, key.rm
#include "tracker/handlers/key_verbs.h"

#include <nlohmann/json.hpp>

#include <limits>
#include <string>
#include <utility>

namespace cairn::tracker {

namespace {

using nlohmann::json;

constexpr std::size_t kPrefixesMax = 64;
constexpr std::size_t kNoteMax = 256;
// How long the former secret holds when nothing is said.
constexpr std::uint64_t kOverlap = 24 * 3600;
constexpr std::uint64_t kSecondsMax = std::uint64_t{100} * 366 * 86'400;

Error invalid(std::string what) {
  return Error{Errc::invalid_argument, std::move(what)};
}

Result<std::string> text_of(const json& request, const char* name) {
  const auto found = request.find(name);
  if (found == request.end() || !found->is_string() || found->get_ref<const std::string&>().empty())
    return invalid(std::string("'") + name + "' is missing");
  return found->get<std::string>();
}

// A number that may be absent.
Result<std::uint64_t> number_of(const json& request, const char* name, std::uint64_t absent,
                                std::uint64_t max) {
  const auto found = request.find(name);
  if (found == request.end()) return absent;
  if (!found->is_number_unsigned() || found->get<std::uint64_t>() > max)
    return invalid(std::string("'") + name + "' is no number up to " + std::to_string(max));
  return found->get<std::uint64_t>();
}

Result<FactsCommand> add(const json& request, std::uint64_t now, json& answer) {
  auth::AccessKey key;
  CAIRN_TRY(rights, text_of(request, "rights"));
  CAIRN_TRY(parsed, auth::parse_rights(rights));
  key.rights = parsed;
  const json prefixes = request.value("prefixes", json::array());
  if (!prefixes.is_array() || prefixes.size() > kPrefixesMax)
    return invalid("'prefixes' is no list of at most 64");
  for (const json& prefix : prefixes) {
    if (!prefix.is_string()) return invalid("a prefix is no text");
    CAIRN_TRY(path, auth::parse_key_prefix(prefix.get<std::string>()));
    key.prefixes.push_back(std::move(path));
  }
  if ((key.rights & auth::kAdmin) != 0 && !key.prefixes.empty())
    return invalid("a key that administers holds everywhere: give no prefix");
  CAIRN_TRY(expires_in, number_of(request, "expires_in", 0, kSecondsMax));
  if (expires_in != 0) key.expires = now + expires_in;
  CAIRN_TRY(requests_rate,
            number_of(request, "requests_rate", 0, std::numeric_limits<std::uint32_t>::max()));
  key.requests_rate = static_cast<std::uint32_t>(requests_rate);
  CAIRN_TRY(bytes_rate, number_of(request, "bytes_rate", 0, std::uint64_t{1} << 50));
  key.bytes_rate = bytes_rate;
  if (const auto note = request.find("note"); note != request.end()) {
    if (!note->is_string() || note->get_ref<const std::string&>().size() > kNoteMax)
      return invalid("'note' is no text of at most 256 bytes");
    key.note = note->get<std::string>();
  }
  key.created = now;
  key.id = auth::make_key_id();
  key.secret = auth::make_key_secret();
  answer["id"] = key.id;
  answer["secret"] = key.secret;
  return FactsCommand(AddKey{std::move(key)});
}

} // namespace

Result<FactsCommand> key_command(std::string_view verb, const json& request, std::uint64_t now,
                                 json& answer) {
  if (verb == "key.add") return add(request, now, answer);
  CAIRN_TRY(id, text_of(request, "id"));
  if (verb == "key.rm") return FactsCommand(RemoveKey{std::move(id)});
  CAIRN_TRY(overlap, number_of(request, "overlap", kOverlap, kSecondsMax));
  RotateKey rotate;
  rotate.secret = auth::make_key_secret();
  rotate.former_until = now + overlap;
  answer["id"] = id;
  answer["secret"] = rotate.secret;
  rotate.id = std::move(id);
  return FactsCommand(std::move(rotate));
}

json list_keys(const ClusterFacts& facts, std::uint64_t now) {
  json keys = json::array();
  for (const auto& [id, key] : facts.keys()) {
    json prefixes = json::array();
    for (const auth::KeyPrefix& prefix : key.prefixes) prefixes.push_back(prefix.path);
    json shown{{"id", id},
               {"rights", auth::rights_text(key.rights)},
               {"prefixes", std::move(prefixes)},
               {"expires", key.expires},
               {"expired", key.has_expired(now)},
               {"requests_rate", key.requests_rate},
               {"bytes_rate", key.bytes_rate},
               {"created", key.created},
               {"note", key.note}};
    if (!key.former_secret.empty() && now < key.former_until)
      shown["former_secret_until"] = key.former_until;
    keys.push_back(std::move(shown));
  }
  return {{"keys", std::move(keys)}};
}

} // namespace cairn::tracker
