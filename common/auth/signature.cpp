// The signed text, and the two ways to carry a signature.
#include "common/auth/signature.h"

#include "common/auth/crypto.h"
#include "common/base/text.h"

#include <algorithm>

namespace cairn::auth {

namespace {

constexpr std::size_t kParametersMax = 64;
constexpr std::size_t kHeadersMax = 16;

bool stays(char c) {
  return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' ||
         c == '.' || c == '_' || c == '~';
}

Error malformed() {
  return Error{Errc::invalid_argument, "malformed signature"};
}

// Puts one parameter into a claim; false when the name is none of ours.
Result<bool> put(SignatureClaim& claim, std::string_view name, std::string_view value) {
  if (name == "key") {
    if (!claim.key_id.empty() || value.empty()) return malformed();
    claim.key_id = value;
  } else if (name == "expires") {
    const auto number = parse_u64(value);
    // One spelling only: the signed text holds the number.
    if (claim.expires != 0 || !number || *number == 0 || std::to_string(*number) != value)
      return malformed();
    claim.expires = *number;
  } else if (name == "headers") {
    if (!claim.headers.empty() || value.empty()) return malformed();
    for (const std::string_view header : split(value, ';')) {
      if (header.empty() || to_lower(header) != header) return malformed();
      claim.headers.emplace_back(header);
    }
    if (claim.headers.size() > kHeadersMax) return malformed();
  } else if (name == "signature") {
    if (!claim.signature.empty() || value.empty()) return malformed();
    claim.signature = value;
  } else {
    return false;
  }
  return true;
}

bool is_complete(const SignatureClaim& claim) {
  return !claim.key_id.empty() && claim.expires != 0 && !claim.signature.empty();
}

std::string joined_names(const NameValues& headers) {
  std::string names;
  for (const auto& [name, value] : headers) {
    if (!names.empty()) names += ';';
    names += name;
  }
  return names;
}

} // namespace

std::string percent_encode(std::string_view text, bool keep_slash) {
  constexpr std::string_view kDigits = "0123456789ABCDEF";
  std::string out;
  out.reserve(text.size());
  for (const char c : text) {
    if (stays(c) || (keep_slash && c == '/')) {
      out += c;
      continue;
    }
    const auto byte = static_cast<unsigned char>(c);
    out += '%';
    out += kDigits[byte >> 4U];
    out += kDigits[byte & 15U];
  }
  return out;
}

Result<NameValues> parse_query(std::string_view query) {
  NameValues values;
  if (query.empty()) return values;
  for (const std::string_view piece : split(query, '&')) {
    if (piece.empty()) continue;
    if (values.size() == kParametersMax)
      return Error{Errc::invalid_argument, "too many parameters"};
    const std::size_t equals = piece.find('=');
    CAIRN_TRY(name, percent_decode(piece.substr(0, equals)));
    std::string value;
    if (equals != std::string_view::npos) {
      CAIRN_TRY(decoded, percent_decode(piece.substr(equals + 1)));
      value = std::move(decoded);
    }
    values.emplace_back(std::move(name), std::move(value));
  }
  return values;
}

std::string canonical_text(const SignedRequest& request) {
  std::vector<std::string> pairs;
  for (const auto& [name, value] : request.query)
    pairs.push_back(percent_encode(name, false) + "=" + percent_encode(value, false));
  std::sort(pairs.begin(), pairs.end());
  std::string text(kSignatureScheme);
  text.append("\n").append(request.method);
  text.append("\n").append(percent_encode(request.path, true)).append("\n");
  for (std::size_t i = 0; i < pairs.size(); ++i) text.append(i == 0 ? "" : "&").append(pairs[i]);
  text.append("\n").append(request.key_id);
  text.append("\n").append(std::to_string(request.expires));
  text.append("\n").append(joined_names(request.headers));
  for (const auto& [name, value] : request.headers)
    text.append("\n").append(name).append(":").append(trim(value));
  return text;
}

std::string signature_of(wire::View secret, const SignedRequest& request) {
  return base64url_encode(hmac_sha256(secret, wire::as_view(canonical_text(request))));
}

std::string signature_query(wire::View secret, const SignedRequest& request) {
  std::string query = "cairn-key=" + percent_encode(request.key_id, false);
  query.append("&cairn-expires=").append(std::to_string(request.expires));
  if (!request.headers.empty())
    query.append("&cairn-headers=").append(percent_encode(joined_names(request.headers), false));
  return query.append("&cairn-signature=").append(signature_of(secret, request));
}

Result<SignatureClaim> take_claim(NameValues& query, bool& found) {
  constexpr std::string_view kOurs = "cairn-";
  SignatureClaim claim;
  NameValues rest;
  found = false;
  for (auto& [name, value] : query) {
    if (name.starts_with(kOurs)) {
      CAIRN_TRY(ours, put(claim, std::string_view(name).substr(kOurs.size()), value));
      if (ours) {
        found = true;
        continue;
      }
    }
    rest.emplace_back(std::move(name), std::move(value));
  }
  query = std::move(rest);
  if (found && !is_complete(claim)) return malformed();
  return claim;
}

Result<SignatureClaim> parse_authorization(std::string_view value) {
  if (!value.starts_with(kSignatureScheme)) return malformed();
  value.remove_prefix(kSignatureScheme.size());
  SignatureClaim claim;
  for (const std::string_view piece : split(value, ',')) {
    const std::string_view pair = trim(piece);
    const std::size_t equals = pair.find('=');
    if (equals == std::string_view::npos) return malformed();
    CAIRN_TRY(ours, put(claim, pair.substr(0, equals), pair.substr(equals + 1)));
    if (!ours) return malformed();
  }
  if (!is_complete(claim)) return malformed();
  return claim;
}

} // namespace cairn::auth
