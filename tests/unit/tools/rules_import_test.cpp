// Configurations of other servers as rules: what was converted decides alike, the rest is listed.
#include "tools/rules_import.h"

#include "tests/unit/rules/rules_fixture.h"

namespace cairn::tools {
namespace {

std::string all(const std::vector<std::string>& notes) {
  std::string text;
  for (const std::string& note : notes) text += note + "\n";
  return text;
}

Imported nginx(const std::string& text) {
  rules::Source source;
  source.files.push_back({"n.conf", text});
  source.mains = 1;
  return import_nginx(source);
}

TEST(RulesImport, Nginx) {
  const Imported made = nginx(R"(
    http {
      upstream old { server 10.0.0.7:8080; server 10.0.0.8; }
      map $brand $bucket { default misc; ~^adi b-adidas; }
      server {
        listen 80;
        server_name img.test *.img.test;
        location = /favicon.ico { return 204; }
        location /moved/ { return 301 https://new.test$request_uri; }
        location ~* "^/u/(?<brand>\w{3,9})/" { root /data; expires 30d; add_header X-B $bucket; }
        location / { proxy_pass http://old; proxy_set_header Host x; }
        rewrite ^/r/(\d+)\.html$ /pic/$1.jpg last;
        rewrite ^/p/(.*)$ https://new.test/$1 permanent;
        if ($arg_x) { return 403; }
        gzip on;
        location /h/ { add_header X-Content-Type-Options nosniff; add_header Set-Cookie a=b; }
      }
    })");
  const auto book = rules::book_of(made.rules);
  ASSERT_NE(book, nullptr) << made.rules;
  const auto ask = [&](const char* target) { return rules::ask(*book, target, "img.test"); };
  EXPECT_EQ(ask("/favicon.ico").status, 204);
  EXPECT_EQ(ask("/moved/a?b").target, "https://new.test/moved/a?b");
  const rules::Decision upload = ask("/u/adidas/x.jpg");
  EXPECT_EQ(upload.cache_control, "max-age=2592000");
  EXPECT_EQ(upload.headers.at(0).second, "b-adidas");
  EXPECT_EQ(upload.on_miss.at(0).origin->root, "/data");
  EXPECT_EQ(ask("/r/12.html").object.text, "/pic/12.jpg");
  EXPECT_EQ(ask("/p/x").target, "https://new.test/x");
  EXPECT_EQ(ask("/z").on_miss.at(0).origin->servers.size(), 2u);
  EXPECT_NE(all(made.notes).find("n.conf:14:9: 'if' is not converted"), std::string::npos)
      << all(made.notes);
  EXPECT_NE(all(made.notes).find("'add_header' is not converted: 'Set-Cookie' is not set by"),
            std::string::npos)
      << all(made.notes);
  EXPECT_EQ(made.notes.size(), 2u) << all(made.notes);
}

TEST(RulesImport, Haproxy) {
  const Imported made = import_haproxy("h.cfg", R"(
frontend web
    bind :80
    acl old_upload path_reg ^/upload/([0-9]{4})/
    acl pics path_beg -i /pics/ /images/
    acl shop hdr(host) -i shop.test
    acl strange src 10.0.0.0/8
    http-request replace-path /sku/(.*) /products/\1
    http-request redirect location https://new.test/ code 301 if { path /old }
    use_backend images if old_upload
    use_backend images if pics shop
    use_backend images if !pics
    default_backend images
backend images
    server a 10.0.0.7:8080 check
    server b 10.0.0.8:8080 check
)");
  const auto book = rules::book_of(made.rules);
  ASSERT_NE(book, nullptr) << made.rules;
  EXPECT_EQ(rules::ask(*book, "/sku/7", "x").object.text, "/products/7");
  EXPECT_EQ(rules::ask(*book, "/old", "x").target, "https://new.test/");
  EXPECT_EQ(rules::ask(*book, "/upload/2011/a", "x").on_miss.at(0).origin->servers.size(), 2u);
  EXPECT_EQ(rules::ask(*book, "/Images/a", "shop.test").set->hosts.at(0), "shop.test");
  EXPECT_EQ(rules::ask(*book, "/any", "x").on_miss.at(0).target, "/any");
  EXPECT_NE(all(made.notes).find("h.cfg:7:"), std::string::npos) << all(made.notes);
  EXPECT_NE(all(made.notes).find("h.cfg:12:"), std::string::npos) << all(made.notes);
  EXPECT_EQ(made.notes.size(), 2u) << all(made.notes);
}

} // namespace
} // namespace cairn::tools
