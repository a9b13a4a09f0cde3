// Signed HTTP requests and URLs: what is signed, and by which name it is carried. Pure.
//
// The signature is base64url(HMAC-SHA256(secret, text)), text being these lines joined by "\n":
//
//   CAIRN1-HMAC-SHA256
//   METHOD
//   PATH                the decoded path, percent-encoded anew: A-Z a-z 0-9 - . _ ~ and / stay
//   QUERY               name=value pairs without those of the signature, decoded, encoded anew
//   (also
//                       '/'), sorted by bytes, joined by '&'
//   KEY                 ID of the access key
//   EXPIRES             unix seconds
//   NAMES               names of the signed headers: lower case, joined by ';'
//   name:value          of each of them, in that order, the value without spaces at its ends
//
// In a URL: cairn-key, cairn-expires, cairn-headers (if any), cairn-signature. In a header:
//   Authorization: CAIRN1-HMAC-SHA256 key=…, expires=…, headers=a;b, signature=…
// docs/http-api.md has test vectors.
#pragma once

#include "common/base/result.h"
#include "common/wire/bytes.h"

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace cairn::auth {

inline constexpr std::string_view kSignatureScheme = "CAIRN1-HMAC-SHA256";

using NameValues = std::vector<std::pair<std::string, std::string>>;

// One request as its signer sees it.
struct SignedRequest {
  std::string method; // "GET"
  std::string path;   // decoded, begins with '/'
  NameValues query;   // decoded, without the parameters of the signature
  std::string key_id;
  std::uint64_t expires = 0; // unix seconds
  NameValues headers;        // names in lower case
};

// Percent-encodes all but A-Z a-z 0-9 - . _ ~ (and '/', if it is to stay).
std::string percent_encode(std::string_view text, bool keep_slash);
// Splits and decodes a query; "a" is a with an empty value. Errors: invalid_argument.
Result<NameValues> parse_query(std::string_view query);

// The text above.
std::string canonical_text(const SignedRequest& request);
// 43 characters.
std::string signature_of(wire::View secret, const SignedRequest& request);
// "cairn-key=…&cairn-expires=…&cairn-signature=…", to be added to the URL's query.
std::string signature_query(wire::View secret, const SignedRequest& request);

// What a request says of its signature.
struct SignatureClaim {
  std::string key_id;
  std::uint64_t expires = 0;
  std::vector<std::string> headers; // names in lower case
  std::string signature;
};

// Takes the parameters of a signature out of `query`; `found` is false when there are none. Errors:
// invalid_argument (one of them twice, missing or malformed).
Result<SignatureClaim> take_claim(NameValues& query, bool& found);
// The claim of an Authorization header of our scheme. Errors: invalid_argument.
Result<SignatureClaim> parse_authorization(std::string_view value);

} // namespace cairn::auth
