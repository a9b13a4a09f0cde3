// Signatures: the vectors of docs/http-api.md, and that every part counts.
#include "common/auth/signature.h"

#include <gtest/gtest.h>

#include <functional>

namespace cairn::auth {

namespace {

const std::string kSecret = "0123456789abcdef0123456789abcdef";

SignedRequest request_of(std::string method, std::string path) {
  SignedRequest request;
  request.method = std::move(method);
  request.path = std::move(path);
  request.key_id = "CKEXAMPLE";
  request.expires = 1'900'000'000;
  return request;
}

std::string sign(const SignedRequest& request) {
  return signature_of(wire::as_view(kSecret), request);
}

} // namespace

TEST(Signature, Vectors) {
  EXPECT_EQ(sign(request_of("GET", "/group1/M00/00/00/a.jpg")),
            "iRtEQESZeI8llm6mkOB-kG6wvNZ2fuTAMgoWXOejnJY");

  SignedRequest put = request_of("PUT", "/group1/caf\xC3\xA9 menu.jpg");
  put.query = {{"b", "2"}, {"a", "/"}, {"a", "1"}};
  EXPECT_EQ(canonical_text(put),
            "CAIRN1-HMAC-SHA256\nPUT\n/group1/caf%C3%A9%20menu.jpg\na=%2F&a=1&b=2\nCKEXAMPLE\n"
            "1900000000\n");
  EXPECT_EQ(sign(put), "uF8xNdiTh2dMpba-w1tUYghSuZMgEfbXWv_la6VDt9g");

  SignedRequest post = request_of("POST", "/group1");
  post.headers = {{"content-type", "image/png"}, {"x-cairn-meta-owner", " alice "}};
  EXPECT_EQ(sign(post), "AOfJx1b70_6Z51_2NENdg9GTXxx-vZU7JKIoZdu0Qsc");
}

TEST(Signature, EveryPartCounts) {
  SignedRequest request = request_of("GET", "/group1/a");
  request.query = {{"a", "1"}};
  request.headers = {{"host", "h"}};
  const std::string good = sign(request);
  const std::vector<std::function<void(SignedRequest&)>> changes{
      [](SignedRequest& r) { r.method = "PUT"; },
      [](SignedRequest& r) { r.path = "/group1/b"; },
      [](SignedRequest& r) { r.path = "/group1/a/"; },
      [](SignedRequest& r) { r.query[0].second = "2"; },
      [](SignedRequest& r) { r.query.emplace_back("b", ""); },
      [](SignedRequest& r) { r.query.clear(); },
      [](SignedRequest& r) { r.key_id = "CKEXAMPLF"; },
      [](SignedRequest& r) { ++r.expires; },
      [](SignedRequest& r) { r.headers[0].second = "i"; },
      [](SignedRequest& r) { r.headers.clear(); },
  };
  for (std::size_t i = 0; i < changes.size(); ++i) {
    SignedRequest changed = request;
    changes[i](changed);
    EXPECT_NE(sign(changed), good) << i;
  }
  // What a line end in a value could pretend to be is encoded away.
  SignedRequest tricky = request_of("GET", "/group1/a\nx");
  EXPECT_NE(canonical_text(tricky).find("%0A"), std::string::npos);
}

TEST(Signature, TheQueryCarriesIt) {
  SignedRequest request = request_of("GET", "/group1/a");
  request.query = {{"attname", "b c"}};
  request.headers = {{"content-type", "image/png"}, {"host", "h"}};
  auto query = parse_query("attname=b%20c&" + signature_query(wire::as_view(kSecret), request));
  ASSERT_TRUE(query);
  bool found = false;
  const auto claim = take_claim(*query, found);
  ASSERT_TRUE(claim) << claim.error().text();
  EXPECT_TRUE(found);
  EXPECT_EQ(claim->key_id, "CKEXAMPLE");
  EXPECT_EQ(claim->expires, 1'900'000'000U);
  EXPECT_EQ(claim->headers, (std::vector<std::string>{"content-type", "host"}));
  EXPECT_EQ(claim->signature, sign(request));
  EXPECT_EQ(*query, (NameValues{{"attname", "b c"}}));
}

TEST(Signature, MalformedClaimsAreRefused) {
  for (const char* text : {"cairn-key=a&cairn-expires=1", "cairn-signature=x",
                           "cairn-key=a&cairn-expires=1&cairn-key=b&cairn-signature=x",
                           "cairn-key=a&cairn-expires=01&cairn-signature=x",
                           "cairn-key=a&cairn-expires=-1&cairn-signature=x",
                           "cairn-key=a&cairn-expires=1&cairn-signature=x&cairn-signature=x",
                           "cairn-key=a&cairn-expires=1&cairn-headers=Host&cairn-signature=x",
                           "cairn-key=a&cairn-expires=1&cairn-headers=a;;b&cairn-signature=x",
                           "cairn-key=a&cairn-expires=99999999999999999999&cairn-signature=x"}) {
    auto query = parse_query(text);
    ASSERT_TRUE(query);
    bool found = false;
    EXPECT_FALSE(take_claim(*query, found)) << text;
  }
  auto none = parse_query("a=1&cairn-other=2");
  bool found = true;
  EXPECT_TRUE(take_claim(*none, found));
  EXPECT_FALSE(found);
}

TEST(Signature, AnAuthorizationHeader) {
  const auto claim =
      parse_authorization("CAIRN1-HMAC-SHA256 key=a, expires=12, headers=host;x, signature=s-_");
  ASSERT_TRUE(claim);
  EXPECT_EQ(claim->key_id, "a");
  EXPECT_EQ(claim->expires, 12U);
  EXPECT_EQ(claim->signature, "s-_");
  EXPECT_FALSE(parse_authorization("Basic abc"));
  EXPECT_FALSE(parse_authorization("CAIRN1-HMAC-SHA256 key=a, expires=12"));
  EXPECT_FALSE(parse_authorization("CAIRN1-HMAC-SHA256 key=a, expires=12, signature=s, x=y"));
  EXPECT_FALSE(parse_authorization("CAIRN1-HMAC-SHA256"));
}

} // namespace cairn::auth
