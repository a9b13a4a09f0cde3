// The HTTP service over real loopback connections, with files in a temporary directory.
#include "common/base/text.h"
#include "storage/http/file_service.h"
#include "storage/http/token.h"

#include <gtest/gtest.h>

#include <atomic>
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <map>
#include <poll.h>
#include <sys/socket.h>
#include <thread>
#include <unistd.h>

namespace cairn::storage {
namespace {

using namespace std::chrono_literals;

constexpr const char* kSmall = "M00/00/01/wKgBFF1Tvn6AL_ulAAhuqKakO_M091.png";

std::string content_of(std::size_t size) {
  std::string content(size, '\0');
  for (std::size_t i = 0; i < size; ++i)
    content[i] = static_cast<char>('a' + (i * 7 + i / 1021) % 26);
  return content;
}

Task<Status> write_from(Connection& connection, std::string text) {
  co_return co_await connection.write(wire::as_view(text));
}

Task<Status> fail_half_way(Connection& connection, std::string text) {
  const Status written = co_await connection.write(wire::as_view(text));
  if (!written) co_return written;
  co_return Error{Errc::timeout, "the other node has gone"};
}

// Files by remote name in a temporary directory, or only in memory as if at another node.
class TestSource : public FileSource {
public:
  TestSource() {
    std::string pattern = (std::filesystem::temp_directory_path() / "cairn-http-XXXXXX").string();
    directory_ = ::mkdtemp(pattern.data());
  }
  ~TestSource() override { std::filesystem::remove_all(directory_); }

  void add(const std::string& name, const std::string& content) {
    const auto path = directory_ / parse_remote_name(name)->leaf();
    std::ofstream(path, std::ios::binary) << content;
    names_[name] = Errc::ok;
  }
  void add_remote(const std::string& name, std::string content, bool breaks = false) {
    remote_[name] = std::move(content);
    breaks_ = breaks;
  }
  void add_error(const std::string& name, Errc code) { names_[name] = code; }

  Task<Result<OpenFile>> open(const RemoteName& name) override {
    const std::string text(name.text());
    OpenFile file;
    file.mtime = 1'600'000'000;
    file.immutable = true;
    if (const auto remote = remote_.find(text); remote != remote_.end()) {
      file.size = remote->second.size();
      file.remote = [content = &remote->second, breaks = breaks_](
                        Connection& connection, std::uint64_t offset, std::uint64_t length) {
        std::string piece = content->substr(offset, length);
        if (breaks) return fail_half_way(connection, piece.substr(0, length / 2));
        return write_from(connection, std::move(piece));
      };
      co_return file;
    }
    const auto known = names_.find(text);
    if (known == names_.end()) co_return Error{Errc::not_found, text};
    if (known->second != Errc::ok) co_return Error{known->second, text};
    const auto path = directory_ / name.leaf();
    const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    file.fd = std::shared_ptr<const int>(new int(fd), [](const int* p) {
      ::close(*p);
      delete p;
    });
    file.size = std::filesystem::file_size(path);
    co_return file;
  }
  std::string_view group() const override { return "group1"; }

private:
  std::filesystem::path directory_;
  std::map<std::string, Errc> names_;
  std::map<std::string, std::string> remote_;
  bool breaks_ = false;
};

struct Answer {
  int status = 0;
  std::map<std::string, std::string> headers; // names in lower case
  std::string body;
};

// A blocking client.
class Client {
public:
  explicit Client(std::uint16_t port) {
    fd_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    connected_ = ::connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
  }
  ~Client() { ::close(fd_); }
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  void send(std::string_view text) {
    EXPECT_TRUE(connected_);
    EXPECT_EQ(::send(fd_, text.data(), text.size(), MSG_NOSIGNAL),
              static_cast<ssize_t>(text.size()));
  }
  // More bytes, or false at the end of the stream (or after 10 s).
  bool fill() {
    pollfd poll{fd_, POLLIN, 0};
    if (::poll(&poll, 1, 10'000) != 1) return false;
    std::string piece(65536, '\0');
    const ssize_t count = ::recv(fd_, piece.data(), piece.size(), 0);
    if (count <= 0) return false;
    buffer_.append(piece, 0, static_cast<std::size_t>(count));
    return true;
  }
  Answer receive(bool head = false) {
    Answer answer;
    std::size_t end = 0;
    while ((end = buffer_.find("\r\n\r\n")) == std::string::npos)
      if (!fill()) return answer;
    const std::string head_text = buffer_.substr(0, end);
    buffer_.erase(0, end + 4);
    bool first = true;
    for (const auto raw : split(head_text, '\n')) {
      const std::string_view line = trim(raw);
      if (std::exchange(first, false)) {
        answer.status = static_cast<int>(*parse_u64(line.substr(9, 3)));
        continue;
      }
      const std::size_t colon = line.find(':');
      answer.headers[to_lower(line.substr(0, colon))] = trim(line.substr(colon + 1));
    }
    const auto length = answer.headers.find("content-length");
    if (head || length == answer.headers.end()) return answer;
    const std::size_t size = *parse_u64(length->second);
    while (buffer_.size() < size && fill()) {
    }
    answer.body = buffer_.substr(0, size);
    buffer_.erase(0, size);
    return answer;
  }
  Answer get(const std::string& target, const std::string& headers = {}) {
    send("GET " + target + " HTTP/1.1\r\nHost: h\r\n" + headers + "\r\n");
    return receive();
  }
  // True when the server has closed and nothing is left.
  bool at_end() { return buffer_.empty() && !fill() && buffer_.empty(); }
  int fd() const { return fd_; }

private:
  int fd_ = -1;
  bool connected_ = false;
  std::string buffer_;
};

Task<void> serve_one(asio::ip::tcp::socket socket, const HttpHandler& handler,
                     const HttpOptions& options) {
  Connection connection(std::move(socket));
  co_await serve_http(connection, handler, options);
}

class ServeHttp : public testing::Test {
protected:
  void SetUp() override { source_.add(kSmall, content_of(1000)); }

  void start() {
    config_.admin_hosts = config::HostList();
    ASSERT_TRUE(config_.admin_hosts.add(admin_hosts_));
    AdminCallbacks callbacks;
    callbacks.failing_checks = [this] { return failing_; };
    auto service = FileService::make(config_, source_, std::move(callbacks));
    ASSERT_TRUE(service) << service.error().text();
    service_ = *std::move(service);
    handler_ = service_->handler();
    const auto header_timeout = options_.header_timeout;
    const auto idle_timeout = options_.idle_timeout;
    const auto write_timeout = options_.write_timeout;
    options_ = service_->options(&disk_);
    options_.header_timeout = header_timeout;
    options_.idle_timeout = idle_timeout;
    options_.write_timeout = write_timeout;
    ListenerOptions entry;
    entry.on_connection = [this](asio::ip::tcp::socket socket, ConnectionSlot) {
      const asio::any_io_executor executor = socket.get_executor();
      spawn(executor, serve_one(std::move(socket), handler_, options_), "http");
    };
    listener_ = std::make_unique<Listener>(pool_, gauge_, std::move(entry));
    ASSERT_TRUE(listener_->listen({"127.0.0.1"}, 0));
    listener_->start();
    pool_.start();
  }
  void TearDown() override { pool_.stop(); }

  std::uint16_t port() const { return listener_->port(); }
  std::string url(const std::string& name = kSmall) const { return "/group1/" + name; }

  TestSource source_;
  config::StorageConfig config_;
  std::string admin_hosts_ = "127.0.0.1";
  std::vector<std::string> failing_;
  HttpOptions options_;
  DiskPool disk_{"test-disk", 1};
  std::unique_ptr<FileService> service_;
  HttpHandler handler_;
  ConnectionGauge gauge_;
  IoPool pool_{1};
  std::unique_ptr<Listener> listener_;
};

TEST_F(ServeHttp, BothUrlShapesAndTheHeadersOfAFile) {
  start();
  Client client(port());
  for (const std::string& target :
       {url(), std::string("/") + kSmall, std::string("http://other.host:80/") + kSmall,
        std::string("/%67roup1/") + kSmall}) {
    const Answer answer = client.get(target);
    EXPECT_EQ(answer.status, 200) << target;
    EXPECT_EQ(answer.body, content_of(1000));
    EXPECT_EQ(answer.headers.at("content-type"), "image/png");
    EXPECT_EQ(answer.headers.at("server"), "cairn");
    EXPECT_EQ(answer.headers.at("accept-ranges"), "bytes");
    EXPECT_EQ(answer.headers.at("x-content-type-options"), "nosniff");
    EXPECT_EQ(answer.headers.at("cache-control"), config_.http_cache_control);
    EXPECT_TRUE(answer.headers.contains("date"));
    EXPECT_TRUE(answer.headers.contains("etag"));
    EXPECT_FALSE(answer.headers.contains("set-cookie"));
  }
}

TEST_F(ServeHttp, ErrorsHaveTheirStatus) {
  source_.add_error("M00/00/01/wKgBFF1Tvn6AL_ulAAhuqKakO_M092.png", Errc::timeout);
  source_.add_error("M00/00/01/wKgBFF1Tvn6AL_ulAAhuqKakO_M093.png", Errc::corrupt);
  start();
  Client client(port());
  const std::pair<const char*, int> cases[] = {
      {"/group1/M00/00/01/wKgBFF1Tvn6AL_ulAAhuqKakO_M099.png", 404},
      {"/group2/M00/00/01/wKgBFF1Tvn6AL_ulAAhuqKakO_M091.png", 404},
      {"/", 404},
      {"/index.html", 404},
      {"/group1/M00/00/01/../../../etc/passwd", 400},
      {"/group1/M00/00/01/..%2f..%2fpasswd", 400},
      {"/group1/M00/00/01/a%00b.jpg", 400},
      {"/group1/M00/00/01/%zz", 400},
      {"/M00/0/01/abcdefgh.jpg", 400},
      {"/group1/M00/00/01/wKgBFF1Tvn6AL_ulAAhuqKakO_M091.png-m", 400},
      {"/group1/M00/00/01/wKgBFF1Tvn6AL_ulAAhuqKakO_M091.png?attname=%4", 400},
      {"/group1/M00/00/01/wKgBFF1Tvn6AL_ulAAhuqKakO_M092.png", 503},
      {"/group1/M00/00/01/wKgBFF1Tvn6AL_ulAAhuqKakO_M093.png", 503},
  };
  for (const auto& [target, status] : cases) {
    const Answer answer = client.get(target);
    EXPECT_EQ(answer.status, status) << target;
    EXPECT_EQ(answer.headers.contains("retry-after"), status == 503);
  }
  client.send("POST " + url() + " HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello");
  const Answer answer = client.receive();
  EXPECT_EQ(answer.status, 405);
  EXPECT_EQ(answer.headers.at("allow"), "GET, HEAD");
  EXPECT_EQ(client.get(url()).status, 200) << "the body was drained";
}

TEST_F(ServeHttp, HeadHasTheHeadersOfGet) {
  start();
  Client client(port());
  client.send("HEAD " + url() + " HTTP/1.1\r\nHost: h\r\n\r\n");
  const Answer answer = client.receive(/*head=*/true);
  EXPECT_EQ(answer.status, 200);
  EXPECT_EQ(answer.headers.at("content-length"), "1000");
  EXPECT_EQ(client.get(url()).body.size(), 1000U) << "and no body";
}

TEST_F(ServeHttp, PipelinedRequestsAreAnsweredInOrder) {
  for (int i = 0; i < 10; ++i)
    source_.add("M00/00/01/wKgBFF1Tvn6AL_ulAAhuqKakO_M10" + std::to_string(i) + ".png",
                std::string(1, static_cast<char>('0' + i)));
  start();
  std::string requests;
  for (int round = 0; round < 50; ++round)
    for (int i = 0; i < 10; ++i)
      requests += "GET /M00/00/01/wKgBFF1Tvn6AL_ulAAhuqKakO_M10" + std::to_string(i) +
                  ".png HTTP/1.1\r\nHost: h\r\n\r\n";
  Client client(port());
  client.send(requests);
  for (int round = 0; round < 50; ++round)
    for (int i = 0; i < 10; ++i)
      ASSERT_EQ(client.receive().body, std::string(1, static_cast<char>('0' + i)));
}

TEST_F(ServeHttp, ARequestMayArriveByteByByte) {
  start();
  Client client(port());
  for (const char c : "GET " + url() + " HTTP/1.1\r\nHost: h\r\n\r\n") client.send({&c, 1});
  EXPECT_EQ(client.receive().body, content_of(1000));
}

TEST_F(ServeHttp, KeepAliveByVersion) {
  start();
  {
    Client client(port());
    client.send("GET " + url() + " HTTP/1.0\r\n\r\n");
    const Answer answer = client.receive();
    EXPECT_EQ(answer.status, 200);
    EXPECT_EQ(answer.headers.at("connection"), "close");
    EXPECT_TRUE(client.at_end());
  }
  {
    Client client(port());
    client.send("GET " + url() + " HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    EXPECT_EQ(client.receive().headers.at("connection"), "keep-alive");
    EXPECT_EQ(client.get(url(), "Connection: close\r\n").headers.at("connection"), "close");
    EXPECT_TRUE(client.at_end());
  }
}

TEST_F(ServeHttp, AmbiguousRequestsAreRefusedAndTheConnectionCloses) {
  start();
  const std::string get = "GET " + url() + " HTTP/1.1\r\n";
  const std::string host = "Host: h\r\n";
  const std::string hidden = "GET /hidden HTTP/1.1\r\nHost: h\r\n\r\n";
  const std::pair<std::string, int> cases[] = {
      {get + host + "Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc", 400},
      {get + host + "Content-Length: 3\r\nContent-Length: 4\r\n\r\nabc", 400},
      {get + host + "Content-Length: 3, 3\r\n\r\nabc", 400},
      {get + host + "Content-Length: +3\r\n\r\nabc", 400},
      {get + host + "Content-Length: -3\r\n\r\nabc", 400},
      {get + host + "Content-Length: 0x3\r\n\r\nabc", 400},
      {get + host + "Content-Length:\r\n\r\n", 400},
      {get + host + "Content-Length: 99999999999999999999999999\r\n\r\n", 400},
      {get + host + "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400},
      {get + host + "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n", 400},
      {get + host + "Transfer-Encoding: xchunked\r\n\r\n" + hidden, 400},
      {get + host + "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 400},
      {get + host + "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n", 400},
      {get + host + "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n\r\n", 400},
      {get + host + "Transfer-Encoding: \"chunked\"\r\n\r\n", 400},
      {get + host + "Transfer-Encoding : chunked\r\n\r\n", 400},
      {"GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", 400},
      {get + "Host: h\n\r\n", 400},
      {"GET / HTTP/1.1\nHost: h\n\n", 400},
      {get + host + "X: a\nTransfer-Encoding: chunked\r\n\r\n", 400},
      {get + host + "X: a\r\n folded\r\n\r\n", 400},
      {get + host + "X: a\r\n\tfolded\r\n\r\n", 400},
      {get + " Host: h\r\n\r\n", 400},
      {get + host + "X: a\rb\r\n\r\n", 400},
      {get + host + std::string("X: a\0b\r\n\r\n", 10), 400},
      {get + host + "X y: a\r\n\r\n", 400},
      {get + host + ": a\r\n\r\n", 400},
      {get + host + "no colon\r\n\r\n", 400},
      {get + host + host + "\r\n", 400},
      {get + "Host: h/x\r\n\r\n", 400},
      {get + "Host: a b\r\n\r\n", 400},
      {get + "\r\n", 400},
      {"GET  / HTTP/1.1\r\nHost: h\r\n\r\n", 400},
      {"GET /a b HTTP/1.1\r\nHost: h\r\n\r\n", 400},
      {"GET /#x HTTP/1.1\r\nHost: h\r\n\r\n", 400},
      {"GET nopath HTTP/1.1\r\nHost: h\r\n\r\n", 400},
      {"GET ftp://h/ HTTP/1.1\r\nHost: h\r\n\r\n", 400},
      {"GET http://a@b/x HTTP/1.1\r\nHost: h\r\n\r\n", 400},
      {"CONNECT h:80 HTTP/1.1\r\nHost: h\r\n\r\n", 400},
      {"GET /\r\nHost: h\r\n\r\n", 400},
      {"GET / HTTP/2.0\r\nHost: h\r\n\r\n", 505},
      {"GET / HTTQ/1.1\r\nHost: h\r\n\r\n", 400},
      {"\r\n\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n", 400},
      {std::string("\x16\x03\x01\x02\x00\x01\x00\n", 8), 400},
      {get + host + "Expect: tea\r\n\r\n", 417},
  };
  for (const auto& [request, status] : cases) {
    Client client(port());
    client.send(request);
    Answer answer = client.receive();
    EXPECT_EQ(answer.status, status) << request;
    EXPECT_EQ(answer.headers["connection"], "close") << request;
    // The server waits for our end so that its reply is not lost to a reset.
    ::shutdown(client.fd(), SHUT_WR);
    EXPECT_TRUE(client.at_end()) << request << " must not be followed by another answer";
  }
}

TEST_F(ServeHttp, SizeLimits) {
  start();
  const std::pair<std::string, int> cases[] = {
      {"GET /" + std::string(9000, 'a') + " HTTP/1.1\r\nHost: h\r\n\r\n", 414},
      {"GET /" + std::string(70'000, 'a'), 414},
      {"GET / HTTP/1.1\r\nHost: h\r\nX: " + std::string(17'000, 'a') + "\r\n\r\n", 431},
      {"GET / HTTP/1.1\r\nHost: h\r\nX: " + std::string(17'000, 'a'), 431},
  };
  for (const auto& [request, status] : cases) {
    Client client(port());
    client.send(request);
    EXPECT_EQ(client.receive().status, status);
  }
  std::string many = "GET / HTTP/1.1\r\nHost: h\r\n";
  for (int i = 0; i < 101; ++i) many += "X: a\r\n";
  Client client(port());
  client.send(many + "\r\n");
  EXPECT_EQ(client.receive().status, 431);
  Client large(port());
  large.send("GET /" + std::string(8000, 'a') +
             " HTTP/1.1\r\nHost: h\r\nX: " + std::string(8000, 'a') + "\r\n\r\n");
  EXPECT_EQ(large.receive().status, 404) << "just within the limits";
}

TEST_F(ServeHttp, BodiesOfRequests) {
  start();
  Client client(port());
  client.send("GET " + url() + " HTTP/1.1\r\nHost: h\r\nContent-Length: 30000\r\n\r\n");
  for (int i = 0; i < 30; ++i) client.send(std::string(1000, 'G'));
  EXPECT_EQ(client.receive().status, 200);
  EXPECT_EQ(client.get(url()).status, 200);
  const std::string closing[] = {
      "Content-Length: 100000000\r\n\r\n",
      "Content-Length: 10\r\nExpect: 100-continue\r\n\r\n",
      "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
  };
  for (const std::string& rest : closing) {
    Client other(port());
    other.send("GET " + url() + " HTTP/1.1\r\nHost: h\r\n" + rest);
    const Answer answer = other.receive();
    EXPECT_EQ(answer.status, 200);
    EXPECT_EQ(answer.headers.at("connection"), "close");
    ::shutdown(other.fd(), SHUT_WR);
    EXPECT_TRUE(other.at_end());
  }
}

TEST_F(ServeHttp, SlowHeadsAndIdleConnectionsAreCut) {
  options_.header_timeout = 700ms;
  options_.idle_timeout = 700ms;
  start();
  Client idle(port());
  EXPECT_EQ(idle.get(url()).status, 200);
  Client silent(port());
  Client slow(port());
  slow.send("GET / HTTP/1.1\r\nHost: h\r\n");
  // Each byte comes in time, the whole head does not.
  const auto begin = std::chrono::steady_clock::now();
  pollfd poll{slow.fd(), POLLIN, 0};
  while (::poll(&poll, 1, 100) == 0 && std::chrono::steady_clock::now() - begin < 5s)
    slow.send("X");
  EXPECT_LT(std::chrono::steady_clock::now() - begin, 4s);
  EXPECT_TRUE(slow.at_end());
  EXPECT_TRUE(silent.at_end());
  EXPECT_TRUE(idle.at_end());
}

TEST_F(ServeHttp, AClientThatDoesNotReadIsCut) {
  source_.add("M00/00/01/wKgBFF1Tvn6AL_ulAAhuqKakO_M094.png", content_of(20 << 20));
  options_.write_timeout = 700ms;
  start();
  Client client(port());
  client.send("GET /M00/00/01/wKgBFF1Tvn6AL_ulAAhuqKakO_M094.png HTTP/1.1\r\nHost: h\r\n\r\n");
  // Nothing to wait for: it is the client that does not read for longer than the time-out.
  std::this_thread::sleep_for(2s);
  EXPECT_LT(client.receive().body.size(), std::size_t{20 << 20});
}

TEST_F(ServeHttp, ASlowReaderIsNotCutWhileItReads) {
  const std::string content = content_of(20 << 20);
  source_.add("M00/00/01/wKgBFF1Tvn6AL_ulAAhuqKakO_M094.png", content);
  options_.write_timeout = 1500ms;
  start();
  Client client(port());
  client.send("GET /M00/00/01/wKgBFF1Tvn6AL_ulAAhuqKakO_M094.png HTTP/1.1\r\nHost: h\r\n\r\n");
  const auto until = std::chrono::steady_clock::now() + 3s;
  while (std::chrono::steady_clock::now() < until) {
    ASSERT_TRUE(client.fill());
    // The slow reader itself: a little at a time.
    std::this_thread::sleep_for(50ms);
  }
  EXPECT_TRUE(client.receive().body == content);
}

TEST_F(ServeHttp, LargeFilesGoOutWhole) {
  const std::string content = content_of((5 << 20) + 12'345);
  source_.add("M00/00/01/wKgBFF1Tvn6AL_ulAAhuqKakO_M094.png", content);
  start();
  Client client(port());
  const std::string target = "/M00/00/01/wKgBFF1Tvn6AL_ulAAhuqKakO_M094.png";
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(client.get(target).body == content);
  const Answer part = client.get(target, "Range: bytes=1000000-4999999\r\n");
  EXPECT_EQ(part.status, 206);
  EXPECT_EQ(part.headers.at("content-range"),
            "bytes 1000000-4999999/" + std::to_string(content.size()));
  EXPECT_TRUE(part.body == content.substr(1'000'000, 4'000'000));
}

TEST_F(ServeHttp, MultipartRanges) {
  const std::string content = content_of(300'000);
  source_.add("M00/00/01/wKgBFF1Tvn6AL_ulAAhuqKakO_M094.png", content);
  source_.add_remote("M00/00/01/wKgBFF1Tvn6AL_ulAAhuqKakO_M095.png", content);
  start();
  Client client(port());
  for (const char* name : {"M094", "M095"}) {
    const Answer answer =
        client.get("/M00/00/01/wKgBFF1Tvn6AL_ulAAhuqKakO_" + std::string(name) + ".png",
                   "Range: bytes=0-9,100000-219999,-5\r\n");
    EXPECT_EQ(answer.status, 206);
    const std::string type = answer.headers.at("content-type");
    const std::string prefix = "multipart/byteranges; boundary=";
    ASSERT_TRUE(type.starts_with(prefix));
    const std::string boundary = type.substr(prefix.size());
    std::string expected;
    const std::pair<std::size_t, std::size_t> ranges[] = {
        {0, 9}, {100'000, 219'999}, {299'995, 299'999}};
    for (const auto& [first, last] : ranges)
      expected += "\r\n--" + boundary + "\r\nContent-Type: image/png\r\nContent-Range: bytes " +
                  std::to_string(first) + "-" + std::to_string(last) + "/300000\r\n\r\n" +
                  content.substr(first, last - first + 1);
    expected += "\r\n--" + boundary + "--\r\n";
    EXPECT_TRUE(answer.body == expected) << name;
  }
}

TEST_F(ServeHttp, RangesAndConditions) {
  start();
  Client client(port());
  const Answer whole = client.get(url());
  const std::string etag = whole.headers.at("etag");
  const std::string modified = whole.headers.at("last-modified");
  EXPECT_EQ(client.get(url(), "Range: bytes=0-0\r\n").body, content_of(1000).substr(0, 1));
  const Answer beyond = client.get(url(), "Range: bytes=1000-\r\n");
  EXPECT_EQ(beyond.status, 416);
  EXPECT_EQ(beyond.headers.at("content-range"), "bytes */1000");
  EXPECT_EQ(client.get(url(), "If-None-Match: " + etag + "\r\n").status, 304);
  EXPECT_EQ(client.get(url(), "If-Modified-Since: " + modified + "\r\n").status, 304);
  EXPECT_EQ(client.get(url(), "If-Match: \"x\"\r\n").status, 412);
  EXPECT_EQ(client.get(url(), "Range: bytes=0-0\r\nIf-Range: " + etag + "\r\n").status, 206);
  EXPECT_EQ(client.get(url(), "Range: bytes=0-0\r\nIf-Range: \"x\"\r\n").status, 200);
  EXPECT_EQ(client.get(url(), "rAnGe:   bytes=0-0  \r\n").status, 206);
}

TEST_F(ServeHttp, PassedThroughFromAnotherNode) {
  const std::string content = content_of(200'000);
  source_.add_remote("M00/00/01/wKgBFF1Tvn6AL_ulAAhuqKakO_M095.png", content);
  start();
  Client client(port());
  const std::string target = "/M00/00/01/wKgBFF1Tvn6AL_ulAAhuqKakO_M095.png";
  EXPECT_TRUE(client.get(target).body == content);
  EXPECT_EQ(client.get(target, "Range: bytes=5-9\r\n").body, content.substr(5, 5));
  client.send("HEAD " + target + " HTTP/1.1\r\nHost: h\r\n\r\n");
  EXPECT_EQ(client.receive(/*head=*/true).headers.at("content-length"), "200000");
  EXPECT_TRUE(client.get(target).body == content);
}

TEST_F(ServeHttp, ABrokenStreamCutsTheConnection) {
  source_.add_remote("M00/00/01/wKgBFF1Tvn6AL_ulAAhuqKakO_M095.png", content_of(1000),
                     /*breaks=*/true);
  start();
  Client client(port());
  const Answer answer = client.get("/M00/00/01/wKgBFF1Tvn6AL_ulAAhuqKakO_M095.png");
  EXPECT_EQ(answer.body.size(), 500U);
  EXPECT_FALSE(client.fill());
}

TEST_F(ServeHttp, SavedNamesAndActiveContent) {
  source_.add("M00/00/01/wKgBFF1Tvn6AL_ulAAhuqKakO_M09.svg", "<svg/>");
  start();
  Client client(port());
  EXPECT_EQ(client.get(url() + "?attname=my+pic%22.png").headers.at("content-disposition"),
            "attachment; filename=\"my pic\\\".png\"");
  EXPECT_EQ(client.get(url() + "?filename=a%0d%0aSet-Cookie:x").headers.at("content-disposition"),
            "attachment; filename=\"aSet-Cookie:x\"");
  const Answer svg = client.get("/M00/00/01/wKgBFF1Tvn6AL_ulAAhuqKakO_M09.svg");
  EXPECT_EQ(svg.headers.at("content-type"), "image/svg+xml");
  EXPECT_TRUE(svg.headers.at("content-security-policy").starts_with("sandbox"));
  EXPECT_FALSE(client.get(url()).headers.contains("content-security-policy"));
}

TEST_F(ServeHttp, FlvFromTheMiddle) {
  const std::string content = content_of(1000);
  source_.add("M00/00/01/wKgBFF1Tvn6AL_ulAAhuqKakO_M09.flv", content);
  start();
  Client client(port());
  const std::string target = "/M00/00/01/wKgBFF1Tvn6AL_ulAAhuqKakO_M09.flv";
  EXPECT_EQ(client.get(target + "?start=100").body, content.substr(0, 13) + content.substr(100));
  EXPECT_EQ(client.get(target + "?start=100&end=200").body,
            content.substr(0, 13) + content.substr(100, 100));
  EXPECT_EQ(client.get(target + "?start=0").body, content);
  EXPECT_EQ(client.get(target + "?start=5000").body, content);
}

TEST_F(ServeHttp, WhatAFrontKeepsIsRememberedUnderItsTags) {
  start();
  Client client(port());
  const auto all = [this] {
    std::string text;
    const auto any = [](const std::string&) { return true; };
    const auto now = std::chrono::steady_clock::now();
    for (const wire::FrontUrl& one : service_->fronts().fitting(any, 0, 100, now).urls)
      text += one.host + one.target + " ";
    return text;
  };
  EXPECT_EQ(client.get(url()).status, 200);
  EXPECT_EQ(client.get(url() + "?v=1", "X-Cairn-Kept: 0\r\n").status, 200);
  EXPECT_EQ(client.get(url() + "?v=2", "X-Cairn-Kept: many\r\n").status, 200);
  EXPECT_EQ(
      client.get("/group1/M00/00/01/wKgBFF1Tvn6AL_ulAAhuqKakO_M099.png", "X-Cairn-Kept: 10\r\n")
          .status,
      404);
  EXPECT_EQ(all(), "");
  for (const char* asked : {"X-Cairn-Kept: 10\r\n", "X-Cairn-Kept: 10\r\nX-Cairn-Tags: 1\r\n"}) {
    const Answer answer = client.get(url() + "?v=3%20", asked);
    EXPECT_EQ(answer.status, 200);
    EXPECT_EQ(answer.headers.contains("x-cairn-tags"),
              std::string(asked).find("Tags") != std::string::npos);
    EXPECT_EQ(all(), "h" + url() + "?v=3%20 ");
  }
  const std::string tag = client.get(url(), "X-Cairn-Tags: 1\r\n").headers.at("x-cairn-tags");
  const auto now = std::chrono::steady_clock::now();
  EXPECT_EQ(service_->fronts().with_tags({{tag}}, 0, 100, now).urls.size(), 1U);
}

TEST_F(ServeHttp, WhatIsForOneClientIsNotRemembered) {
  config_.http_cache_control = "private, max-age=60";
  start();
  Client client(port());
  EXPECT_EQ(client.get(url(), "X-Cairn-Kept: 10\r\n").status, 200);
  EXPECT_EQ(service_->fronts().size(), 0U);
}

TEST_F(ServeHttp, Tokens) {
  config_.http_token.check = true;
  config_.http_token.secret = "s3cret";
  start();
  Client client(port());
  const auto now = static_cast<std::uint64_t>(std::time(nullptr));
  const auto signed_url = [&](std::uint64_t ts) {
    return url() + "?token=" + *make_token(kSmall, "s3cret", ts) + "&ts=" + std::to_string(ts);
  };
  const Answer good = client.get(signed_url(now));
  EXPECT_EQ(good.status, 200);
  EXPECT_TRUE(good.headers.at("cache-control").starts_with("private, max-age="));
  EXPECT_EQ(client.get(url()).status, 400);
  EXPECT_EQ(client.get(url() + "?ts=1").status, 400);
  EXPECT_EQ(client.get(signed_url(now - 10'000)).status, 400);
  EXPECT_EQ(client.get(signed_url(0)).status, 400);
}

TEST_F(ServeHttp, AdministrativePages) {
  failing_ = {"tracker"};
  start();
  Client client(port());
  EXPECT_EQ(client.get("/healthz").status, 200);
  const Answer ready = client.get("/readyz");
  EXPECT_EQ(ready.status, 503);
  EXPECT_NE(ready.body.find("tracker"), std::string::npos);
  EXPECT_EQ(client.get("/status").headers.at("content-type"), "application/json");
  EXPECT_EQ(client.get(url()).status, 200);
  const Answer metrics = client.get("/metrics");
  EXPECT_NE(metrics.body.find("cairn_http_requests_total{entry=\"download\",method=\"GET\","
                              "code=\"2xx\"} 1\n"),
            std::string::npos)
      << metrics.body;
  EXPECT_EQ(client.get("/healthz/").status, 404);
}

TEST_F(ServeHttp, AdministrativePagesAreForAdminHosts) {
  admin_hosts_ = "10.9.8.7";
  start();
  Client client(port());
  EXPECT_EQ(client.get("/metrics").status, 403);
  EXPECT_EQ(client.get("/status").status, 403);
  EXPECT_EQ(client.get("/%73tatus").status, 403);
  EXPECT_EQ(client.get("/healthz").status, 200);
}

} // namespace
} // namespace cairn::storage
