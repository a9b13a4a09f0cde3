// What caches are told, and that nothing is lost while they do not answer.
#include "common/net/cache_purger.h"

#include "common/base/cache_tag.h"

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/streambuf.hpp>
#include <boost/asio/write.hpp>
#include <gtest/gtest.h>

#include <deque>
#include <iterator>
#include <memory>
#include <set>

namespace cairn {

namespace {

using asio::ip::tcp;

// A cache: notes each request, answers as it is told to, 200 in the end. Closes after each answer,
// or keeps the connection.
class FakeCache {
public:
  explicit FakeCache(asio::io_context& io, unsigned port = 0)
      : acceptor_(io, tcp::endpoint(asio::ip::address_v4::loopback(),
                                    static_cast<asio::ip::port_type>(port))) {
    spawn(io.get_executor(), run(), "fake cache");
  }
  Endpoint endpoint() const {
    Endpoint out;
    out.host = "127.0.0.1";
    out.port = acceptor_.local_endpoint().port();
    return out;
  }
  void close() { acceptor_.close(); }

  std::vector<std::string> requests;
  std::deque<int> statuses; // of the next answers
  std::string headers;      // of all answers
  bool keeps = false;
  int connections = 0;

private:
  Task<void> run() {
    for (;;) {
      auto [failure, socket] = co_await acceptor_.async_accept(as_result);
      if (failure) co_return;
      ++connections;
      spawn(acceptor_.get_executor(), serve(std::move(socket)), "fake connection");
    }
  }
  Task<void> serve(tcp::socket socket) {
    asio::streambuf buffer;
    for (;;) {
      const auto read = co_await asio::async_read_until(socket, buffer, "\r\n\r\n", as_result);
      const auto [failure, size] = read;
      if (failure) co_return;
      const auto begin = asio::buffers_begin(buffer.data());
      requests.emplace_back(begin, begin + static_cast<std::ptrdiff_t>(size));
      buffer.consume(size);
      const int status = statuses.empty() ? 200 : statuses.front();
      if (!statuses.empty()) statuses.pop_front();
      std::string answer = "HTTP/1.1 " + std::to_string(status) + " x\r\nContent-Length: 0\r\n";
      answer += headers + (keeps ? "\r\n" : "Connection: close\r\n\r\n");
      static_cast<void>(co_await asio::async_write(socket, asio::buffer(answer), as_result));
      if (!keeps) co_return;
    }
  }

  tcp::acceptor acceptor_;
};

// Runs the loop until `done`, for five seconds at most.
template <class Done>
bool run_until(asio::io_context& io, Done done) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(5);
  while (!done() && std::chrono::steady_clock::now() < end)
    io.run_one_for(std::chrono::milliseconds(50));
  return done();
}

} // namespace

TEST(CacheTag, AreOneForEachThing) {
  const std::string id = cache_tag_of_id("group1/M00/00/01/a.jpg");
  EXPECT_EQ(id.size(), 16U);
  EXPECT_EQ(id.find_first_not_of("0123456789abcdef"), std::string::npos);
  EXPECT_EQ(id, cache_tag_of_id("group1/M00/00/01/a.jpg"));
  EXPECT_NE(id, cache_tag_of_id("group1/M00/00/01/b.jpg"));
  EXPECT_NE(cache_tag_of_inode(7), cache_tag_of_id("7"));
  EXPECT_NE(cache_tag_of_alias("a", "b"), cache_tag_of_alias("", "ab"));
}

TEST(CachePurger, TellsTogetherWhatHappensTogether) {
  asio::io_context io;
  FakeCache one(io);
  FakeCache two(io);
  CachePurger purger(io.get_executor(), {one.endpoint(), two.endpoint()}, {});
  purger.changed("00000000000000aa");
  purger.changed("00000000000000bb");
  purger.changed("00000000000000aa");
  ASSERT_TRUE(run_until(io, [&] { return purger.counters().requests == 2; }));
  for (const FakeCache* cache : {&one, &two}) {
    ASSERT_EQ(cache->requests.size(), 1U);
    EXPECT_TRUE(cache->requests[0].starts_with("BAN / HTTP/1.1\r\n")) << cache->requests[0];
    EXPECT_NE(cache->requests[0].find("X-Cairn-Tags: 00000000000000aa|00000000000000bb\r\n"),
              std::string::npos)
        << cache->requests[0];
  }
  purger.changed_urls("^/old/");
  ASSERT_TRUE(run_until(io, [&] { return purger.counters().requests == 4; }));
  EXPECT_NE(one.requests.back().find("X-Cairn-Urls: ^/old/\r\n"), std::string::npos);
  EXPECT_EQ(purger.waiting(), 0U);
}

TEST(CachePurger, TellsAgainUntilItIsTaken) {
  asio::io_context io;
  FakeCache cache(io);
  cache.statuses = {503, 403};
  CachePurger purger(io.get_executor(), {cache.endpoint()}, {});
  purger.changed("00000000000000aa");
  ASSERT_TRUE(run_until(io, [&] { return !cache.requests.empty(); }));
  // What changes while it is being told is told once more.
  purger.changed("00000000000000cc");
  ASSERT_TRUE(run_until(io, [&] { return purger.counters().requests == 1; }));
  EXPECT_EQ(purger.counters().failures, 2U);
  EXPECT_NE(cache.requests.back().find("00000000000000aa|00000000000000cc"), std::string::npos)
      << cache.requests.back();
  EXPECT_EQ(purger.waiting(), 0U);
}

TEST(CachePurger, TooMuchBecomesEverything) {
  asio::io_context io;
  FakeCache cache(io);
  CachePurger purger(io.get_executor(), {cache.endpoint()}, {});
  for (int i = 0; i <= 50'000; ++i) purger.changed(cache_tag_of_inode(static_cast<unsigned>(i)));
  EXPECT_EQ(purger.waiting(), 0U);
  EXPECT_EQ(purger.counters().everything, 1U);
  ASSERT_TRUE(run_until(io, [&] { return purger.counters().requests == 1; }));
  EXPECT_NE(cache.requests[0].find("X-Cairn-Urls: .\r\n"), std::string::npos) << cache.requests[0];
}

TEST(CachePurger, TellsOnceMoreALittleLater) {
  asio::io_context io;
  FakeCache cache(io);
  CachePurger purger(io.get_executor(), {cache.endpoint()}, {std::chrono::milliseconds(300)});
  const auto start = std::chrono::steady_clock::now();
  purger.changed("00000000000000aa");
  ASSERT_TRUE(run_until(io, [&] { return purger.counters().requests == 1; }));
  // What is new does not wait for what is later.
  purger.changed_urls("^/a");
  ASSERT_TRUE(run_until(io, [&] { return purger.counters().requests == 3; }));
  EXPECT_GE(std::chrono::steady_clock::now() - start, std::chrono::milliseconds(300));
  ASSERT_EQ(cache.requests.size(), 3U);
  EXPECT_NE(cache.requests[1].find("^/a"), std::string::npos);
  EXPECT_NE(cache.requests[2].find("00000000000000aa"), std::string::npos);
}

namespace {

// What the nodes remember: "/1" to "/count" under every tag; counts the questions.
struct Nodes {
  int count = 3;
  bool fail = false;
  std::vector<std::string> asked;

  CachePurger::FindUrls find() {
    return [this](std::vector<std::string> tags, std::string pattern) {
      return answer(*this, std::move(tags), std::move(pattern));
    };
  }
  static Task<Result<std::vector<wire::FrontUrl>>> answer(Nodes& self,
                                                          std::vector<std::string> tags,
                                                          std::string pattern) {
    std::string text = pattern;
    for (const std::string& tag : tags) text += tag + " ";
    self.asked.push_back(std::move(text));
    if (self.fail) co_return Error{Errc::unavailable, "no node"};
    std::vector<wire::FrontUrl> urls;
    for (int i = 1; i <= self.count; ++i) {
      wire::FrontUrl url;
      url.host = "img.test";
      url.target = "/" + std::to_string(i);
      url.headers.push_back({"Origin", "http://x"});
      urls.push_back(std::move(url));
    }
    co_return urls;
  }
};

} // namespace

TEST(CachePurger, HasUrlsFetchedAnewByACacheWithoutTags) {
  asio::io_context io;
  FakeCache cache(io);
  cache.headers = "X-Cache: BYPASS\r\n";
  cache.keeps = true;
  cache.statuses = {404};
  Nodes nodes;
  nodes.count = 100;
  CachePurger purger(io.get_executor(), {PurgeTarget(cache.endpoint(), true)}, {}, nodes.find());
  purger.changed("00000000000000aa");
  purger.changed("00000000000000bb");
  ASSERT_TRUE(run_until(io, [&] { return purger.counters().refreshes == 100; }));
  EXPECT_EQ(nodes.asked, std::vector<std::string>{"00000000000000aa 00000000000000bb "});
  EXPECT_LE(cache.connections, 8) << "a few, each for many";
  std::set<std::string> lines;
  for (const std::string& request : cache.requests) {
    lines.insert(request.substr(0, request.find("\r\n")));
    EXPECT_NE(request.find("Host: img.test\r\n"), std::string::npos) << request;
    EXPECT_NE(request.find("X-Cairn-Refresh: 1\r\n"), std::string::npos) << request;
    EXPECT_NE(request.find("Origin: http://x\r\n"), std::string::npos) << request;
  }
  EXPECT_EQ(lines.size(), 100U);
  EXPECT_TRUE(lines.contains("HEAD /7 HTTP/1.1"));
  purger.changed_urls("^/old/");
  ASSERT_TRUE(run_until(io, [&] { return purger.counters().refreshes == 200; }));
  EXPECT_EQ(nodes.asked.back(), "^/old/");
  EXPECT_EQ(purger.waiting(), 0U);
  EXPECT_EQ(purger.counters().failures, 0U);
}

TEST(CachePurger, AFrontThatAnswersFromItsCacheIsAFailure) {
  asio::io_context io;
  FakeCache cache(io);
  cache.headers = "X-Cache: HIT\r\n";
  Nodes nodes;
  CachePurger purger(io.get_executor(), {PurgeTarget(cache.endpoint(), true)}, {}, nodes.find());
  purger.changed("00000000000000aa");
  ASSERT_TRUE(run_until(io, [&] { return purger.counters().failures > 0; }));
  EXPECT_EQ(purger.counters().refreshes, 0U);
  // Asking again would not help: it holds until the front asks by itself.
  EXPECT_EQ(purger.waiting(), 0U);
  EXPECT_EQ(cache.requests.size(), 3U);
}

TEST(CachePurger, UrlsAreAskedForAgainWhenTheFrontOrTheNodesWereAway) {
  asio::io_context io;
  auto cache = std::make_unique<FakeCache>(io);
  const Endpoint endpoint = cache->endpoint();
  cache->close();
  Nodes nodes;
  nodes.fail = true;
  CachePurger purger(io.get_executor(), {PurgeTarget(endpoint, true)}, {}, nodes.find());
  purger.changed("00000000000000aa");
  ASSERT_TRUE(run_until(io, [&] { return purger.counters().failures == 1; }));
  EXPECT_EQ(purger.waiting(), 1U) << "the tag";
  nodes.fail = false;
  ASSERT_TRUE(run_until(io, [&] { return purger.counters().failures == 2; }));
  EXPECT_EQ(purger.waiting(), 3U) << "its URLs";
  FakeCache back(io, endpoint.port);
  back.headers = "X-Cache: BYPASS\r\n";
  ASSERT_TRUE(run_until(io, [&] { return purger.counters().refreshes == 3; }));
  EXPECT_EQ(purger.waiting(), 0U);
}

} // namespace cairn
