// Whole files: selection of locations, actions, maps, refusals, tests in the file, lints.
#include "tests/unit/rules/rules_fixture.h"

#include <chrono>

namespace cairn::rules {
namespace {

TEST(RuleBook, LocationsInNginxsOrder) {
  const auto book = set_of(R"(
      location = /a { }          # 1
      location /a { }            # 2
      location ^~ /a/strong/ { } # 3
      location ~ ^/a/x { }       # 4
      location ~* \.JPG$ { }     # 5
      location / { }             # 6
      location /a/strong/weak/ { }
  )");
  EXPECT_EQ(number_of(*book, "/a"), 1u);
  EXPECT_EQ(number_of(*book, "/ab"), 2u);
  EXPECT_EQ(number_of(*book, "/a/strong/x.jpg"), 3u);
  EXPECT_EQ(number_of(*book, "/a/x.jpg"), 4u);
  EXPECT_EQ(number_of(*book, "/a/b.jpg"), 5u);
  EXPECT_EQ(number_of(*book, "/z"), 6u);
  EXPECT_EQ(number_of(*book, "//a//x"), 4u);
  EXPECT_EQ(number_of(*book, "/z/../a"), 1u);
  // A longer plain prefix lets the regular expressions in again.
  EXPECT_EQ(number_of(*book, "/a/strong/weak/y.jpg"), 5u);
}

TEST(RuleBook, NextWalksOnThroughLocationsAndSets) {
  const auto book = book_of(R"(
    rules one { host h; pass;
      location = /a.jpg { on_miss next; }
      location ~ ^/a { on_miss next; }
      location ~ jpg$ { on_miss next; }
      location / { on_miss next; }
      location /a { on_miss next; }
    }
    rules two { location / { object id:group1/M00/00/00/x; } })");
  const Asked asked("/a.jpg");
  Walk walk(*book, asked.request);
  std::string order;
  for (Decision one = walk.next(); one.action == Action::object; one = walk.next())
    order += one.rule() + " ";
  EXPECT_EQ(order, "one/1 one/2 one/3 one/5 one/4 two/1 ");
}

TEST(RuleBook, HostsMostSpecificFirst) {
  const auto book = book_of(R"(
    rules all { location / { } }
    rules below { host *.example.com; location / { } }
    rules deep { host *.img.example.com; location / { } }
    rules name { host img.example.com .cdn.test; location / { } }
    rules tail { host example.*; location / { } })");
  const auto set = [&](const char* host) { return ask(*book, "/", host).set->name; };
  EXPECT_EQ(set("IMG.example.com:8080"), "name");
  EXPECT_EQ(set("a.img.example.com"), "deep");
  EXPECT_EQ(set("a.example.com"), "below");
  EXPECT_EQ(set("example.com"), "tail");
  EXPECT_EQ(set("example.org"), "tail");
  EXPECT_EQ(set("cdn.test"), "name");
  EXPECT_EQ(set("x.cdn.test"), "name");
  EXPECT_EQ(set("other"), "all");
}

TEST(RuleBook, WithoutALocationItIs404UnlessTheSetPasses) {
  EXPECT_EQ(ask(*set_of("location /a { }"), "/b").status, 404);
  EXPECT_EQ(ask(*set_of("pass; location /a { }"), "/b").action, Action::pass);
  EXPECT_EQ(ask(*set_of("location /a { pass; }"), "/a").action, Action::pass);
  EXPECT_EQ(ask(*book_of("rules s { host x; location / { } }"), "/b", "y").action, Action::pass);
}

TEST(RuleBook, CapturesFillTheObject) {
  const auto book = set_of(
      "location ~* ^/upload/(?<y>\\d+)/(?<name>[^/]+)$ { object alias:/u/$y/$1/${name}.x; }");
  const Decision decision = ask(*book, "/upload/2011/a%20b.JPG");
  EXPECT_EQ(decision.object.written(), "alias:/u/2011/2011/a b.JPG.x");
  EXPECT_EQ(decision.captures.size(), 4u);
}

TEST(RuleBook, TheDefaultObjectIsTheOldPath) {
  EXPECT_EQ(ask(*set_of("location / { }"), "/a//b?c").object.written(), "alias:/a/b");
}

TEST(RuleBook, ObjectsNeverLeaveTheirPlace) {
  const auto book = set_of(R"(
      location = /p { object path:/shop/$arg_f; }
      location = /i { object fastdfs:$arg_f; }
      location = /h { object path:/shop/$http_x_file; })");
  EXPECT_EQ(ask(*book, "/p?f=a/b.jpg").object.written(), "path:/shop/a/b.jpg");
  EXPECT_EQ(ask(*book, "/i?f=/group1/M00/00/00/a").object.written(), "id:group1/M00/00/00/a");
  for (const char* bad : {"../etc/passwd", "a/../../x", "a/..", "%2e%2e/x", "..%2fx", "a%2F..%2F..",
                          "%00", "a%00b", ".."}) {
    const Decision decision = ask(*book, std::string("/p?f=") + bad);
    EXPECT_EQ(decision.action, Action::reply) << bad;
    EXPECT_EQ(decision.status, 400) << bad;
  }
  EXPECT_EQ(ask(*book, "/h", "h", {{"X-File", "../x"}}).status, 400);
  EXPECT_EQ(ask(*book, "/../p").status, 400);
  EXPECT_EQ(ask(*book, "/p?f=" + std::string(64 * 1024, 'x')).status, 414);
}

TEST(RuleBook, Require) {
  const auto book = set_of(R"(
      location ~ "^/(?<p>.+)_(?<w>\d{2,4})x(?<h>\d{2,4})\.jpg$" {
        require $w x $h in 50x50 100x100; object alias:/$p.jpg; style thumb@3 w=$w h=$h; deny 400; }
      location = /q { require $arg_id ~ ^\d+$; require $arg_s !~* "^x"; require $arg_k != no; })");
  const Decision good = ask(*book, "/a/b_100x100.jpg");
  EXPECT_EQ(good.object.written(), "alias:/a/b.jpg");
  EXPECT_EQ(good.style, "thumb@3");
  EXPECT_EQ(good.style_arguments.front().second, "100");
  EXPECT_EQ(ask(*book, "/a_50x100.jpg").status, 400);
  EXPECT_EQ(ask(*book, "/q?id=1").action, Action::object);
  EXPECT_EQ(ask(*book, "/q?id=1a").status, 404);
  EXPECT_EQ(ask(*book, "/q?id=1&s=Xy").status, 404);
  EXPECT_EQ(ask(*book, "/q?id=1&k=no").status, 404);
}

TEST(RuleBook, MapsOfBothForms) {
  Source source = source_of(R"(rules s {
      map $brand $bucket { default misc; NIKE b-nike; ~^adi(?<rest>.*) b-$rest-$bucket2; \~x tilde; }
      map $brand $bucket2 { default "$host"; }
      map $uri $sku file=skus.map match=beg;
      map $host $dom file=dom.map match=dom default=none;
      location ~ ^/b/(?<brand>[^/]+) { object alias:/$bucket; }
      location /sku/ { object alias:/$sku; }
      location /dom { object alias:/$dom; } })");
  source.files.push_back({"skus.map", "# comment\n/sku/1 one\n/sku/12   twelve\n"});
  source.files.push_back({"dom.map", "example.com ex\n"});
  Problems problems;
  const auto book = RuleBook::load(source, problems);
  ASSERT_NE(book, nullptr) << texts(problems);
  const auto object = [&](const char* target, const char* host = "h") {
    return ask(*book, target, host).object.text;
  };
  EXPECT_EQ(object("/b/nike"), "/b-nike");
  EXPECT_EQ(object("/b/Nike"), "/b-nike");
  EXPECT_EQ(object("/b/adidas"), "/b-das-h");
  EXPECT_EQ(object("/b/~x"), "/tilde");
  EXPECT_EQ(object("/b/puma"), "/misc");
  EXPECT_EQ(object("/sku/123"), "/twelve");
  EXPECT_EQ(object("/sku/19"), "/one");
  EXPECT_EQ(object("/dom", "a.example.com"), "/ex");
  EXPECT_EQ(object("/dom", "notexample.com"), "/none");
}

TEST(RuleBook, RedirectsAreEscaped) {
  const auto book = set_of(R"(
      location ~ ^/r/(.*)$ { redirect 301 https://new.test/$1?$args; }
      location = /img.php { redirect https://new.test/p/$arg_id!$arg_s; }
      location /gone { return 410 "gone: $uri"; })");
  EXPECT_EQ(ask(*book, "/r/a%0dX: y?b=c d").target, "https://new.test/a%0DX:%20y?b=c%20d");
  EXPECT_EQ(ask(*book, "/r/a").status, 301);
  EXPECT_EQ(ask(*book, "/img.php?id=1%3F2&s=m").target, "https://new.test/p/1%3F2!m");
  EXPECT_EQ(ask(*book, "/img.php").status, 302);
  EXPECT_EQ(ask(*book, "/gone/x").body, "gone: /gone/x");
}

TEST(RuleBook, CacheHeadersAndDefaults) {
  const auto book = set_of(R"(
      cache public max-age=1d; header X-Set s;
      location /a { cache public, max-age=30d immutable; header X-Own "$uri"; type image/webp; }
      location /b { cache off; }
      location /c { })");
  const Decision a = ask(*book, "/a");
  EXPECT_EQ(a.cache_control, "public, max-age=2592000, immutable");
  EXPECT_EQ(a.headers.size(), 2u);
  EXPECT_EQ(a.headers[1].second, "/a");
  EXPECT_EQ(a.content_type, "image/webp");
  EXPECT_EQ(ask(*book, "/b").cache_control, "no-store");
  EXPECT_EQ(ask(*book, "/c").cache_control, "public, max-age=86400");
}

TEST(RuleBook, Referers) {
  const auto book = set_of(R"(
      location /a { referer allow none blocked *.example.com shop.test/x other.*; }
      location /d { referer deny *.bad.test; })");
  const auto status = [&](const char* path, const char* referer) {
    const Decision decision = ask(*book, path, "h", {{"Referer", referer}});
    return decision.action == Action::object ? 200 : decision.status;
  };
  EXPECT_EQ(status("/a", ""), 200);
  EXPECT_EQ(status("/a", "hidden"), 200);
  EXPECT_EQ(status("/a", "https://www.Example.com:8443/x"), 200);
  EXPECT_EQ(status("/a", "https://example.com/"), 403);
  EXPECT_EQ(status("/a", "https://evil.test/?https://www.example.com/"), 403);
  EXPECT_EQ(status("/a", "https://www.example.com@evil.test/"), 403);
  EXPECT_EQ(status("/a", "http://shop.test/X/1"), 200);
  EXPECT_EQ(status("/a", "http://shop.test/y"), 403);
  EXPECT_EQ(status("/a", "http://other.org/"), 200);
  EXPECT_EQ(status("/d", "http://a.bad.test/"), 403);
  EXPECT_EQ(status("/d", "http://good.test/"), 200);
  EXPECT_EQ(status("/d", ""), 200);
}

TEST(RuleBook, Tokens) {
  const auto book = set_of(R"(
      location /g { token fastdfs key=@fdfs-secret ttl=15m except *.thumb.jpg /g/free/*; })");
  ASSERT_NE(ask(*book, "/g/a.jpg").token, nullptr);
  EXPECT_TRUE(ask(*book, "/g/a.jpg").token->from_config);
  EXPECT_EQ(ask(*book, "/g/a.jpg").token->ttl, std::chrono::seconds(900));
  EXPECT_EQ(ask(*book, "/g/a.thumb.jpg").token, nullptr);
  EXPECT_EQ(ask(*book, "/g/free/x").token, nullptr);
}

TEST(RuleBook, MissSteps) {
  const auto book = set_of(R"(
      origin a { type file; root /old; } origin b { type http; server 10.0.0.7 [::1]:81; timeout 500ms; }
      location ~ ^/(.*)$ { on_miss pull a; on_miss pull b /x/$1; on_miss 404 ttl=60s; })");
  const Decision decision = ask(*book, "/q/r");
  ASSERT_EQ(decision.on_miss.size(), 3u);
  EXPECT_EQ(decision.on_miss[0].target, "/q/r");
  EXPECT_EQ(decision.on_miss[1].target, "/x/q/r");
  EXPECT_EQ(decision.on_miss[1].origin->servers[0], "10.0.0.7:80");
  EXPECT_EQ(decision.on_miss[1].origin->timeout, std::chrono::milliseconds(500));
  EXPECT_EQ(decision.on_miss[2].cache_for, std::chrono::seconds(60));
}

TEST(RuleBook, AShareIsLeftToTheOldServer) {
  const auto book = set_of("origin o { type http; server h; } share 30% o; location / { }");
  int ours = 0;
  for (int i = 0; i < 5'000; ++i)
    ours += ask(*book, "/" + std::to_string(i)).action == Action::object ? 1 : 0;
  EXPECT_NEAR(ours, 1'500, 150);
}

TEST(RuleBook, TestsInTheFileRun) {
  const std::string set = R"(rules s { host img.test;
      location ~ ^/u/(\d+)$ { object alias:/n/$1; cache public max-age=1m; }
      location = /r { redirect 301 http://x/y; }
      location /o { pass; } )";
  book_of(set + R"( test GET /u/1 -> object alias:/n/1, rule 1, cache "public, max-age=60";
      test GET http://img.test/r -> redirect http://x/y, status 301;
      test GET /o/1 -> pass; test GET /u/x -> status 404; })");
  EXPECT_EQ(problems_of(set + "\n  test GET /u/1 -> object alias:/n/2; }"),
            "t.rules:5:20: error: test failed: /u/1: expected object alias:/n/2, but it is "
            "alias:/n/1\n");
  EXPECT_NE(problems_of(set + "test GET /u/1 -> status 404; }").find("test failed"),
            std::string::npos);
  EXPECT_NE(problems_of(set + "test GET /u/1 -> rule 2; }").find("test failed"), std::string::npos);
  EXPECT_NE(problems_of(set + "test GET /u/1 -> pass; }").find("test failed"), std::string::npos);
  EXPECT_NE(problems_of(set + "test GET /u/1 -> wonder 3; }").find("cannot expect"),
            std::string::npos);
}

TEST(RuleBook, WhatIsWrongIsSaid) {
  const auto has = [](const std::string& text, const std::string& part) {
    const std::string all = problems_of("rules s {\n" + text + "\n}");
    EXPECT_NE(all.find(part), std::string::npos) << text << "\n" << all;
  };
  has("hots a;", "t.rules:2:1: error: unknown directive 'hots'");
  has("location /a { objekt x; }", "unknown directive 'objekt' in a location");
  has("location /a { object alias:/$x; }", "unknown variable $x");
  has("location /a { object alias:/$1; }", "$1: the location has 0 captures");
  has("location ~ (?<x>a) { } location /b { object alias:/$x; }",
      "captured by another location only");
  has("location /a { } location /a { }", "a second location for '/a'");
  has("location a { }", "begins with '/'");
  has("location ~/a { }", "a blank belongs between");
  has("location /a { on_miss pull o; }", "no origin 'o'");
  has("location /a { on_miss 404; on_miss next; }", "never reached");
  has("location /a { object file:/x; }", "an object is written");
  has("map $a $b { default $b; } location ~ (?<a>x) { }", "depends on itself");
  has("map $nothing $b { }", "unknown variable $nothing");
  has("map $uri $b { x $1; }", "uses a capture");
  has("map $uri $m file=no.map;", "cannot read 'no.map'");
  has("origin o { type http; }", "has no server");
  has("origin o { type file; root x; }", "root is an absolute path");
  has("host a:80;", "a host is a name without port");
  for (const char* name : {"Content-Length", "Set-Cookie", "X-Accel-Redirect", "X-Cairn-Tags",
                           "x-content-type-options", "Content-Disposition"})
    has(std::string("location /a { header ") + name + " 1; }", "is not set by 'header'");
  has("location ~ (?=a) { }", "look-ahead");
  has("location /a { require $uri; }", "'require' takes at least 3 words");
  has("share 20%;", "share is written");
  EXPECT_NE(problems_of("rules a { } rules a { host x; }").find("a second rule set"),
            std::string::npos);
  EXPECT_NE(problems_of("rules a { host x; } rules b { host x; }").find("lets nothing through"),
            std::string::npos);
  EXPECT_NE(problems_of("location / { }").find("a file holds rules NAME"), std::string::npos);
}

TEST(RuleBook, UnreachableRulesAreNoted) {
  const auto warned = [](const std::string& text) {
    return problems_of("rules s { test GET /zz -> status 404;\n" + text + "\n}")
               .find("never reached") != std::string::npos;
  };
  EXPECT_TRUE(warned("location ~ ^/a { } location ~ ^/a/b { }"));
  EXPECT_TRUE(warned("location ~ ^/a { } location /a/b { }"));
  EXPECT_TRUE(warned("location ~ ^/.*$ { return 404; } location ~ x { }"));
  EXPECT_TRUE(warned("location ~* x$ { } location ~ x$ { }"));
  EXPECT_TRUE(warned("location ^~ /a/ { } location ~ ^/a/b { }"));
  EXPECT_FALSE(warned("location ^~ /a/ { } location /a/b/ { } location ~ ^/a/b/c { }"));
  EXPECT_FALSE(warned("location ~ ^/a { on_miss next; } location ~ ^/a/b { }"));
  EXPECT_FALSE(warned("location ~ ^/a/b { } location ~ ^/a { }"));
  EXPECT_FALSE(warned("location = /a { } location ~ ^/a$ { }"));
}

TEST(RuleBook, AThousandRulesDecideFast) {
  std::string text = "pass; ";
  for (int i = 0; i < 1'000; ++i)
    text += "location ~* \"^/shop" + std::to_string(i) +
            "/(\\d{4})/([^/]+)\\.(?:jpe?g|png)$\" { "
            "object alias:/s/" +
            std::to_string(i) + "/$1/$2.$3; }\n";
  const auto broken = problems_of("rules s {" + text + "}");
  EXPECT_NE(broken.find("$3"), std::string::npos);
  text = "pass; ";
  for (int i = 0; i < 1'000; ++i)
    text += "location ~ \"^/shop" + std::to_string(i) +
            "/(\\d{4})/([^/]+)\\.(jpe?g|png)$\" { "
            "object alias:/s/" +
            std::to_string(i) + "/$1/$2.$3; }\n";
  const auto book = set_of(text);
  EXPECT_EQ(ask(*book, "/shop777/2011/x.jpeg").object.text, "/s/777/2011/x.jpeg");
}

} // namespace
} // namespace cairn::rules
