// Reads and changes at other members, against small peers in this process.
#include "storage/peers/remote.h"

#include "tests/unit/peers/in_process_server.h"

#include <gtest/gtest.h>

#include <map>
#include <mutex>
#include <thread>

namespace cairn::storage {
namespace {

using std::chrono::milliseconds;
using wire::NativeCommand;

constexpr std::uint32_t kSelf = 1;
constexpr std::uint32_t kSource = 20;
constexpr std::uint32_t kOther = 10;

RemoteName name_from(std::uint32_t source, FileKind kind = FileKind::normal) {
  FileIdFields fields;
  fields.source = SourceRef::from_server_id(source);
  fields.timestamp = 1;
  fields.size_field = make_size_field(100, kind, 1);
  return *parse_remote_name(make_remote_name(0, 1, 2, fields, extension_block("jpg", 3)));
}

// The native commands of a storage node over a map of files.
class FakePeer {
public:
  FakePeer() : server_([this](auto command, auto body) { return answer(command, body); }) {}

  void store(const RemoteName& name, std::string content) {
    const std::lock_guard lock(mutex_);
    files_[name.canonical()] = std::move(content);
  }
  InProcessServer& server() { return server_; }
  std::size_t fetches() const { return server_.count(NativeCommand::fetch); }

  void answer_probe(wire::Presence presence, bool damaged = false) {
    const std::lock_guard lock(mutex_);
    probe_reply_.presence = presence;
    probe_reply_.damaged = damaged;
  }
  // Answers this to everything.
  void refuse(Errc code) {
    const std::lock_guard lock(mutex_);
    refuses_ = code;
  }
  // Closes instead of answering.
  void cut() {
    const std::lock_guard lock(mutex_);
    is_cut_ = true;
  }

private:
  std::optional<Result<wire::Bytes>> answer(std::uint8_t command, wire::View body) {
    const std::lock_guard lock(mutex_);
    if (is_cut_) return std::nullopt;
    if (refuses_ != Errc::ok) return Result<wire::Bytes>(refuses_);
    switch (static_cast<NativeCommand>(command)) {
      case NativeCommand::fetch:
        return fetch(*wire::decode_lenient<wire::Fetch>(body));
      case NativeCommand::probe:
        return Result<wire::Bytes>(wire::encode(probe_reply_));
      case NativeCommand::fetch_meta:
        return Result<wire::Bytes>(
            wire::to_bytes("width\x02"
                           "640"));
      default:
        return Result<wire::Bytes>(wire::Bytes(body.begin(), body.end()));
    }
  }
  Result<wire::Bytes> fetch(const wire::Fetch& request) const {
    const auto found = files_.find(request.name);
    if (found == files_.end()) return Errc::not_found;
    const std::string& content = found->second;
    if (request.offset > content.size()) return Errc::invalid_argument;
    const auto rest =
        content.substr(request.offset, request.length == 0 ? std::string::npos : request.length);
    wire::FetchHead head;
    head.file_size = content.size();
    head.mtime = 77;
    wire::Bytes reply = wire::encode(head);
    const wire::View bytes = wire::as_view(rest);
    reply.insert(reply.end(), bytes.begin(), bytes.end());
    return reply;
  }

  std::mutex mutex_; // guards all that follows but the server
  std::map<std::string, std::string> files_;
  wire::ProbeReply probe_reply_;
  Errc refuses_ = Errc::ok;
  bool is_cut_ = false;
  InProcessServer server_;
};

// Two connected ends on `context`.
std::pair<tcp::socket, tcp::socket> connected(asio::io_context& context) {
  tcp::acceptor acceptor(context, {asio::ip::address_v4::loopback(), 0});
  tcp::socket near(context);
  near.connect(acceptor.local_endpoint());
  tcp::socket far = acceptor.accept();
  return {std::move(near), std::move(far)};
}

class RemoteTest : public testing::Test {
protected:
  RemoteTest() : peers_("uuid-1", "group1") { show(); }

  void show(wire::NodeState source_state = wire::NodeState::active) {
    wire::ClusterView view;
    const auto add = [&](std::uint32_t id, std::uint16_t port, wire::NodeState state) {
      wire::NodeView node;
      node.id = id;
      node.uuid = "uuid-" + std::to_string(id);
      node.group = "group1";
      node.host = "127.0.0.1";
      node.port = port;
      node.state = state;
      view.nodes.push_back(node);
    };
    add(kSelf, 1, wire::NodeState::active);
    add(kOther, other_.server().port(), wire::NodeState::active);
    add(kSource, source_.server().port(), source_state);
    peers_.update(view);
  }

  Result<std::string> read(const RemoteName& name, std::uint64_t offset = 0,
                           std::uint64_t length = 0) {
    return run_on(context_, read_text(remote_, name, offset, length));
  }
  static Task<Result<std::string>> read_text(Remote& remote, const RemoteName& name,
                                             std::uint64_t offset, std::uint64_t length) {
    CAIRN_CO_TRY(file, co_await remote.open(name, offset, length));
    CAIRN_CO_TRY(bytes, co_await file.read_all(1 << 24));
    co_return std::string(wire::as_text(bytes));
  }

  FakePeer source_;
  FakePeer other_;
  Peers peers_;
  asio::io_context context_;
  Remote remote_{peers_, wire::Hello(), Credentials(), milliseconds(500), milliseconds(3000)};
};

TEST_F(RemoteTest, AsksTheSourceFirst) {
  const auto name = name_from(kSource);
  source_.store(name, "from the source");
  other_.store(name, "from another");
  EXPECT_EQ(*read(name), "from the source");
  EXPECT_EQ(*read(name, 5, 3), "the");
  EXPECT_EQ(*read(name, 15), "");
  EXPECT_EQ(other_.fetches(), 0U);
  EXPECT_EQ(source_.server().connections(), 1U) << "the connection is used again";
}

TEST_F(RemoteTest, AsksAnotherWhenTheSourceSaysNo) {
  const auto name = name_from(kSource);
  other_.store(name, "from another");
  EXPECT_EQ(*read(name), "from another");
  EXPECT_EQ(source_.fetches(), 1U);
}

TEST_F(RemoteTest, AsksASourceThatIsCalledOfflineLast) {
  const auto name = name_from(kSource);
  source_.store(name, "from the source");
  other_.store(name, "from another");
  show(wire::NodeState::offline);
  EXPECT_EQ(*read(name), "from another");
  const auto appender = name_from(kSource, FileKind::appender);
  source_.store(appender, "longer");
  other_.store(appender, "long");
  EXPECT_EQ(*read(appender), "longer") << "only the source is up to date";
}

TEST_F(RemoteTest, UnreachableSourceMeansTimeoutNotAbsence) {
  source_.server().stop();
  EXPECT_EQ(read(name_from(kSource)).code(), Errc::timeout);
  EXPECT_EQ(other_.fetches(), 1U);
  EXPECT_EQ(read(name_from(kSource)).code(), Errc::timeout) << "not remembered as absent";
  EXPECT_EQ(other_.fetches(), 2U);
}

TEST_F(RemoteTest, PeerThatFailsIsNoAbsenceEither) {
  source_.refuse(Errc::corrupt);
  EXPECT_EQ(read(name_from(kSource)).code(), Errc::io_error);
  source_.refuse(Errc::denied);
  EXPECT_EQ(read(name_from(kSource)).code(), Errc::timeout);
}

TEST_F(RemoteTest, DeadPeerIsLeftAloneForAMoment) {
  source_.cut();
  const auto name = name_from(kSource);
  other_.store(name, "from another");
  for (int i = 0; i < 5; ++i) EXPECT_EQ(*read(name), "from another");
  EXPECT_EQ(source_.fetches(), 1U);
  const auto missing = name_from(kOther);
  EXPECT_EQ(read(missing).code(), Errc::timeout);
  EXPECT_EQ(source_.fetches(), 1U) << "but a miss still counts it as unreachable";
}

TEST_F(RemoteTest, AllSayNoAndAreAskedOnceWithinASecond) {
  const auto name = name_from(kSource);
  EXPECT_EQ(read(name).code(), Errc::not_found);
  EXPECT_EQ(read(name).code(), Errc::not_found);
  EXPECT_EQ(source_.fetches(), 1U);
  EXPECT_EQ(other_.fetches(), 1U);
  show(wire::NodeState::online);
  EXPECT_EQ(read(name).code(), Errc::not_found);
  EXPECT_EQ(source_.fetches(), 2U) << "a changed view is a reason to ask again";
}

TEST_F(RemoteTest, MissOfASlaveIsNotRemembered) {
  const auto slave = *parse_remote_name(*slave_name(name_from(kSource), "_small", "jpg"));
  ASSERT_EQ(slave.kind(), FileKind::slave);
  EXPECT_EQ(read(slave).code(), Errc::not_found);
  other_.store(slave, "stored since");
  EXPECT_EQ(*read(slave), "stored since");
}

TEST_F(RemoteTest, NothingIsAbsentBeforeTheFirstView) {
  Peers empty("uuid-1", "group1");
  Remote remote(empty, wire::Hello(), Credentials(), milliseconds(500), milliseconds(3000));
  EXPECT_EQ(run_on(context_, read_text(remote, name_from(kSource), 0, 0)).code(), Errc::timeout);
}

TEST_F(RemoteTest, OffsetBeyondTheEnd) {
  const auto name = name_from(kSource);
  source_.store(name, "short");
  EXPECT_EQ(read(name, 6).code(), Errc::invalid_argument);
  EXPECT_EQ(other_.fetches(), 0U);
}

TEST_F(RemoteTest, ReusedConnectionThatDiedIsReplaced) {
  const auto name = name_from(kSource);
  source_.store(name, "content");
  EXPECT_EQ(*read(name), "content");
  source_.server().restart();
  EXPECT_EQ(*read(name), "content");
}

Task<Status> stream_and_close(Remote& remote, const RemoteName& name, tcp::socket socket) {
  Connection to(std::move(socket));
  CAIRN_CO_TRY(file, co_await remote.open(name, 0, 0));
  co_return co_await file.stream_to(to);
}

TEST_F(RemoteTest, StreamsAFileLargerThanAnyBuffer) {
  const auto name = name_from(kSource);
  std::string content(5'000'000, 'x');
  for (std::size_t i = 0; i < content.size(); i += 997) content[i] = static_cast<char>(i % 251);
  source_.store(name, content);
  auto [near, far] = connected(context_);
  std::string received;
  std::thread reader([&received, &far = far] {
    boost::system::error_code error;
    char piece[10'000];
    while (const std::size_t count = far.read_some(asio::buffer(piece), error))
      received.append(piece, count);
  });
  EXPECT_TRUE(run_on(context_, stream_and_close(remote_, name, std::move(near))));
  reader.join();
  EXPECT_TRUE(received == content);
}

Task<Status> open_and_drop(Remote& remote, const RemoteName& name) {
  CAIRN_CO_TRY(file, co_await remote.open(name, 0, 0));
  EXPECT_EQ(file.file_size, 1'000'000U);
  EXPECT_EQ(file.mtime, 77U);
  co_return Status();
}

TEST_F(RemoteTest, UnreadFileDoesNotSpoilTheNextAnswer) {
  const auto large = name_from(kSource);
  source_.store(large, std::string(1'000'000, 'x'));
  EXPECT_TRUE(run_on(context_, open_and_drop(remote_, large)));
  EXPECT_EQ(*read(large, 0, 3), "xxx");
  EXPECT_EQ(source_.server().connections(), 2U);
}

TEST_F(RemoteTest, ProbeTakesTheFirstTombstoneOrGoodCopy) {
  const auto name = name_from(kSource);
  EXPECT_EQ(run_on(context_, remote_.probe(name)).code(), Errc::not_found);
  EXPECT_EQ(run_on(context_, remote_.probe(name)).code(), Errc::not_found);
  EXPECT_EQ(source_.server().count(NativeCommand::probe), 1U);

  show(wire::NodeState::online);
  source_.answer_probe(wire::Presence::present, /*damaged=*/true);
  EXPECT_TRUE(run_on(context_, remote_.probe(name))->damaged) << "better than nothing";
  other_.answer_probe(wire::Presence::deleted);
  EXPECT_EQ(run_on(context_, remote_.probe(name))->presence, wire::Presence::deleted);
}

TEST_F(RemoteTest, MetadataComesFromTheOwner) {
  EXPECT_EQ(*run_on(context_, remote_.metadata(name_from(kSource))),
            "width\x02"
            "640");
  EXPECT_EQ(run_on(context_, remote_.metadata(name_from(kSelf))).code(), Errc::invalid_argument);
  source_.refuse(Errc::not_found);
  EXPECT_EQ(run_on(context_, remote_.metadata(name_from(kSource))).code(), Errc::not_found);
  source_.server().stop();
  EXPECT_EQ(run_on(context_, remote_.metadata(name_from(kSource))).code(), Errc::unavailable);
}

struct Forwarded {
  wire::Bytes front;
  std::size_t body_size;
  std::uint32_t owner;
};

Task<Result<wire::Bytes>> forward_from(Remote& remote, Connection& client, Forwarded request) {
  wire::FrameHeader header;
  header.body_size = request.body_size;
  header.command = static_cast<std::uint8_t>(wire::Command::append_file);
  Body body(client, header, std::chrono::seconds(5));
  co_return co_await remote.forward(request.owner, header.command, 0, std::move(request.front),
                                    body);
}

TEST_F(RemoteTest, ForwardsARequestWithItsStreamedBody) {
  auto [near, far] = connected(context_);
  const std::string content(3'000'000, 'y');
  std::thread client([&content, &far = far] {
    boost::system::error_code error;
    asio::write(far, asio::buffer(content), error);
  });
  Connection connection(std::move(near));
  Forwarded request{wire::to_bytes("front"), content.size(), kSource};
  const auto reply = run_on(context_, forward_from(remote_, connection, std::move(request)));
  client.join();
  ASSERT_TRUE(reply) << reply.error().text();
  EXPECT_TRUE(wire::as_text(*reply) == "front" + content); // the fake echoes
}

TEST_F(RemoteTest, ForwardTellsWhetherAnythingCanHaveHappened) {
  auto [near, far] = connected(context_);
  Connection connection(std::move(near));
  const auto attempt = [&](std::uint32_t owner) {
    Forwarded request{wire::to_bytes("front"), 0, owner};
    return run_on(context_, forward_from(remote_, connection, std::move(request))).code();
  };
  source_.refuse(Errc::no_space);
  EXPECT_EQ(attempt(kSource), Errc::no_space) << "the owner's own answer";
  EXPECT_EQ(attempt(kSource), Errc::no_space);
  EXPECT_EQ(source_.server().connections(), 1U);
  source_.cut();
  EXPECT_EQ(attempt(kSource), Errc::timeout) << "it had the whole request";
  EXPECT_EQ(attempt(kSource), Errc::unavailable) << "not asked at all";
  EXPECT_EQ(attempt(4711), Errc::unavailable) << "no such node";
  EXPECT_EQ(source_.server().count(static_cast<std::uint8_t>(wire::Command::append_file)), 3U)
      << "never sent twice";
}

} // namespace
} // namespace cairn::storage
