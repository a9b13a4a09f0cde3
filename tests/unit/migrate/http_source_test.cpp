// What lines of lists, lines of access logs and index pages say.
#include "migrate/http_source.h"

#include <gtest/gtest.h>

namespace cairn::migrate {
namespace {

TEST(HttpSource, ListsNameWhatIsBelowTheServersPrefixOnly) {
  const auto server = parse_http_server("http://old.example:8080/images/");
  ASSERT_TRUE(server);
  EXPECT_EQ(server->at.port, 8080);
  EXPECT_EQ(server->prefix, "/images");
  const auto path = [&](std::string_view line) { return listed_path(*server, line).value_or("-"); };
  EXPECT_EQ(path("a/b.jpg\r"), "a/b.jpg");
  EXPECT_EQ(path("/images/a/b.jpg"), "a/b.jpg");
  EXPECT_EQ(path("http://old.example:8080/images/a%20b.jpg?x=1#y"), "a b.jpg");
  EXPECT_EQ(path("a%2Fb"), "a/b");
  for (const char* no : {"", "# a", "/other/a.jpg", "/imagesx/a", "http://other.example/images/a",
                         "../a", "a/../b", "a//b", "a/", "a%zz", "a%00b", "%2e%2e/a", "./a"})
    EXPECT_EQ(path(no), "-") << no;
  EXPECT_FALSE(parse_http_server("https://old.example/"));
  EXPECT_FALSE(parse_http_server("http://old.example:99999/"));
}

TEST(HttpSource, LogsNameWhatWasFetched) {
  const auto of = [](std::string_view line) { return logged_request(line).value_or("-"); };
  const std::string head = "10.0.0.1 - - [22/Nov/2026:10:00:00 +0000] ";
  EXPECT_EQ(of(head + R"("GET /a.jpg HTTP/1.1" 200 17 "-" "x")"), "/a.jpg");
  EXPECT_EQ(of(head + R"("HEAD /a.jpg HTTP/1.0" 304 0)"), "/a.jpg");
  EXPECT_EQ(of(head + R"("GET /a.jpg HTTP/1.1" 404 17)"), "-");
  EXPECT_EQ(of(head + R"("POST /a.jpg HTTP/1.1" 200 17)"), "-");
  EXPECT_EQ(of(head + R"("GET)"), "-");
  EXPECT_EQ(of(head + R"("\x16\x03" 400 17)"), "-");
  EXPECT_EQ(of(""), "-");
}

TEST(HttpSource, IndexPagesNameTheirOwnDirectoryOnly) {
  const std::string nginx = R"(<h1>Index of /</h1><hr><pre><a href="../">../</a>
    <a href="2001/">2001/</a> <a href="a%20b.jpg">a b.jpg</a> <a href="q&amp;a.gif">q&amp;a.gif</a>)";
  EXPECT_EQ(index_names(nginx), (std::vector<std::string>{"2001/", "a b.jpg", "q&a.gif"}));
  const std::string apache = R"(<a href="?C=N;O=D">Name</a><a href="/images/">Parent</a>
    <a href='x.png'>x</a><a href="x.png">x</a><a href="http://other/y.png">y</a>
    <a href="mailto:a@b">m</a><a href="#top">t</a><a href="sub/z.png">z</a><a href=plain>p</a>
    <a href="./here.png">h</a><a href="unfinished)";
  EXPECT_EQ(index_names(apache), (std::vector<std::string>{"here.png", "x.png"}));
}

} // namespace
} // namespace cairn::migrate
